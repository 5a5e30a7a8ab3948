//! What the collector has not yet made durable: batches in memory, numbered, bounded, kept until they are persisted.
//!
//! Sequence numbers are dense, begin with 1 and belong to an epoch; the epoch is a new random UUID with every start of
//! the sensor, because this queue does not outlive it. What a sensor that was killed still held is lost, and its
//! successor cannot say how much: the gap for that comes with the queue on disk, which takes the place of this file
//! behind the same functions.
//!
//! When a batch does not fit it is refused whole: the newest is lost, what is held keeps its order and its numbers. Who
//! offered it counts it and says so in a gap as soon as there is [`Spool::room`].
//!
//! **Invariant:** a batch that was taken is never cut anew, changed or dropped before it is persisted; a batch that was
//! refused has no sequence number. No lock is held across an await.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::Notify;
use uuid::Uuid;

/// Most bytes of one batch.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Most events of one batch; no queue may be smaller, or it would refuse such a batch for ever.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// One part in so many must be free for there to be room after a refusal, so that a full queue does not fill with gaps.
const ROOM_SHARE: u64 = 8;

/// Events encoded, not yet numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// How many events, at least 1.
    pub events: u64,
    /// Their encoding, at most [`BATCH_BYTES_MAX`] bytes; nothing here looks into it.
    pub payload: Vec<u8>,
}

/// Events encoded and numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Sequence number of the first event.
    pub first_seq: u64,
    /// Sequence number of the last event.
    pub last_seq: u64,
    /// Their encoding, shared with the queue.
    pub payload: Arc<Vec<u8>>,
}

/// How much is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events.
    pub events: u64,
    /// Bytes of their encoding.
    pub bytes: u64,
}

/// The queue is full; the block was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is full")]
pub struct Full;

/// The collector claims to hold what was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sequence number {claimed} was acknowledged, but {last} is the last there is")]
pub struct NeverSent {
    /// What was acknowledged.
    pub claimed: u64,
    /// The last number given.
    pub last: u64,
}

/// The queue. One task offers, one takes.
#[derive(Debug)]
pub struct Spool {
    epoch: Uuid,
    max: Depth,
    held: Mutex<Held>,
    arrived: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Held {
    batches: VecDeque<Batch>,
    depth: Depth,
    last_seq: u64,
    closed: bool,
}

impl Spool {
    /// An empty queue of a new epoch, with these bounds.
    #[must_use]
    pub fn new(events_max: u64, bytes_max: u64) -> Self {
        Self {
            epoch: Uuid::new_v4(),
            max: Depth {
                events: events_max,
                bytes: bytes_max,
            },
            held: Mutex::default(),
            arrived: Notify::new(),
            room: Notify::new(),
        }
    }

    /// The epoch of the sequence numbers.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Numbers a block and takes it, if it fits.
    pub fn offer(&self, block: Block) -> Result<(), Full> {
        let mut held = self.held();
        let events = held.depth.events + block.events;
        let bytes = held.depth.bytes + block.payload.len() as u64;
        if events > self.max.events || bytes > self.max.bytes {
            return Err(Full);
        }
        held.depth = Depth { events, bytes };
        let first_seq = held.last_seq + 1;
        held.last_seq += block.events;
        let last_seq = held.last_seq;
        held.batches.push_back(Batch {
            first_seq,
            last_seq,
            payload: Arc::new(block.payload),
        });
        drop(held);
        self.arrived.notify_one();
        Ok(())
    }

    /// The first batch with events after `seq`.
    #[must_use]
    pub fn after(&self, seq: u64) -> Option<Batch> {
        let held = self.held();
        let index = held.batches.partition_point(|batch| batch.last_seq <= seq);
        held.batches.get(index).cloned()
    }

