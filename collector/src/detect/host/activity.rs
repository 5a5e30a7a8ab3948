//! What one process did: records it read from a store, bytes it sent to a destination, and the alerts it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::super::alert::{Destination, Figures};
use super::super::baseline::{self, Leaked};
use super::super::ledger::Ledger;
use super::super::limits;
use crate::event::{
    Access, Conflict, ConflictKind, Edge, Flow, FlowName, NameSource, ProcessKey, RecordId,
    RecordName, Tamper, TamperKind,
};

/// Highest signal there is.
const SIGNALS: u32 = 64;

/// What an access was to who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The record had not been read before.
    New,
    /// It had, but not on this day.
    NewToday,
    /// It had, or nothing was read of it.
    Known,
    /// It cannot be told from others, because too many are known.
    NotToldApart,
}

/// What a process read of one record.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Day on which it was last read.
    day: u32,
    /// Bytes of the most that was read of it in one go; more than 4 GiB count as that.
    once: u32,
}

/// What a process read from one store.
#[derive(Debug, Default)]
pub(in crate::detect) struct Reading {
    taken: Ledger,
    /// Those that are told apart.
    records: BTreeMap<RecordId, Seen>,
    /// Records that were told apart once; only how many they were is known.
    pub(in crate::detect) let_go: u64,
    /// Accesses whose record could not be told apart, because too many are known.
    pub(in crate::detect) not_told_apart: u64,
    pub(in crate::detect) bytes_read: u64,
    pub(in crate::detect) bytes_mapped: u64,
    /// Bytes of all that was read, what was read again left out.
    once: u64,
    /// It served records out of its memory before it was seen to read any.
    serves: bool,
    /// First touch of a record that was read, nanoseconds since the Unix epoch; `None` before there is one.
    pub(in crate::detect) first_ns: Option<u64>,
    /// Last touch.
    pub(in crate::detect) last_ns: u64,
    /// Names of the first few records.
    pub(in crate::detect) names: Vec<RecordName>,
}

impl Reading {
    /// Adds an access. What only opened or wrote took nothing.
    pub(super) fn add(&mut self, access: &Access, room: bool) -> Found {
        let taken = access.bytes_read.saturating_add(access.bytes_mapped);
        if taken == 0 {
            return Found::Known;
        }
        self.taken.add(access.last_ns, taken);
        self.bytes_read = self.bytes_read.saturating_add(access.bytes_read);
        self.bytes_mapped = self.bytes_mapped.saturating_add(access.bytes_mapped);
        self.first_ns = Some(
            self.first_ns
                .map_or(access.first_ns, |first| first.min(access.first_ns)),
        );
        self.last_ns = self.last_ns.max(access.last_ns);
        let today = baseline::day(access.last_ns);
        if let Some(seen) = self.records.get_mut(&access.record) {
            let found = if seen.day < today {
                Found::NewToday
            } else {
                Found::Known
            };
            seen.day = today.max(seen.day);
            self.once = self.once.saturating_add(seen.read(access, taken));
            return found;
        }
        let mut seen = Seen {
            day: today,
            once: 0,
        };
        self.once = self.once.saturating_add(seen.read(access, taken));
        if !room {
            self.not_told_apart += 1;
            return Found::NotToldApart;
        }
        if let Some(name) = access
            .name
            .as_ref()
            .filter(|_| self.names.len() < limits::NAMES_SHOWN)
        {
            self.names.push(name.clone());
        }
        self.records.insert(access.record, seen);
        Found::New
    }

    /// Adds what the process served out of its memory, if it is one that was never seen to read; true when it is. Which records
    /// they were nobody can tell.
    pub(super) fn serve(&mut self, edge: &Edge) -> bool {
        if !self.serves && self.first_ns.is_some() || edge.bytes == 0 {
            return false;
        }
        self.serves = true;
        self.taken.add(edge.last_ns, edge.bytes);
        self.bytes_read = self.bytes_read.saturating_add(edge.bytes);
        self.once = self.once.saturating_add(edge.bytes);
        self.first_ns = Some(
            self.first_ns
                .map_or(edge.first_ns, |first| first.min(edge.first_ns)),
        );
        self.last_ns = self.last_ns.max(edge.last_ns);
        self.not_told_apart += 1;
        true
    }

