//! What the collector has not yet made durable: batches, numbered, bounded, kept until they are persisted.
//!
//! Sequence numbers are dense, begin with 1 and belong to an epoch; the epoch is a new random UUID with every start of
//! the sensor, and whenever what is live is to go ahead of what waits ([`turning`]), so that no number is ever given twice,
//! whatever became of the disk. Batches wait in memory, bounded by events and bytes, and a thread of its own ([`writer`])
//! puts them into a database on the disk ([`store`]), many with one sync. What is on the disk need not stay in memory, and
//! is delivered after a restart: the epochs of before ([`earlier`]) oldest first, each under its own name and numbers, and
//! beside them the live one. Without a directory all of it is memory.
//!
//! A batch may be sent before it is on the disk; what is sent waits for no disk. When one does not fit into memory it is
//! refused whole: the newest is lost, what is held keeps its order and its numbers. Who offered it counts it and says so
//! in a gap as soon as there is [`Spool::room`]. What is lost on the disk (too many bytes, too old, damaged, or killed
//! before it got there) is a [`Loss`], which becomes a gap the same way. Of too many bytes the least goes first: what the
//! collector has, then batch by batch what is worth least ([`Class`]), the oldest of that first. That leaves holes among the
//! numbers, which are remembered, so that they are told from damage.
//!
//! **Invariant:** a batch that was taken is never cut anew or changed, and goes before it is persisted only as a loss; a
//! batch that was refused has no sequence number. No lock is held across an await or while the disk works.

mod earlier;
mod evict;
mod holes;
mod memory;
mod store;
mod trouble;
mod turning;
mod writer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::metrics::Metrics;
use memory::{Footing, Held, Next};
use store::{ReadError, Store};

pub use store::FILES;
pub use writer::Writer;

/// Most bytes of one batch.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Most events of one batch; no queue may be smaller, or it would refuse such a batch for ever.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// No number of bytes: there is no disk spool.
const NO_DISK: u64 = u64::MAX;

/// How events are encoded. Nothing here looks into them; it is kept beside them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    #[default]
    Plain,
    /// One zstd frame that tells its content's size.
    Zstd,
}

/// What a batch is worth when not all can be kept, the least first: the best that is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Ends of processes, and records that were opened or listed and nothing more.
    Rest,
    /// What processes did with records.
    Reads,
    /// What the path of an alert is made of: who processes are, flows, edges, attempts on the sensor, gaps.
    #[default]
    Evidence,
}

impl Class {
    /// All of them, the least first.
    pub(crate) const ALL: [Self; 3] = [Self::Rest, Self::Reads, Self::Evidence];
}

/// What is kept beside events, for when they are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What they are worth.
    pub class: Class,
    /// Names of the stores that they name, with commas between them.
    pub stores: Arc<str>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            class: Class::default(),
            stores: "".into(),
        }
    }
}

/// Events encoded, not yet numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// How many events, at least 1.
    pub events: u64,
    /// How many lost events the gaps among them stand for: when such a batch is lost in turn, they are counted with it.
    pub stands_for: u64,
    /// What they are about.
    pub about: About,
    /// How they are encoded.
    pub encoding: Encoding,
    /// They themselves, at most [`BATCH_BYTES_MAX`] bytes; nothing here looks into it.
    pub payload: Vec<u8>,
}

/// Events encoded and numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Sequence number of the first event.
    pub first_seq: u64,
    /// Sequence number of the last event.
    pub last_seq: u64,
    /// The last number before `first_seq` that was not given up.
    pub follows: u64,
    /// As in [`Block`]; 0 when it was read from the disk.
    pub stands_for: u64,
    /// When it was written to the disk it was read from, nanoseconds since 1970; 0 when it was not.
    pub written_ns: u64,
    /// As in [`Block`]; nothing when it was read from the disk.
    pub about: About,
    /// How they are encoded.
    pub encoding: Encoding,
    /// They themselves, shared with the queue.
    pub payload: Arc<Vec<u8>>,
}

impl Batch {
    /// CRC32C of the numbers and the payload, on the disk as on the wire.
    #[must_use]
    pub fn check(&self) -> u32 {
        check((self.first_seq, self.last_seq), &self.payload)
    }
}

/// CRC32C of the first and last number of a batch and its payload.
#[must_use]
pub fn check((first_seq, last_seq): (u64, u64), payload: &[u8]) -> u32 {
    let first = crc32c::crc32c(&first_seq.to_le_bytes());
    let numbers = crc32c::crc32c_append(first, &last_seq.to_le_bytes());
    crc32c::crc32c_append(numbers, payload)
}

/// How much is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Events that are not persisted, in memory or on the disk.
    pub events: u64,
    /// Bytes of the encoding of those in memory.
    pub bytes: u64,
    /// Of the events those of earlier epochs.
    pub backlog: u64,
    /// When the oldest of these was written to the disk, nanoseconds since 1970; 0 when there is none.
    pub backlog_since_ns: u64,
}

