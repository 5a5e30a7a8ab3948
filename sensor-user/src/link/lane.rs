//! Which batch goes out next, and whether it may: what is live ahead of what is old.
//!
//! While earlier epochs are still to be delivered, the live one has a lane of its own on the same connection. Whatever waits in it
//! goes first; what is old has the rest of the credit, and always leaves enough of it for the largest batch of what is live, so that
//! this need not wait until something old is durable.
//!
//! **Invariant:** what is old goes out only when nothing live waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::session::SessionError;
use crate::spool::{BATCH_BYTES_MAX, Batch, Spool};

/// Credit that what is old leaves for what is live.
const SPARED_BYTES: u64 = BATCH_BYTES_MAX as u64;

/// An epoch on a connection.
#[derive(Debug)]
pub(super) struct Lane {
    epoch: Uuid,
    /// Last sequence number handed to the connection, or held by the collector before.
    sent: u64,
    /// Last sequence number that the collector made durable.
    persisted: u64,
    /// It has made something durable on this connection.
    progressed: bool,
}

impl Lane {
    pub(super) const fn new(epoch: Uuid, sent: u64) -> Self {
        Self {
            epoch,
            sent,
            persisted: sent,
            progressed: false,
        }
    }

    /// The next batch. One behind something of which the collector does not know that it is lost waits for the next Hello.
    async fn next(&self, spool: &Arc<Spool>, takes_follows: bool) -> Next {
        let Some(batch) = spool.after(self.epoch, self.sent).await else {
            return Next::Nothing;
        };
        let known = takes_follows && batch.follows <= self.sent;
        let behind_hole = batch.first_seq > self.sent + 1 && !known;
        if !behind_hole {
            let epoch = self.epoch;
            return Next::Batch(Outgoing { epoch, batch });
        }
        // Not before all that was sent is persisted.
        if spool.skip(self.epoch, self.sent, batch.first_seq) {
            Next::Turned
        } else {
            Next::Nothing
        }
    }
}

/// The epochs of a connection.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The one whose turn it is.
    pub(super) turn: Lane,
    /// The live one, where that is another and the collector takes two.
    pub(super) live: Option<Lane>,
    /// Whether it takes from a batch what was given up before it; one that does not is told with a Hello.
    pub(super) takes_follows: bool,
    /// It takes two, and has the live one alone.
    pub(super) can_part: bool,
}

/// A batch and its epoch.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) epoch: Uuid,
    pub(super) batch: Batch,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    Batch(Outgoing),
    Nothing,
    /// Another epoch has its turn, or one goes on behind a hole, which a Hello must say.
    Turned,
}

impl Next {
    pub(super) fn batch(self) -> Option<Outgoing> {
        match self {
            Self::Batch(next) => Some(next),
            Self::Nothing | Self::Turned => None,
        }
    }
}

impl Lanes {
    pub(super) async fn next(&self, spool: &Arc<Spool>) -> Next {
        let mut next = Next::Nothing;
        for lane in self.live.iter().chain([&self.turn]) {
            if self.is_over(spool) {
                return Next::Turned;
            }
            next = lane.next(spool, self.takes_follows).await;
            if !matches!(next, Next::Nothing) {
                break;
            }
        }
        // Reading can have shown that nothing more is there.
        if self.is_over(spool) {
            Next::Turned
        } else {
            next
        }
    }

    /// Another epoch has its turn, or the live one has become another, which is to have its lane.
    fn is_over(&self, spool: &Spool) -> bool {
        let parted = self.can_part && spool.live_epoch() != self.turn.epoch;
        spool.epoch() != self.turn.epoch || parted
    }

    /// Whether what is live should have a lane, if much waits: the collector takes what it is sent, so that it is worth it.
    pub(super) fn wants_lane(&self) -> bool {
        self.can_part && self.turn.progressed
    }

    /// Credit that a batch must leave. With nothing old on its way there is nothing to wait for that would bring more.
    pub(super) fn spares(&self, next: &Outgoing) -> u64 {
        let is_old = self.live.is_some() && next.epoch == self.turn.epoch;
        if is_old && self.turn.sent > self.turn.persisted {
            SPARED_BYTES
        } else {
            0
        }
    }

    pub(super) fn sent(&mut self, epoch: Uuid, seq: u64) {
        if let Some(lane) = self.lane(epoch) {
            lane.sent = seq;
        }
    }

    /// The collector made something durable; true the first time.
    pub(super) fn persisted(&mut self, epoch: Uuid, seq: u64) -> bool {
        if let Some(lane) = self.lane(epoch) {
            lane.persisted = seq;
            return !std::mem::replace(&mut lane.progressed, true);
        }
        false
    }

    /// The epoch that the collector means.
    pub(super) fn own(&self, said: &[u8]) -> Result<Uuid, SessionError> {
        let mut own = self.live.iter().chain([&self.turn]);
        own.find(|lane| said == lane.epoch.as_bytes())
            .map(|lane| lane.epoch)
            .ok_or(SessionError::OtherEpoch)
    }

