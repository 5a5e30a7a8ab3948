//! What can have come from whom: processes and carriers of one boot of a host, and the steps between them.
//!
//! Whoever reads records is a *source*. Every process and carrier keeps, by store and source, a [`Share`]: how many bytes
//! can have come from there at most, and since when. A share goes on along a step no wider than the bytes that went over
//! it since the share was there, so it is bounded by the narrowest step of a path whose steps are in order of time.
//! Of several paths the widest counts, and the earliest time: an upper bound that only grows. What a process took out of
//! several carriers adds up: a store that was copied file by file is packed out of as many files. So does what several processes
//! put into a carrier, as far as it is known how much: an archive in parts goes through one pipe by a program for each part.
//!
//! Shares are passed on when they or a step have grown, and only from there on, until nothing grows any more. Where that
//! ends does not depend on the order in which it is done, so neither on how events were cut into blocks.
//!
//! **Invariant:** memory is bounded by [`limits`]; steps that carry nothing go first, then those longest unused, and what
//! was forgotten is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slotmap::{KeyData, SlotMap, new_key_type};

use super::few::Few;
use super::ledger::Ledger;
use super::limits;
use crate::event::{
    Access, Carrier, CarrierKey, CarrierKind, Edge, EdgeKind, End, Medium, Process, ProcessKey,
};

/// Sums of a tick do not tell what came first in it; a sensor's tick is 200 ms, and this is what order may be off by.
const TICK_NS: u64 = 250_000_000;

/// A process, or what lies between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    Process(ProcessKey),
    Carrier(CarrierKey),
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// A process was started by another.
    Start,
    /// As an edge says.
    Edge(EdgeKind),
}

new_key_type! {
    /// A node of the graph; never that of another once it is forgotten.
    struct Id;
}

/// Before every node; the null key of a slot map comes behind all others.
fn least() -> Id {
    KeyData::from_ffi(0).into()
}

/// From, to, how.
type StepKey = (Id, Id, Way);

/// Whose records: the store's number, and the process that read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ShareKey {
    store: u32,
    source: ProcessKey,
}

/// What can have come from one source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Bytes at most.
    pub(super) bytes: u64,
    /// Not before this moment, nanoseconds since the Unix epoch.
    pub(super) first_ns: u64,
    /// The last step of the widest path; `None` at the source.
    via: Option<(Id, Way)>,
    /// Bytes that came by that step.
    widest: u64,
    /// Bytes that came out of carriers, or into one, all together.
    carried: u64,
}

/// What went over a step.
#[derive(Debug, Default)]
struct Step {
    sums: Ledger<{ limits::MOMENTS_PER_STEP }>,
    bytes: u64,
    first_ns: u64,
    last_ns: u64,
    /// How much went over is not known, or bounded by nothing.
    boundless: bool,
    /// Of a step out of a carrier or into one: what it has added to the shares of what it leads to.
    added: Few<ShareKey, u64>,
}

impl Step {
    /// Bytes at or after a moment.
    fn since(&self, at_ns: u64) -> u64 {
        if self.boundless && self.last_ns >= at_ns {
            return u64::MAX;
        }
        self.sums.since(at_ns)
    }
}

/// What is known of a process or carrier.
#[derive(Debug)]
struct State {
    node: Node,
    shares: Few<ShareKey, Share>,
    /// Bytes of all steps that lead here.
    incoming: u64,
    /// Where a carrier lies, and on what.
    path: Box<str>,
    medium: Medium,
    /// Last time anything came, went or was read, nanoseconds since the Unix epoch.
    last_ns: u64,
}

impl State {
    fn new(node: Node) -> Self {
        Self {
            node,
            shares: Few::default(),
            incoming: 0,
            path: Box::default(),
            medium: Medium::Fixed,
            last_ns: 0,
        }
    }
}

/// A step of a path, as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) from: Node,
    pub(super) to: Node,
    pub(super) way: Way,
    /// Bytes that went over it; `None` when that is not known.
    pub(super) bytes: Option<u64>,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

