//! The processes of the host: those that run, those that ended a moment ago, and the ancestors of both.
//!
//! A process that ended is kept for [`GRACE_NS`] of event time, because sums arrive up to a tick after it; longer while a
//! descendant is in the table, because the chain of ancestors is evidence.
//!
//! **Invariant:** never more than the given number of entries. When it is full an ended process makes room, the oldest
//! first, else any other; whoever was put out is counted, and looked up again when an event refers to it.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet};

use crate::event::ProcessKey;
use crate::report::{Image, Owner, Scope};

/// Most processes kept. At about 500 bytes each this is 16 MB when a host really has that many.
pub(super) const PROCESSES_MAX: usize = 32_768;
/// How long a process is kept after its end, nanoseconds of event time.
pub(super) const GRACE_NS: u64 = 60_000_000_000;
/// Entries looked at for one that has not been sent before any is put out.
const CANDIDATES: usize = 32;

/// What is known of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) parent: Option<ProcessKey>,
    pub(super) image: Arc<Image>,
    pub(super) owner: Owner,
    pub(super) scope: Arc<Scope>,
    /// Bytes it was given at exec; 0 until then.
    pub(super) given_bytes: u64,
    pub(super) exited_boot_ns: Option<u64>,
    /// Round in which it was last sent; 0: never.
    pub(super) sent: u64,
    /// Entries whose parent this is; the table's own.
    pub(super) children: u32,
}

impl Entry {
    /// What a new process has from the one that started it: everything until it execs.
    pub(super) fn child(&self, parent: ProcessKey) -> Self {
        Self {
            parent: Some(parent),
            image: Arc::clone(&self.image),
            owner: self.owner,
            scope: Arc::clone(&self.scope),
            ..Self::default()
        }
    }