    fn lane(&mut self, epoch: Uuid) -> Option<&mut Lane> {
        let mut lanes = self.live.iter_mut().chain([&mut self.turn]);
        lanes.find(|lane| lane.epoch == epoch)
    }
}

/// What the sensor may still send on a connection, and how long the way is.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes of its credit that are left; `None` where the collector sets no limit.
    left: Option<u64>,
    /// A batch waits for more.
    waiting: bool,
    /// A batch of which the collector is to say that it took it, and since when that is waited for.
    awaited: Option<((Uuid, u64), Instant)>,
}

impl Flow {
    pub(super) const fn new(left: Option<u64>) -> Self {
        Self {
            left,
            waiting: false,
            awaited: None,
        }
    }

    /// Whether there is enough for a batch, and so much besides.
    pub(super) fn covers(&self, cost: u64, besides: u64) -> bool {
        self.left.is_none_or(|left| cost + besides <= left)
    }

    /// A batch has to wait: true when it is the first to.
    pub(super) fn begins_to_wait(&mut self) -> bool {
        !std::mem::replace(&mut self.waiting, true)
    }

    pub(super) fn sent(&mut self, place: (Uuid, u64), cost: u64) {
        self.left = self.left.map(|left| left.saturating_sub(cost));
        self.waiting = false;
        self.awaited.get_or_insert((place, Instant::now()));
    }

    pub(super) fn granted(&mut self, bytes: u64) {
        self.left = self.left.map(|left| left.saturating_add(bytes));
    }

    /// The collector took something; answers how long that took, if it was waited for.
    pub(super) fn received(&mut self, (epoch, upto): (Uuid, u64)) -> Option<Duration> {
        let is_it = |((of, seq), _): &mut ((Uuid, u64), Instant)| *of == epoch && *seq <= upto;
        self.awaited
            .take_if(is_it)
            .map(|(_, since)| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::spool::{About, Block, Disk, Encoding};

    fn block() -> Block {
        Block {
            events: 2,
            stands_for: 0,
            about: About::default(),
            encoding: Encoding::Plain,
            payload: vec![7; 100],
        }
    }

    fn place(next: &Next) -> Option<(Uuid, u64)> {
        match next {
            Next::Batch(next) => Some((next.epoch, next.batch.first_seq)),
            Next::Nothing | Next::Turned => None,
        }
    }

    #[tokio::test]
    async fn what_is_live_goes_first_and_what_is_old_leaves_credit_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk {
            directory: directory.path().to_owned(),
            bytes_max: 1 << 20,
            age_max: Duration::from_hours(1),
            keep: Duration::from_hours(1),
            commit_every: Duration::from_millis(1),
            retry_every: Duration::from_millis(5),
        };
        let open = || Spool::on_disk(100, 1 << 20, disk.clone(), Arc::default()).unwrap();
        let (spool, writer) = open();
        let old = spool.live_epoch();
        (0..3).for_each(|_| spool.offer(block()).unwrap());
        writer.finish();
        drop(spool);
        let (spool, writer) = open();
        let live = spool.live_epoch();
        let mut lanes = Lanes {
            turn: Lane::new(old, 0),
            live: Some(Lane::new(live, 0)),
            takes_follows: true,
            can_part: false,
        };
        let spares = |lanes: &Lanes, next: Next| lanes.spares(&next.batch().unwrap());

        let next = lanes.next(&spool).await;
        assert_eq!(place(&next), Some((old, 1)), "nothing live waits");
        assert_eq!(spares(&lanes, next), 0, "nothing is on its way");
        lanes.sent(old, 2);
        let next = lanes.next(&spool).await;
        assert_eq!(place(&next), Some((old, 3)));
        assert_eq!(spares(&lanes, next), SPARED_BYTES);
        spool.offer(block()).unwrap();
        let next = lanes.next(&spool).await;
        assert_eq!(place(&next), Some((live, 1)));
        assert_eq!(spares(&lanes, next), 0);
        lanes.sent(live, 2);
        lanes.persisted(old, 2);
        let next = lanes.next(&spool).await;
        assert_eq!(place(&next), Some((old, 3)));
        assert_eq!(spares(&lanes, next), 0, "all is durable");

        spool.persisted(old, 6).unwrap();
        assert!(matches!(lanes.next(&spool).await, Next::Turned));
        writer.finish();
    }

    #[test]
    fn credit_covers_a_batch_and_what_is_to_be_left() {
        let mut flow = Flow::new(Some(100));
        assert!(flow.covers(40, 60) && !flow.covers(41, 60));
        flow.sent((Uuid::nil(), 1), 41);
        assert!(flow.covers(59, 0) && !flow.covers(60, 0));
        flow.granted(1);
        assert!(flow.covers(60, 0) && Flow::new(None).covers(u64::MAX - 60, 60));
    }
}
