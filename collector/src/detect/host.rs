//! What detection knows of one boot of a host: its processes, what they read, what they sent, and what is missing.

mod activity;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) use activity::{Case, Reading, Sending, Tampering, Told};

use super::alert::{Alert, Destination};
use super::{limits, pattern};
use crate::config::DetectConfig;
use crate::event::{Access, Direction, Flow, Gap, Origin, Process, ProcessKey, Tamper};

/// One boot of a host.
#[derive(Debug)]
pub(super) struct Host {
    origin: Origin,
    processes: BTreeMap<ProcessKey, Actor>,
    gaps: VecDeque<Gap>,
    /// Processes whose sums have changed since they were last judged.
    changed: BTreeSet<ProcessKey>,
    /// Counts events; the order in which things are forgotten.
    events: u64,
    newest_ns: u64,
    records: usize,
    forgotten: Forgotten,
}

/// What a host has forgotten, since its boot was first heard of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Forgotten {
    pub(super) processes: u64,
    pub(super) gaps: u64,
}

/// A process and what it did.
#[derive(Debug, Default)]
pub(super) struct Actor {
    pub(super) process: Option<Process>,
    /// Executables it ran before, from its first record on.
    pub(super) earlier: Vec<String>,
    /// What it read, by store.
    pub(super) readings: BTreeMap<String, Reading>,
    /// What it sent, by destination.
    pub(super) sendings: BTreeMap<Destination, Sending>,
    /// Alerts it is the sender of, by store and destination.
    pub(super) cases: BTreeMap<(String, Destination), Case>,
    /// What it tried on the sensor.
    pub(super) tampering: Option<Tampering>,
    pub(super) destinations_forgotten: u64,
    touched: u64,
}

impl Actor {
    /// When it exited, as far as is known.
    pub(super) fn exited_ns(&self) -> Option<u64> {
        self.process.as_ref()?.exited_ns
    }
}

impl Host {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            processes: BTreeMap::new(),
            gaps: VecDeque::new(),
            changed: BTreeSet::new(),
            events: 0,
            newest_ns: 0,
            records: 0,
            forgotten: Forgotten::default(),
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Time of the latest event, nanoseconds since the Unix epoch.
    pub(super) fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    #[cfg(test)]
    pub(super) fn processes_known(&self) -> usize {
        self.processes.len()
    }

    pub(super) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    /// Losses that overlap a span of time, oldest first.
    pub(super) fn gaps_within(&self, first_ns: u64, last_ns: u64) -> impl Iterator<Item = &Gap> {
        self.gaps
            .iter()
            .filter(move |gap| gap.from_ns <= last_ns && gap.to_ns >= first_ns)
    }

    pub(super) fn actor(&self, key: ProcessKey) -> Option<&Actor> {
        self.processes.get(&key)
    }

    /// An event has come.
    pub(super) fn saw(&mut self, at_ns: u64) {
        self.newest_ns = self.newest_ns.max(at_ns);
        self.events += 1;
        if self.events.is_multiple_of(limits::SWEEP_EVERY) {
            self.sweep();
        }
    }

    pub(super) fn process(&mut self, process: &Process) {
        self.touch_ancestors(process.parent);
        let actor = self.touch(process.key);
        if let Some(before) = &actor.process {
            let other_program = before.executable != process.executable;
            if other_program
                && !actor.readings.is_empty()
                && actor.earlier.len() < limits::EARLIER_PROGRAMS
            {
                actor.earlier.push(before.executable.clone());
            }
        }
        // An exit that came once stays, whatever is said of the process later.
        let exited_ns = process.exited_ns.or(actor.exited_ns());
        actor.process = Some(Process {
            exited_ns,
            ..process.clone()
        });
        if !actor.readings.is_empty() || actor.tampering.is_some() {
            self.changed.insert(process.key);
        }
    }

    pub(super) fn access(&mut self, access: &Access) {
        let room = self.records < limits::RECORDS;
        let actor = self.touch(access.process);
        let reading = match actor.readings.get_mut(&access.store) {
            Some(reading) => reading,
            None => actor.readings.entry(access.store.clone()).or_default(),
        };
        let new = reading.add(access, room);
        self.records += usize::from(new);
        self.changed.insert(access.process);
    }

