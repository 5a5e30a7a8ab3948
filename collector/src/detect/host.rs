//! What detection knows of one boot of a host: its processes, what they read, what they sent, and what is missing.

mod activity;
mod forgetting;
mod programs;
mod wiping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use activity::Found;
pub(super) use activity::{
    Case, Doubled, Doubles, Group, GroupKey, Kind, Marks, Reading, Sending, Tampering, Told,
};
pub(super) use forgetting::Forgotten;
use forgetting::forget_weakest;
use programs::Programs;
use wiping::Readers;
pub(super) use wiping::{Taken, Together, Wiping};

use super::alert::{Alert, Destination, Disk};
use super::baseline::{self, Habit, Leaked};
use super::lineage::Lineage;
use super::pattern::{bulk, slow};
use super::{limits, pattern};
use crate::config::DetectConfig;
use crate::event::{
    Access, Block, Carrier, Conflict, Direction, Edge, EdgeKind, End, Flow, Gap, Medium, Origin,
    Process, ProcessKey, Tamper, What,
};

/// One boot of a host.
#[derive(Debug)]
pub(super) struct Host {
    origin: Origin,
    /// How long after a process exited its sums are kept when it is in a lineage.
    handed_on_ns: u64,
    processes: BTreeMap<ProcessKey, Actor>,
    lineage: Lineage,
    /// What went over sockets within the host since the last time.
    served: Vec<Edge>,
    /// Who read which records last.
    read_by: Readers,
    /// What several took away, by the topmost process of their session or service and by store.
    together: BTreeMap<(ProcessKey, String), Together>,
    /// Senders of what others read.
    groups: BTreeMap<GroupKey, Group>,
    /// Groups that can have something of what a process read.
    readers: BTreeMap<ProcessKey, BTreeSet<GroupKey>>,
    gaps: VecDeque<Gap>,
    /// What was delivered twice in the sensor's name, by epoch and kind.
    doubled: Doubles,
    /// What was sent since the last time that no alert tells of.
    sent: slow::Sent,
    /// Processes whose sums have changed since they were last judged.
    changed: BTreeSet<ProcessKey>,
    /// Counts events; the order in which things are forgotten.
    events: u64,
    newest_ns: u64,
    /// What is older than this has all come; forgetting goes by it.
    settled_ns: u64,
    records: usize,
    /// How many records are told apart.
    records_max: usize,
    /// No room could be made for further records since the last sweep.
    crowded: bool,
    forgotten: Forgotten,
    /// Bytes that all this takes, when it was last weighed, and after how many events it is weighed again.
    weight: u64,
    weigh_at: u64,
}

/// A process and what it did.
#[derive(Debug, Default)]
pub(super) struct Actor {
    pub(super) process: Option<Process>,
    /// What else it ran.
    pub(super) programs: Programs,
    /// What it read, by store.
    pub(super) readings: BTreeMap<String, Reading>,
    /// What it sent, by destination.
    pub(super) sendings: BTreeMap<Destination, Sending>,
    /// Alerts it is the sender of, by store and destination.
    pub(super) cases: BTreeMap<(String, Destination), Case>,
    /// What of that has been told as leaking little by little.
    pub(super) leaked: BTreeMap<(String, Destination), Leaked>,
    /// What it tried on the sensor.
    pub(super) tampering: Option<Tampering>,
    /// What it took away, by store.
    pub(super) wipings: BTreeMap<String, Wiping>,
    /// What it took away, or may have, since it was last asked, by store.
    pub(super) taken: Vec<(String, Taken)>,
    /// Stores of which it is counted with what others of its session or service took away.
    took_together: BTreeSet<String>,
    pub(super) destinations_forgotten: u64,
    /// It sent what others may have read.
    joined: bool,
    touched: u64,
}

impl Actor {
    /// When it exited, as far as is known.
    pub(super) fn exited_ns(&self) -> Option<u64> {
        self.process.as_ref()?.exited_ns
    }

    /// Name of the user it runs as, or the number where the host has no name for it.
    pub(super) fn user(&self) -> Option<std::borrow::Cow<'_, str>> {
        let process = self.process.as_ref()?;
        Some(if process.user.is_empty() {
            process.uid.to_string().into()
        } else {
            process.user.as_str().into()
        })
    }

    /// Records that count against the bound on them.
    fn records_kept(&self) -> usize {
        let read = self.readings.values().map(Reading::records_kept);
        let wiped = self.wipings.values().map(Wiping::records_kept);
        read.chain(wiped).sum()
    }
}

