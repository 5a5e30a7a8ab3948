//! The event log: the durable inbox of everything sensors deliver.
//!
//! A SQLite database (WAL, every commit synced). A batch and the mark up to which the log holds its epoch are written
//! in one transaction; several batches that wait may share one. Blocking work happens on one thread of its own, which
//! hands what it has committed on to detection, in the order of the log: once detection has asked for it, which until then reads
//! what there is at its own pace.
//!
//! **Invariant:** an answer to [`LogHandle::append`] comes after the commit. The payload is kept as it came and is
//! never looked into here; who reads it back brings the decoder. Whether two batches are the same is told by the hash of
//! their events, not by how these travelled.

mod store;
mod writer;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub use store::{LogReader, LogStore, StoredBatch, content_hash};
pub use writer::spawn;

use crate::event::Block;

/// Names a run of sequence numbers of one sensor.
pub type Epoch = [u8; 16];
/// Under this epoch the log has what the collector itself says about a sensor; no sensor has it.
pub const OWN_EPOCH: Epoch = [0; 16];
/// Where the answer to an append arrives: the sequence number up to which the epoch is durable.
pub type AppendReply = oneshot::Receiver<Result<u64, AppendError>>;
/// Batches that may wait for the log, all sensors together.
const QUEUE_MAX: usize = 256;

/// How a payload is encoded; kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// One zstd frame.
    Zstd,
}

/// A batch, as a sensor numbered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The sensor.
    pub sensor: Arc<str>,
    /// Its epoch.
    pub epoch: Epoch,
    /// Number of the first event, from 1.
    pub first_seq: u64,
    /// Number of the last event.
    pub last_seq: u64,
    /// First number the sensor still held when it connected: what is before it and not in the log is lost for good.
    pub offered_from: u64,
    /// SHA-256 of the events before they were encoded.
    pub content: [u8; 32],
    /// How they are encoded.
    pub encoding: Encoding,
    /// The events, opaque here.
    pub payload: Vec<u8>,
}

/// What the collector itself says about a sensor. The log has the same note once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The events, as they will be read back.
    pub block: Block,
    /// The same, encoded and plain.
    pub payload: Vec<u8>,
    /// What tells it from other notes: what has the same is the same.
    pub about: Vec<u8>,
}

/// Makes the note about a batch that was refused because the log has other events under its numbers. Given by whoever wires the
/// rooms.
pub type Contested = fn(&Batch, &Block) -> Option<Note>;

/// The log cannot do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// SQLite said no: disk full, damaged file, locked by somebody else.
    #[error("event log {path}: {message}")]
    Database {
        /// The database file.
        path: String,
        /// What SQLite said.
        message: String,
    },
    /// The database was written by another version of the collector.
    #[error("event log {path} has format {found}; this version reads formats 1 to {known}")]
    Format {
        /// The database file.
        path: String,
        /// Format found.
        found: i64,
        /// Newest format this version knows.
        known: i64,
    },
    /// The log's thread has ended.
    #[error("the event log has been closed")]
    Ended,
}

/// A batch that was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Its numbers are taken by other content. Never written over: a cloned or rolled back sensor is the likely cause.
    #[error(
        "events {first} to {last} of this epoch are in the log (up to {mark}) with other content"
    )]
    Overlap {
        /// First number of the batch.
        first: u64,
        /// Last number of the batch.
        last: u64,
        /// Up to where the log holds the epoch.
        mark: u64,
    },
    /// It leaves numbers out that the sensor did not give up in Hello.
    #[error("batch begins with {first}, the log expects {expected} next")]
    Hole {
        /// First number of the batch.
        first: u64,
        /// Number the log expects.
        expected: u64,
    },
    /// The log cannot be used at the moment.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What the log's thread is asked to do.
enum Job {
    Append {
        batch: Batch,
        block: Block,
        reply: oneshot::Sender<Result<u64, AppendError>>,
    },
    Mark {
        sensor: Arc<str>,
        epoch: Epoch,
        reply: oneshot::Sender<Result<Option<u64>, LogError>>,
    },
    Note(Note),
    Follow(oneshot::Sender<Result<i64, LogError>>),
    Probe(oneshot::Sender<()>),
    End,
}

/// What the log hands on to detection.
#[derive(Debug)]
pub enum Logged {
    /// A block that was committed; in log order, each once.
    Block(Block),
    /// A probe on its way through the pipeline; whoever is last answers it.
    Probe(oneshot::Sender<()>),
}

/// The way to the log's thread.
#[derive(Debug, Clone)]
pub struct LogHandle {
    jobs: mpsc::Sender<Job>,
}

impl LogHandle {
    /// Hands a batch over, waiting while the queue is full. The receiver answers after the commit.
    pub async fn append(&self, batch: Batch, block: Block) -> Result<AppendReply, LogError> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Append {
                batch,
                block,
                reply,
            })
            .await
            .map_err(|_| LogError::Ended)?;
        Ok(answer)
    }

    /// Hands over what the collector itself has to say about a sensor. What cannot be written is said in the collector's own log.
    pub async fn note(&self, note: Note) -> Result<(), LogError> {
        let handed = self.jobs.send(Job::Note(note)).await;
        handed.map_err(|_| LogError::Ended)
    }

    /// Sequence number up to which the log holds an epoch; `None` when it holds nothing of it.
    pub async fn mark(&self, sensor: &Arc<str>, epoch: Epoch) -> Result<Option<u64>, LogError> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Mark {
                sensor: sensor.clone(),
                epoch,
                reply,
            })
            .await
            .map_err(|_| LogError::Ended)?;
        answer.await.map_err(|_| LogError::Ended)?
    }

    /// Has every block handed on that is committed from now on; answers the position of the last one that is not. For threads.
    pub fn follow(&self) -> Result<i64, LogError> {
        let (reply, answer) = oneshot::channel();
        let asked = self.jobs.blocking_send(Job::Follow(reply));
        asked.map_err(|_| LogError::Ended)?;
        answer.blocking_recv().map_err(|_| LogError::Ended)?
    }

    /// Ends the log's thread after all that was asked of it before. Connections that linger hold handles too, so it
    /// cannot wait for the last of those to go; what they ask from now on is [`LogError::Ended`].
    pub async fn close(&self) {
        if self.jobs.send(Job::End).await.is_err() {
            tracing::debug!("the log had ended already");
        }
    }

    /// Sends a probe through log, detection and alerts; returns when the last of them has passed it on.
    pub async fn probe(&self) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Probe(reply))
            .await
            .map_err(|_| LogError::Ended)?;
        answer.await.map_err(|_| LogError::Ended)
    }
}
