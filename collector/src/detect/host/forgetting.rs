//! What a host forgets so that what is remembered of it, and of all hosts together, stays bounded: the least telling first, and counted.

use super::super::limits;
use super::activity::{Reading, Sending};
use super::{Actor, GroupKey, Host};
use crate::event::ProcessKey;

/// What a host has forgotten, since its boot was first heard of.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::detect) struct Forgotten {
    pub(in crate::detect) processes: u64,
    pub(in crate::detect) gaps: u64,
    pub(in crate::detect) groups: u64,
}

impl Host {
    /// Bytes that what is remembered of the host takes, about.
    pub(in crate::detect) fn weight(&self) -> u64 {
        self.weight
    }

    /// Weighs the host anew when much can have changed since it was last weighed.
    pub(in crate::detect) fn weigh(&mut self) {
        if self.events < self.weigh_at {
            return;
        }
        let acts = self.processes.values().map(Actor::acts).sum::<usize>();
        let things = [
            (self.lineage.size(), limits::STEP_BYTES),
            (self.processes.len(), limits::PROCESS_BYTES),
            (self.records, limits::RECORD_BYTES),
            (acts, limits::ACT_BYTES),
            (self.groups.len(), limits::LINEAGE_BYTES),
        ];
        self.weight = things
            .iter()
            .map(|(count, each)| *count as u64 * each)
            .sum();
        // Looking at each of its processes costs no more than a part of what came since.
        let looked_at = (self.processes.len() / 4) as u64;
        self.weigh_at = self.events + looked_at.max(limits::WEIGHED_EVERY);
    }

    /// Lets go half of all that is remembered of the host.
    pub(in crate::detect) fn forget_half(&mut self) {
        self.lineage.forget_half();
        self.forget_processes(self.processes.len().div_ceil(2));
        self.let_records_go(self.records / 2);
        self.forget_groups(self.groups.len().div_ceil(2));
        self.weigh_at = 0;
        self.weigh();
    }

    /// Lets go so many groups, first those without an alert, and of these those longest untouched.
    pub(super) fn forget_groups(&mut self, count: usize) {
        let mut order: Vec<(bool, u64, GroupKey)> = self
            .groups
            .iter()
            .map(|(key, group)| (group.told.is_some(), group.touched, key.clone()))
            .collect();
        order.sort_unstable();
        for (_, _, key) in order.into_iter().take(count) {
            self.groups.remove(&key);
            self.forgotten.groups += 1;
        }
        let groups = &self.groups;
        self.readers.retain(|_, keys| {
            keys.retain(|key| groups.contains_key(key));
            !keys.is_empty()
        });
    }

    /// Lets go so many processes, those that tell least first: those that exited and are in no lineage, then those longest untouched.
    pub(super) fn forget_processes(&mut self, count: usize) {
        let mut order: Vec<(bool, u64, ProcessKey)> = self
            .processes
            .iter()
            .map(|(key, actor)| {
                let needed = actor.joined || self.lineage.has_handed_on(*key);
                (needed || actor.exited_ns().is_none(), actor.touched, *key)
            })
            .collect();
        order.sort_unstable();
        for (_, _, key) in order.into_iter().take(count) {
            if let Some(actor) = self.processes.remove(&key) {
                self.records -= actor.records_kept();
                self.forgotten.processes += 1;
            }
        }
    }

    /// Lets the records go of processes that have exited, the first to have done so first, until only so many are left; of each process
    /// it stays known how many they were.
    pub(super) fn let_records_go(&mut self, enough: usize) {
        let kept = |actor: &Actor| actor.readings.values().map(Reading::records_kept).sum();
        let mut exited: Vec<(u64, ProcessKey, usize)> = (self.processes.iter())
            .filter_map(|(key, actor)| Some((actor.exited_ns()?, *key, kept(actor))))
            .filter(|(_, _, records)| *records > 0)
            .collect();
        exited.sort_unstable();
        for (_, key, records) in exited {
            if self.records <= enough {
                break;
            }
            if let Some(actor) = self.processes.get_mut(&key) {
                actor
                    .readings
                    .values_mut()
                    .for_each(Reading::let_records_go);
                self.records -= records;
            }
        }
        self.crowded = self.records >= self.records_max;
    }

    /// Lets go what processes did that exited long ago; who they were stays, for the chains of their children.
    pub(super) fn sweep(&mut self) {
        self.crowded = false;
        let quiet_ns = self.settled_ns.saturating_sub(self.handed_on_ns);
        let records = &mut self.records;
        self.together.retain(|_, one| {
            let keep = one.wiping.last_ns >= quiet_ns;
            *records -= if keep { 0 } else { one.wiping.records_kept() };
            keep
        });
        let late = self.settled_ns.saturating_sub(limits::LATE_NS);
        let handed_on_late = self.settled_ns.saturating_sub(self.handed_on_ns);
        for (key, actor) in &mut self.processes {
            let late = if actor.joined || self.lineage.has_handed_on(*key) {
                handed_on_late
            } else {
                late
            };
            if actor.exited_ns().is_some_and(|exited| exited < late) {
                self.records -= actor.records_kept();
                actor.readings.clear();
                actor.sendings.clear();
                actor.cases.clear();
                actor.leaked.clear();
                actor.tampering = None;
                actor.wipings.clear();
            }
        }
    }
}

impl Actor {
    /// Flows and places it sent to, and names it asked for there.
    fn acts(&self) -> usize {
        self.sendings.values().map(Sending::acts).sum()
    }
}

/// Lets go the destination with the fewest bytes that no alert is about.
pub(super) fn forget_weakest(actor: &mut Actor) {
    let weakest = actor
        .sendings
        .iter()
        .filter(|(destination, _)| {
            !actor
                .cases
                .keys()
                .any(|(_, alerted)| alerted == *destination)
        })
        .min_by_key(|(_, sending)| sending.sent_since(0))
        .map(|(destination, _)| destination.clone());
    if let Some(destination) = weakest {
        actor.sendings.remove(&destination);
        actor.leaked.retain(|(_, to), _| *to != destination);
        actor.destinations_forgotten += 1;
    }
}