impl Host {
    /// A boot of which nothing is known; `window_ns` is how long what was handed on can be in an alert.
    pub(super) fn new(origin: Origin, window_ns: u64) -> Self {
        Self {
            origin,
            handed_on_ns: window_ns.max(limits::LATE_NS),
            processes: BTreeMap::new(),
            lineage: Lineage::default(),
            served: Vec::new(),
            read_by: Readers::default(),
            together: BTreeMap::new(),
            groups: BTreeMap::new(),
            readers: BTreeMap::new(),
            sent: slow::Sent::default(),
            gaps: VecDeque::new(),
            doubled: Doubles::new(),
            changed: BTreeSet::new(),
            events: 0,
            newest_ns: 0,
            settled_ns: 0,
            records: 0,
            records_max: limits::RECORDS,
            crowded: false,
            forgotten: Forgotten::default(),
            weight: 0,
            weigh_at: 0,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Time of the latest event, nanoseconds since the Unix epoch.
    pub(super) fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// What is older has all come, as far as the sensor said; nanoseconds since the Unix epoch.
    pub(super) fn settled_ns(&self) -> u64 {
        self.settled_ns
    }

    /// Takes in what a block says of what is still to come. Its events are in the order of their numbers, and nothing older than the
    /// first is to come unless it says so: whatever else comes late was ahead of it on its way.
    pub(super) fn settle(&mut self, block: &Block) {
        if let Some((first_ns, _)) = block.span().filter(|_| !block.older_to_come) {
            self.settled_ns = self.settled_ns.max(first_ns);
        }
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

    pub(super) fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.processes.values()
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

    pub(super) fn process(&mut self, process: &Process, at_ns: u64) {
        self.lineage.started(process, at_ns);
        self.touch_ancestors(process.parent);
        let actor = self.touch(process.key);
        let known = actor.process.as_ref();
        let program = known.map(|known| known.executable.as_str());
        let is_newest = actor.programs.tell(program, &process.executable, at_ns);
        // An exit that came once stays, whatever is said of the process later.
        let exited_ns = process.exited_ns.or(actor.exited_ns());
        match &mut actor.process {
            Some(known) if !is_newest => known.exited_ns = exited_ns,
            known => {
                *known = Some(Process {
                    exited_ns,
                    ..process.clone()
                });
            }
        }
        let acted = !actor.readings.is_empty() || !actor.sendings.is_empty();
        let started_them = |together: &Together| together.common == Some(process.key);
        if acted || actor.tampering.is_some() || self.together.values().any(started_them) {
            self.changed.insert(process.key);
        }
    }

    /// A process was at a record; true when it is the first time on this day that it reads it.
    pub(super) fn access(&mut self, access: &Access) -> bool {
        self.lineage.access(access);
        if self.records >= self.records_max && !self.crowded {
            let enough = self.records_max - self.records_max / limits::RECORDS_LET_GO;
            self.let_records_go(enough);
        }
        let room = self.records < self.records_max;
        let actor = self.touch(access.process);
        actor.programs.touched(access.first_ns);
        let reading = match actor.readings.get_mut(&access.store) {
            Some(reading) => reading,
            None => actor.readings.entry(access.store.clone()).or_default(),
        };
        let found = reading.add(access, room);
        let read_before = reading.has(&access.record);
        let mut kept = usize::from(found == Found::New);
        if let Some(taken) = Taken::of(access, read_before) {
            if taken.is_certain() {
                let wiping = actor.wipings.entry(access.store.clone()).or_default();
                kept += wiping.add(&taken, room);
            }
            actor.taken.push((access.store.clone(), taken));
        }
        self.records += kept;
        if matches!(found, Found::New | Found::NewToday) {
            self.read_by.add(access);
        }
        self.changed.insert(access.process);
        match found {
            Found::New | Found::NewToday => true,
            Found::Known => false,
            // Each opening counts: too many are better than none.
            Found::NotToldApart => access.opens > 0,
        }
    }

    /// A process sent or received; `visit` says whether a place is new to a program.
    pub(super) fn flow(&mut self, flow: &Flow, visit: impl FnOnce(&str) -> bool) {
        let to = destination(flow);
        let actor = self.processes.get(&flow.process);
        let is_known = actor.is_some_and(|actor| actor.sendings.contains_key(&to));
        let goes_out = flow.direction != Direction::Accepted && !flow.remote.ip().is_loopback();
        let process = actor.and_then(|actor| actor.process.as_ref());
        let new_place =
            !is_known && goes_out && visit(process.map_or("", |process| &process.executable));
        let sending = self.sending(flow.process, to);
        sending.new_place |= new_place;
        sending.add(flow);
    }

    /// What a process that reads a store is to the baseline, if it is known.
    pub(super) fn habit(&self, process: ProcessKey, store: &str) -> Option<Habit> {
        let actor = self.processes.get(&process)?;
        Some(Habit {
            store: store.to_owned(),
            executable: actor.process.as_ref()?.executable.clone(),
            user: actor.user()?.into_owned(),
        })
    }

    /// The readers of stores that have ended in this block, each on the day it last read.
    pub(super) fn ended(&self, block: &Block) -> bulk::Readers {
        let ended = block.events.iter().filter_map(|event| match &event.what {
            What::Process(process) if process.exited_ns.is_some() => Some(process.key),
            _ => None,
        });
        let mut readers = bulk::Readers::new();
        for key in ended {
            let readings = self.processes.get(&key).map(|actor| &actor.readings);
            for (store, reading) in readings.into_iter().flatten() {
                let day = baseline::day(reading.last_ns);
                readers.extend(self.habit(key, store).map(|habit| ((habit, day), key)));
            }
        }
        readers
    }

    /// What was sent since the last time that no alert tells of.
    pub(super) fn sent(&mut self) -> slow::Sent {
        std::mem::take(&mut self.sent)
    }

    /// An approved way was used.
    pub(super) fn used(&mut self, way: &str, at_ns: u64) {
        self.sent.used.push((way.to_owned(), at_ns));
    }

    /// What a process sent to a destination, made when it is new.
    fn sending(&mut self, process: ProcessKey, destination: Destination) -> &mut Sending {
        self.changed.insert(process);
        let actor = self.touch(process);
        if !actor.sendings.contains_key(&destination)
            && actor.sendings.len() >= limits::DESTINATIONS_PER_PROCESS
        {
            forget_weakest(actor);
        }
        actor.sendings.entry(destination).or_default()
    }

    pub(super) fn edge(&mut self, edge: &Edge) {
        self.lineage.edge(edge);
        if let (End::Process(process), End::Carrier(carrier)) = (&edge.from, &edge.to)
            && carrier.medium != Medium::Fixed
        {
            self.written(*process, carrier, edge);
        }
        let over_socket = matches!(edge.kind, EdgeKind::UnixSocket | EdgeKind::Loopback);
        if over_socket && !edge.stores.is_empty() {
            self.served.push(edge.clone());
        }
    }

    /// A process wrote to a file that lies on what leads out of the host: it is a way like any other.
    fn written(&mut self, process: ProcessKey, carrier: &Carrier, edge: &Edge) {
        let destination = Destination {
            protocol: 0,
            direction: Direction::Connected,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            disk: Some(Disk {
                medium: carrier.medium,
                device: carrier.key.device,
            }),
        };
        self.sending(process, destination)
            .write(edge, &carrier.path);
    }

    /// What came from a process that holds records of a store but was never seen to read any was served out of its memory: by a
    /// database, or an archive that had them before the sensor was there. Asked when all of the block has been passed on.
    fn serve(&mut self) {
        for edge in std::mem::take(&mut self.served) {
            let End::Process(server) = edge.from else {
                continue;
            };
            for store in &edge.stores {
                if self.lineage.has_of_others(server, store) {
                    continue;
                }
                let actor = self.touch(server);
                let reading = actor.readings.entry(store.clone()).or_default();
                if reading.serve(&edge) {
                    self.lineage.served(server, store, &edge);
                    self.changed.insert(server);
                }
            }
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

    pub(super) fn conflict(&mut self, conflict: &Conflict, at_ns: u64) {
        let key = (conflict.epoch, conflict.kind);
        if !self.doubled.contains_key(&key) && self.doubled.len() >= limits::CONFLICTS {
            return;
        }
        let doubled = self
            .doubled
            .entry(key)
            .or_insert_with(|| Doubled::new(conflict, at_ns));
        doubled.times += 1;
        doubled.last_ns = doubled.last_ns.max(at_ns);
    }

    pub(super) fn take_doubled(&mut self) -> Doubles {
        std::mem::take(&mut self.doubled)
    }

    pub(super) fn put_doubled(&mut self, doubled: Doubles) {
        self.doubled = doubled;
    }

    /// Judges what has changed since the last time.
    pub(super) fn judge(&mut self, config: &DetectConfig) -> Vec<Alert> {
        let mut grown = self.lineage.spread();
        self.serve();
        let mut alerts = Vec::new();
        let mut changed = std::mem::take(&mut self.changed);
        for key in changed.iter().copied() {
            // Taken out while it is judged, so that the rest of the host can be looked at as evidence.
            let Some(mut actor) = self.processes.remove(&key) else {
                continue;
            };
            pattern::direct::judge(config, self, key, &mut actor, &mut alerts);
            let mut sent = std::mem::take(&mut self.sent);
            slow::of_process(config, self, key, &mut actor, &mut sent);
            self.sent = sent;
            pattern::tampering::judge(self, key, &mut actor, &mut alerts);
            pattern::wipe::judge(config, self, key, &mut actor, &mut alerts);
            self.processes.insert(key, actor);
        }
        pattern::wipe::judge_together(config, self, &changed, &mut alerts);
        changed.append(&mut grown);
        changed.append(&mut self.lineage.spread());
        pattern::chain::judge(config, self, &changed, &mut alerts);
        alerts
    }

    /// True when a process was started by another, or by one that it started.
    pub(super) fn descends(&self, process: ProcessKey, from: ProcessKey) -> bool {
        let mut next = process;
        for _ in 0..limits::CHAIN {
            let actor = self.processes.get(&next);
            let Some(parent) = actor.and_then(|actor| actor.process.as_ref()?.parent) else {
                return false;
            };
            if parent == from {
                return true;
            }
            next = parent;
        }
        false
    }

    pub(super) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Puts a sender among those of its lineage who sent the same store's records to the same place.
    pub(super) fn join(&mut self, key: GroupKey, sender: ProcessKey) {
        if !self.groups.contains_key(&key) && self.groups.len() >= limits::LINEAGES {
            self.forget_groups(limits::LINEAGES / 8);
        }
        if let Some(actor) = self.processes.get_mut(&sender) {
            actor.joined = true;
        }
        let group = self.groups.entry(key).or_default();
        group.senders.insert(sender);
        group.touched = self.events;
    }

    /// Groups that can have something of what a process read.
    pub(super) fn groups_of_reader(&self, reader: ProcessKey) -> impl Iterator<Item = &GroupKey> {
        self.readers.get(&reader).into_iter().flatten()
    }

    /// From now on the group is looked at when one of these readers has done something.
    pub(super) fn watch(&mut self, key: &GroupKey, readers: impl Iterator<Item = ProcessKey>) {
        for reader in readers {
            let groups = self.readers.entry(reader).or_default();
            if !groups.contains(key) {
                groups.insert(key.clone());
            }
        }
    }

    pub(super) fn group(&self, key: &GroupKey) -> Option<&Group> {
        self.groups.get(key)
    }

    /// More of what a group sent leaks little by little.
    pub(super) fn leak(&mut self, key: &GroupKey, all: Marks, news: slow::News) {
        if let Some(group) = self.groups.get_mut(key) {
            group.leaked = all;
            self.sent.leaks.push(news);
        }
    }

    /// The group's alert has been told.
    pub(super) fn told(&mut self, key: &GroupKey, case: Case) {
        if let Some(group) = self.groups.get_mut(key) {
            group.told = Some(case);
        }
    }

    /// The topmost process of the session or service that a process is of: what started it, as long as unit and session
    /// are the same, and short of the first process of all.
    pub(super) fn root(&self, key: ProcessKey) -> ProcessKey {
        let of = |key: ProcessKey| self.processes.get(&key)?.process.as_ref();
        let mut root = key;
        for _ in 0..limits::CHAIN {
            let Some(process) = of(root) else {
                break;
            };
            let parent = process.parent.filter(|parent| parent.pid > 1);
            let Some(parent) = parent.and_then(of) else {
                break;
            };
            if (&parent.unit, parent.session) != (&process.unit, process.session) {
                break;
            }
            root = parent.key;
        }
        root
    }

    /// The process's entry, made when it is new, and marked as just used.
    fn touch(&mut self, key: ProcessKey) -> &mut Actor {
        if !self.processes.contains_key(&key) && self.processes.len() >= limits::PROCESSES {
            self.forget_processes(limits::PROCESSES_FORGOTTEN_AT_ONCE);
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
        disk: None,
    }
}

#[cfg(test)]
mod tests;
