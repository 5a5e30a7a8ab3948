//! The books of the queue: what is in memory, what is on the disk, what comes next. No disk is touched here.
//!
//! **Invariant:** `first - 1` is the last number before which all is persisted or lost; what is between `first` and `last_seq` is in
//! memory, on the disk, in a hole, or found to be missing when it is reached, and then a loss.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::earlier::{Ahead, Earlier};
use super::holes::Holes;
use super::{Batch, Block, Depth, Full, Loss, LossKind, NeverSent};
use crate::clock;

/// One part in so many must be free for there to be room after a refusal, so that a full queue does not fill with gaps.
const ROOM_SHARE: u64 = 8;
/// Bytes that stay in memory though they are on the disk: what is about to be sent need not be read back.
const CACHE_BYTES: u64 = 1024 * 1024;

/// What the queue stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Footing {
    /// There is to be no disk.
    Memory,
    /// The disk takes what it is given.
    Disk,
    /// The disk does not; what is persisted is forgotten as if there were none.
    Failing,
}

/// How far the beginning of another live epoch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Turning {
    #[default]
    No,
    /// Whoever delivers would have one.
    Wanted,
    /// Whoever offers waits for it.
    Asked,
    /// The disk is being told.
    Begun,
}

/// Where the next batch is.
#[derive(Debug)]
pub(super) enum Next {
    Batch(Batch),
    OnDisk,
    Nothing,
}

/// What went from the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) epoch: Uuid,
    /// The numbers that went.
    pub(super) holes: Holes,
    /// How many events went that were not persisted.
    pub(super) events: u64,
    /// They and those that the gaps among them stood for; none when all was persisted.
    pub(super) loss: Option<Loss>,
}

/// What the writer is to put on the disk.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) batches: Vec<Batch>,
    /// Epochs, and up to where they are persisted.
    pub(super) acked: Vec<(Uuid, u64)>,
    /// The ends of earlier epochs, and losses up to this place, are told in what is on the disk with this.
    pub(super) told: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) live: Uuid,
    max: Depth,
    pub(super) batches: VecDeque<Batch>,
    /// Of `batches`.
    pub(super) memory: Depth,
    pub(super) first: u64,
    /// What was given up between `first` and `last_seq`.
    pub(super) holes: Holes,
    pub(super) last_seq: u64,
    pub(super) committed: u64,
    /// Bytes of what is not committed.
    pub(super) uncommitted: u64,
    pub(super) earlier: VecDeque<Earlier>,
    pub(super) turning: Turning,
    pub(super) ahead: Ahead,
    acked: Vec<(Uuid, u64)>,
    losses: Vec<Loss>,
    /// The last place of the losses that were taken.
    taken: i64,
    /// The last number when losses were said, and the last place of those; 0 when there is nothing to remember.
    pub(super) told_at: (u64, i64),
    pub(super) footing: Footing,
    suspicion: Option<String>,
    /// What an earlier sensor left is in here, or has been.
    pub(super) adopted: bool,
    pub(super) closed: bool,
    finishing: bool,
}

impl Held {
    pub(super) fn new(max: Depth, footing: Footing) -> Self {
        Self {
            live: Uuid::new_v4(),
            max,
            batches: VecDeque::new(),
            memory: Depth::default(),
            first: 1,
            holes: Holes::default(),
            last_seq: 0,
            committed: 0,
            uncommitted: 0,
            earlier: VecDeque::new(),
            turning: Turning::No,
            ahead: Ahead::default(),
            acked: Vec::new(),
            losses: Vec::new(),
            taken: 0,
            told_at: (0, 0),
            footing,
            suspicion: None,
            adopted: false,
            closed: false,
            finishing: false,
        }
    }

    pub(super) fn live(&self) -> Uuid {
        self.live
    }

    pub(super) fn epoch(&self) -> Uuid {
        self.earlier.front().map_or(self.live, |old| old.epoch)
    }

    pub(super) fn first_held(&self) -> u64 {
        (self.earlier.front()).map_or_else(|| self.live_first_held(), |old| old.first)
    }

    pub(super) fn live_first_held(&self) -> u64 {
        match self.batches.front() {
            // A batch of which a part is persisted is held whole.
            Some(front) if (front.first_seq..=front.last_seq).contains(&self.first) => {
                front.first_seq
            }
            _ => self.first,
        }
    }

