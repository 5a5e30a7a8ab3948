//! The log read back: through the same detection, giving the same alerts.
//!
//! A replay reads everything before its span too, without telling what is found in it: processes and sums from before it are
//! part of what makes an alert. The log is only read.
//!
//! **Invariant:** the detection is the daemon's own, fed in the same order; there is no second one to disagree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::DetectConfig;
use crate::detect::{Alert, Detector};
use crate::event::Block;
use crate::log::{LogError, LogReader, StoredBatch};

/// Unreadable batches that are named one by one.
const UNREADABLE_NAMED: u64 = 10;

/// Event time of a span, both ends included, nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Alerts before it are not told.
    pub from_ns: u64,
    /// Events after it are not looked at.
    pub to_ns: u64,
}

impl Span {
    /// The whole log.
    pub const WHOLE: Self = Self {
        from_ns: 0,
        to_ns: u64::MAX,
    };
}

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Batches read.
    pub batches: u64,
    /// Batches that could not be read, because what the log holds of them is damaged.
    pub unreadable: u64,
    /// Events looked at.
    pub events: u64,
    /// Position of the batch just read.
    pub pos: i64,
    /// Position of the last batch of the log when the reading began.
    pub last_pos: i64,
}

/// Turns what the log kept into events. Given by whoever wires the rooms.
pub type Decode = fn(&StoredBatch) -> Result<Block, String>;

/// The log as blocks, in order, from a position to where it ended when the reading began.
///
/// A batch that is damaged counts as one that never came: its events are among those missing before the sensor's next block.
#[derive(Debug)]
pub struct Reading {
    log: LogReader,
    decode: Decode,
    next: i64,
    /// The last position to be read.
    end: i64,
    /// Events of damaged batches whose sensor had no block since.
    damaged: BTreeMap<Arc<str>, u64>,
    progress: Progress,
}

impl Reading {
    /// Begins at a position.
    pub fn new(log: LogReader, from_pos: i64, decode: Decode) -> Result<Self, LogError> {
        let last_pos = log.last_pos()?;
        Ok(Self {
            log,
            decode,
            next: from_pos,
            end: last_pos,
            damaged: BTreeMap::new(),
            progress: Progress {
                last_pos,
                ..Progress::default()
            },
        })
    }

    /// The next few blocks; `None` at the end.
    pub fn page(&mut self) -> Result<Option<Vec<Block>>, LogError> {
        let mut page = self.log.page(self.next)?;
        page.retain(|batch| batch.pos <= self.end);
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.next = last.pos + 1;
        Ok(Some(
            page.iter().filter_map(|batch| self.block(batch)).collect(),
        ))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Moves the end on to a position.
    pub fn go_on_to(&mut self, pos: i64) {
        self.end = pos;
    }

    /// Moves the end on to where the log ends by now; answers how many more positions that are.
    pub fn go_on(&mut self) -> Result<i64, LogError> {
        let before = self.end;
        self.end = self.log.last_pos()?;
        Ok(self.end - before)
    }

    /// Lets a block that was not read here know what was missing before it here.
    #[must_use]
    pub fn after_damage(&mut self, mut block: Block) -> Block {
        if let Some(events) = self.damaged.remove(&block.origin.sensor) {
            block.missing_before = block.missing_before.saturating_add(events);
        }
        block
    }

    fn block(&mut self, batch: &StoredBatch) -> Option<Block> {
        self.progress.pos = batch.pos;
        match (self.decode)(batch) {
            Ok(mut block) => {
                block.missing_before = batch.missing_before;
                block.pos = batch.pos;
                self.progress.batches += 1;
                self.progress.events += block.events.len() as u64;
                Some(self.after_damage(block))
            }
            Err(reason) => {
                self.lose(batch, &reason);
                None
            }
        }
    }

    fn lose(&mut self, batch: &StoredBatch, reason: &str) {
        self.progress.unreadable += 1;
        let missing = self.damaged.entry(batch.sensor.clone()).or_default();
        let events = batch.events().saturating_add(batch.missing_before);
        *missing = missing.saturating_add(events);
        if self.progress.unreadable <= UNREADABLE_NAMED {
            tracing::error!(
                batch = batch.pos,
                sensor = %batch.sensor.escape_debug(),
                events,
                reason,
                "the event log log.db is damaged: this batch cannot be read and is left out; a log.db and log.db-wal from a backup may hold it"
            );
        }
    }
}

/// Runs a span of the log of a data directory through detection and hands on every revision of every alert in it.
pub fn run(
    data_dir: &Path,
    config: DetectConfig,
    span: Span,
    decode: Decode,
    mut alert: impl FnMut(Alert),
    mut progress: impl FnMut(Progress),
) -> Result<Progress, LogError> {
    let mut detector = Detector::new(config);
    let mut reading = Reading::new(LogReader::open(data_dir)?, 0, decode)?;
    let mut events = 0;
    while let Some(page) = reading.page()? {
        for mut block in page {
            block.events.retain(|event| event.at_ns <= span.to_ns);
            events += block.events.len() as u64;
            for found in detector.block(&block) {
                if found.revised_ns >= span.from_ns {
                    alert(found);
                }
            }
        }
        progress(Progress {
            events,
            ..reading.progress()
        });
    }
    Ok(Progress {
        events,
        ..reading.progress()
    })
}
