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

use proto::prost::Message;
use proto::prost::encoding::encoded_len_varint;
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
    About, BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Block, Class, Encoding, Full, Loss, LossKind, Spool,
};

mod worth;

/// So many reports of a tick share a block, whatever they are worth: another block for each class would cost more than it keeps.
const TOGETHER: usize = 64;

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
    /// First round whose reports may enter: those of older ones may refer to processes that are lost.
    round: u64,
    compress: encode::Compress,
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
            round: 0,
            compress: encode::Compress::default(),
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
                    Some(tick) => self.pack(&tick),
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
        let mut open = Open::new(&self.host);
        for loss in &self.unsaid {
            open.push(wire::loss(loss));
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
        let mut block = Open::new(&self.host);
        for report in part {
            let event = wire::event(report, offset);
            if !block.fits(&event) {
                let full = std::mem::replace(&mut block, Open::new(&self.host));
                let count = full.block.events.len();
                self.offer(full)?;
                *taken += count;
            }
            block.push(event);
            block.note(report);
        }
        let count = block.block.events.len();
        self.offer(block)?;
        *taken += count;
        Ok(())
    }

    fn offer(&mut self, open: Open) -> Result<(), Full> {
        let Some(closed) = open.close() else {
            return Ok(());
        };
        let (encoding, payload) = self.compress.block(closed.payload);
        let events = closed.events;
        let block = Block {
            encoding,
            payload,
            ..closed
        };
        self.spool.offer(block)?;
        self.metrics.queue_accepted.add(events);
        Ok(())
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
        let mut open = Open::new(&self.host);
        open.push(wire::event(&report, lost.offset));
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

/// A block that is being filled.
struct Open {
    block: v1::EventBlock,
    bytes: usize,
    /// What the gaps in it stand for.
    stands_for: u64,
    /// The best of what was noted; a gap says none and is worth most.
    class: Option<Class>,
    stores: BTreeSet<Arc<str>>,
}

impl Open {
    fn new(host: &Host) -> Self {
        let block = v1::EventBlock {
            host: host.name.clone(),
            boot_id: host.boot_id.clone(),
            events: Vec::new(),
        };
        let bytes = block.encoded_len();
        Self {
            block,
            bytes,
            stands_for: 0,
            class: None,
            stores: BTreeSet::new(),
        }
    }

    fn fits(&self, event: &v1::Event) -> bool {
        self.bytes + framed(event) <= BATCH_BYTES_MAX && self.block.events.len() < BATCH_EVENTS_MAX
    }

    fn push(&mut self, event: v1::Event) {
        self.bytes += framed(&event);
        if let Some(v1::event::Body::Gap(gap)) = &event.body {
            self.stands_for += gap.count;
        }
        self.block.events.push(event);
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

    /// None when there is nothing in it.
    fn close(self) -> Option<Block> {
        let events = self.block.events.len() as u64;
        (events > 0).then(|| Block {
            events,
            stands_for: self.stands_for,
            about: About {
                class: self.class.unwrap_or_default(),
                stores: self.stores.into_iter().collect::<Vec<_>>().join(",").into(),
            },
            encoding: Encoding::Plain,
            payload: self.block.encode_to_vec(),
        })
    }
}

/// Bytes an event takes within a block: tag, length, and itself.
fn framed(event: &v1::Event) -> usize {
    let length = event.encoded_len();
    1 + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests;
