//! The pipeline: every stage, every channel, and how it all stops.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::alerts::{self, AlertError, AlertStore, Raised, Then};
use crate::checkpoint::{self, CheckpointError};
use crate::config::{Config, Shared, Tls};
use crate::detect::baseline::Baseline;
use crate::detect::{Alert, Detector};
use crate::event::Block;
use crate::fleet::{self, FleetError, FleetHandle};
use crate::identity::{Book, IdentityError, Revoked, Server, watch_revocations};
use crate::ingest::{self, Enroll, Ingest};
use crate::intel::{FeedConfig, Intel, Status, pull};
use crate::log::{self, LogError, LogHandle, LogReader, LogStore, Logged, StoredBatch};
use crate::replay::{self, ReplayError};
use crate::{sink, text};

/// Blocks between log and detection.
const LOGGED_MAX: usize = 256;
/// Rounds of alerts between detection and their store.
const RAISED_MAX: usize = 256;
/// After so many days without use an approved way is named; work of once a month is not.
const UNUSED_DAYS: u32 = 35;
/// How often closings are looked for.
const CLOSINGS_EVERY: Duration = Duration::from_secs(3);
/// How often what was learned is kept.
const KEEP_EVERY: Duration = Duration::from_mins(5);
/// How often alerts found at start are tried to be stored before the start fails.
const START_ATTEMPTS: u32 = 5;
/// How long sinks may take to deliver what is left when the collector stops.
const SINK_GRACE: Duration = Duration::from_secs(15);
/// How long log, detection and alerts may take to work off what is in hand.
const STAGE_GRACE: Duration = Duration::from_mins(1);
/// How long a pull of a feed may take to see that the collector stops; one that waits for its server does not.
const PULL_GRACE: Duration = Duration::from_secs(1);
/// How long the streams may take to end.
const STREAM_GRACE: Duration = Duration::from_secs(3);

