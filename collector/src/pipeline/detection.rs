//! The detection stage: reads back what the log has, then takes what the log hands on.
//!
//! Sensors are served all the while. What they deliver meanwhile is durable and read from the log in its turn; only then does the log hand
//! blocks on directly.
//!
//! **Invariant:** each block is judged once and in the order of the log, wherever it comes from.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::learned::Books;
use crate::alerts::Raised;
use crate::detect::{Detector, Relieved};
use crate::event::Block;
use crate::fleet::FleetHandle;
use crate::log::{LogError, LogHandle, Logged};
use crate::replay::{Progress, Reading};

/// How often what was learned is kept.
const KEEP_EVERY: Duration = Duration::from_mins(5);
/// So many batches behind the log, detection has it hand on: the log waits for the time they take.
const NEAR: i64 = 256;
/// How often detection reads what came while it read. Where that does not bring it near, more comes than can be judged, and the log has to
/// wait for it.
const PASSES_MAX: u32 = 8;

/// What the stage works with.
pub(super) struct Stage {
    /// Has seen nothing of the log.
    pub(super) detector: Detector,
    pub(super) books: Books,
    pub(super) raised: mpsc::Sender<Raised>,
    pub(super) fleet: FleetHandle,
    pub(super) state: watch::Sender<Detection>,
}

/// What detection does.
#[derive(Debug, Clone)]
pub enum Detection {
    /// It reads the log back; what comes in is judged later.
    ReadsBack(Progress),
    /// It judges what comes in when it is durable.
    Follows,
    /// It has ended, because the log cannot be read.
    Failed(LogError),
}

/// Why it ends.
enum End {
    /// The stages before or behind it have ended.
    Ended,
    /// The log cannot be read.
    Failed(LogError),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Ended => Self::Ended,
            LogError::Database { .. } | LogError::Format { .. } => Self::Failed(error),
        }
    }
}

/// Starts the thread. It ends with the log.
pub(super) fn spawn(
    mut stage: Stage,
    mut reading: Reading,
    log: LogHandle,
    mut logged: mpsc::Receiver<Logged>,
) -> Result<JoinHandle<()>, std::io::Error> {
    std::thread::Builder::new()
        .name("detect".into())
        .spawn(move || {
            let read_back = stage.read_back(&mut reading, &log, &mut logged);
            drop(log);
            match read_back.and_then(|()| stage.follow(&mut reading, &mut logged)) {
                Ok(()) => stage.end(),
                Err(End::Ended) => {}
                Err(End::Failed(error)) => {
                    stage.state.send_replace(Detection::Failed(error));
                }
            }
        })
}

impl Stage {
    /// Judges what the log has, up to the place from which it hands on by itself.
    fn read_back(
        &mut self,
        reading: &mut Reading,
        log: &LogHandle,
        logged: &mut mpsc::Receiver<Logged>,
    ) -> Result<(), End> {
        let old = reading.progress().last_pos;
        self.read(reading, old, logged)?;
        for _ in 0..PASSES_MAX {
            if reading.go_on()? <= NEAR {
                break;
            }
            self.read(reading, old, logged)?;
        }
        reading.go_on_to(log.follow()?);
        // What the log hands on from here waits, and so does who asks: it comes behind this.
        while self.page(reading, old)? {}
        self.state.send_replace(Detection::Follows);
        let Progress {
            batches,
            unreadable,
            events,
            ..
        } = reading.progress();
        if unreadable > 0 {
            tracing::error!(
                batches = unreadable,
                "the event log is damaged: so many batches could not be read back; their events count as missing"
            );
        }
        tracing::info!(batches, events, "log read back");
        Ok(())
    }

    /// Judges what is to be read before the log hands anything on.
    fn read(
        &mut self,
        reading: &mut Reading,
        old: i64,
        logged: &mut mpsc::Receiver<Logged>,
    ) -> Result<(), End> {
        while self.page(reading, old)? {
            self.pass_probes(logged)?;
        }
        Ok(())
    }

    /// Judges the next few blocks that are to be read; what is behind `old` came meanwhile. False at the end.
    fn page(&mut self, reading: &mut Reading, old: i64) -> Result<bool, End> {
        let Some(page) = reading.page()? else {
            return Ok(false);
        };
        for block in page {
            if block.pos > old {
                self.fleet.block(&block);
            }
            self.judge(&block)?;
        }
        let progress = Detection::ReadsBack(reading.progress());
        self.state.send_replace(progress);
        Ok(true)
    }

    /// Judges what the log hands on, until it ends.
    fn follow(
        &mut self,
        reading: &mut Reading,
        logged: &mut mpsc::Receiver<Logged>,
    ) -> Result<(), End> {
        while let Some(next) = logged.blocking_recv() {
            match next {
                Logged::Block(block) => {
                    let block = reading.after_damage(block);
                    self.fleet.block(&block);
                    self.judge(&block)?;
                }
                Logged::Probe(reply) => self.hand_on(Raised::Probe(reply))?,
            }
        }
        Ok(())
    }

    fn judge(&mut self, block: &Block) -> Result<(), End> {
        let alerts = self.detector.block(block);
        if let Some(Relieved { sensor, bytes }) = self.detector.take_relieved() {
            tracing::warn!(
                %sensor,
                bytes,
                "all hosts together take more than detect.memory_max_mb: half of what was known of the heaviest is forgotten, and \
                 its alerts say \"at least\""
            );
        }
        if !alerts.is_empty() {
            self.hand_on(Raised::Alerts(alerts))?;
        }
        let kept = self.books.keep(&self.detector, KEEP_EVERY);
        kept.map_or(Ok(()), |kept| self.hand_on(kept))
    }