    pub(super) fn offer(&mut self, block: Block) -> Result<(), Full> {
        let bytes = block.payload.len() as u64;
        self.make_room(block.events, bytes);
        if !self.fits(block.events, bytes) {
            return Err(Full);
        }
        self.memory.events += block.events;
        self.memory.bytes += bytes;
        self.uncommitted += bytes;
        let first_seq = self.last_seq + 1;
        self.last_seq += block.events;
        self.batches.push_back(Batch {
            first_seq,
            last_seq: self.last_seq,
            follows: first_seq - 1,
            stands_for: block.stands_for,
            written_ns: 0,
            about: block.about,
            encoding: block.encoding,
            payload: Arc::new(block.payload),
        });
        Ok(())
    }

    fn fits(&self, events: u64, bytes: u64) -> bool {
        self.memory.events + events <= self.max.events
            && self.memory.bytes + bytes <= self.max.bytes
    }

    /// What is on the disk gives way.
    fn make_room(&mut self, events: u64, bytes: u64) {
        while !self.fits(events, bytes) && self.footing == Footing::Disk {
            let committed = self.committed;
            if !self.forget_front(|front| front.last_seq <= committed) {
                return;
            }
        }
    }

    fn forget_front(&mut self, may: impl FnOnce(&Batch) -> bool) -> bool {
        let Some(batch) = self.batches.pop_front_if(|front| may(front)) else {
            return false;
        };
        self.forgot(&batch);
        true
    }

    /// A batch is no longer in memory.
    fn forgot(&mut self, batch: &Batch) {
        self.memory.events -= batch.last_seq - batch.first_seq + 1;
        let bytes = batch.payload.len() as u64;
        self.memory.bytes -= bytes;
        if batch.last_seq > self.committed {
            self.uncommitted = self.uncommitted.saturating_sub(bytes);
        }
    }

    /// What was given up of an epoch that is due.
    fn holes(&self, epoch: Uuid) -> &Holes {
        self.old(epoch).map_or(&self.holes, |old| &old.holes)
    }

    /// A batch as it goes out.
    fn outgoing(&self, epoch: Uuid, batch: &Batch) -> Batch {
        Batch {
            follows: self.holes(epoch).follows(batch.first_seq),
            ..batch.clone()
        }
    }

    pub(super) fn next(&mut self, epoch: Uuid, seq: u64) -> Next {
        if !self.is_due(epoch) {
            return Next::Nothing;
        }
        let (on_disk, in_memory) = match self.old(epoch) {
            Some(old) => (old.last, None),
            None => (self.committed, self.in_memory_after(seq)),
        };
        match in_memory {
            Some(batch) if batch.follows <= seq => Next::Batch(batch),
            _ if self.footing != Footing::Memory && on_disk > seq => self.read_ahead(epoch, seq),
            Some(batch) => Next::Batch(batch),
            None => Next::Nothing,
        }
    }

    /// The first batch in memory with events after `seq`.
    pub(super) fn in_memory_after(&self, seq: u64) -> Option<Batch> {
        let index = self.batches.partition_point(|batch| batch.last_seq <= seq);
        let batch = self.batches.get(index)?;
        Some(Batch {
            follows: self.holes.follows(batch.first_seq),
            ..batch.clone()
        })
    }

    fn read_ahead(&mut self, epoch: Uuid, seq: u64) -> Next {
        let ahead = self.ahead(epoch);
        while ahead.pop_front_if(|b| b.last_seq <= seq).is_some() {}
        let next = ahead.front().cloned();
        match next.map(|batch| self.outgoing(epoch, &batch)) {
            Some(batch) if batch.follows <= seq => Next::Batch(batch),
            _ => Next::OnDisk,
        }
    }

    /// Takes in what the disk gave for what is after `seq`, and answers the first of it. When it gave nothing of an earlier
    /// epoch, there is nothing more of it.
    pub(super) fn read(&mut self, epoch: Uuid, seq: u64, page: Vec<Batch>) -> Option<Batch> {
        if !self.is_due(epoch) {
            return None;
        }
        // What was given up after it was read does not go out.
        let holes = self.holes(epoch);
        let page = page.into_iter();
        let page: VecDeque<_> = page.filter(|batch| !holes.has(batch.first_seq)).collect();
        let first = page.front().map(|first| self.outgoing(epoch, first));
        *self.ahead(epoch) = page;
        if first.is_some() {
            return first;
        }
        let Some(old) = self.old(epoch) else {
            return self.in_memory_after(seq);
        };
        if old.first > seq {
            let (lost, last) = (old.events(), old.last);
            self.lose(damaged(lost));
            self.pass(epoch, last);
        }
        None
    }

