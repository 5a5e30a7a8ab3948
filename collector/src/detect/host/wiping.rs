//! What was taken away of a store, by one process or by several: records that were removed, and records that were read and then written to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::ledger::Ledger;
use super::super::limits;
use super::{Case, Host};
use crate::event::{Access, ProcessKey, RecordId};

/// A record that was removed, or written to.
#[derive(Debug, Clone, Copy)]
pub(in crate::detect) struct Taken {
    pub(in crate::detect) record: RecordId,
    /// First and last time, nanoseconds since the Unix epoch.
    pub(in crate::detect) first_ns: u64,
    pub(in crate::detect) last_ns: u64,
    /// A name of it is gone.
    pub(in crate::detect) removed: bool,
    /// Who did that had read it.
    pub(in crate::detect) read_before: bool,
}

impl Taken {
    /// What an access took away, or may have: who only writes may be storing a new record.
    pub(super) fn of(access: &Access, read_before: bool) -> Option<Self> {
        let removed = access.deletions > 0;
        (removed || access.bytes_written > 0).then_some(Self {
            record: access.record,
            first_ns: access.first_ns,
            last_ns: access.last_ns,
            removed,
            read_before,
        })
    }

    /// True when it is certain that a record was taken away.
    pub(in crate::detect) fn is_certain(&self) -> bool {
        self.removed || self.read_before
    }
}

/// What programs of one session or service took away of one store, one after the other.
#[derive(Debug, Default)]
pub(in crate::detect) struct Together {
    pub(in crate::detect) wiping: Wiping,
    /// What started all of them; the only one there was, if it is one.
    pub(in crate::detect) common: Option<ProcessKey>,
    /// The last one.
    pub(in crate::detect) last: Option<ProcessKey>,
    /// How many there were.
    pub(in crate::detect) programs: u64,
}

/// Who read which records last.
#[derive(Debug, Default)]
pub(super) struct Readers {
    by: BTreeMap<RecordId, (ProcessKey, u64)>,
    order: VecDeque<RecordId>,
}

impl Readers {
    /// A process has read a record, for the first time.
    pub(super) fn add(&mut self, access: &Access) {
        let reader = (access.process, access.first_ns);
        if self.by.insert(access.record, reader).is_none() {
            self.order.push_back(access.record);
        }
        if self.order.len() > limits::LATEST_READ {
            let oldest = self.order.pop_front();
            oldest.and_then(|record| self.by.remove(&record));
        }
    }

    /// Who had read a record before a moment, if that was lately.
    pub(super) fn before(&self, record: &RecordId, at_ns: u64) -> Option<ProcessKey> {
        let (reader, read_ns) = self.by.get(record)?;
        (*read_ns < at_ns).then_some(*reader)
    }
}

/// What was taken away of one store.
#[derive(Debug, Default)]
pub(in crate::detect) struct Wiping {
    /// Records by the moment they were first taken away.
    moments: Ledger,
    removed: BTreeSet<RecordId>,
    overwritten: BTreeSet<RecordId>,
    /// Records of both kinds that had been read.
    read_before: BTreeSet<RecordId>,
    /// Accesses whose record could not be told apart, because too many are known.
    pub(in crate::detect) not_told_apart: u64,
    /// First time, nanoseconds since the Unix epoch.
    pub(in crate::detect) first_ns: u64,
    /// Last time.
    pub(in crate::detect) last_ns: u64,
    /// The alert, as it was last told.
    pub(in crate::detect) told: Option<Case>,
}

impl Wiping {
    /// Adds a record that was taken away; returns how many more entries are kept.
    pub(in crate::detect) fn add(&mut self, taken: &Taken, room: bool) -> usize {
        self.first_ns = if self.last_ns == 0 {
            taken.first_ns
        } else {
            self.first_ns.min(taken.first_ns)
        };
        self.last_ns = self.last_ns.max(taken.last_ns);
        let record = taken.record;
        let known = self.removed.contains(&record) || self.overwritten.contains(&record);
        if !known && !room {
            self.not_told_apart += 1;
            return 0;
        }
        if !known {
            self.moments.add(taken.last_ns, 1);
        }
        let before = self.records_kept();
        if taken.removed {
            self.removed.insert(record);
        } else {
            self.overwritten.insert(record);
        }
        if taken.read_before {
            self.read_before.insert(record);
        }
        self.records_kept() - before
    }

