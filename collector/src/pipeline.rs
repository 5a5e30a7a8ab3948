//! The pipeline: every stage, every channel, and how it all stops.

mod audited;
mod detection;
mod hunt;
mod learned;
mod stale;

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::alerts::{self, AlertError, AlertStore};
use crate::analyst::{self, Interface};
use crate::audit::{self, Action, AuditError, Desk, Entry};
use crate::checkpoint::CheckpointError;
use crate::config::{Config, ConfigError, Shared, Tls};
use crate::event::Block;
use crate::fleet::{self, FleetError, FleetHandle};
use crate::identity::{self, Book, IdentityError, Lapse, Revoked, Server, watch_revocations};
use crate::ingest::{self, Enroll, Ingest};
use crate::intel::{FeedConfig, Intel, pull};
use crate::log::{self, LogError, LogHandle, LogReader, LogStore, StoredBatch};
use crate::privacy::{Key, KeyError};
use crate::replay::Reading;
use crate::{durable, sink};
pub use detection::Detection;
use detection::Stage;
use hunt::Current;
use learned::Books;

/// Blocks between log and detection.
const LOGGED_MAX: usize = 256;
/// Rounds of alerts between detection and their store.
const RAISED_MAX: usize = 256;
/// How often closings are looked for.
const CLOSINGS_EVERY: Duration = Duration::from_secs(3);
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
    /// The audit log cannot be used.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The key for names cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The event log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
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
    detection: watch::Receiver<Detection>,
    current: Current,
    /// The feeds for the thread that pulls them, which ends when this is dropped.
    feeds: watch::Sender<Vec<FeedConfig>>,
    pull_ended: oneshot::Receiver<()>,
    log: LogHandle,
    fleet: FleetHandle,
    fleet_thread: JoinHandle<()>,
    audit: Desk,
    audit_thread: JoinHandle<()>,
    stopping: watch::Sender<bool>,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    analysts: Option<tokio::task::JoinHandle<Result<(), tonic::transport::Error>>>,
    stages: Vec<JoinHandle<()>>,
    sinks: Vec<JoinHandle<()>>,
}

/// Turns what the log kept into events: the decoder of [`ingest`], for whoever reads the log back.
pub fn decode(batch: &StoredBatch) -> Result<Block, String> {
    ingest::stored(batch).map_err(|error| error.to_string())
}

impl Collector {
    /// Opens everything and starts all stages: the whole pipeline is in this function. Sensors are served when it returns; detection
    /// may still read the log back, see [`Collector::detection`].
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let data_dir = config.data_dir.clone();
        let lock = take(&data_dir)?;
        let (audit, audit_thread) = audit::spawn(&data_dir)?;
        let was_there = identity::has_authority(&data_dir);
        let tls = Server::open(&config.tls, &data_dir, config.listen)?.map(Arc::new);
        audited::authority(&audit, tls.as_deref(), was_there);
        if tls.is_none() {
            tracing::warn!(
                "TLS is off: whoever reaches the loopback address may speak for any sensor"
            );
        }
        let key = audited::key(&config, &audit)?;
        let enroll = enroll(&config, tls.as_deref(), key, &audit)?;
        let lapse = lapse(&config)?;
        let revoked = revoked(&config)?;
        let listen_error = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let analyst_listener = audited::analyst_listener(&config).await?;

        let log_store = LogStore::open(&data_dir)?;
        let log_id = log_store.log_id();
        let alert_store = AlertStore::open(&data_dir)?;
        let (newest, newest_seen) = watch::channel(alert_store.newest()?);

        hunt::tell(&config.read_feeds(&Intel::default()));
        let detect = Shared::new(config.detect.clone());
        let (detector, from) =
            learned::detector(&config, detect.clone(), log_id, &alert_store, &audit)?;
        // What was logged and not yet looked at when the last run ended is in there, before anything new.
        let to_read = Reading::new(LogReader::open(&data_dir)?, from, decode)?;
        let (state, detection) = watch::channel(Detection::ReadsBack(to_read.progress()));

