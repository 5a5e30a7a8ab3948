//! Replay: a span of the log through the same detection, giving the same alerts.
//!
//! Everything before the span is read too, without telling what is found in it: processes and sums from before it are
//! part of what makes an alert. The log is only read.
//!
//! **Invariant:** the detection is the daemon's own, fed in the same order; there is no second one to disagree.

use std::path::Path;

use crate::config::DetectConfig;
use crate::detect::{Alert, Detector};
use crate::event::Block;
use crate::log::{LogError, LogReader, StoredBatch};

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

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Batches read.
    pub batches: u64,
    /// Events looked at.
    pub events: u64,
    /// Position of the batch just read.
    pub pos: i64,
    /// Position of the last batch of the log when the replay began.
    pub last_pos: i64,
}

/// A replay that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A batch of the log cannot be decoded.
    #[error(
        "event log log.db: batch {pos} cannot be decoded, the file is damaged: {reason}; put log.db and log.db-wal back from a backup, the sensors offer again what they still hold"
    )]
    Decode {
        /// Its position.
        pos: i64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Turns what the log kept into events. Given by whoever wires the rooms.
pub type Decode = fn(&StoredBatch) -> Result<Block, String>;

/// Runs a span of the log of a data directory through detection and hands on every revision of every alert in it.
pub fn run(
    data_dir: &Path,
    config: DetectConfig,
    span: Span,
    decode: Decode,
    mut alert: impl FnMut(Alert),
    mut progress: impl FnMut(Progress),
) -> Result<Progress, ReplayError> {
    let reader = LogReader::open(data_dir)?;
    let mut detector = Detector::new(config);
    let mut done = Progress {
        last_pos: reader.last_pos()?,
        ..Progress::default()
    };
    feed(&reader, 0, decode, |pos, mut block| {
        block.events.retain(|event| event.at_ns <= span.to_ns);
        done.events += block.events.len() as u64;
        done.batches += 1;
        done.pos = pos;
        for found in detector.block(&block) {
            if found.revised_ns >= span.from_ns {
                alert(found);
            }
        }
        progress(done);
    })?;
    Ok(done)
}

/// Reads the log from a position to its end, block by block, in order. The daemon catches up with it at start.
pub fn feed(
    reader: &LogReader,
    from_pos: i64,
    decode: Decode,
    mut each: impl FnMut(i64, Block),
) -> Result<(), ReplayError> {
    let mut next = from_pos;
    loop {
        let page = reader.page(next)?;
        if page.is_empty() {
            return Ok(());
        }
        for batch in page {
            let mut block = decode(&batch).map_err(|reason| ReplayError::Decode {
                pos: batch.pos,
                reason,
            })?;
            block.missing_before = batch.missing_before;
            block.pos = batch.pos;
            next = batch.pos + 1;
            each(batch.pos, block);
        }
    }
}
