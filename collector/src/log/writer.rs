//! The log's thread: takes what waits, commits it together, answers, and hands it on.
//!
//! **Invariant:** commit, then answer, then hand on. A batch that was in the log before is answered and not handed on. Nothing is handed on
//! before detection follows, so that its reading of what is old holds up no sensor.

use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::store::{self, Appended};
use super::{
    AppendError, Batch, Contested, Job, LogError, LogHandle, LogStore, Logged, Note, QUEUE_MAX,
};
use crate::event::Block;

/// Batches that share one commit at most: bounds how long the first of them waits.
const COMMIT_TOGETHER_MAX: usize = 64;

/// A batch that waits for its commit.
struct Waiting {
    batch: Batch,
    block: Block,
    reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// Whoever comes behind the log.
struct Next {
    detection: mpsc::Sender<Logged>,
    /// Whether it wants the blocks, or still reads what was there before.
    follows: bool,
}

impl Next {
    /// Hands a block on; false when detection has ended, so that there is nobody to hand on to.
    fn block(&self, block: Block) -> bool {
        !self.follows || self.detection.blocking_send(Logged::Block(block)).is_ok()
    }
}

/// Starts the thread. It ends when it is closed, or every handle is dropped, and all that was asked before is done.
pub fn spawn(
    store: LogStore,
    contested: Contested,
    next: mpsc::Sender<Logged>,
) -> Result<(LogHandle, JoinHandle<()>), std::io::Error> {
    let (jobs, receiver) = mpsc::channel(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            let next = Next {
                detection: next,
                follows: false,
            };
            run(store, contested, receiver, next);
        })?;
    Ok((LogHandle { jobs }, thread))
}

fn run(mut store: LogStore, contested: Contested, mut jobs: mpsc::Receiver<Job>, mut next: Next) {
    while let Some(job) = jobs.blocking_recv() {
        let mut group = Vec::new();
        let mut other = sort(job, &mut group);
        while other.is_none() && group.len() < COMMIT_TOGETHER_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            other = sort(job, &mut group);
        }
        if !group.is_empty() && !commit(&mut store, contested, group, &next) {
            return;
        }
        match other {
            Some(Job::Mark {
                sensor,
                epoch,
                reply,
            }) => answer(reply, store.mark(&sensor, epoch)),
            Some(Job::Note(note)) => {
                if !keep(&mut store, note, &next) {
                    return;
                }
            }
            Some(Job::Probe(reply)) => {
                if next.detection.blocking_send(Logged::Probe(reply)).is_err() {
                    return;
                }
            }
            Some(Job::Follow(reply)) => {
                let last = store.last_pos();
                next.follows |= last.is_ok();
                answer(reply, last);
            }
            Some(Job::End) => return,
            Some(Job::Append { .. }) | None => {}
        }
    }
}

/// Puts an append into the group and gives anything else back.
fn sort(job: Job, group: &mut Vec<Waiting>) -> Option<Job> {
    match job {
        Job::Append {
            batch,
            block,
            reply,
        } => {
            group.push(Waiting {
                batch,
                block,
                reply,
            });
            None
        }
        other => Some(other),
    }
}

/// Commits a group; false when detection has ended, so that there is nobody to hand on to.
fn commit(store: &mut LogStore, contested: Contested, group: Vec<Waiting>, next: &Next) -> bool {
    let outcomes = match write(store, contested, &group) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::error!(%error, batches = group.len(), "batches could not be made durable; the sensors keep them");
            for waiting in group {
                answer(waiting.reply, Err(AppendError::Log(error.clone())));
            }
            return true;
        }
    };
    for (waiting, outcome) in group.into_iter().zip(outcomes) {
        match outcome {
            Ok(Appended::Duplicate) => answer(waiting.reply, Ok(waiting.batch.last_seq)),
            Ok(Appended::New {
                missing_before,
                pos,
            }) => {
                answer(waiting.reply, Ok(waiting.batch.last_seq));
                let block = Block {
                    missing_before,
                    pos,
                    ..waiting.block
                };
                if !next.block(block) {
                    return false;
                }
            }
            Err(Refused { refusal, note }) => {
                answer(waiting.reply, Err(refusal));
                if note.is_some_and(|block| !next.block(block)) {
                    return false;
                }
            }
        }
    }
    true
}

/// A batch that was not taken, and what the log says about that.
struct Refused {
    refusal: AppendError,
    note: Option<Block>,
}

/// One transaction for the whole group.
fn write(
    store: &mut LogStore,
    contested: Contested,
    group: &[Waiting],
) -> Result<Vec<Result<Appended, Refused>>, LogError> {
    let received_ns = now_ns();
    let result = (|| {
        let transaction = match store.begin() {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error)),
        };
        let mut outcomes = Vec::with_capacity(group.len());
        for waiting in group {
            let span = waiting.block.span().unwrap_or((received_ns, received_ns));
            let outcome = store::append(&transaction, &waiting.batch, span, received_ns)?;
            outcomes.push(match outcome {
                Ok(appended) => Ok(appended),
                Err(refusal) => {
                    let note = match refusal {
                        AppendError::Overlap { .. } => contested(&waiting.batch, &waiting.block),
                        AppendError::Hole { .. } | AppendError::Log(_) => None,
                    };
                    let note = said(&transaction, note, received_ns)?;
                    Err(Refused { refusal, note })
                }
            });
        }
        transaction.commit()?;
        Ok(Ok(outcomes))
    })();
    result.unwrap_or_else(|error: rusqlite::Error| Err(store.error(&error)))
}

/// Makes a note durable and hands it on; false when there is nobody to hand on to.
fn keep(store: &mut LogStore, note: Note, next: &Next) -> bool {
    let sensor = note.block.origin.sensor.clone();
    let written = (|| {
        let transaction = match store.begin() {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error)),
        };
        let block = said(&transaction, Some(note), now_ns())?;
        transaction.commit()?;
        Ok(Ok(block))
    })();
    match written.unwrap_or_else(|error: rusqlite::Error| Err(store.error(&error))) {
        Ok(None) => true,
        Ok(Some(block)) => next.block(block),
        Err(error) => {
            tracing::error!(%error, sensor = %sensor.escape_debug(), "a conflict of a sensor could not be put into the log; it is found again when the sensor connects anew");
            true
        }
    }
}

/// Puts a note into the log; answers with its block where it is new.
fn said(
    transaction: &rusqlite::Transaction<'_>,
    note: Option<Note>,
    received_ns: u64,
) -> Result<Option<Block>, rusqlite::Error> {
    let Some(note) = note else { return Ok(None) };
    let pos = store::note(transaction, &note, received_ns)?;
    Ok(pos.map(|pos| Block { pos, ..note.block }))
}

/// Answers, unless whoever asked is gone; the log is right either way.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waited for the log's answer");
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos())
        .unwrap_or(u64::MAX)
        .min(i64::MAX as u64)
}
