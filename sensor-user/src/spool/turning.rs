//! A new live epoch while the sensor runs: what waits becomes an earlier one, so that what happens from now on need not wait behind it.
//!
//! Whoever delivers wants it, when much waits. Whoever offers asks for it at a moment from which on events refer to nothing that was
//! said before, and waits. The writer puts everything on the disk that is not there yet, begins the epoch there, and then here.
//!
//! **Invariant:** an epoch becomes an earlier one only when all of it that is held is on the disk. Without a disk there is one epoch.

use std::time::Duration;

use uuid::Uuid;

use super::earlier::{Ahead, Earlier};
use super::memory::{Footing, Held, Turning};
use super::{Depth, Spool};

/// For so long whoever offers waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

impl Spool {
    /// What happens from now on is to have an epoch of its own, if at least so many events wait in the live one and no other does.
    pub fn want_epoch(&self, events: u64) {
        self.held().want_epoch(events);
    }

    /// Whether another epoch is wanted.
    #[must_use]
    pub fn is_epoch_wanted(&self) -> bool {
        self.held().turning == Turning::Wanted
    }

    /// Begins another epoch for what is offered from now on, if it is still wanted and the disk has the one before soon enough.
    pub async fn begin_epoch(&self) {
        if !self.held().ask() {
            return;
        }
        self.work.notify_one();
        while self.held().is_turning() {
            let waited = tokio::time::timeout(PATIENCE, self.turned.notified()).await;
            if waited.is_err() && self.held().give_up() {
                tracing::debug!("the disk spool is too slow for another epoch");
            }
        }
    }
}

impl Held {
    fn want_epoch(&mut self, events: u64) {
        let can = self.footing == Footing::Disk && self.earlier.is_empty() && !self.closed;
        if can && self.turning == Turning::No && self.depth().events >= events {
            self.turning = Turning::Wanted;
        }
    }

    fn ask(&mut self) -> bool {
        let wanted = self.turning == Turning::Wanted;
        if wanted {
            self.turning = Turning::Asked;
        }
        wanted
    }

    pub(super) fn is_turning(&self) -> bool {
        matches!(self.turning, Turning::Asked | Turning::Begun)
    }

    /// Ends it, if the disk has not been told; answers whether it does.
    fn give_up(&mut self) -> bool {
        let asked = self.turning == Turning::Asked;
        if asked {
            self.turning = Turning::No;
        }
        asked
    }

    /// Whether the disk is to begin an epoch now, and the first number that is held of the one before. Ends it where it cannot be or is
    /// no use any more.
    pub(super) fn may_turn(&mut self) -> Option<u64> {
        if self.turning != Turning::Asked {
            return None;
        }
        let first = self.live_first_held();
        let idle = first > self.last_seq || !self.earlier.is_empty();
        if idle || self.footing != Footing::Disk {
            self.turning = Turning::No;
            return None;
        }
        if self.committed < self.last_seq {
            return None;
        }
        self.turning = Turning::Begun;
        Some(first)
    }

    /// The disk has begun an epoch: the one before is an earlier one, whose oldest event was written at `since_ns`; none where the disk
    /// could not.
    pub(super) fn turn(&mut self, begun: Option<(Uuid, u64)>) {
        self.turning = Turning::No;
        let Some((next, since_ns)) = begun else {
            return;
        };
        self.earlier.push_back(Earlier {
            epoch: std::mem::replace(&mut self.live, next),
            first: self.live_first_held(),
            last: self.last_seq,
            holes: std::mem::take(&mut self.holes),
            since_ns,
        });
        self.ahead = Ahead::default();
        self.batches.clear();
        self.memory = Depth::default();
        self.uncommitted = 0;
        (self.first, self.last_seq, self.committed) = (1, 0, 0);
        // What was told is on the disk; that it is goes there with the next batch.
        self.told_at.0 = self.told_at.0.min(1);
    }
}
