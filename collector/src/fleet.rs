//! Who is alive: the latest each sensor said about itself, in memory and, for `chartwatch sensors`, in a small database.
//!
//! **Invariant:** news of a sensor never waits and never holds up its events. What does not fit the queue is dropped
//! and counted. A lost heartbeat is made good by the next one; a lost connect, disconnect or gap is not, so the list may
//! show a stream or miss a gap until the collector starts anew. The log has the gaps all the same.
//!
//! What comes while it pauses between two writings is written together: at most a second later is it seen by another process.

mod refused;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use refused::Refusals;
pub use refused::Refused;
pub use table::{FleetError, read, read_refused};

use crate::event::{Block, What};

/// News that may wait to be taken in.
const QUEUE_MAX: usize = 16_384;
/// Writing takes no more than this share of the thread's time, so that a sensor of which many news come is written once; few sensors are
/// seen at once.
const PAUSE_TIMES: u32 = 20;
/// However long a writing took, the next comes after this.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often the queue is emptied meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a sensor says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heartbeat {
    /// When it was said, by the host's clock, nanoseconds since the Unix epoch.
    pub said_ns: u64,
    /// Hook backend in use.
    pub backend: String,
    /// Why this one.
    pub backend_reason: String,
    /// Kernel release.
    pub kernel: String,
    /// The books of each hook since the sensor started.
    pub hooks: Vec<HookBooks>,
    /// Events that wait in the sensor's queue.
    pub queued_events: u64,
    /// Events the sensor lost since it started.
    pub lost_events: u64,
    /// Stores it watches.
    pub stores: Vec<String>,
    /// How much waits there; `None` of an older sensor.
    pub spool: Option<SpoolDepth>,
    /// Its latest test of itself; `None` of an older sensor, and before the first.
    pub canary: Option<Canary>,
    /// Its host's clocks; `None` of an older sensor.
    pub clocks: Option<Clocks>,
}

/// What a sensor has not delivered yet. Kept as JSON in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolDepth {
    /// Events.
    pub events: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes on its disk, with what is kept though it was acknowledged; `None` where it has no disk spool.
    pub disk_bytes: Option<u64>,
    /// Of the events those that what is live goes ahead of.
    #[serde(default)]
    pub backlog_events: u64,
    /// When the oldest of these was written to its spool, by the host's clock, nanoseconds since the Unix epoch; 0 where there is none.
    #[serde(default)]
    pub backlog_since_ns: u64,
}

/// A sensor's test of itself: it does what it is there to see. Kept as JSON in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Whether the latest one came up.
    pub seen: bool,
    /// When one last did, by the host's clock, nanoseconds since the Unix epoch; 0 when none has since the sensor started.
    pub seen_ns: u64,
}

/// Both clocks of a host at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// The wall clock, nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

/// The books of one hook: seen = reported + summed + ignored + failed + dropped. Kept as JSON in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookBooks {
    /// Name of the hook.
    pub hook: String,
    /// Times it ran.
    pub seen: u64,
    /// Ended in an event of its own.
    pub reported: u64,
    /// Added to a sum.
    pub summed: u64,
    /// Had nothing to do with a record.
    pub ignored: u64,
    /// Could not read what it needed.
    pub failed: u64,
    /// Had something to say and no room to say it.
    pub dropped: u64,
}

impl HookBooks {
    /// True when everything seen is accounted for.
    pub fn balance(&self) -> bool {
        let parts = [
            self.reported,
            self.summed,
            self.ignored,
            self.failed,
            self.dropped,
        ];
        parts.into_iter().try_fold(0u64, u64::checked_add) == Some(self.seen)
    }
}

/// The certificate a sensor has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// First second it is valid, since the Unix epoch.
    pub from_s: i64,
    /// Last second it is valid, since the Unix epoch.
    pub until_s: i64,
    /// Fingerprint of the collector's own authority that signed it; empty when a hospital's did.
    pub authority: String,
}

/// One sensor, as the collector knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sensor {
    /// Its own name.
    pub id: String,
    /// Version of its programs.
    pub version: String,
    /// Host its events come from; empty before the first event.
    pub host: String,
    /// Streams open now.
    pub streams: u32,
    /// Last time anything came from it, by the collector's clock, nanoseconds since the Unix epoch.
    pub heard_ns: u64,
    /// Time of its latest event, by the host's clock; 0 before the first.
    pub last_event_ns: u64,
    /// Gaps it reported, and holes in its numbers.
    pub gaps: u64,
    /// Events known to be missing through them.
    pub missing: u64,
    /// The latest of them, for a person; empty when there was none.
    pub last_gap: String,
    /// How far its host's wall clock is ahead of the collector's, nanoseconds, less the way of a message; negative when it is
    /// behind, `None` when it never said.
    pub clock_offset_ns: Option<i64>,
    /// What it last said about itself; `None` before the first heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// The certificate it showed last; `None` before the first.
    pub certificate: Option<Certificate>,
}