    pub(super) fn persisted(&mut self, epoch: Uuid, seq: u64) -> Result<(), NeverSent> {
        let (first, last) = match self.old(epoch) {
            // A sensor that was killed may have sent more of its epoch than it wrote.
            Some(old) => (old.first, old.last),
            None if epoch != self.live => return Ok(()),
            None if seq > self.last_seq => {
                return Err(NeverSent {
                    claimed: seq,
                    last: self.last_seq,
                });
            }
            None => (self.live_first_held(), self.last_seq),
        };
        let seq = seq.min(last);
        if seq + 1 > first {
            self.note(epoch, seq);
            self.pass(epoch, seq);
        }
        Ok(())
    }

    /// Up to `seq` nothing more is held of an epoch that is due.
    fn pass(&mut self, epoch: Uuid, seq: u64) {
        if let Some(old) = self.earlier.front_mut().filter(|old| old.epoch == epoch) {
            old.first = old.holes.pass(old.first.max(seq + 1));
            let next = (self.ahead.earlier.iter()).find(|batch| batch.last_seq > seq);
            old.since_ns = next.map_or(old.since_ns, |batch| batch.written_ns);
            if (self.earlier)
                .pop_front_if(|old| old.first > old.last)
                .is_some()
            {
                self.ahead.earlier.clear();
            }
            return;
        }
        self.first = self.holes.pass(self.first.max(seq + 1));
        self.forget_passed();
    }

    /// Forgets what is persisted, and on the disk too if there is one that works.
    fn forget_passed(&mut self) {
        let limit = match self.footing {
            Footing::Disk => self.committed.min(self.first - 1),
            Footing::Memory | Footing::Failing => self.first - 1,
        };
        while self.forget_front(|front| front.last_seq <= limit) {}
    }

    pub(super) fn note(&mut self, epoch: Uuid, seq: u64) {
        match self.acked.iter_mut().find(|(known, _)| *known == epoch) {
            Some(known) => known.1 = seq,
            None if self.footing != Footing::Memory => self.acked.push((epoch, seq)),
            None => {}
        }
    }

    pub(super) fn skip(&mut self, epoch: Uuid, sent: u64, seq: u64) -> bool {
        let first = match self.old(epoch) {
            Some(old) => old.first,
            None => self.live_first_held(),
        };
        if !self.is_due(epoch) || first <= sent {
            return false;
        }
        let lost = seq.saturating_sub(first) - self.holes(epoch).within(first, seq - 1);
        if lost > 0 {
            self.lose(damaged(lost));
        }
        self.pass(epoch, seq - 1);
        true
    }

