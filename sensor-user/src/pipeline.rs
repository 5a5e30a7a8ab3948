//! The stages put together, run, and taken down along the data.
//!
//! **Invariant:** nothing is lost at a stop without being counted and logged.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{self, Config};
use crate::enrich::{Enricher, Places, Stage};
use crate::event::Event;
use crate::health::{Health, Pulse};
use crate::link::{Client, Files, Host, Packer, Settings};
use crate::metrics::Metrics;
use crate::privacy::{Key, KeyError, Privacy};
use crate::report::Resend;
use crate::service::Service;
use crate::spool::{Disk, Spool, Writer};

/// Ticks that may wait between the source and enrichment. At five ticks a second this is six seconds; then the source
/// blocks, the kernel's rings fill, and their counters tell what is lost.
pub const TICKS_MAX: usize = 32;

/// Longest time that an event waits in memory to be written to the disk with others. A sensor that is killed loses what the
/// collector has not got in that time; shorter means more syncs.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Time between two attempts on a disk that failed.
const DISK_RETRY_EVERY: Duration = Duration::from_secs(5);
/// Longest time that a stop waits for the disk beyond the time for draining.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// A source that runs: on its own thread it sends ticks of events, in the order of their time, and blocks while the
/// channel is full.
pub struct Source {
    /// What it says of itself.
    pub health: watch::Receiver<Health>,
    /// Its sign of life, at least once a second. The watchdog is fed only while it beats.
    pub pulse: Pulse,
    /// Asks it to end: it takes its last tick, drops its sender and returns. Must not block.
    pub stop: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As asked, with everything delivered.
    Drained,
    /// As asked, but so many events were not delivered within the grace period. They are on the disk, and the next start
    /// delivers them.
    Kept(u64),
    /// As asked, but so many events were neither delivered nor written to the disk within the grace period. They are lost.
    Forced(u64),
    /// The source ended by itself: the host is no longer watched.
    SourceEnded,
}

/// Why a run did not begin.
#[derive(Debug, Error)]
pub enum RunError<E: std::error::Error> {
    /// The key for names cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Which boot of the host this is cannot be told.
    #[error("/proc/sys/kernel/random/boot_id: {0}; the sensor needs the host's own /proc")]
    BootId(std::io::Error),
    /// The thread that writes to the disk did not start.
    #[error("the thread of the disk spool: {0}")]
    Spool(std::io::Error),
    /// The source did not start.
    #[error(transparent)]
    Source(E),
}

/// Runs the sensor until `shutdown` is ready or the source ends by itself.
///
/// `start` starts the source, with the channel to send ticks on.
pub async fn run<E: std::error::Error>(
    config: &Config,
    start: impl FnOnce(mpsc::Sender<Vec<Event>>) -> Result<Source, E>,
    shutdown: impl Future<Output = ()>,
) -> Result<End, RunError<E>> {
    let stores = config
        .stores
        .iter()
        .map(|store| store.name.clone())
        .collect();
    let address = config.collector.address.clone();
    let settings = Settings {
        identity: Files::of(&config.collector),
        ..Settings::new(address, config.sensor_id.clone(), stores)
    };
    run_with(config, settings, Places::default(), start, shutdown).await
}