    /// Distinct records taken away.
    pub(in crate::detect) fn records_known(&self) -> u64 {
        self.removed.union(&self.overwritten).count() as u64
    }

    /// Distinct records taken away that had been read: where it is most of them, it is how encryption looks.
    pub(in crate::detect) fn records_read_before(&self) -> u64 {
        self.read_before.len() as u64
    }

    /// Distinct records first taken away at or after a moment; may be too many, never too few.
    pub(in crate::detect) fn records_since(&self, at_ns: u64) -> u64 {
        self.moments.since(at_ns)
    }

    /// Entries that count against the bound on records.
    pub(super) fn records_kept(&self) -> usize {
        self.removed.len() + self.overwritten.len() + self.read_before.len()
    }
}

impl Host {
    /// What both are or descend from, the nearest, as far as is known.
    fn common(&self, one: ProcessKey, other: ProcessKey) -> Option<ProcessKey> {
        let up = |key: &ProcessKey| self.processes.get(key)?.process.as_ref()?.parent;
        let line = |key| std::iter::successors(Some(key), up).take(limits::CHAIN);
        line(one).find(|ancestor| line(other).any(|key| key == *ancestor))
    }

    /// What a process took away since it was last asked, and how that is counted with others of its session or service: by topmost process.
    pub(in crate::detect) fn taken(
        &mut self,
        key: ProcessKey,
    ) -> Option<(ProcessKey, Vec<(String, Taken)>)> {
        let actor = self.processes.get_mut(&key)?;
        let taken = std::mem::take(&mut actor.taken);
        (!taken.is_empty()).then(|| (self.root(key), taken))
    }

    /// True when another process of that session or service had read a record before.
    pub(in crate::detect) fn read_before(&self, root: ProcessKey, taken: &Taken) -> bool {
        let reader = self.read_by.before(&taken.record, taken.first_ns);
        reader.is_some_and(|reader| self.root(reader) == root)
    }

    /// Counts what a process took away with what others of its session or service did.
    pub(in crate::detect) fn take_together(
        &mut self,
        about: (ProcessKey, String),
        key: ProcessKey,
        taken: &Taken,
    ) {
        if !self.together.contains_key(&about) && self.together.len() >= limits::TOGETHER {
            self.forget_together();
        }
        let common = match self.together.get(&about) {
            None => Some(key),
            Some(together) => together.common.and_then(|common| self.common(common, key)),
        };
        let room = self.records < self.records_max;
        let actor = self.processes.get_mut(&key);
        let new = actor.is_some_and(|actor| actor.took_together.insert(about.1.clone()));
        let together = self.together.entry(about).or_default();
        together.programs += u64::from(new);
        together.common = common;
        together.last = Some(key);
        self.records += together.wiping.add(taken, room);
    }

    /// What was taken away together, to be judged.
    pub(in crate::detect) fn together(
        &self,
    ) -> impl Iterator<Item = (&(ProcessKey, String), &Together)> {
        self.together.iter()
    }

    /// The alert about it has been told.
    pub(in crate::detect) fn told_together(&mut self, about: &(ProcessKey, String), case: Case) {
        if let Some(together) = self.together.get_mut(about) {
            together.wiping.told = Some(case);
        }
    }

    /// Lets go an eighth of what was taken away together: what has no alert, and of that what is longest quiet.
    fn forget_together(&mut self) {
        let mut order: Vec<(bool, u64, (ProcessKey, String))> = (self.together.iter())
            .map(|(about, one)| (one.wiping.told.is_some(), one.wiping.last_ns, about.clone()))
            .collect();
        order.sort_unstable();
        for (_, _, about) in order.into_iter().take(limits::TOGETHER / 8) {
            if let Some(one) = self.together.remove(&about) {
                self.records -= one.wiping.records_kept();
                self.forgotten.processes += one.programs;
            }
        }
    }
}