/// The graph.
#[derive(Debug)]
pub(super) struct Lineage {
    /// How many steps, and how many processes and carriers, are kept.
    max: usize,
    nodes: SlotMap<Id, State>,
    /// Only looked up in, so that its order does not matter.
    ids: HashMap<Node, Id>,
    steps: BTreeMap<StepKey, Step>,
    stores: BTreeMap<String, u32>,
    /// Steps that have grown, and shares that have, since the last time they were passed on.
    wider: BTreeSet<StepKey>,
    news: BTreeMap<Id, BTreeSet<ShareKey>>,
    /// Processes that can have more since that was last asked.
    grown: BTreeSet<ProcessKey>,
    /// Sources of which somebody else, or a carrier, has a share.
    handed_on: BTreeSet<ProcessKey>,
    forgotten: u64,
}

impl Default for Lineage {
    fn default() -> Self {
        Self::with_room_for(limits::STEPS)
    }
}

impl Lineage {
    pub(super) fn with_room_for(max: usize) -> Self {
        Self {
            max,
            nodes: SlotMap::with_key(),
            ids: HashMap::new(),
            steps: BTreeMap::new(),
            stores: BTreeMap::new(),
            wider: BTreeSet::new(),
            news: BTreeMap::new(),
            grown: BTreeSet::new(),
            handed_on: BTreeSet::new(),
            forgotten: 0,
        }
    }

    /// A process read records.
    pub(super) fn access(&mut self, access: &Access) {
        let taken = access.bytes_read.saturating_add(access.bytes_mapped);
        if taken > 0 {
            let span = (access.first_ns, access.last_ns);
            self.took(access.process, &access.store, taken, span);
        }
    }

    fn took(
        &mut self,
        source: ProcessKey,
        store: &str,
        taken: u64,
        (first_ns, last_ns): (u64, u64),
    ) {
        let key = ShareKey {
            store: self.store(store),
            source,
        };
        self.make_room();
        let id = self.id(Node::Process(source), last_ns);
        let none = Share {
            bytes: 0,
            first_ns,
            via: None,
            widest: 0,
            carried: 0,
        };
        let share = self.nodes[id].shares.or_insert(key, none);
        share.bytes = share.bytes.saturating_add(taken);
        share.first_ns = share.first_ns.min(first_ns);
        self.news.entry(id).or_default().insert(key);
    }

    /// A process served records out of its memory: a source of as much.
    pub(super) fn served(&mut self, server: ProcessKey, store: &str, edge: &Edge) {
        self.took(server, store, edge.bytes, (edge.first_ns, edge.last_ns));
    }

    /// Something was handed on.
    pub(super) fn edge(&mut self, edge: &Edge) {
        self.make_room();
        let from = self.end(&edge.from, edge.last_ns);
        let to = self.end(&edge.to, edge.last_ns);
        // Of memory that was read it may not be known how much; of everything else the sensor counts the bytes.
        let boundless = edge.bytes == 0
            && matches!(
                edge.kind,
                EdgeKind::MemoryCall | EdgeKind::Ptrace | EdgeKind::ProcMem
            );
        self.step(
            (from, to, Way::Edge(edge.kind)),
            edge.bytes,
            boundless,
            (edge.first_ns, edge.last_ns),
        );
    }

    /// A process was started: as a copy it has all its parent had, as a program only what it was given.
    pub(super) fn started(&mut self, process: &Process, told_ns: u64) {
        let Some(parent) = process.parent.filter(|parent| *parent != process.key) else {
            return;
        };
        self.make_room();
        let at_ns = process.started_ns;
        let key = (
            self.id(Node::Process(parent), at_ns),
            self.id(Node::Process(process.key), at_ns),
            Way::Start,
        );
        let known = self
            .steps
            .get(&key)
            .map(|step| (step.bytes, step.boundless));
        let (given, copy) = (process.given_bytes, process.given_bytes == 0);
        let news = known.is_none_or(|(bytes, boundless)| given > bytes || copy && !boundless);
        if news {
            let more = given.saturating_sub(known.map_or(0, |(bytes, _)| bytes));
            // When it became a program is not told; not after it was told of.
            let last_ns = if copy {
                process.started_ns
            } else {
                process.started_ns.max(told_ns)
            };
            self.step(key, more, copy, (process.started_ns, last_ns));
        }
    }

