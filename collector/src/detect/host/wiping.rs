//! What one process took away of a store: records it removed, and records it had read and then wrote to.

use std::collections::BTreeSet;

use super::super::ledger::Ledger;
use super::Case;
use crate::event::{Access, RecordId};

/// What a process took away of one store.
#[derive(Debug, Default)]
pub(in crate::detect) struct Wiping {
    /// Records by the moment they were first taken away.
    moments: Ledger,
    removed: BTreeSet<RecordId>,
    overwritten: BTreeSet<RecordId>,
    /// Records of both kinds that the process had read.
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
    /// True when an access takes a record away: a name of it goes, or what was read is written to. Who only writes may be
    /// storing a new record.
    pub(super) fn is_one(access: &Access, read_before: bool) -> bool {
        access.deletions > 0 || access.bytes_written > 0 && read_before
    }

    /// Adds such an access; returns how many more records are kept.
    pub(super) fn add(&mut self, access: &Access, read_before: bool, room: bool) -> usize {
        self.first_ns = if self.last_ns == 0 {
            access.first_ns
        } else {
            self.first_ns.min(access.first_ns)
        };
        self.last_ns = self.last_ns.max(access.last_ns);
        let record = access.record;
        let known = self.removed.contains(&record) || self.overwritten.contains(&record);
        if !known && !room {
            self.not_told_apart += 1;
            return 0;
        }
        if !known {
            self.moments.add(access.last_ns, 1);
        }
        let before = self.records_kept();
        if access.deletions > 0 {
            self.removed.insert(record);
        } else {
            self.overwritten.insert(record);
        }
        if read_before {
            self.read_before.insert(record);
        }
        self.records_kept() - before
    }

    /// Distinct records taken away.
    pub(in crate::detect) fn records_known(&self) -> u64 {
        self.removed.union(&self.overwritten).count() as u64
    }

    /// Distinct records taken away that the process had read: where it is most of them, it is how encryption looks.
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