/// News of one sensor, or the last word.
#[derive(Debug)]
enum News {
    End,
    /// Somebody was refused: the counts have it.
    Refused,
    Connected {
        version: String,
        clocks: Option<Clocks>,
        certificate: Option<Certificate>,
    },
    Disconnected,
    Heartbeat(Heartbeat),
    Block {
        host: Arc<str>,
        last_event_ns: u64,
        gaps: u64,
        missing: u64,
        last_gap: Option<String>,
    },
}

impl News {
    /// What of a sensor's entry it changes.
    fn part(&self) -> table::Part {
        match self {
            Self::Block { .. } => table::Part::Delivered,
            _ => table::Part::All,
        }
    }
}

/// The way to the list of sensors.
#[derive(Debug, Clone)]
pub struct FleetHandle {
    news: mpsc::Sender<(Arc<str>, u64, News)>,
    dropped: Arc<AtomicU64>,
    refusals: Arc<Refusals>,
    aside: Option<Arc<table::Aside>>,
}

/// A stream of a sensor; when it is dropped the stream has ended.
#[derive(Debug)]
pub struct Stream {
    fleet: FleetHandle,
    sensor: Arc<str>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.fleet.tell(&self.sensor, News::Disconnected);
    }
}

impl FleetHandle {
    /// A sensor has connected.
    pub fn connected(
        &self,
        sensor: &Arc<str>,
        version: &str,
        clocks: Option<Clocks>,
        certificate: Option<Certificate>,
    ) -> Stream {
        self.tell(
            sensor,
            News::Connected {
                version: version.to_owned(),
                clocks,
                certificate,
            },
        );
        Stream {
            fleet: self.clone(),
            sensor: sensor.clone(),
        }
    }

    /// A sensor has said how it is.
    pub fn heartbeat(&self, sensor: &Arc<str>, heartbeat: Heartbeat) {
        self.tell(sensor, News::Heartbeat(heartbeat));
    }

    /// A block of a sensor is new in the log.
    pub fn block(&self, block: &Block) {
        let mut gaps = u64::from(block.missing_before > 0);
        let mut missing = block.missing_before;
        let mut last_gap = (missing > 0).then(|| format!("{missing} events never reached the log"));
        for event in &block.events {
            if let What::Gap(gap) = &event.what {
                gaps += 1;
                missing = missing.saturating_add(gap.count);
                last_gap = Some(format!("{} ({})", gap.reason.meaning(), gap.detail));
            }
        }
        let last_event_ns = block.span().map_or(0, |(_, last)| last);
        let host = block.origin.host.clone();
        self.tell(
            &block.origin.sensor,
            News::Block {
                host,
                last_event_ns,
                gaps,
                missing,
                last_gap,
            },
        );
    }

    /// Where the list of before lies now, if it could not be used, and why.
    pub fn set_aside(&self) -> Option<(&Path, &str)> {
        let aside = self.aside.as_deref()?;
        Some((&aside.path, &aside.reason))
    }

    /// Somebody was refused for who they are: from an address, under the name of their certificate if they have shown a good one, and why.
    pub fn refused(&self, address: &str, sensor: &str, reason: &str) {
        if self.refusals.add(address, sensor, reason, now_ns()) {
            self.tell(&"".into(), News::Refused);
        }
    }

    /// Ends the thread after the news before. Connections that linger hold handles too, so it cannot wait for those.
    pub async fn close(&self) {
        if self.news.send(("".into(), 0, News::End)).await.is_err() {
            tracing::debug!("the list of sensors had been closed already");
        }
    }