    pub(super) fn flow(&mut self, flow: &Flow) {
        let actor = self.touch(flow.process);
        let destination = destination(flow);
        if !actor.sendings.contains_key(&destination)
            && actor.sendings.len() >= limits::DESTINATIONS_PER_PROCESS
        {
            forget_weakest(actor);
        }
        actor.sendings.entry(destination).or_default().add(flow);
        if !actor.readings.is_empty() {
            self.changed.insert(flow.process);
        }
    }

    pub(super) fn tamper(&mut self, tamper: &Tamper) {
        let actor = self.touch(tamper.process);
        actor
            .tampering
            .get_or_insert_with(|| Tampering::new(tamper.first_ns))
            .add(tamper);
        self.changed.insert(tamper.process);
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        if self.gaps.len() >= limits::GAPS {
            self.gaps.pop_front();
            self.forgotten.gaps += 1;
        }
        self.gaps.push_back(gap);
    }

    /// Judges what has changed since the last time.
    pub(super) fn judge(&mut self, config: &DetectConfig) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            // Taken out while it is judged, so that the rest of the host can be looked at as evidence.
            let Some(mut actor) = self.processes.remove(&key) else {
                continue;
            };
            pattern::direct::judge(config, self, key, &mut actor, &mut alerts);
            pattern::tampering::judge(self, key, &mut actor, &mut alerts);
            self.processes.insert(key, actor);
        }
        alerts
    }

    /// The process's entry, made when it is new, and marked as just used.
    fn touch(&mut self, key: ProcessKey) -> &mut Actor {
        if !self.processes.contains_key(&key) && self.processes.len() >= limits::PROCESSES {
            self.forget_processes();
        }
        let actor = self.processes.entry(key).or_default();
        actor.touched = self.events;
        actor
    }

    /// Parents of what is alive stay known.
    fn touch_ancestors(&mut self, parent: Option<ProcessKey>) {
        let mut next = parent;
        for _ in 0..limits::CHAIN {
            let Some(actor) = next.and_then(|key| self.processes.get_mut(&key)) else {
                return;
            };
            actor.touched = self.events;
            next = actor.process.as_ref().and_then(|process| process.parent);
        }
    }

    /// Lets go the processes that tell least: those that exited, then those longest untouched.
    fn forget_processes(&mut self) {
        let mut order: Vec<(bool, u64, ProcessKey)> = self
            .processes
            .iter()
            .map(|(key, actor)| (actor.exited_ns().is_none(), actor.touched, *key))
            .collect();
        order.sort_unstable();
        for (_, _, key) in order.into_iter().take(limits::PROCESSES_FORGOTTEN_AT_ONCE) {
            if let Some(actor) = self.processes.remove(&key) {
                self.records -= actor
                    .readings
                    .values()
                    .map(Reading::records_known)
                    .sum::<usize>();
                self.forgotten.processes += 1;
            }
        }
    }

    /// Lets go what processes did that exited long ago; who they were stays, for the chains of their children.
    fn sweep(&mut self) {
        let late = self.newest_ns.saturating_sub(limits::LATE_NS);
        for actor in self.processes.values_mut() {
            if actor.exited_ns().is_some_and(|exited| exited < late) {
                self.records -= actor
                    .readings
                    .values()
                    .map(Reading::records_known)
                    .sum::<usize>();
                actor.readings.clear();
                actor.sendings.clear();
                actor.cases.clear();
                actor.tampering = None;
            }
        }
    }
}

/// Where a flow's bytes go. A direction that is not known counts as connected, the usual case.
fn destination(flow: &Flow) -> Destination {
    let accepted = flow.direction == Direction::Accepted;
    let own_port = flow.local.map(|local| local.port());
    Destination {
        protocol: flow.protocol,
        direction: if accepted {
            Direction::Accepted
        } else {
            Direction::Connected
        },
        address: flow.remote.ip(),
        port: own_port.filter(|_| accepted).unwrap_or(flow.remote.port()),
    }
}

/// Lets go the destination with the fewest bytes that no alert is about.
fn forget_weakest(actor: &mut Actor) {
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
        actor.destinations_forgotten += 1;
    }
}