/// As [`run`], with other waits and other places: for tests and recordings.
pub async fn run_with<E: std::error::Error>(
    config: &Config,
    settings: Settings,
    places: Places,
    start: impl FnOnce(mpsc::Sender<Vec<Event>>) -> Result<Source, E>,
    shutdown: impl Future<Output = ()>,
) -> Result<End, RunError<E>> {
    let privacy = privacy(config)?;
    let host = Host {
        name: config::host_name(),
        boot_id: boot_id().map_err(RunError::BootId)?,
    };
    let metrics = Arc::new(Metrics::default());
    let resend = Resend::default();
    let pulse = Pulse::new();
    let (spool, writer) = spool(config, &metrics).map_err(RunError::Spool)?;

    let (sender, events) = mpsc::channel(TICKS_MAX);
    let source = start(sender).map_err(RunError::Source)?;
    let enricher = Enricher::new(places, &config.stores, privacy, Arc::clone(&metrics));
    let (enrich, ticks) = Stage::new(enricher, events, resend.clone(), pulse.clone());
    let packer = Packer::new(
        host,
        ticks,
        Arc::clone(&spool),
        resend.clone(),
        Arc::clone(&metrics),
    );
    let client = Client::new(
        settings,
        Arc::clone(&spool),
        source.health,
        resend,
        Arc::clone(&metrics),
    );
    let service = Service::new(
        vec![("source", source.pulse), ("enrich", pulse)],
        client.first_attempt(),
    );

    let mut stages = JoinSet::new();
    enrich.start(&mut stages);
    packer.start(&mut stages);
    client.start(&mut stages);
    let mut helpers = JoinSet::new();
    service.start(&mut helpers, Arc::clone(&metrics));

    let asked = tokio::select! {
        () = shutdown => true,
        // No stage ends before the source has.
        _ = stages.join_next() => false,
    };
    (source.stop)();
    let left = drain(stages, config, &spool, writer).await;
    metrics.left_at_shutdown.add(left.lost);
    helpers.shutdown().await;
    Service::farewell(&metrics);
    Ok(match left {
        _ if !asked => End::SourceEnded,
        Left { lost: 0, kept: 0 } => End::Drained,
        Left { lost: 0, kept } => End::Kept(kept),
        Left { lost, .. } => End::Forced(lost),
    })
}

/// Events that were not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    /// They are nowhere.
    lost: u64,
    /// They are on the disk.
    kept: u64,
}

/// Lets the stages end one after the other, and then the disk; answers what was left if the time was over first.
async fn drain(
    mut stages: JoinSet<()>,
    config: &Config,
    spool: &Spool,
    writer: Option<Writer>,
) -> Left {
    tracing::info!(
        queued = spool.depth().events,
        "stopping, what is queued goes out first"
    );
    let all = async { while stages.join_next().await.is_some() {} };
    let ended = tokio::time::timeout(config.queue.drain, all).await.is_ok();
    stages.abort_all();
    if let Some(writer) = writer {
        let finish = tokio::task::spawn_blocking(|| writer.finish());
        if tokio::time::timeout(FINISH_WITHIN, finish).await.is_err() {
            tracing::error!("the disk of the spool does not answer");
        }
    }
    if ended {
        return Left { lost: 0, kept: 0 };
    }
    let lost = spool.volatile_events();
    let kept = spool.depth().events.saturating_sub(lost);
    if lost > 0 {
        tracing::error!(
            lost,
            kept,
            "not everything was delivered in time, what is not on the disk is lost"
        );
    } else {
        tracing::warn!(
            kept,
            "not everything was delivered in time, the rest is on the disk and goes out at the next start"
        );
    }
    Left { lost, kept }
}

/// The queue, with a disk behind it if the configuration wants one.
fn spool(config: &Config, metrics: &Arc<Metrics>) -> std::io::Result<(Arc<Spool>, Option<Writer>)> {
    let queue = config.queue;
    let Some(spool) = &config.spool else {
        let memory = Spool::new(queue.events_max, queue.bytes_max);
        return Ok((Arc::new(memory), None));
    };
    let disk = Disk {
        directory: spool.directory.clone(),
        bytes_max: spool.bytes_max,
        age_max: spool.age_max,
        keep: spool.keep,
        commit_every: COMMIT_EVERY,
        retry_every: DISK_RETRY_EVERY,
    };
    let (spool, writer) =
        Spool::on_disk(queue.events_max, queue.bytes_max, disk, Arc::clone(metrics))?;
    Ok((spool, Some(writer)))
}

/// Names as the configuration wants them to leave.
fn privacy(config: &Config) -> Result<Privacy, KeyError> {
    match &config.privacy {
        config::Privacy::Plain => Ok(Privacy::plain()),
        config::Privacy::Token { key_file } => {
            Ok(Privacy::token(&Key::read(key_file)?, &config.stores))
        }
    }
}

fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