/// The collector could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory cannot be made or written to.
    #[error("data directory {path} cannot be used: {source}", path = path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another collector works in the data directory.
    #[error("{path}: another collector works in this directory; stop it, or set another data_dir", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// Keys or certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The event log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be read back.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The alerts cannot be kept.
    #[error(transparent)]
    Alerts(#[from] AlertError),
    /// What was learned cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The list of sensors cannot be kept.
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

/// A collector that runs.
#[derive(Debug)]
pub struct Collector {
    /// Held while it runs, so that no second collector works in the data directory.
    _lock: File,
    address: SocketAddr,
    current: Current,
    /// The feeds for the thread that pulls them, which ends when this is dropped.
    feeds: watch::Sender<Vec<FeedConfig>>,
    pull_ended: oneshot::Receiver<()>,
    log: LogHandle,
    fleet: FleetHandle,
    fleet_thread: JoinHandle<()>,
    stopping: watch::Sender<bool>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    stages: Vec<JoinHandle<()>>,
    sinks: Vec<JoinHandle<()>>,
}

/// What the collector works with, for whoever reads it again while it runs.
#[derive(Debug, Clone)]
struct Current {
    /// The configuration that was read last; held while the feeds are read, so that one reads them at a time.
    config: Arc<Mutex<Config>>,
    detect: Shared,
    /// Where alerts go; a search in the log holds nothing up when all others have gone.
    raised: mpsc::WeakSender<Raised>,
}

/// Turns what the log kept into events: the decoder of [`ingest`], for whoever reads the log back.
pub fn decode(batch: &StoredBatch) -> Result<Block, String> {
    ingest::stored(batch).map_err(|error| error.to_string())
}

impl Collector {
    /// Opens everything, reads the log back, and starts all stages: the whole pipeline is in this function.
    /// `caught_up` is told, now and then while the log is read back, how far that is.
    pub async fn start(
        mut config: Config,
        caught_up: impl FnMut(replay::Progress),
    ) -> Result<Self, StartError> {
        let data_dir = config.data_dir.clone();
        let lock = take(&data_dir)?;
        let tls = Server::open(&config.tls, &data_dir, config.listen)?.map(Arc::new);
        if tls.is_none() {
            tracing::warn!(
                "TLS is off: whoever reaches the loopback address may speak for any sensor"
            );
        }
        let enroll = enroll(&config, tls.as_deref())?;
        let revoked = revoked(&config)?;
        let listen_error = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;

        let log_store = LogStore::open(&data_dir)?;
        let log_id = log_store.log_id();
        let mut alert_store = AlertStore::open(&data_dir)?;
        let (newest, newest_seen) = watch::channel(alert_store.newest()?);

        // What was logged and not yet looked at when the last run ended is found here, before anything new comes.
        tell(&config.read_feeds(&Intel::default()));
        let detect = Shared::new(config.detect.clone());
        let last_pos = LogReader::open(&data_dir)?.last_pos()?;
        let mut learned = checkpoint::open(&data_dir, log_id, last_pos)?;
        tell_unused(&config, &mut learned.baseline);
        // Without anything learned, the horizon is where learning begins.
        let from = if learned.pos == 0 {
            i64::MAX
        } else {
            learned.pos + 1
        };
        let mut detector =
            Detector::following(detect.clone()).knowing(learned.baseline, learned.pos);
        catch_up(
            &config,
            &mut detector,
            from,
            &mut alert_store,
            &newest,
            caught_up,
        )?;

        let (fleet, fleet_thread) = fleet::spawn(&data_dir)?;
        let (logged, to_detect) = mpsc::channel(LOGGED_MAX);
        let (raised, to_alerts) = mpsc::channel(RAISED_MAX);
        let hunted = raised.downgrade();
        let (log, log_thread) = log::spawn(log_store, logged)?;
        let books = Books::open(&data_dir, log_id);
        let detect_thread = spawn_detect(detector, books, to_detect, raised, fleet.clone())?;
        let closings = (AlertStore::open(&data_dir)?, newest.clone());
        let alert_thread = alerts::spawn(alert_store, to_alerts, newest, sink::ocsf::finding)?;
        let sinks = spawn_sinks(&config, &newest_seen)?;
        let (feeds, to_pull) = watch::channel(config.feeds.clone());
        let current = Current {
            config: Arc::new(Mutex::new(config)),
            detect,
            raised: hunted,
        };
        let pulled = current.clone();
        let read_again = move || drop(pulled.read_feeds(None));
        let pull_ended = pull::spawn(to_pull, Handle::current(), read_again)?;

        let (stopping, stop_seen) = watch::channel(false);
        let closing_thread = spawn_closings(closings, stop_seen.clone())?;
        let service = Ingest::new(
            log.clone(),
            fleet.clone(),
            log_id.into_bytes(),
            stop_seen.clone(),
            revoked,
        )
        .renewing(enroll.clone());
        let server = tokio::spawn(ingest::serve(listener, tls, service, enroll, stop_seen));
        let stages = vec![log_thread, detect_thread, alert_thread, closing_thread];
        Ok(Self {
            _lock: lock,
            address,
            current,
            feeds,
            pull_ended,
            log,
            fleet,
            fleet_thread,
            stopping,
            server,
            stages,
            sinks,
        })
    }

    /// Lets detection work with another configuration from the next block on, and looks for what is new in its feeds in the log,
    /// as far back as the horizon. A feed that cannot be read counts as it was read before. Address, directory and sinks stay
    /// what they are. Returns when it counts; the search goes on by itself.
    pub async fn reload(&self, config: Config) {
        let current = self.current.clone();
        let read = tokio::task::spawn_blocking(move || current.read_feeds(Some(config)));
        match read.await {
            Ok(feeds) => {
                self.feeds.send_replace(feeds);
            }
            Err(error) => {
                tracing::error!(%error, "reading the feeds ended with a panic; what was read before counts");
            }
        }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a probe through log, detection and alerts and waits until it has come out: the pipeline moves.
    pub async fn probe(&self) -> Result<(), LogError> {
        self.log.probe().await
    }

    /// Stops: no new streams, what is in hand is finished, detection has seen it, sinks get a time of grace.
    pub async fn stop(self) {
        let Self {
            _lock,
            feeds,
            pull_ended,
            log,
            fleet,
            fleet_thread,
            stopping,
            mut server,
            stages,
            sinks,
            ..
        } = self;
        drop(feeds);
        stopping.send_replace(true);
        match timeout(STREAM_GRACE, &mut server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the gRPC service ended with an error"),
            Ok(Err(error)) => tracing::error!(%error, "the gRPC service ended with a panic"),
            Err(_) => {
                tracing::warn!(
                    "some streams did not end in time and are cut; sensors keep what was not acknowledged"
                );
                server.abort();
            }
        }
        // Detection tells the fleet of the last blocks, so the fleet is closed after the stages.
        log.close().await;
        join("stages", stages, STAGE_GRACE).await;
        fleet.close().await;
        join("fleet", vec![fleet_thread], STAGE_GRACE).await;
        join("sinks", sinks, SINK_GRACE).await;
        if timeout(PULL_GRACE, pull_ended).await.is_err() {
            tracing::info!("a pull of a feed is cut; what was pulled before stays");
        }
    }
}

impl Current {
    /// Reads the feeds again, with a new configuration if there is one, and looks for what is new in them in the log. Returns when
    /// detection works with them, with what feeds there are now.
    fn read_feeds(&self, new: Option<Config>) -> Vec<FeedConfig> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = new {
            *current = as_it_runs(new, &current);
        }
        let before = self.detect.get();
        tell(&current.read_feeds(&before.intel));
        let listed_anew = current.detect.intel != before.intel;
        self.detect.set(Arc::new(current.detect.clone()));
        if !listed_anew {
            return current.feeds.clone();
        }
        let (config, raised) = (current.clone(), self.raised.clone());
        let hunting = std::thread::Builder::new().name("hunt".into());
        if let Err(error) = hunting.spawn(move || hunt(&config, &raised)) {
            tracing::error!(%error, "what is new in the feeds is not looked for in the log");
        }
        current.feeds.clone()
    }
}

/// The service that certifies sensors, if it is the collector's own authority that does.
fn enroll(config: &Config, tls: Option<&Server>) -> Result<Option<Enroll>, IdentityError> {
    let (Tls::Own { valid, .. }, Some(authority)) = (&config.tls, tls.and_then(Server::authority))
    else {
        return Ok(None);
    };
    let book = Book::open_or_make(&config.data_dir)?;
    Ok(Some(Enroll::new(authority.clone(), book, *valid)))
}

/// What is revoked, from now on; nothing when TLS is off and nobody shows a certificate.
fn revoked(config: &Config) -> Result<watch::Receiver<Revoked>, IdentityError> {
    match config.tls {
        Tls::Off => Ok(watch::channel(Revoked::default()).1),
        Tls::Own { .. } | Tls::Given { .. } => {
            watch_revocations(Book::open_or_make(&config.data_dir)?)
        }
    }
}

/// A new configuration with what a running collector cannot change.
fn as_it_runs(mut new: Config, running: &Config) -> Config {
    let fixed = |config: &Config| {
        let sinks = (config.file_sink.clone(), config.syslog_sink.clone());
        let link = (config.listen, config.tls.clone());
        (link, config.data_dir.clone(), sinks)
    };
    if fixed(&new) != fixed(running) {
        tracing::warn!(
            "listen, tls, data_dir or a sink is another in the configuration: that counts after a restart"
        );
    }
    new.keep_data_dir(running.data_dir.clone());
    new.listen = running.listen;
    new.tls.clone_from(&running.tls);
    new.file_sink.clone_from(&running.file_sink);
    new.syslog_sink.clone_from(&running.syslog_sink);
    new
}

/// Runs the log through detection with new feeds and raises, as it stands at the end, what is listed now.
fn hunt(config: &Config, raised: &mpsc::WeakSender<Raised>) {
    let found = hunted(config);
    let alerts: Vec<Alert> = match found {
        Ok(found) => found.into_values().collect(),
        Err(error) => {
            tracing::error!(%error, "what is new in the feeds could not be looked for in the log");
            return;
        }
    };
    tracing::info!(
        alerts = alerts.len(),
        "the log was looked through for what the feeds list now"
    );
    let Some(raised) = raised.upgrade().filter(|_| !alerts.is_empty()) else {
        return;
    };
    if raised.blocking_send(Raised::Alerts(alerts)).is_err() {
        tracing::warn!("the collector stops; the next start finds what was found in the log");
    }
}

/// The newest revisions of alerts about listed destinations, by id.
fn hunted(config: &Config) -> Result<BTreeMap<String, Alert>, ReplayError> {
    let reader = LogReader::open(&config.data_dir)?;
    let from = reader.first_pos_since(reader.newest_ns()?.saturating_sub(horizon_ns(config)))?;
    let mut detector = Detector::new(config.detect.clone());
    let mut found = BTreeMap::new();
    replay::feed(&reader, from, decode, |_, block| {
        let alerts = detector.block(&block).into_iter();
        let listed = alerts.filter(|alert| alert.known.is_listed());
        found.extend(listed.map(|alert| (alert.id.to_string(), alert)));
    })?;
    Ok(found)
}

fn horizon_ns(config: &Config) -> u64 {
    u64::try_from(config.horizon.as_nanos()).unwrap_or(u64::MAX)
}

/// Names approved ways that nobody has used for as long as is remembered: an exception that is not needed only hides something.
fn tell_unused(config: &Config, baseline: &mut Baseline) {
    for way in &config.detect.approved {
        baseline.know_way(&way.name);
        if baseline.is_unused(&way.name, UNUSED_DAYS) {
            tracing::warn!(
                way = text::clean(&way.name),
                "this approved way was not used for {UNUSED_DAYS} days; remove it if the work is no more"
            );
        }
    }
}

/// Says how the feeds are.
fn tell(states: &[Status]) {
    for state in states {
        let feed = text::clean(&state.feed);
        let version = text::clean(&state.version);
        tracing::info!(
            feed,
            version,
            indicators = state.indicators,
            "feed of threat intelligence"
        );
        if let Some(problem) = &state.problem {
            tracing::error!(
                feed,
                problem = text::clean(problem),
                "the feed cannot be read; what was read of it before counts"
            );
        }
        if state.skipped > 0 {
            let first = state.examples.first().map(|example| text::clean(example));
            tracing::warn!(
                feed,
                left_out = state.skipped,
                first,
                "entries of the feed cannot be used; `chartwatch intel` names some"
            );
        }
    }
}

/// Makes the data directory, readable for the owner and the group, and takes it for this process.
fn take(data_dir: &Path) -> Result<File, StartError> {
    let refused = |source| StartError::DataDir {
        path: data_dir.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(data_dir)
        .map_err(refused)?;
    let lock = File::create(data_dir.join("lock")).map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            path: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// Keeps what detection has learned.
struct Books {
    data_dir: PathBuf,
    log_id: uuid::Uuid,
    /// Place in the log up to which it is kept, and when it was.
    kept: (i64, Instant),
}

impl Books {
    fn open(data_dir: &Path, log_id: uuid::Uuid) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            log_id,
            kept: (0, Instant::now()),
        }
    }

    /// Has it kept, unless it was a short while ago. What was learned knows which alerts were raised, so they have to be stored before:
    /// it goes the way they go. A failure costs a longer start, and is said.
    fn keep(&mut self, detector: &Detector, for_at_least: Duration) -> Option<Raised> {
        let (baseline, pos) = detector.learned();
        if pos == self.kept.0 || self.kept.1.elapsed() < for_at_least {
            return None;
        }
        self.kept = (pos, Instant::now());
        let (data_dir, log_id, baseline) = (self.data_dir.clone(), self.log_id, baseline.clone());
        Some(Raised::Then(Then(Box::new(move || {
            if let Err(error) = checkpoint::save(&data_dir, log_id, (&baseline, pos)) {
                tracing::error!(%error, "what was learned could not be kept; a restart learns it again from the log");
            }
        }))))
    }
}

/// Reads the log back from the horizon on, or from where nothing has been learned yet if that is earlier.
fn catch_up(
    config: &Config,
    detector: &mut Detector,
    learn_from: i64,
    store: &mut AlertStore,
    newest: &watch::Sender<i64>,
    mut progress: impl FnMut(replay::Progress),
) -> Result<(), StartError> {
    let reader = LogReader::open(&config.data_dir)?;
    let from = reader.first_pos_since(reader.newest_ns()?.saturating_sub(horizon_ns(config)))?;
    let from = from.min(learn_from);
    let mut done = replay::Progress {
        last_pos: reader.last_pos()?,
        ..replay::Progress::default()
    };
    let mut kept = Ok(());
    replay::feed(&reader, from, decode, |pos, block| {
        let alerts = detector.block(&block);
        if kept.is_ok() && !alerts.is_empty() {
            let finding = sink::ocsf::finding;
            kept = alerts::keep(store, &alerts, newest, finding, Some(START_ATTEMPTS));
        }
        done.batches += 1;
        done.events += block.events.len() as u64;
        done.pos = pos;
        progress(done);
    })?;
    kept?;
    tracing::info!(
        batches = done.batches,
        events = done.events,
        "log read back"
    );
    Ok(())
}

/// The detection stage.
fn spawn_detect(
    mut detector: Detector,
    mut books: Books,
    mut logged: mpsc::Receiver<Logged>,
    raised: mpsc::Sender<Raised>,
    fleet: FleetHandle,
) -> Result<JoinHandle<()>, std::io::Error> {
    std::thread::Builder::new()
        .name("detect".into())
        .spawn(move || {
            while let Some(next) = logged.blocking_recv() {
                let on = match next {
                    Logged::Block(block) => {
                        fleet.block(&block);
                        let alerts = detector.block(&block);
                        (!alerts.is_empty()).then_some(Raised::Alerts(alerts))
                    }
                    Logged::Probe(reply) => Some(Raised::Probe(reply)),
                };
                let kept = books.keep(&detector, KEEP_EVERY);
                for on in on.into_iter().chain(kept) {
                    if raised.blocking_send(on).is_err() {
                        return;
                    }
                }
            }
            let kept = books.keep(&detector, Duration::ZERO);
            if kept.is_some_and(|kept| raised.blocking_send(kept).is_err()) {
                tracing::warn!(
                    "what was learned is not kept; the next start learns it from the log"
                );
            }
        })
}

/// Lets sinks know of alerts that another process has closed.
fn spawn_closings(
    (store, newest): (AlertStore, watch::Sender<i64>),
    mut stop_seen: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, std::io::Error> {
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("closings".into())
        .spawn(move || {
            let mut wait =
                || runtime.block_on(async { timeout(CLOSINGS_EVERY, stop_seen.changed()).await });
            while wait().is_err() {
                match store.newest() {
                    Ok(last) => {
                        newest.send_if_modified(|known| {
                            let more = last > *known;
                            *known = last.max(*known);
                            more
                        });
                    }
                    Err(error) => tracing::warn!(%error, "closings cannot be looked for"),
                }
            }
        })
}

fn spawn_sinks(
    config: &Config,
    newest: &watch::Receiver<i64>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let runtime = Handle::current();
    let mut sinks = Vec::new();
    if let Some(file) = &config.file_sink {
        let store = AlertStore::open(&config.data_dir)?;
        sinks.push(sink::file::spawn(
            store,
            file.path.clone(),
            newest.clone(),
            runtime.clone(),
        )?);
    }
    if let Some(syslog) = &config.syslog_sink {
        let store = AlertStore::open(&config.data_dir)?;
        sinks.push(sink::syslog::spawn(
            store,
            syslog.clone(),
            hostname(),
            newest.clone(),
            runtime,
        )?);
    }
    Ok(sinks)
}

/// Name of this machine.
fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Waits for threads without blocking the runtime; those that take longer than `grace` are left to the process's end.
async fn join(what: &str, threads: Vec<JoinHandle<()>>, grace: Duration) {
    let all = tokio::task::spawn_blocking(move || {
        threads
            .into_iter()
            .map(JoinHandle::join)
            .filter(Result::is_err)
            .count()
    });
    match timeout(grace, all).await {
        Ok(Ok(0)) => {}
        Ok(Ok(panicked)) => tracing::error!(what, panicked, "threads ended with a panic"),
        Ok(Err(error)) => tracing::error!(what, %error, "waiting for threads failed"),
        Err(_) => tracing::warn!(
            what,
            "not finished in time; nothing is lost, the next start goes on from there"
        ),
    }
}