    pub(super) fn depth(&self) -> Depth {
        let earlier = self.earlier.iter().map(Earlier::events);
        let live_first = match self.batches.front() {
            Some(front) if front.first_seq <= self.first => front.first_seq.max(1),
            _ => self.first,
        };
        let first = match self.footing {
            // Acknowledged batches that wait for the disk are none that wait for the collector.
            Footing::Disk | Footing::Failing => self.first,
            Footing::Memory => live_first,
        };
        let gone = self.holes.within(first, self.last_seq);
        let live = (self.last_seq + 1).saturating_sub(first) - gone;
        let backlog = earlier.sum::<u64>();
        Depth {
            events: backlog + live,
            bytes: self.memory.bytes,
            backlog,
            backlog_since_ns: self.earlier.front().map_or(0, |old| old.since_ns),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let mut now = self.memory;
        if self.footing == Footing::Disk {
            // What is on the disk as well gives way.
            let kept = |batch: &&Batch| batch.first_seq > self.committed;
            let volatile = self.batches.iter().rev().take_while(kept);
            now = volatile.fold(Depth::default(), |sum, batch| Depth {
                events: sum.events + batch.last_seq - batch.first_seq + 1,
                bytes: sum.bytes + batch.payload.len() as u64,
                ..sum
            });
        }
        let free = |max: u64, now: u64| now <= max - max / ROOM_SHARE;
        free(self.max.events, now.events) && free(self.max.bytes, now.bytes)
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn volatile_events(&self) -> u64 {
        let safe = match self.footing {
            Footing::Memory => 0,
            Footing::Disk | Footing::Failing => self.committed,
        };
        self.last_seq - safe.max(self.first - 1).min(self.last_seq)
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_drained(&self) -> bool {
        self.closed && self.earlier.is_empty() && self.first > self.last_seq
    }

    pub(super) fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    pub(super) fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        let losses = std::mem::take(&mut self.losses);
        let places = losses.iter().filter_map(|loss| loss.what.as_ref());
        let last = places.map(|what| what.id).max();
        self.taken = self.taken.max(last.unwrap_or(0));
        losses
    }

    pub(super) fn told(&mut self) {
        self.told_at = (self.last_seq, self.taken);
    }

    pub(super) fn suspect(&mut self, why: String) {
        self.suspicion.get_or_insert(why);
    }

    pub(super) fn take_suspicion(&mut self) -> Option<String> {
        self.suspicion.take()
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspicion.is_some()
    }

    pub(super) fn footing(&self) -> Footing {
        self.footing
    }

    pub(super) fn stand_on(&mut self, footing: Footing) {
        self.footing = footing;
        self.forget_passed();
    }

    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    pub(super) fn uncommitted_bytes(&self) -> u64 {
        self.uncommitted
    }

    pub(super) fn is_committed(&self) -> bool {
        self.uncommitted == 0
    }

    pub(super) fn was_adopted(&self) -> bool {
        self.adopted
    }

    /// The next batches for the disk, about `bytes` of them.
    pub(super) fn work(&self, bytes: u64) -> Work {
        let from = (self.batches).partition_point(|batch| batch.last_seq <= self.committed);
        let mut sum = 0;
        let fits = |batch: &&Batch| {
            let first = sum == 0;
            sum += batch.payload.len() as u64;
            first || sum <= bytes
        };
        let batches: Vec<_> = self
            .batches
            .iter()
            .skip(from)
            .take_while(fits)
            .cloned()
            .collect();
        let upto = batches
            .last()
            .map_or(self.committed, |batch| batch.last_seq);
        Work {
            told: (self.told_at.0 > 0 && upto >= self.told_at.0).then_some(self.told_at.1),
            acked: self.acked.clone(),
            batches,
        }
    }

    /// The disk has it, and what had to go for it is gone.
    pub(super) fn done(&mut self, work: &Work, evicted: Vec<Evicted>) {
        let bytes: u64 = work.batches.iter().map(|b| b.payload.len() as u64).sum();
        self.uncommitted = self.uncommitted.saturating_sub(bytes);
        if let Some(last) = work.batches.last() {
            self.committed = last.last_seq;
        }
        // What was persisted in the meantime is for the next time.
        self.acked.retain(|known| !work.acked.contains(known));
        // More may have been told in the meantime.
        if work.told == Some(self.told_at.1) {
            self.told_at = (0, 0);
        }
        for evicted in evicted {
            self.evict(evicted);
        }
        self.forget_passed();
        while self.memory.bytes > CACHE_BYTES {
            let committed = self.committed;
            if !self.forget_front(|front| front.last_seq <= committed) {
                break;
            }
        }
    }

    fn evict(&mut self, evicted: Evicted) {
        if evicted.epoch == self.live {
            for (first, last) in evicted.holes.iter() {
                self.holes.add(first, last);
            }
            self.first = self.holes.pass(self.first);
            let batches = std::mem::take(&mut self.batches);
            for batch in batches {
                // What was passed goes with the next look.
                if evicted.holes.has(batch.first_seq) {
                    self.forgot(&batch);
                } else {
                    self.batches.push_back(batch);
                }
            }
        }
        for old in &mut self.earlier {
            if old.epoch == evicted.epoch {
                for (first, last) in evicted.holes.iter() {
                    old.holes.add(first, last);
                }
                old.first = old.holes.pass(old.first);
            }
        }
        self.earlier.retain(|old| old.first <= old.last);
        self.ahead = Ahead::default();
        self.losses.extend(evicted.loss);
    }

    /// The database is set aside: what was only there is lost, what is in memory goes into the new one. Answers how many
    /// events are lost.
    pub(super) fn start_afresh(&mut self) -> u64 {
        let earlier: u64 = self.earlier.iter().map(Earlier::events).sum();
        self.earlier.clear();
        self.ahead = Ahead::default();
        self.acked.clear();
        let front = self
            .batches
            .front()
            .map_or(self.last_seq + 1, |b| b.first_seq);
        let live =
            front.saturating_sub(self.first) - self.holes.within(self.first, front.max(1) - 1);
        self.first = self.holes.pass(self.first.max(front));
        self.committed = front - 1;
        self.uncommitted = self.memory.bytes;
        self.forget_passed();
        earlier + live
    }
}

/// Events that are not where they should be. When they happened is not known either.
fn damaged(count: u64) -> Loss {
    gone(LossKind::Damaged, count)
}

/// A loss of which nobody knows when it happened.
pub(super) fn gone(kind: LossKind, count: u64) -> Loss {
    Loss {
        kind,
        count,
        from_unix_ns: 0,
        to_unix_ns: clock::unix_ns(),
        what: None,
    }
}