    /// Passes on what has grown. Returns the processes that can have more than before.
    pub(super) fn spread(&mut self) -> BTreeSet<ProcessKey> {
        let mut grown = std::mem::take(&mut self.grown);
        loop {
            if let Some(key) = self.wider.pop_first() {
                self.pass(key, None, &mut grown);
            } else if let Some((id, shares)) = self.news.pop_first() {
                let on: Vec<StepKey> = self
                    .steps
                    .range((id, least(), Way::Start)..)
                    .take_while(|((from, _, _), _)| *from == id)
                    .map(|(key, _)| *key)
                    .collect();
                for key in on {
                    self.pass(key, Some(&shares), &mut grown);
                }
            } else {
                return grown;
            }
        }
    }

    /// True when somebody else may have what this process read.
    pub(super) fn has_handed_on(&self, process: ProcessKey) -> bool {
        self.handed_on.contains(&process)
    }

    /// Stores of which the process can have records, and whether any of them were read by another.
    pub(super) fn stores(&self, process: ProcessKey) -> Vec<(&str, bool)> {
        let Some(state) = self.state(Node::Process(process)) else {
            return Vec::new();
        };
        let mut found: BTreeMap<u32, bool> = BTreeMap::new();
        for (key, _) in state.shares.iter() {
            *found.entry(key.store).or_default() |= key.source != process;
        }
        self.stores
            .iter()
            .filter_map(|(name, number)| Some((name.as_str(), *found.get(number)?)))
            .collect()
    }

    /// What the process can have of a store's records, by the processes that read them.
    pub(super) fn shares(
        &self,
        process: ProcessKey,
        store: &str,
    ) -> impl Iterator<Item = (ProcessKey, &Share)> {
        let state = self.state(Node::Process(process));
        let number = self.stores.get(store).copied();
        state
            .zip(number)
            .into_iter()
            .flat_map(|(state, number)| {
                state
                    .shares
                    .since(first_of(number))
                    .take_while(move |(key, _)| key.store == number)
            })
            .map(|(key, share)| (key.source, share))
    }

    /// True when the process can have what others read of a store.
    pub(super) fn has_of_others(&self, process: ProcessKey, store: &str) -> bool {
        self.shares(process, store)
            .any(|(source, _)| source != process)
    }

    /// Bytes that have come to the process, whatever they were.
    pub(super) fn incoming(&self, process: ProcessKey) -> u64 {
        self.state(Node::Process(process))
            .map_or(0, |state| state.incoming)
    }

    /// A carrier, with what is known of where it lies.
    pub(super) fn carrier(&self, key: CarrierKey) -> Carrier {
        let state = self.state(Node::Carrier(key));
        Carrier {
            key,
            path: state.map_or_else(String::new, |state| state.path.to_string()),
            medium: state.map_or(Medium::Fixed, |state| state.medium),
        }
    }

    /// True when what came from a source by the widest path lay in a file on the way.
    pub(super) fn lay_in_file(&self, store: &str, source: ProcessKey, to: ProcessKey) -> bool {
        let is_file = |node| matches!(node, Node::Carrier(key) if key.kind == CarrierKind::File);
        let path = self.path(store, source, to);
        path.into_iter().any(|hop| is_file(hop.from))
    }

    /// The widest path from a source, its first step first.
    pub(super) fn path(&self, store: &str, source: ProcessKey, to: ProcessKey) -> Vec<Hop> {
        let Some(store) = self.stores.get(store).copied() else {
            return Vec::new();
        };
        let key = ShareKey { store, source };
        let mut hops = Vec::new();
        let mut next = self.ids.get(&Node::Process(to)).copied();
        while let Some(id) = next.take_if(|_| hops.len() < limits::PATH) {
            let state = self.nodes.get(id);
            let share = state.and_then(|state| Some((state.node, state.shares.get(key)?.via?)));
            let Some((node, (from, way))) = share else {
                break;
            };
            // A step whose beginning was forgotten is the first that can be told, and not told.
            let Some(begin) = self.nodes.get(from) else {
                break;
            };
            let step = self.steps.get(&(from, id, way));
            hops.push(Hop {
                from: begin.node,
                to: node,
                way,
                bytes: step.filter(|step| !step.boundless).map(|step| step.bytes),
                first_ns: step.map_or(0, |step| step.first_ns),
                last_ns: step.map_or(0, |step| step.last_ns),
            });
            next = Some(from);
        }
        hops.reverse();
        hops
    }