    /// True when all of it came out of what the process serves; who was seen at a record after that has read it.
    pub(in crate::detect) fn is_served(&self) -> bool {
        self.serves && self.records_known() == 0
    }

    /// Distinct records that are, or were, told apart.
    pub(in crate::detect) fn records_known(&self) -> u64 {
        self.let_go.saturating_add(self.records.len() as u64)
    }

    /// Records that are told apart.
    pub(super) fn records_kept(&self) -> usize {
        self.records.len()
    }

    /// Lets the records go of a process that reads no more, and keeps how many they were.
    pub(super) fn let_records_go(&mut self) {
        self.let_go = self.records_known();
        self.records.clear();
    }

    /// True when the record is one of those.
    pub(in crate::detect) fn has(&self, record: &RecordId) -> bool {
        self.records.contains_key(record)
    }

    /// Records that were last read on a day.
    pub(in crate::detect) fn records_on(&self, day: u32) -> usize {
        self.records.values().filter(|seen| seen.day == day).count()
    }

    /// The records that are told apart.
    pub(in crate::detect) fn records(&self) -> impl Iterator<Item = &RecordId> {
        self.records.keys()
    }

    /// Bytes taken at or after a moment.
    pub(in crate::detect) fn taken_since(&self, at_ns: u64) -> u64 {
        self.taken.since(at_ns)
    }

    /// The same, but what was read again counts once: against this is held what was sent, or reading all thirty times would hide
    /// that it leaves.
    pub(in crate::detect) fn once_since(&self, at_ns: u64) -> u64 {
        self.taken_since(at_ns).min(self.once)
    }
}

impl Seen {
    /// Adds an access to it; returns by how much the most that was read in one go has grown. What opens the record anew starts from its
    /// beginning, what does not goes on where the last has ended.
    fn read(&mut self, access: &Access, taken: u64) -> u64 {
        let before = self.once;
        let once = match access.opens {
            0 => u64::from(before).saturating_add(taken),
            opens => taken.div_ceil(opens),
        };
        self.once = before.max(u32::try_from(once).unwrap_or(u32::MAX));
        u64::from(self.once - before)
    }
}

/// What a process sent to one destination.
#[derive(Debug, Default)]
pub(in crate::detect) struct Sending {
    sent: Ledger,
    flows: BTreeMap<u64, Conversation>,
    /// Flows there were, those let go included.
    pub(in crate::detect) flows_seen: u64,
    received_before: u64,
    /// When the first flow was opened, nanoseconds since the Unix epoch.
    pub(in crate::detect) opened_ns: u64,
    /// Last time anything was seen of a flow.
    pub(in crate::detect) last_ns: u64,
    /// The host's own end of the latest flow.
    local: Option<SocketAddr>,
    /// What the destination is called, by the best source.
    pub(in crate::detect) name: Option<FlowName>,
    /// Names that DNS was asked for here, and when first, nanoseconds since the Unix epoch.
    asked: BTreeMap<String, u64>,
    /// It was a place where no such program had sent to when this began.
    pub(in crate::detect) new_place: bool,
    /// The directory that all files lie in which were written, where it is a file system and that was seen.
    pub(in crate::detect) directory: Option<String>,
}

/// One flow, as last heard.
#[derive(Debug, Default)]
struct Conversation {
    bytes_out: u64,
    bytes_in: u64,
    last_ns: u64,
    closed: bool,
}

impl Sending {
    /// Takes an event of a flow: totals, so what is new is the difference. An older event than the last is no news.
    pub(super) fn add(&mut self, flow: &Flow) {
        if !self.flows.contains_key(&flow.id) {
            self.flows_seen += 1;
            self.opened_ns = if self.opened_ns == 0 {
                flow.opened_ns
            } else {
                self.opened_ns.min(flow.opened_ns)
            };
            if self.flows.len() >= limits::FLOWS_PER_DESTINATION {
                self.forget_oldest();
            }
        }
        let known = self.flows.entry(flow.id).or_default();
        self.sent
            .add(flow.last_ns, flow.bytes_out.saturating_sub(known.bytes_out));
        known.bytes_out = known.bytes_out.max(flow.bytes_out);
        known.bytes_in = known.bytes_in.max(flow.bytes_in);
        known.last_ns = known.last_ns.max(flow.last_ns);
        known.closed |= flow.closed;
        self.last_ns = self.last_ns.max(flow.last_ns);
        self.local = flow.local.or(self.local);
        if let Some(name) = flow.name.as_ref().filter(|name| {
            name.source == NameSource::Question && self.asked.len() < limits::NAMES_ASKED
        }) {
            let first_ns = self.asked.entry(name.name.clone()).or_insert(u64::MAX);
            *first_ns = (*first_ns).min(flow.last_ns);
        }
        let source = |name: &Option<FlowName>| name.as_ref().map(|name| name.source);
        if flow.name.is_some() && source(&flow.name) >= source(&self.name) {
            self.name.clone_from(&flow.name);
        }
    }

