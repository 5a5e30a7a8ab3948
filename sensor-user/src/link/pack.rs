//! Packs each tick's reports into blocks and offers them to the queue.
//!
//! A block holds one tick's events, or as many as fit, in the order of their time. A tick of many is taken apart by what its
//! events are worth ([`Class`]), so that a spool that is full need not give up the path of an alert for the reads of a whole
//! archive; few share a block, which is worth as much as the best of them. When the queue refuses one, the rest of the tick and every tick
//! made in the same round of sending are refused too: processes that were said in what is lost must be said again before
//! anything refers to them. The new round is asked for at once, and the gap goes in as soon as there is room.
//!
//! What the disk spool lost is said as well, each loss as a gap, and processes are then said again.
//!
//! A block is compressed once, when it is closed: as it lies in the queue and on the disk it travels.
//!
//! **Invariant:** a block is, before it is compressed, at most [`BATCH_BYTES_MAX`] bytes and [`BATCH_EVENTS_MAX`] events; every report either is in the queue or is counted in a gap.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::prost::encoding::{bool, message, string};
use proto::sensor::v1;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{encode, wire};
use crate::clock::Offset;
use crate::event::{Gap, GapReason};
use crate::metrics::Metrics;
use crate::report::Resend;
use crate::report::{Body, Report, Tick};
use crate::spool::{
    About, BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Block, Class, Full, Loss, LossKind, Spool,
};

mod worth;

/// So many reports of a tick share a block, whatever they are worth: another block for each class would cost more than it keeps.
const TOGETHER: usize = 64;
/// The fields of `EventBlock`; its events are written last, so a block grows at its end.
const HOST: u32 = 1;
const BOOT_ID: u32 = 2;
const EVENTS: u32 = 3;
const OLDER_TO_COME: u32 = 4;

/// Whose events they are.
#[derive(Debug, Clone)]
pub struct Host {
    /// Name of the host, as `uname -n` gives it.
    pub name: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// The stage between enrichment and the queue.
#[derive(Debug)]
pub struct Packer {
    host: Host,
    ticks: mpsc::Receiver<Tick>,
    spool: Arc<Spool>,
    resend: Resend,
    metrics: Arc<Metrics>,
    lost: Option<Lost>,
    /// What the spool lost and is not yet said.
    unsaid: Vec<Loss>,
    /// First round whose reports may begin another epoch: they refer to nothing that was said in the one before.
    parts_with: Option<u64>,
    /// First round whose reports may enter: those of older ones may refer to processes that are lost.
    round: u64,
    compress: encode::Compress,
    /// Where blocks are filled, one after the other.
    plain: Vec<u8>,
}

/// What was refused and not yet said.
#[derive(Debug, Clone, Copy)]
struct Lost {
    count: u64,
    from_boot_ns: u64,
    to_boot_ns: u64,
    offset: Offset,
}

impl Packer {
    /// The stage, ready to start.
    #[must_use]
    pub fn new(
        host: Host,
        ticks: mpsc::Receiver<Tick>,
        spool: Arc<Spool>,
        resend: Resend,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            host,
            ticks,
            spool,
            resend,
            metrics,
            lost: None,
            unsaid: Vec::new(),
            parts_with: None,
            round: 0,
            compress: encode::Compress::default(),
            plain: Vec::new(),
        }
    }

    /// Starts it; it ends with the ticks, and closes the queue.
    pub fn start(self, tasks: &mut JoinSet<()>) {
        tasks.spawn(self.run());
    }

    async fn run(mut self) {
        loop {
            let spool = Arc::clone(&self.spool);
            tokio::select! {
                tick = self.ticks.recv() => match tick {
                    Some(tick) => {
                        self.part(&tick).await;
                        self.pack(&tick);
                    }
                    None => break,
                },
                () = spool.room(), if self.lost.is_some() || !self.unsaid.is_empty() => {
                    self.confess();
                    self.confess_losses();
                }
                () = spool.lost() => self.take_losses(),
            }
        }
        self.last_words().await;
        self.spool.close();
    }