    /// Passes on what asks whether the pipeline moves: while the log is read, it does.
    fn pass_probes(&self, logged: &mut mpsc::Receiver<Logged>) -> Result<(), End> {
        loop {
            match logged.try_recv() {
                Ok(Logged::Probe(reply)) => self.hand_on(Raised::Probe(reply))?,
                // The log was not asked for any yet.
                Ok(Logged::Block(_)) => unreachable!("a block before its turn"),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(End::Ended),
            }
        }
    }

    fn hand_on(&self, raised: Raised) -> Result<(), End> {
        self.raised.blocking_send(raised).map_err(|_| End::Ended)
    }

    fn end(&mut self) {
        let kept = self.books.keep(&self.detector, Duration::ZERO);
        if kept.is_some_and(|kept| self.hand_on(kept).is_err()) {
            tracing::warn!("what was learned is not kept; the next start learns it from the log");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::checkpoint;
    use crate::config::{Config, Shared};
    use crate::event::Origin;
    use crate::log::{Batch, Encoding, LogReader, LogStore, StoredBatch};
    use crate::{fleet, log};

    /// Payloads of the tests hold nothing; the batch of this number is damaged.
    fn decode<const DAMAGED: i64>(batch: &StoredBatch) -> Result<Block, String> {
        (batch.pos != DAMAGED)
            .then(|| block(&batch.sensor))
            .ok_or_else(|| "a test".to_owned())
    }

    fn block(sensor: &Arc<str>) -> Block {
        Block {
            origin: Origin {
                sensor: sensor.clone(),
                boot_id: "b".into(),
                host: "h".into(),
            },
            events: Vec::new(),
            unknown: 0,
            older_to_come: false,
            missing_before: 0,
            pos: 0,
        }
    }

    fn batch(seq: u64) -> Batch {
        Batch {
            sensor: "s".into(),
            epoch: [7; 16],
            first_seq: seq,
            last_seq: seq,
            offered_from: 1,
            content: [0; 32],
            encoding: Encoding::Plain,
            payload: vec![1],
        }
    }

    async fn append(log: &LogHandle, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            let batch = batch(seq);
            let block = block(&batch.sensor);
            let answer = log.append(batch, block).await.unwrap();
            assert_eq!(answer.await.unwrap().unwrap(), seq, "durable");
        }
    }

    fn start(
        data_dir: &Path,
        log: &LogHandle,
        logged: mpsc::Receiver<Logged>,
        raised: mpsc::Sender<Raised>,
    ) -> (JoinHandle<()>, watch::Receiver<Detection>, FleetHandle) {
        let (fleet, _) = fleet::spawn(data_dir).unwrap();
        let reader = LogReader::open(data_dir).unwrap();
        let reading = Reading::new(reader, 0, decode::<5>).unwrap();
        let (state, seen) = watch::channel(Detection::ReadsBack(reading.progress()));
        let config = Config::parse("", Path::new("none")).unwrap();
        let stage = Stage {
            detector: Detector::following(Shared::new(config.detect)),
            books: Books::open(data_dir, uuid::Uuid::nil()),
            raised,
            fleet: fleet.clone(),
            state,
        };
        let thread = spawn(stage, reading, log.clone(), logged).unwrap();
        (thread, seen, fleet)
    }

    /// Detection stands still in the middle of what is old; far more than fits between the stages is made durable all the same, and
    /// is judged once detection goes on.
    #[tokio::test(flavor = "multi_thread")]
    async fn batches_are_made_durable_while_detection_reads_the_log_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        let (to_detect, logged) = mpsc::channel(4);
        let (log, log_thread) = log::spawn(store, |_, _| None, to_detect).unwrap();
        append(&log, 1..=200).await;

        let (raised, mut alerts) = mpsc::channel(1);
        let (first, _unheard) = oneshot::channel();
        raised.try_send(Raised::Probe(first)).unwrap();
        let probing = log.clone();
        let probe = tokio::spawn(async move { probing.probe().await });
        while logged.is_empty() {
            tokio::task::yield_now().await;
        }
        let (thread, seen, fleet) = start(dir.path(), &log, logged, raised);
        append(&log, 201..=900).await;
        assert!(
            matches!(&*seen.borrow(), Detection::ReadsBack(_)),
            "it is still at the first page"
        );

        let acts = tokio::task::spawn_blocking(move || {
            while let Some(next) = alerts.blocking_recv() {
                match next {
                    Raised::Probe(reply) => drop(reply.send(())),
                    Raised::Then(act) => (act.0)(),
                    Raised::Alerts(alerts) => panic!("{alerts:?}"),
                }
            }
        });
        probe.await.unwrap().unwrap();
        // Some come while detection changes from reading to following.
        append(&log, 901..=1_500).await;
        let mut through = seen.clone();
        let follows = |state: &Detection| matches!(state, Detection::Follows);
        through.wait_for(follows).await.unwrap();
        append(&log, 1_501..=1_503).await;
        log.probe().await.unwrap();
        log.close().await;
        log_thread.join().unwrap();
        thread.join().unwrap();
        acts.await.unwrap();
        fleet.close().await;
        let learned = checkpoint::read(dir.path()).unwrap().unwrap();
        assert_eq!(learned.pos, 1_503, "all of it, and in order");
    }
}