    /// Takes a new scope, if there is one and it is another.
    pub(super) fn set_scope(&mut self, scope: Option<Scope>) {
        if let Some(scope) = scope.filter(|scope| *scope != *self.scope) {
            self.scope = Arc::new(scope);
        }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<ProcessKey, Entry>,
    /// Ended processes in the order of their end, until their grace is over.
    ended: VecDeque<(u64, ProcessKey)>,
    /// End of the newest grace period that is over, boot clock.
    expired: u64,
    max: usize,
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ended: VecDeque::new(),
            expired: 0,
            max,
        }
    }

    pub(super) fn get(&self, key: ProcessKey) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    /// Takes a process in, in the place of what was known of it; answers how many were put out for it.
    pub(super) fn insert(&mut self, key: ProcessKey, mut entry: Entry) -> u64 {
        let mut evicted = 0;
        while self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            self.evict();
            evicted += 1;
        }
        let parent = entry.parent;
        // Children that came in before their parent are only those whose parent was put out and is back.
        entry.children = self.entries.get(&key).map_or(0, |old| old.children);
        if let Some(old) = self.entries.insert(key, entry) {
            self.release(old.parent);
        }
        self.adopt(parent);
        evicted
    }

    pub(super) fn set_parent(&mut self, key: ProcessKey, parent: ProcessKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let old = entry.parent.replace(parent);
        self.adopt(Some(parent));
        self.release(old);
    }

    /// Notes the end of a process; answers the round it was last sent in.
    pub(super) fn exit(&mut self, key: ProcessKey, boot_ns: u64) -> Option<u64> {
        let entry = self
            .entries
            .get_mut(&key)
            .filter(|entry| entry.exited_boot_ns.is_none())?;
        entry.exited_boot_ns = Some(boot_ns);
        self.ended.push_back((boot_ns, key));
        Some(entry.sent)
    }

    /// Forgets the processes whose grace is over at `now`.
    pub(super) fn expire(&mut self, now_boot_ns: u64) {
        self.expired = self.expired.max(now_boot_ns.saturating_sub(GRACE_NS));
        while let Some((_, key)) = self.ended.pop_front_if(|(ended, _)| *ended < self.expired) {
            self.forget_if_over(key);
        }
    }

    /// The processes that run by this table, and not by that list.
    pub(super) fn gone(&self, alive: &[ProcessKey]) -> Vec<ProcessKey> {
        let alive: HashSet<&ProcessKey> = alive.iter().collect();
        let runs = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.exited_boot_ns.is_none());
        runs.map(|(key, _)| *key)
            .filter(|key| !alive.contains(key))
            .collect()
    }

    fn adopt(&mut self, parent: Option<ProcessKey>) {
        if let Some(entry) = parent.and_then(|parent| self.entries.get_mut(&parent)) {
            entry.children += 1;
        }
    }

    fn release(&mut self, parent: Option<ProcessKey>) {
        let Some(parent) = parent else { return };
        if let Some(entry) = self.entries.get_mut(&parent) {
            entry.children = entry.children.saturating_sub(1);
            self.forget_if_over(parent);
        }
    }

    /// Removes an ended process past its grace that no entry descends from, and then its ancestors alike.
    fn forget_if_over(&mut self, key: ProcessKey) {
        let mut next = Some(key);
        while let Some(key) = next {
            let expired = self.expired;
            let over = |entry: &Entry| {
                entry.children == 0 && entry.exited_boot_ns.is_some_and(|end| end < expired)
            };
            if !self.entries.get(&key).is_some_and(over) {
                return;
            }
            next = self.entries.remove(&key).and_then(|entry| entry.parent);
            if let Some(entry) = next.and_then(|parent| self.entries.get_mut(&parent)) {
                entry.children = entry.children.saturating_sub(1);
            }
        }
    }

    fn evict(&mut self) {
        let ended = self
            .ended
            .pop_front()
            .map(|(_, key)| key)
            .filter(|key| self.entries.contains_key(key));
        let unsent = || {
            self.entries
                .iter()
                .take(CANDIDATES)
                .find(|(_, entry)| entry.sent == 0)
                .map(|(key, _)| *key)
        };
        let Some(key) = ended
            .or_else(unsent)
            .or_else(|| self.entries.keys().next().copied())
        else {
            return;
        };
        if let Some(entry) = self.entries.remove(&key) {
            self.release(entry.parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: u32) -> ProcessKey {
        ProcessKey {
            pid,
            start_cs: u64::from(pid),
        }
    }

    fn under(parent: u32) -> Entry {
        Entry {
            parent: Some(key(parent)),
            ..Entry::default()
        }
    }

    #[test]
    fn an_ended_process_stays_for_the_grace_and_while_it_has_descendants() {
        let mut table = Table::new(10);
        table.insert(key(1), Entry::default());
        table.insert(key(2), under(1));
        table.insert(key(3), under(2));
        assert_eq!(table.exit(key(2), 100), Some(0));
        assert_eq!(table.exit(key(2), 100), None, "ended once");
        table.expire(100 + GRACE_NS);
        assert!(table.get(key(2)).is_some(), "within grace");
        table.expire(101 + GRACE_NS);
        assert!(table.get(key(2)).is_some(), "3 descends from it");
        table.exit(key(3), 200);
        table.expire(201 + GRACE_NS);
        assert!(table.get(key(3)).is_none() && table.get(key(2)).is_none());
        assert!(table.get(key(1)).is_some(), "runs");
    }

    #[test]
    fn a_full_table_puts_out_the_ended_first_and_counts() {
        let mut table = Table::new(3);
        for pid in 1..=3 {
            assert_eq!(
                table.insert(
                    key(pid),
                    Entry {
                        sent: u64::from(pid % 2),
                        ..Entry::default()
                    }
                ),
                0
            );
        }
        table.exit(key(3), 5);
        assert_eq!(table.insert(key(4), under(1)), 1);
        assert!(table.get(key(3)).is_none());
        assert_eq!(table.insert(key(4), under(1)), 0, "already there");
        assert_eq!(
            table.insert(
                key(5),
                Entry {
                    sent: 1,
                    ..under(1)
                }
            ),
            1
        );
        assert!(table.get(key(1)).is_some(), "was sent, others were not");
    }

    #[test]
    fn the_table_never_outgrows_its_bound() {
        let mut table = Table::new(50);
        let mut evicted = 0;
        for pid in 1..1000 {
            evicted += table.insert(key(pid), under(pid / 2));
            if pid % 3 == 0 {
                table.exit(key(pid), u64::from(pid));
            }
        }
        assert_eq!(table.entries.len(), 50);
        assert_eq!(evicted, 999 - 50);
    }

    #[test]
    fn gone_are_those_that_run_here_and_not_there() {
        let mut table = Table::new(10);
        for pid in 1..=3 {
            table.insert(key(pid), Entry::default());
        }
        table.exit(key(2), 5);
        assert_eq!(table.gone(&[key(1), key(9)]), [key(3)]);
    }
}