    /// Begins another epoch where that is wanted, with the first tick that says anew who processes are.
    async fn part(&mut self, tick: &Tick) {
        match self.parts_with {
            None if self.spool.is_epoch_wanted() => self.parts_with = Some(self.resend.ask()),
            Some(round) if tick.round >= round => {
                self.parts_with = None;
                self.spool.begin_epoch().await;
            }
            None | Some(_) => {}
        }
    }

    /// A loss that was not said is no clean end: waits for room, for as long as the shutdown lets it.
    async fn last_words(&mut self) {
        let spool = Arc::clone(&self.spool);
        self.confess();
        self.take_losses();
        while self.lost.is_some() || !self.unsaid.is_empty() {
            spool.room().await;
            self.confess();
            self.confess_losses();
        }
    }

    /// Takes what the spool lost, and says it. What is lost may have said of processes who they are.
    fn take_losses(&mut self) {
        let losses = self.spool.take_losses();
        let tells_who = |loss: &Loss| match &loss.what {
            Some(what) => what.class == Class::Evidence,
            None => loss.kind != LossKind::Killed,
        };
        if losses.iter().any(tells_who) {
            self.resend.ask();
        }
        for loss in losses {
            note(&mut self.unsaid, loss);
        }
        self.confess_losses();
    }

    fn confess_losses(&mut self) {
        if self.unsaid.is_empty() || self.lost.is_some() {
            return;
        }
        let mut open = self.open();
        // There are fewer kinds of losses than a block has room for.
        for loss in &self.unsaid {
            open.push(&wire::loss(loss));
        }
        // A gap is worth as much as anything.
        if self.offer(open).is_ok() {
            self.metrics.spool_gaps.add(self.unsaid.len() as u64);
            self.unsaid.clear();
            self.spool.told();
        }
    }

    fn pack(&mut self, tick: &Tick) {
        let parts = worth::parts(&tick.reports);
        let reports: Vec<&Report> = parts.iter().flatten().copied().collect();
        if tick.round < self.round {
            self.lose(&reports, tick.offset);
            // There may be room already, and then nobody tells of any.
            if self.spool.has_room() {
                self.confess();
            }
            return;
        }
        if self.lost.is_some() {
            // Not before there is an eighth of room: else a gap would go in with every tick.
            return self.lose_from(tick, &reports);
        }
        let mut taken = 0;
        for part in &parts {
            if let Err(Full) = self.pack_part(part, tick.offset, &mut taken) {
                return self.lose_from(tick, &reports[taken..]);
            }
        }
    }

    /// Packs reports into blocks of their own; counts in `taken` those that the queue took.
    fn pack_part(
        &mut self,
        part: &[&Report],
        offset: Offset,
        taken: &mut usize,
    ) -> Result<(), Full> {
        let mut block = self.open();
        for report in part {
            let event = wire::event(report, offset);
            if !block.push(&event) {
                *taken += self.offer(block)?;
                block = self.open();
                // The first is in, however long.
                block.push(&event);
            }
            block.note(report);
        }
        *taken += self.offer(block)?;
        Ok(())
    }

    fn open(&mut self) -> Open {
        let plain = std::mem::take(&mut self.plain);
        Open::new(&self.host, self.spool.is_behind(), plain)
    }

    /// Hands a block over; answers the number of its events. An empty one is none.
    fn offer(&mut self, open: Open) -> Result<usize, Full> {
        self.plain = open.payload;
        if open.events == 0 {
            return Ok(0);
        }
        let (encoding, payload) = self.compress.block(&self.plain);
        self.spool.offer(Block {
            events: open.events as u64,
            stands_for: open.stands_for,
            about: About {
                class: open.class.unwrap_or_default(),
                stores: open.stores.into_iter().collect::<Vec<_>>().join(",").into(),
            },
            encoding,
            payload,
        })?;
        self.metrics.queue_accepted.add(open.events as u64);
        Ok(open.events)
    }

    fn lose_from(&mut self, tick: &Tick, reports: &[&Report]) {
        self.round = self.resend.ask();
        if self.lost.is_none() {
            tracing::error!(
                "the queue is full: events are lost until the collector has taken some"
            );
        }
        self.lose(reports, tick.offset);
    }