        let (fleet, fleet_thread) = fleet::spawn(&data_dir)?;
        if let Some((aside, reason)) = fleet.set_aside() {
            let entry = Entry::new(Action::SetAside).about(&aside.to_string_lossy());
            audit.note(entry.with("reason", reason));
        }
        let enroll = enroll.map(|enroll| enroll.telling(fleet.clone()));
        let (logged, to_detect) = mpsc::channel(LOGGED_MAX);
        let (raised, to_alerts) = mpsc::channel(RAISED_MAX);
        let hunted = raised.downgrade();
        let (log, log_thread) = log::spawn(log_store, ingest::overlap, logged)?;
        let books = Books::open(&data_dir, log_id);
        let stage = Stage {
            detector,
            books,
            raised,
            fleet: fleet.clone(),
            state,
        };
        let detect_thread = detection::spawn(stage, to_read, log.clone(), to_detect)?;
        let closings = (AlertStore::open(&data_dir)?, newest.clone());
        let alert_thread = alerts::spawn(alert_store, to_alerts, newest, sink::ocsf::finding)?;
        let sinks = spawn_sinks(&config, &newest_seen)?;
        let (feeds, to_pull) = watch::channel(config.feeds.clone());
        let at_start = config.clone();
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
        let stale_thread = stale::spawn(current.clone(), stop_seen.clone())?;
        let service = Ingest::new(
            log.clone(),
            fleet.clone(),
            log_id.into_bytes(),
            stop_seen.clone(),
            revoked.clone(),
        )
        .renewing(enroll.clone())
        .after(lapse)
        .auditing(audit.clone());
        audit.note(audited::started(address));
        let analysts = match (analyst_listener, &tls) {
            (Some(listener), Some(tls)) => {
                let book = Book::open_or_make(&data_dir)?;
                let now = current.clone().now();
                let (tls, enroll, stop) = (tls.clone(), enroll.clone(), stop_seen.clone());
                let (desk, renewal) = (audit.clone(), enroll.clone());
                let interface = Interface::new(at_start, now, book, desk, revoked, renewal);
                Some(tokio::spawn(analyst::serve(
                    listener, tls, interface, enroll, stop,
                )))
            }
            (_, _) => None,
        };
        let server = tokio::spawn(ingest::serve(listener, tls, service, enroll, stop_seen));
        let stages = vec![
            log_thread,
            detect_thread,
            alert_thread,
            closing_thread,
            stale_thread,
        ];
        Ok(Self {
            _lock: lock,
            address,
            detection,
            current,
            feeds,
            pull_ended,
            log,
            fleet,
            fleet_thread,
            audit,
            audit_thread,
            stopping,
            server,
            analysts,
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
                self.audit.note(Entry::new(Action::ConfigurationReloaded));
                self.feeds.send_replace(feeds);
            }
            Err(error) => {
                tracing::error!(%error, "reading the feeds ended with a panic; what was read before counts");
            }
        }
    }

    /// Says in the audit log that a configuration was to be read again and cannot be used.
    pub fn refused(&self, error: &ConfigError) {
        let entry = Entry::new(Action::ConfigurationRefused);
        self.audit.note(entry.with("reason", &error.to_string()));
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What detection does, from now on.
    pub fn detection(&self) -> watch::Receiver<Detection> {
        self.detection.clone()
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
            audit,
            audit_thread,
            stopping,
            mut server,
            analysts,
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
        if let Some(mut analysts) = analysts
            && timeout(STREAM_GRACE, &mut analysts).await.is_err()
        {
            tracing::info!("commands of analysts are cut");
            analysts.abort();
        }
        // Detection tells the fleet of the last blocks, so the fleet is closed after the stages.
        log.close().await;
        join("stages", stages, STAGE_GRACE).await;
        fleet.close().await;
        join("fleet", vec![fleet_thread], STAGE_GRACE).await;
        join("sinks", sinks, SINK_GRACE).await;
        audit.note(Entry::new(Action::CollectorStopped));
        audit.close();
        join("audit", vec![audit_thread], STAGE_GRACE).await;
        if timeout(PULL_GRACE, pull_ended).await.is_err() {
            tracing::info!("a pull of a feed is cut; what was pulled before stays");
        }
    }
}

/// The service that certifies sensors, if it is the collector's own authority that does.
fn enroll(
    config: &Config,
    tls: Option<&Server>,
    key: Option<Key>,
    audit: &Desk,
) -> Result<Option<Enroll>, IdentityError> {
    let (Tls::Own { valid, .. }, Some(authorities)) =
        (&config.tls, tls.and_then(Server::authorities))
    else {
        return Ok(None);
    };
    let book = Book::open_or_make(&config.data_dir)?;
    let (authorities, audit) = (authorities.clone(), audit.clone());
    Ok(Some(Enroll::new(authorities, book, *valid, key, audit)))
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

/// The time of which the book of tokens and revocations knows nothing, where certificates are the collector's own; the list of sensors may show
/// already that there was something.
fn lapse(config: &Config) -> Result<Option<Lapse>, IdentityError> {
    if !matches!(config.tls, Tls::Own { .. }) {
        return Ok(None);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let lapse = Lapse::read(&Book::open_or_make(&config.data_dir)?, now_s)?;
    // Before the first start there is no list.
    for sensor in fleet::read(&config.data_dir).unwrap_or_default() {
        if let Some(shown) = sensor
            .certificate
            .filter(|shown| !shown.authority.is_empty())
        {
            lapse.is_shown_by(&sensor.id, shown.from_s);
        }
    }
    Ok(Some(lapse))
}

/// How far back the log is read at start, nanoseconds.
fn horizon_ns(config: &Config) -> u64 {
    u64::try_from(config.horizon.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes the data directory, readable for the owner and the group, and takes it for this process.
fn take(data_dir: &Path) -> Result<File, StartError> {
    let refused = |source| StartError::DataDir {
        path: data_dir.to_owned(),
        source,
    };
    durable::make_directory(data_dir, 0o750).map_err(refused)?;
    let lock = File::create(data_dir.join("lock")).map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            path: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
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
