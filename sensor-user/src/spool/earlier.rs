//! Epochs that are delivered before the live one, or behind it in a lane of their own: what earlier starts left, and what waited
//! when another live epoch was begun. They lie on the disk alone.

use std::collections::VecDeque;

use uuid::Uuid;

use super::Batch;
use super::holes::Holes;
use super::memory::Held;

/// An epoch before the live one that is still to be delivered, from the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) epoch: Uuid,
    /// First number that is held and not persisted.
    pub(super) first: u64,
    /// Last number there is.
    pub(super) last: u64,
    /// What is not there in between.
    pub(super) holes: Holes,
    /// When what is there from `first` on was written, nanoseconds since 1970.
    pub(super) since_ns: u64,
}

impl Earlier {
    /// How many events are held.
    pub(super) fn events(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first) - self.holes.within(self.first, self.last)
    }
}

/// What was read from the disk and not yet asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pub(super) live: VecDeque<Batch>,
    /// Of the earlier epoch whose turn it is.
    pub(super) earlier: VecDeque<Batch>,
}

impl Held {
    /// The earlier epoch whose turn it is, if it is this one.
    pub(super) fn old(&self, epoch: Uuid) -> Option<&Earlier> {
        self.earlier.front().filter(|old| old.epoch == epoch)
    }

    /// Whether something of an epoch can go out now: of the live one always, of the earlier ones when it is their turn.
    pub(super) fn is_due(&self, epoch: Uuid) -> bool {
        epoch == self.live || epoch == self.epoch()
    }

    pub(super) fn ahead(&mut self, epoch: Uuid) -> &mut VecDeque<Batch> {
        if epoch == self.live {
            &mut self.ahead.live
        } else {
            &mut self.ahead.earlier
        }
    }

    /// What is left of an earlier epoch is not delivered by this start.
    pub(super) fn pass_over(&mut self, epoch: Uuid) -> bool {
        let passed = (self.earlier)
            .pop_front_if(|old| old.epoch == epoch)
            .is_some();
        if passed {
            self.ahead.earlier.clear();
        }
        passed
    }

    /// The live epoch is to be delivered again after `persisted`, from `on_disk` or from memory where that begins earlier, and
    /// before it all of the earlier ones.
    pub(super) fn take_up_again(
        &mut self,
        epoch: Uuid,
        persisted: u64,
        on_disk: Option<Earlier>,
        all: Vec<Earlier>,
    ) {
        if epoch != self.live || !self.earlier.is_empty() {
            return;
        }
        let in_memory = self.in_memory_after(persisted);
        let in_memory = in_memory.map(|batch| batch.first_seq);
        let first = on_disk.as_ref().map(|live| live.first);
        if let Some(first) = first.into_iter().chain(in_memory).min() {
            self.first = self.first.min(first);
            if let Some(live) = on_disk {
                self.holes = live.holes;
            }
            self.first = self.holes.pass(self.first);
            self.note(epoch, self.first - 1);
        }
        for old in &all {
            self.note(old.epoch, old.first - 1);
        }
        self.earlier = all.into();
        self.ahead = Ahead::default();
    }

    /// Older events than those that are offered now are still to come.
    pub(super) fn is_behind(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// What an earlier sensor left comes first.
    pub(super) fn adopt(&mut self, earlier: Vec<Earlier>) {
        self.adopted = true;
        self.earlier.extend(earlier);
    }
}