    fn tell(&self, sensor: &Arc<str>, news: News) {
        if self
            .news
            .try_send((sensor.clone(), now_ns(), news))
            .is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts the thread that keeps the list. It ends when it is closed, or every handle is dropped.
pub fn spawn(data_dir: &Path) -> Result<(FleetHandle, JoinHandle<()>), FleetError> {
    let (table, refused, aside) = table::Table::open(data_dir)?;
    let (news, receiver) = mpsc::channel(QUEUE_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let refusals = Arc::new(Refusals::knowing(refused));
    let handle = FleetHandle {
        news,
        dropped: dropped.clone(),
        refusals: refusals.clone(),
        aside: aside.map(Arc::new),
    };
    let thread = std::thread::Builder::new()
        .name("fleet".into())
        .spawn(move || run(table, receiver, &dropped, &refusals))
        .map_err(FleetError::Thread)?;
    Ok((handle, thread))
}

fn run(
    mut table: table::Table,
    mut news: mpsc::Receiver<(Arc<str>, u64, News)>,
    dropped: &AtomicU64,
    refusals: &Refusals,
) {
    let mut told = 0;
    let mut open = true;
    let mut due = Instant::now();
    let mut changed = BTreeMap::new();
    while open && let Some(first) = news.blocking_recv() {
        let mut next = Some(first);
        while let Some((sensor, heard_ns, news_of)) = next {
            if matches!(news_of, News::End) {
                open = false;
                break;
            }
            if !matches!(news_of, News::Refused) {
                let part = news_of.part();
                apply(table.sensor(&sensor), heard_ns, news_of);
                let known = changed.entry(sensor).or_insert(part);
                *known = part.max(*known);
            }
            next = next_before(due, &mut news);
        }
        let began = Instant::now();
        match table.write(&changed, &refusals.take_changed()) {
            Ok(()) => changed.clear(),
            Err(error) => {
                tracing::warn!(%error, "the list of sensors could not be written; it is kept in memory");
            }
        }
        due = Instant::now() + pause(began.elapsed());
        let now = dropped.load(Ordering::Relaxed);
        if now > told {
            tracing::warn!(
                dropped = now,
                "news of sensors came faster than it could be written"
            );
            told = now;
        }
    }
}

/// How long nothing is written after a writing that took so long.
fn pause(took: Duration) -> Duration {
    (took * PAUSE_TIMES).min(WRITE_EVERY)
}

/// The next news, waited for until it is time to write.
fn next_before<T>(due: Instant, news: &mut mpsc::Receiver<T>) -> Option<T> {
    while Instant::now() < due {
        match news.try_recv() {
            Err(TryRecvError::Empty) => std::thread::sleep(LOOK_EVERY),
            received => return received.ok(),
        }
    }
    None
}

fn apply(sensor: &mut Sensor, heard_ns: u64, news: News) {
    sensor.heard_ns = heard_ns;
    match news {
        News::Connected {
            version,
            clocks,
            certificate,
        } => {
            sensor.version = version;
            sensor.certificate = certificate;
            sensor.streams += 1;
            compare_clocks(sensor, clocks, heard_ns);
        }
        News::End | News::Refused => {}
        News::Disconnected => sensor.streams = sensor.streams.saturating_sub(1),
        News::Heartbeat(heartbeat) => {
            compare_clocks(sensor, heartbeat.clocks, heard_ns);
            sensor.heartbeat = Some(heartbeat);
        }
        News::Block {
            host,
            last_event_ns,
            gaps,
            missing,
            last_gap,
        } => {
            host.as_ref().clone_into(&mut sensor.host);
            sensor.last_event_ns = sensor.last_event_ns.max(last_event_ns);
            sensor.gaps += gaps;
            sensor.missing = sensor.missing.saturating_add(missing);
            sensor.last_gap = last_gap.unwrap_or_else(|| std::mem::take(&mut sensor.last_gap));
        }
    }
}

/// Compares a host's wall clock with the collector's at the moment at which it was heard of.
fn compare_clocks(sensor: &mut Sensor, clocks: Option<Clocks>, heard_ns: u64) {
    if let Some(clocks) = clocks {
        let ahead = i128::from(clocks.unix_ns) - i128::from(heard_ns);
        let bound = if ahead < 0 { i64::MIN } else { i64::MAX };
        sensor.clock_offset_ns = Some(i64::try_from(ahead).unwrap_or(bound));
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_takes_long_is_done_seldom() {
        assert_eq!(pause(Duration::from_millis(2)), Duration::from_millis(40));
        assert_eq!(pause(Duration::from_secs(3)), WRITE_EVERY);
    }

    #[test]
    fn news_are_taken_in_until_it_is_time_to_write() {
        let (send, mut receive) = mpsc::channel(2);
        let (past, later) = (Instant::now(), Instant::now() + Duration::from_hours(1));
        send.try_send(1).unwrap();
        assert_eq!(next_before(past, &mut receive), None);
        assert_eq!(next_before(later, &mut receive), Some(1));
        drop(send);
        assert_eq!(next_before(later, &mut receive), None);
    }
}