    /// Forgets what is durable: every batch that ends at or before `seq`.
    pub fn persisted(&self, seq: u64) -> Result<(), NeverSent> {
        let mut held = self.held();
        if seq > held.last_seq {
            return Err(NeverSent {
                claimed: seq,
                last: held.last_seq,
            });
        }
        while let Some(batch) = held.batches.pop_front_if(|batch| batch.last_seq <= seq) {
            held.depth.events -= batch.last_seq - batch.first_seq + 1;
            held.depth.bytes -= batch.payload.len() as u64;
        }
        let roomy = self.is_roomy(held.depth);
        drop(held);
        if roomy {
            self.room.notify_one();
        }
        // Whoever drains the queue waits for it to be empty.
        self.arrived.notify_one();
        Ok(())
    }

    /// First sequence number still held, or the next one to be given.
    #[must_use]
    pub fn first_held(&self) -> u64 {
        let held = self.held();
        held.batches
            .front()
            .map_or(held.last_seq + 1, |batch| batch.first_seq)
    }

    /// How much is held.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.held().depth
    }

    /// Nothing will be offered any more.
    pub fn close(&self) {
        self.held().closed = true;
        self.arrived.notify_one();
    }

    /// True when nothing is held and nothing will come.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let held = self.held();
        held.closed && held.batches.is_empty()
    }

    /// Waits until something has changed for whoever takes: a batch has come, some went, or the queue was closed.
    pub async fn changed(&self) {
        self.arrived.notified().await;
    }

    /// Waits until at least an eighth of the queue is free, after it was told that something is durable.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Whether there is room after a refusal.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.is_roomy(self.depth())
    }

    fn is_roomy(&self, depth: Depth) -> bool {
        let free = |max: u64, now: u64| now <= max - max / ROOM_SHARE;
        free(self.max.events, depth.events) && free(self.max.bytes, depth.bytes)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn block(events: u64, bytes: usize) -> Block {
        Block {
            events,
            payload: vec![7; bytes],
        }
    }

    #[test]
    fn numbers_are_dense_and_stay_with_their_batch() {
        let spool = Spool::new(100, 1000);
        assert_eq!(spool.first_held(), 1);
        for events in [2, 1, 3] {
            spool.offer(block(events, 10)).unwrap();
        }
        let seqs = |after| {
            spool
                .after(after)
                .map(|batch| (batch.first_seq, batch.last_seq))
        };
        assert_eq!(
            [seqs(0), seqs(1), seqs(2), seqs(3), seqs(5), seqs(6)],
            [
                Some((1, 2)),
                Some((1, 2)),
                Some((3, 3)),
                Some((4, 6)),
                Some((4, 6)),
                None
            ]
        );
        spool.persisted(4).unwrap();
        assert_eq!(
            (spool.first_held(), seqs(0)),
            (4, Some((4, 6))),
            "half a batch is kept whole"
        );
        assert_eq!(
            spool.persisted(7),
            Err(NeverSent {
                claimed: 7,
                last: 6
            })
        );
        spool.persisted(6).unwrap();
        assert_eq!((spool.first_held(), spool.depth()), (7, Depth::default()));
    }

    #[test]
    fn both_bounds_hold_and_a_refused_block_takes_no_number() {
        let spool = Spool::new(5, 100);
        spool.offer(block(3, 60)).unwrap();
        assert_eq!(spool.offer(block(1, 41)), Err(Full), "bytes");
        assert_eq!(spool.offer(block(3, 1)), Err(Full), "events");
        spool.offer(block(2, 40)).unwrap();
        assert_eq!(spool.after(3).unwrap().first_seq, 4);
        assert_eq!(
            spool.depth(),
            Depth {
                events: 5,
                bytes: 100
            }
        );
        spool.persisted(3).unwrap();
        spool.offer(block(3, 60)).unwrap();
    }

    #[test]
    fn drained_is_closed_and_empty() {
        let spool = Spool::new(5, 100);
        spool.offer(block(1, 1)).unwrap();
        spool.close();
        assert!(!spool.is_drained());
        spool.persisted(1).unwrap();
        assert!(spool.is_drained());
    }
}