    /// This place, its flows, and the names it was asked for.
    pub(super) fn acts(&self) -> usize {
        1 + self.flows.len() + self.asked.len()
    }

    /// Takes what was written to a file of a file system.
    pub(super) fn write(&mut self, edge: &Edge, path: &str) {
        self.sent.add(edge.last_ns, edge.bytes);
        if self.opened_ns == 0 {
            self.opened_ns = edge.first_ns;
        }
        self.last_ns = self.last_ns.max(edge.last_ns);
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.directory = Some(match self.directory.take() {
                None => directory.to_owned(),
                Some(known) => common(&known, directory),
            });
        }
    }

    /// Bytes sent at or after a moment.
    pub(in crate::detect) fn sent_since(&self, at_ns: u64) -> u64 {
        self.sent.since(at_ns)
    }

    /// Names that DNS was asked for at or after a moment.
    pub(in crate::detect) fn asked_since(&self, at_ns: u64) -> impl Iterator<Item = &str> {
        self.asked
            .iter()
            .filter(move |(_, first_ns)| **first_ns >= at_ns)
            .map(|(name, _)| name.as_str())
    }

    /// Bytes received, all flows together.
    pub(in crate::detect) fn received(&self) -> u64 {
        self.flows.values().fold(self.received_before, |sum, flow| {
            sum.saturating_add(flow.bytes_in)
        })
    }

    /// True when more was sent than received; what a server says of itself, and that it is done, does not count.
    pub(in crate::detect) fn gives(&self) -> bool {
        let said = self.flows_seen.saturating_mul(limits::SAID_BYTES);
        self.sent_since(0) > self.received().saturating_sub(said)
    }

    /// True when no flow is open.
    pub(in crate::detect) fn all_closed(&self) -> bool {
        self.flows.values().all(|flow| flow.closed)
    }

    /// True when the bytes do not leave the host: to loopback, or to an address the host itself has.
    pub(in crate::detect) fn stays_on_host(&self, remote: IpAddr) -> bool {
        remote.is_loopback() || self.local.is_some_and(|local| local.ip() == remote)
    }

    /// Lets go one flow, a closed one if there is any; its bytes stay in the sums.
    fn forget_oldest(&mut self) {
        let oldest = self
            .flows
            .iter()
            .min_by_key(|(_, flow)| (!flow.closed, flow.last_ns))
            .map(|(id, _)| *id);
        if let Some(flow) = oldest.and_then(|id| self.flows.remove(&id)) {
            self.received_before = self.received_before.saturating_add(flow.bytes_in);
        }
    }
}

/// The directory that both lie in, or are.
fn common(one: &str, other: &str) -> String {
    let parts = one.split('/').zip(other.split('/'));
    let same: Vec<&str> = parts
        .take_while(|(a, b)| a == b)
        .map(|(part, _)| part)
        .collect();
    same.join("/")
}

/// An alert that was raised, as it was last told.
#[derive(Debug)]
pub(in crate::detect) struct Case {
    pub(in crate::detect) revision: u32,
    pub(in crate::detect) raised_ns: u64,
    pub(in crate::detect) told: Figures,
    /// It was told as settled.
    pub(in crate::detect) settled: bool,
    /// It was told after the process had exited.
    pub(in crate::detect) exited: bool,
}

/// Processes of one lineage that sent to one destination what others had read of one store.
#[derive(Debug, Default)]
pub(in crate::detect) struct Group {
    pub(in crate::detect) senders: BTreeSet<ProcessKey>,
    /// What of it has been told as leaking little by little: what each reader handed on, and what each sender sent.
    pub(in crate::detect) leaked: Marks,
    /// The alert, as it was last told.
    pub(in crate::detect) told: Option<Case>,
    pub(super) touched: u64,
}