    fn lose(&mut self, reports: &[&Report], offset: Offset) {
        let count = reports.len() as u64;
        self.metrics.queue_refused.add(count);
        let times = || reports.iter().map(|report| report.boot_ns);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return;
        };
        let lost = self.lost.get_or_insert(Lost {
            count: 0,
            from_boot_ns: first,
            to_boot_ns: last,
            offset,
        });
        lost.count += count;
        lost.to_boot_ns = lost.to_boot_ns.max(last);
        lost.offset = offset;
    }

    /// Says what was lost, if there is room to say it.
    fn confess(&mut self) {
        let Some(lost) = self.lost else { return };
        let gap = Gap {
            reason: GapReason::QueueFull,
            count: lost.count,
            from_boot_ns: lost.from_boot_ns,
            to_boot_ns: lost.to_boot_ns,
            detail: "the sensor's queue was full".to_owned(),
        };
        let report = Report {
            boot_ns: lost.to_boot_ns,
            body: Body::Gap(gap),
        };
        let mut open = self.open();
        open.push(&wire::event(&report, lost.offset));
        if self.offer(open).is_ok() {
            self.metrics.queue_gaps.one();
            self.lost = None;
        }
    }
}

/// Losses of a kind that wait to be said become one, those with numbers by class and epoch.
fn note(unsaid: &mut Vec<Loss>, loss: Loss) {
    let same = |known: &&mut Loss| {
        let alike = match (&known.what, &loss.what) {
            (None, None) => true,
            (Some(a), Some(b)) => (a.class, a.epoch) == (b.class, b.epoch),
            (None, Some(_)) | (Some(_), None) => false,
        };
        known.kind == loss.kind && alike
    };
    let Some(known) = unsaid.iter_mut().find(same) else {
        return unsaid.push(loss);
    };
    known.count += loss.count;
    known.from_unix_ns = known.from_unix_ns.min(loss.from_unix_ns);
    known.to_unix_ns = known.to_unix_ns.max(loss.to_unix_ns);
    if let (Some(known), Some(what)) = (&mut known.what, loss.what) {
        known.numbers.0 = known.numbers.0.min(what.numbers.0);
        known.numbers.1 = known.numbers.1.max(what.numbers.1);
        known.stores.extend(what.stores);
    }
}

/// A block that is being filled: a `v1::EventBlock`, encoded as it grows.
struct Open {
    payload: Vec<u8>,
    events: usize,
    /// What the gaps in it stand for.
    stands_for: u64,
    /// The best of what was noted; a gap says none and is worth most.
    class: Option<Class>,
    stores: BTreeSet<Arc<str>>,
}

impl Open {
    /// An empty one, in memory that is used again.
    fn new(host: &Host, older_to_come: bool, mut payload: Vec<u8>) -> Self {
        payload.clear();
        string::encode(HOST, &host.name, &mut payload);
        string::encode(BOOT_ID, &host.boot_id, &mut payload);
        if older_to_come {
            bool::encode(OLDER_TO_COME, &older_to_come, &mut payload);
        }
        Self {
            payload,
            events: 0,
            stands_for: 0,
            class: None,
            stores: BTreeSet::new(),
        }
    }

    /// Takes an event in; false when there is no room for it. The first has room, however long it is.
    fn push(&mut self, event: &v1::Event) -> bool {
        let before = self.payload.len();
        message::encode(EVENTS, event, &mut self.payload);
        let fits = self.payload.len() <= BATCH_BYTES_MAX && self.events < BATCH_EVENTS_MAX;
        if !fits && self.events > 0 {
            self.payload.truncate(before);
            return false;
        }
        if let Some(v1::event::Body::Gap(gap)) = &event.body {
            self.stands_for += gap.count;
        }
        self.events += 1;
        true
    }

    /// What the event that was pushed last is worth, and the stores it names.
    fn note(&mut self, report: &Report) {
        self.class = self.class.max(Some(worth::class(&report.body)));
        for store in worth::stores(&report.body) {
            if !self.stores.contains(store) {
                self.stores.insert(Arc::clone(store));
            }
        }
    }
}

#[cfg(test)]
mod tests;