/// What was taken and is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How it was lost.
    pub kind: LossKind,
    /// How many events at least; 0 when that is not known.
    pub count: u64,
    /// The lost events are not older than this, nanoseconds since 1970.
    pub from_unix_ns: u64,
    /// The lost events are not newer than this, nanoseconds since 1970.
    pub to_unix_ns: u64,
    /// What it was, where that is known.
    pub what: Option<Gone>,
}

/// What was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// What kind of events.
    pub class: Class,
    /// The epoch whose numbers they had.
    pub epoch: Uuid,
    /// The first number and the last; of those between only some are lost.
    pub numbers: (u64, u64),
    /// The stores that they named.
    pub stores: BTreeSet<String>,
    /// Its place among those that the disk remembers until they are told; 0 when it does not.
    pub(crate) id: i64,
}

/// How something was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// It had to go, because the disk spool was full.
    Full,
    /// It was older than the configuration lets it be.
    Old,
    /// Batches on the disk are not what was written, or are no more where they were.
    Damaged,
    /// The database could not be used, and was set aside with what it held.
    SetAside,
    /// The database that an earlier sensor had was gone when this one started.
    Removed,
    /// The sensor before this one did not end in good order; what it had not written is lost.
    Killed,
}

/// The disk spool: where, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its directory; made when it is not there.
    pub directory: PathBuf,
    /// Most bytes of batches there, acknowledged ones included.
    pub bytes_max: u64,
    /// Longest time that a batch waits there, by the hours the sensor ran.
    pub age_max: Duration,
    /// How long an acknowledged batch is kept, so that a collector restored from a backup can have it again.
    pub keep: Duration,
    /// Longest time that a batch waits in memory for others to be written with.
    pub commit_every: Duration,
    /// Time between two attempts on a disk that failed.
    pub retry_every: Duration,
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
    held: Mutex<Held>,
    arrived: Notify,
    room: Notify,
    lost: Notify,
    /// Another epoch has begun, or will not.
    turned: Notify,
    /// For the writer: there is something to do.
    work: Condvar,
    /// Bytes of what is on the disk, as the writer last saw it; [`NO_DISK`] where there is none.
    disk_bytes: AtomicU64,
    /// The database, while there is one to stand on. Nobody holds this and `held` together.
    store: Mutex<Option<Store>>,
}

impl Spool {
    /// An empty queue of a new epoch in memory, with these bounds.
    #[must_use]
    pub fn new(events_max: u64, bytes_max: u64) -> Self {
        Self::with(events_max, bytes_max, Footing::Memory)
    }

    /// A queue of a new epoch with a disk behind it, and what an earlier sensor left there before it. A disk that cannot
    /// be used is said and tried again; until then all of it is memory.
    pub fn on_disk(
        events_max: u64,
        bytes_max: u64,
        disk: Disk,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Arc<Self>, Writer)> {
        let spool = Arc::new(Self::with(events_max, bytes_max, Footing::Failing));
        let writer = Writer::start(&spool, disk, metrics)?;
        Ok((spool, writer))
    }

    fn with(events_max: u64, bytes_max: u64, footing: Footing) -> Self {
        let max = Depth {
            events: events_max,
            bytes: bytes_max,
            ..Depth::default()
        };
        Self {
            held: Mutex::new(Held::new(max, footing)),
            arrived: Notify::new(),
            room: Notify::new(),
            lost: Notify::new(),
            turned: Notify::new(),
            work: Condvar::new(),
            disk_bytes: AtomicU64::new(NO_DISK),
            store: Mutex::new(None),
        }
    }

    /// The epoch whose turn it is to be delivered, and its first sequence number that is still held, or the next one to
    /// be given.
    #[must_use]
    pub fn turn(&self) -> (Uuid, u64) {
        let held = self.held();
        (held.epoch(), held.first_held())
    }

    /// The live epoch and its first sequence number that is still held, while an earlier one has its turn.
    #[must_use]
    pub fn live_lane(&self) -> Option<(Uuid, u64)> {
        let held = self.held();
        held.is_behind()
            .then(|| (held.live(), held.live_first_held()))
    }