    /// Steps and shares that were forgotten to bound memory.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn store(&mut self, name: &str) -> u32 {
        if let Some(number) = self.stores.get(name) {
            return *number;
        }
        let number = u32::try_from(self.stores.len()).unwrap_or(u32::MAX);
        self.stores.insert(name.to_owned(), number);
        number
    }

    fn end(&mut self, end: &End, at_ns: u64) -> Id {
        match end {
            End::Process(key) => self.id(Node::Process(*key), at_ns),
            End::Carrier(carrier) => {
                let id = self.id(Node::Carrier(carrier.key), at_ns);
                let state = &mut self.nodes[id];
                state.medium = carrier.medium;
                if !carrier.path.is_empty() && *state.path != *carrier.path {
                    state.path = carrier.path.as_str().into();
                }
                id
            }
        }
    }

    /// Which node a process or carrier is, made when it is new, and used at this moment.
    fn id(&mut self, node: Node, at_ns: u64) -> Id {
        let nodes = &mut self.nodes;
        let new = || nodes.insert(State::new(node));
        let id = *self.ids.entry(node).or_insert_with(new);
        let state = &mut self.nodes[id];
        state.last_ns = state.last_ns.max(at_ns);
        id
    }

    fn state(&self, node: Node) -> Option<&State> {
        self.nodes.get(*self.ids.get(&node)?)
    }

    /// Makes sure that a step and both its ends will find room.
    fn make_room(&mut self) {
        let (nodes, steps) = (self.nodes.len() + 2, self.steps.len() + 1);
        if nodes > self.max || steps > self.max {
            // What was not passed on yet would look like nothing.
            let grown = self.spread();
            self.grown.extend(grown);
        }
        if nodes > self.max {
            self.forget_nodes((self.max / 8).max(2));
        }
        if steps > self.max {
            self.forget_steps(self.max / 8);
        }
    }

    /// Lets go half of it.
    pub(super) fn forget_half(&mut self) {
        let grown = self.spread();
        self.grown.extend(grown);
        self.forget_steps(self.steps.len().div_ceil(2));
        self.forget_nodes(self.nodes.len().div_ceil(2));
    }

    /// How many steps there are, or processes and carriers, whichever is more.
    pub(super) fn size(&self) -> usize {
        self.steps.len().max(self.nodes.len())
    }

    fn step(&mut self, key: StepKey, bytes: u64, boundless: bool, (first_ns, last_ns): (u64, u64)) {
        let step = self.steps.entry(key).or_default();
        if step.last_ns == 0 {
            step.first_ns = first_ns;
        }
        step.first_ns = step.first_ns.min(first_ns);
        step.last_ns = step.last_ns.max(last_ns);
        step.bytes = step.bytes.saturating_add(bytes);
        step.boundless |= boundless;
        step.sums.add(last_ns, bytes);
        let to = &mut self.nodes[key.1];
        let more = if boundless { u64::MAX } else { bytes };
        to.incoming = to.incoming.saturating_add(more);
        self.wider.insert(key);
    }

    /// Passes shares on over one step: all of them, or those named.
    fn pass(
        &mut self,
        (from, to, way): StepKey,
        which: Option<&BTreeSet<ShareKey>>,
        grown: &mut BTreeSet<ProcessKey>,
    ) {
        let Some((step, state)) = self.steps.get(&(from, to, way)).zip(self.nodes.get(from)) else {
            return;
        };
        let Some(target) = self.nodes.get(to).map(|state| state.node) else {
            return;
        };
        let is_carrier = matches!(state.node, Node::Carrier(_));
        let adds_up = is_carrier || matches!(target, Node::Carrier(_)) && !step.boundless;
        let on = |(key, share): (ShareKey, &Share)| {
            let room = step.since(share.first_ns.saturating_sub(TICK_NS));
            let passed = Share {
                bytes: share.bytes.min(room),
                first_ns: share.first_ns.max(step.first_ns),
                via: Some((from, way)),
                widest: share.bytes.min(room),
                carried: 0,
            };
            // What a process itself put into a file is nothing new to it.
            let own = is_carrier && share.via.is_some_and(|(writer, _)| writer == to);
            let back = Node::Process(key.source) == target || own;
            (passed.bytes > 0 && !back).then_some((key, passed))
        };
        let passed: Vec<(ShareKey, Share)> = match which {
            None => {
                let all = state.shares.iter();
                all.filter_map(|(key, share)| on((*key, share))).collect()
            }
            Some(which) => {
                let known = which.iter();
                let known = known.filter_map(|key| Some((*key, state.shares.get(*key)?)));
                known.filter_map(on).collect()
            }
        };
        for (key, mut share) in passed {
            if adds_up {
                share.carried = self.more(&(from, to, way), key, share.bytes);
            }
            if self.take(to, key, share) {
                self.news.entry(to).or_default().insert(key);
                // What lies in a file may be taken out of it long after who put it there has ended.
                self.handed_on.insert(key.source);
                if let Node::Process(process) = target {
                    grown.insert(process);
                }
            }
        }
    }

    /// How much more than before a step out of a carrier or into one gives of a share.
    fn more(&mut self, step: &StepKey, key: ShareKey, bytes: u64) -> u64 {
        let Some(step) = self.steps.get_mut(step) else {
            return 0;
        };
        let before = step.added.or_insert(key, 0);
        let more = bytes.saturating_sub(*before);
        *before = bytes.max(*before);
        more
    }

    /// Takes a share; true when it is more than was there.
    fn take(&mut self, id: Id, key: ShareKey, share: Share) -> bool {
        let shares = &mut self.nodes[id].shares;
        if let Some(known) = shares.get_mut(key) {
            known.carried = known.carried.saturating_add(share.carried);
            let bytes = share.bytes.max(known.carried);
            let (wider, earlier) = (bytes > known.bytes, share.first_ns < known.first_ns);
            known.bytes = known.bytes.max(bytes);
            if share.widest > known.widest && known.via.is_some() {
                known.via = share.via;
                known.widest = share.widest;
            }
            known.first_ns = known.first_ns.min(share.first_ns);
            return wider || earlier;
        }
        if shares.len() >= limits::SHARES_PER_NODE {
            self.forgotten += 1;
            let weakest = shares.iter().min_by_key(|(_, share)| share.bytes);
            match weakest.map(|(key, share)| (*key, share.bytes)) {
                Some((weakest, bytes)) if bytes < share.bytes => shares.remove(weakest),
                _ => return false,
            };
        }
        shares.or_insert(key, share);
        true
    }

    /// Lets go so many steps, first those from where nothing comes, then those longest unused, of these the narrowest. What came by them stays.
    fn forget_steps(&mut self, count: usize) {
        let mut order: Vec<(bool, u64, u64, StepKey)> = self
            .steps
            .iter()
            .map(|(key, step)| (self.has_shares(key.0), step.last_ns, step.bytes, *key))
            .collect();
        order.sort_unstable();
        for (carries, _, _, key) in order.into_iter().take(count) {
            self.steps.remove(&key);
            self.wider.remove(&key);
            self.forgotten += u64::from(carries);
        }
    }

    /// Lets go so many processes and carriers, first those that have nothing, then those longest unused; and the steps from and to them.
    fn forget_nodes(&mut self, count: usize) {
        let mut order: Vec<(bool, u64, Node, Id)> = self
            .nodes
            .iter()
            .map(|(id, state)| (!state.shares.is_empty(), state.last_ns, state.node, id))
            .collect();
        order.sort_unstable();
        for (carries, _, node, id) in order.into_iter().take(count) {
            self.nodes.remove(id);
            self.ids.remove(&node);
            self.news.remove(&id);
            if let Node::Process(process) = node {
                self.handed_on.remove(&process);
            }
            self.forgotten += u64::from(carries);
        }
        let nodes = &self.nodes;
        let whole = |(from, to, _): &StepKey| nodes.contains_key(*from) && nodes.contains_key(*to);
        self.steps.retain(|key, _| whole(key));
        self.wider.retain(whole);
    }

    fn has_shares(&self, id: Id) -> bool {
        let state = self.nodes.get(id);
        state.is_some_and(|state| !state.shares.is_empty())
    }
}

/// Before every share of a store.
const fn first_of(store: u32) -> ShareKey {
    ShareKey {
        store,
        source: ProcessKey {
            pid: 0,
            start_cs: 0,
        },
    }
}

#[cfg(test)]
mod tests;