/// How far what a group leaks has been told.
#[derive(Debug, Clone, Default)]
pub(in crate::detect) struct Marks {
    pub(in crate::detect) handed: BTreeMap<ProcessKey, Leaked>,
    pub(in crate::detect) sent: BTreeMap<ProcessKey, u64>,
}

/// What a [`Group`] is looked at for, the more telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::detect) enum Kind {
    /// Names that were asked for.
    Dns,
    /// Bytes of records that others have read.
    Chain,
}

/// Names a [`Group`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::detect) struct GroupKey {
    pub(in crate::detect) kind: Kind,
    /// Topmost process of the session or service the senders are of.
    pub(in crate::detect) root: ProcessKey,
    pub(in crate::detect) store: String,
    pub(in crate::detect) destination: Destination,
}

/// What a process tried on the sensor.
#[derive(Debug)]
pub(in crate::detect) struct Tampering {
    /// By what, and by signal where it is one.
    pub(in crate::detect) attempts: BTreeMap<(TamperKind, u32), Attempts>,
    /// First time, nanoseconds since the Unix epoch.
    pub(in crate::detect) first_ns: u64,
    /// Last time.
    pub(in crate::detect) last_ns: u64,
    /// The alert, as it was last told.
    pub(in crate::detect) told: Option<Told>,
}

/// How often something was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::detect) struct Attempts {
    pub(in crate::detect) times: u64,
    pub(in crate::detect) denied: u64,
}

/// An alert about tampering, as it was last told.
#[derive(Debug, Clone, Copy)]
pub(in crate::detect) struct Told {
    pub(in crate::detect) revision: u32,
    pub(in crate::detect) raised_ns: u64,
    /// Kinds of attempts and attempts that were told.
    pub(in crate::detect) kinds: usize,
    pub(in crate::detect) times: u64,
    /// It was told after the process had exited.
    pub(in crate::detect) exited: bool,
}

/// What was delivered twice in the sensor's name, by epoch and kind.
pub(in crate::detect) type Doubles = BTreeMap<([u8; 16], ConflictKind), Doubled>;

/// Conflicts of one epoch and kind.
#[derive(Debug, Clone)]
pub(in crate::detect) struct Doubled {
    /// How many.
    pub(in crate::detect) times: u64,
    /// How many were told.
    pub(in crate::detect) told: u64,
    /// Of the alert that was told last.
    pub(in crate::detect) revision: u32,
    /// Numbers of the events of the first one.
    pub(in crate::detect) first_seq: u64,
    pub(in crate::detect) last_seq: u64,
    /// First time, nanoseconds since the Unix epoch.
    pub(in crate::detect) first_ns: u64,
    /// Last time.
    pub(in crate::detect) last_ns: u64,
}

impl Doubled {
    pub(super) const fn new(conflict: &Conflict, at_ns: u64) -> Self {
        Self {
            times: 0,
            told: 0,
            revision: 0,
            first_seq: conflict.first_seq,
            last_seq: conflict.last_seq,
            first_ns: at_ns,
            last_ns: at_ns,
        }
    }
}

impl Tampering {
    pub(super) const fn new(first_ns: u64) -> Self {
        Self {
            attempts: BTreeMap::new(),
            first_ns,
            last_ns: first_ns,
            told: None,
        }
    }

    /// Adds attempts. Signals are few; what else there is to get at may be many, and which one tells little.
    pub(super) fn add(&mut self, tamper: &Tamper) {
        let signal = match tamper.kind {
            TamperKind::Signal => tamper.number.min(SIGNALS),
            TamperKind::Unknown
            | TamperKind::Trace
            | TamperKind::Map
            | TamperKind::Program
            | TamperKind::Link
            | TamperKind::File(_) => 0,
        };
        let attempts = self.attempts.entry((tamper.kind, signal)).or_default();
        attempts.times = attempts.times.saturating_add(tamper.times);
        attempts.denied = attempts.denied.saturating_add(tamper.denied);
        self.first_ns = self.first_ns.min(tamper.first_ns);
        self.last_ns = self.last_ns.max(tamper.last_ns);
    }

    /// All attempts together.
    pub(in crate::detect) fn times(&self) -> u64 {
        let all = self.attempts.values();
        all.fold(0, |sum, attempts| sum.saturating_add(attempts.times))
    }
}