    /// Whether events are still to be delivered that are older than what is offered now.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.held().is_behind()
    }

    /// The epoch whose turn it is.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.held().epoch()
    }

    /// Numbers a block and takes it, if it fits.
    pub fn offer(&self, block: Block) -> Result<(), Full> {
        self.held().offer(block)?;
        self.arrived.notify_one();
        self.work.notify_one();
        Ok(())
    }

    /// The first batch of an epoch with events after `seq`; none as well when it is an earlier one and not its turn. Reads the
    /// disk when it is not in memory.
    pub async fn after(self: &Arc<Self>, epoch: Uuid, seq: u64) -> Option<Batch> {
        let next = self.held().next(epoch, seq);
        match next {
            Next::Batch(batch) => Some(batch),
            Next::Nothing => None,
            Next::OnDisk => {
                let spool = Arc::clone(self);
                let read = tokio::task::spawn_blocking(move || spool.read(epoch, seq));
                read.await.ok().flatten()
            }
        }
    }

    /// The first batch in memory of the live epoch with events after `seq`.
    #[cfg(test)]
    pub(crate) fn in_memory_after(&self, seq: u64) -> Option<Batch> {
        self.held().in_memory_after(seq)
    }

    /// Forgets what is durable: every batch of an epoch that ends at or before `seq`. Says nothing to an earlier epoch whose turn
    /// has passed.
    pub fn persisted(&self, epoch: Uuid, seq: u64) -> Result<(), NeverSent> {
        let mut held = self.held();
        held.persisted(epoch, seq)?;
        let roomy = held.has_room();
        drop(held);
        if roomy {
            self.room.notify_one();
        }
        // Whoever drains the queue waits for it to be empty.
        self.arrived.notify_one();
        Ok(())
    }

    /// The next that there is of an epoch begins with `seq`, though `sent` was the last that was sent: goes on there, once
    /// all that was sent is persisted. Answers whether it does. What is missing without having been given up is a loss.
    pub fn skip(&self, epoch: Uuid, sent: u64, seq: u64) -> bool {
        let mut held = self.held();
        let skips = held.skip(epoch, sent, seq);
        let lost = held.has_losses();
        drop(held);
        if lost {
            self.lost.notify_one();
        }
        skips
    }

    /// The collector will not take what an earlier start left under an epoch: it stays on the disk, and the next one has its turn. False
    /// when it is the live one, which nothing can pass.
    pub fn pass_over(&self, epoch: Uuid) -> bool {
        let passed = self.held().pass_over(epoch);
        self.arrived.notify_one();
        passed
    }

    /// The collector's log lacks what it once had: what is still there after `persisted` is to be delivered again, that of
    /// earlier epochs too. Does nothing without a disk.
    pub async fn offer_again(self: &Arc<Self>, epoch: Uuid, persisted: u64) {
        if self.held().footing() != Footing::Disk {
            return;
        }
        let spool = Arc::clone(self);
        let again = tokio::task::spawn_blocking(move || spool.take_up_again(epoch, persisted));
        if again.await.is_err() {
            tracing::warn!("what was acknowledged could not be taken up again");
        }
    }

    /// First sequence number still held of the epoch whose turn it is, or the next one to be given.
    #[must_use]
    pub fn first_held(&self) -> u64 {
        self.held().first_held()
    }

    /// How much is held.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.held().depth()
    }

    /// Bytes that the disk spool takes, with what is kept though it was acknowledged; `None` while there is none.
    #[must_use]
    pub fn disk_bytes(&self) -> Option<u64> {
        let bytes = self.disk_bytes.load(Ordering::Relaxed);
        (bytes != NO_DISK).then_some(bytes)
    }

    /// The epoch of this start.
    #[must_use]
    pub fn live_epoch(&self) -> Uuid {
        self.held().live()
    }

    /// The last sequence number of the live epoch that is on the disk; 0 when none is.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.held().committed()
    }

    /// Events that end with this process: neither persisted nor on the disk.
    #[must_use]
    pub fn volatile_events(&self) -> u64 {
        self.held().volatile_events()
    }

    /// Nothing will be offered any more.
    pub fn close(&self) {
        self.held().close();
        self.arrived.notify_one();
        self.work.notify_one();
    }

    /// True when nothing is held and nothing will come.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.held().is_drained()
    }

    /// Waits until something has changed for whoever takes: a batch has come, some went, or the queue was closed.
    pub async fn changed(&self) {
        self.arrived.notified().await;
    }

    /// Waits until at least an eighth of the memory is free, after it was told that something is durable.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Whether there is room after a refusal.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.held().has_room()
    }

    /// Waits until something was lost.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }

    /// What was lost since it was last asked for.
    pub fn take_losses(&self) -> Vec<Loss> {
        self.held().take_losses()
    }

    /// The losses that were taken are in a batch: with it on the disk they need not be told by the next sensor.
    pub fn told(&self) {
        self.held().told();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on from the disk; what is more than was asked for is kept for the next time.
    fn read(&self, epoch: Uuid, seq: u64) -> Option<Batch> {
        match self.with_store(|store| store.page(epoch, seq)) {
            Ok(page) => self.held().read(epoch, seq, page),
            Err(error) => {
                self.read_failed(&error);
                None
            }
        }
    }

    fn take_up_again(&self, epoch: Uuid, persisted: u64) {
        let all = self.with_store(|store| store.everything(epoch, persisted));
        match all {
            Ok((first, earlier)) => {
                self.held().take_up_again(epoch, persisted, first, earlier);
            }
            Err(error) => self.read_failed(&error),
        }
    }

    fn with_store<T>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, rusqlite::Error>,
    ) -> Result<T, ReadError> {
        match &*self.store() {
            Some(store) => Ok(read(store)?),
            None => Err(ReadError::NoDisk),
        }
    }

    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be read is not waited for: the writer sets the database aside, and the rest goes on.
    fn read_failed(&self, error: &ReadError) {
        if error.is_passing() {
            tracing::debug!(%error, "the spool cannot be read at the moment");
        } else {
            self.held().suspect(error.to_string());
            self.work.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
