//! What the kernel does not say: who a process is, whom it belongs to, where it came from, and what a record is called.
//!
//! Every process of the host is kept in a table of this host's own, filled from /proc at start and by fork, exec and
//! exit events from then on. A process leaves the host only when a record or a flow refers to it, or to a descendant:
//! what staff do elsewhere on the machine is nobody's business. It is then sent after its ancestors and before the event
//! that refers to it, once, and again when it changes.
//!
//! **Invariant:** an event is never dropped for want of something to say about it, and an event of an access or a flow
//! costs no system call unless it is the first of its process.

mod cgroup;
mod media;
mod names;
mod procfs;
mod stage;
mod table;
mod users;

use std::path::PathBuf;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::config::Store;
use crate::event::{
    Access, CarrierKind, End, Event, Exec, Exit, Fork, Medium, ProcessKey, RecordId, StoreId, What,
};
use crate::metrics::Metrics;
use crate::privacy::Privacy;
use crate::report::{Body, Image, NamedAccess, NamedEdge, Owner, Process, Report};
use media::Media;
use names::Names;
use procfs::{Pid, ProcFs};
pub use stage::Stage;
use table::{Entry, Table};
use users::Users;

/// Most bytes of arguments kept per process, before names in them become tokens.
pub const ARGUMENTS_BYTES_MAX: usize = 8 * 1024;
/// Most ancestors sent for one process: a bound for chains that a damaged table might close to a ring.
const ANCESTORS_MAX: usize = 128;

/// Where the host's own knowledge lies; another place in tests.
#[derive(Debug, Clone)]
pub struct Places {
    /// The process file system.
    pub proc: PathBuf,
    /// The user database.
    pub passwd: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            passwd: "/etc/passwd".into(),
        }
    }
}

/// Turns events into reports.
#[derive(Debug)]
pub struct Enricher {
    proc: ProcFs,
    users: Users,
    privacy: Privacy,
    stores: Vec<Arc<str>>,
    table: Table,
    names: Names,
    /// Where carriers lie, by the same bounds.
    carriers: Names,
    media: Media,
    metrics: Arc<Metrics>,
    /// Round of sending: an entry whose `sent` is an older one has to be sent again.
    round: u64,
    turn: Turn,
}

/// What is known for one turn. Most programs that a script starts have ended by the time their turn comes: of these /proc
/// says nothing any more, and what stands for it is their parent's, which is asked once.
#[derive(Debug, Default)]
struct Turn {
    /// Processes that end in it.
    ended: HashSet<ProcessKey>,
    /// Working directories of parents.
    directories: HashMap<ProcessKey, Option<PathBuf>>,
}

impl Enricher {
    /// An enricher that knows nobody yet; [`Enricher::scan`] comes next.
    #[must_use]
    pub fn new(places: Places, stores: &[Store], privacy: Privacy, metrics: Arc<Metrics>) -> Self {
        Self {
            proc: ProcFs::new(places.proc),
            users: Users::new(places.passwd),
            privacy,
            stores: stores
                .iter()
                .map(|store| store.name.as_str().into())
                .collect(),
            table: Table::new(table::PROCESSES_MAX),
            names: Names::new(names::NAMES_MAX),
            carriers: Names::new(names::CARRIERS_MAX),
            media: Media::new(),
            metrics,
            round: 1,
            turn: Turn::default(),
        }
    }

    /// Takes every process of the host into the table.
    pub fn scan(&mut self) {
        for key in self.proc.keys() {
            self.look_up(key);
        }
    }

    /// From now on every process is sent again before it is referred to.
    pub fn begin_round(&mut self, round: u64) {
        self.round = round;
    }

    /// One tick's events to reports.
    pub fn turn(&mut self, events: Vec<Event>) -> Vec<Report> {
        self.users.refresh();
        let mut out = Vec::with_capacity(events.len());
        self.metrics.events_in.add(events.len() as u64);
        self.turn = Turn::default();
        self.turn.ended.extend(events.iter().filter_map(ended));
        let mut latest = 0;
        for Event { boot_ns, what } in events {
            latest = latest.max(boot_ns);
            self.event(boot_ns, what, &mut out);
        }
        self.table.expire(latest);
        self.metrics.reports_out.add(out.len() as u64);
        out
    }

    /// Compares the table with /proc, so that a lost exit leaves no dead entry for ever and a lost fork no hole.
    pub fn reconcile(&mut self, now_boot_ns: u64) -> Vec<Report> {
        self.media.look_again();
        let alive = self.proc.keys();
        let mut out = Vec::new();
        // Nothing listed means that /proc could not be read, not that everybody has gone.
        if alive.is_empty() {
            return out;
        }
        for process in self.table.gone(&alive) {
            self.metrics.exits_missed.one();
            self.exit(now_boot_ns, Exit { process }, &mut out);
        }
        for key in alive {
            if self.table.get(key).is_none() && self.look_up(key) {
                self.metrics.forks_missed.one();
            }
        }
        self.metrics.reports_out.add(out.len() as u64);
        out
    }

    fn event(&mut self, boot_ns: u64, what: What, out: &mut Vec<Report>) {
        match what {
            What::Fork(fork) => self.fork(fork),
            What::Exec(exec) => self.exec(boot_ns, &exec, out),
            What::Exit(exit) => self.exit(boot_ns, exit, out),
            What::Name(name) => {
                let evicted = if name.is_carrier {
                    let path = self.media.absolute(name.record.device, name.untrusted_path);
                    self.carriers.insert(name.record, path, true)
                } else {
                    let telling = !self.privacy.is_plain(name.store);
                    self.names.insert(name.record, name.untrusted_path, telling)
                };
                self.metrics.names_evicted.add(evicted);
            }
            What::Access(access) => {
                self.refer(boot_ns, access.process, out);
                let access = self.named(access);
                out.push(Report {
                    boot_ns,
                    body: Body::Access(access),
                });
            }
            What::Flow(flow) => {
                self.refer(boot_ns, flow.process, out);
                out.push(Report {
                    boot_ns,
                    body: Body::Flow(flow),
                });
            }
            What::Edge(edge) => {
                let (mut carrier, mut medium) = (String::new(), Medium::Fixed);
                for end in [edge.from, edge.to] {
                    match end {
                        End::Process(process) => self.refer(boot_ns, process, out),
                        End::Carrier(CarrierKind::File, file) => {
                            carrier = self.place(file);
                            medium = self.media.medium(file.device);
                        }
                        End::Carrier(CarrierKind::Pipe, file) => carrier = self.place(file),
                        End::Carrier(CarrierKind::Memory, _) => {}
                    }
                }
                let stores = edge.stores.iter().map(|store| self.store(*store)).collect();
                out.push(Report {
                    boot_ns,
                    body: Body::Edge(NamedEdge {
                        edge,
                        stores,
                        carrier,
                        medium,
                    }),
                });
            }
            What::Tamper(tamper) => {
                self.refer(boot_ns, tamper.process, out);
                out.push(Report {
                    boot_ns,
                    body: Body::Tamper(tamper),
                });
            }
            // A conversation's name is in its flows.
            What::Naming(_) => {}
            What::Gap(gap) => out.push(Report {
                boot_ns,
                body: Body::Gap(gap),
            }),
        }
    }

    fn fork(&mut self, Fork { child, parent, .. }: Fork) {
        self.know(parent);
        if self.table.get(child).is_some() {
            // Found by the scan before its own fork was read.
            self.table.set_parent(child, parent);
            return;
        }
        let entry = match self.table.get(parent) {
            Some(from) => from.child(parent),
            None => Entry {
                parent: Some(parent),
                ..Entry::default()
            },
        };
        self.insert(child, entry);
    }

    fn exec(&mut self, boot_ns: u64, exec: &Exec, out: &mut Vec<Report>) {
        let key = exec.process;
        if self.table.get(key).is_none() {
            self.know(exec.parent);
            self.fork(Fork {
                child: key,
                parent: exec.parent,
                holds: false,
            });
        }
        let alive = if self.turn.ended.contains(&key) {
            None
        } else {
            self.proc.open(key)
        };
        let image = self.image(exec, alive.as_ref());
        let known = self.table.get(key);
        let mut owner = known.map(|entry| entry.owner).unwrap_or_default();
        owner.uid = exec.uid;
        let scope = alive.as_ref().and_then(Pid::scope);
        if let Some(pid) = &alive {
            pid.login(&mut owner);
        }
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        entry.image = Arc::new(image);
        entry.given_bytes = exec.given_bytes;
        entry.owner = owner;
        entry.set_scope(scope);
        if entry.sent == self.round {
            self.send(boot_ns, key, out);
        }
    }

    /// What the process runs from now on: asked of the process itself, or of the event when it is gone.
    fn image(&mut self, exec: &Exec, alive: Option<&Pid>) -> Image {
        let cwd = if self.privacy.wants_cwd() {
            // A process that is gone mostly had its parent's directory.
            alive
                .and_then(Pid::cwd)
                .or_else(|| self.parents_cwd(exec.parent))
        } else {
            None
        };
        let executable = alive
            .and_then(Pid::executable)
            .unwrap_or_else(|| exec.untrusted_filename.clone());
        let (arguments, cut) = arguments(&exec.untrusted_arguments);
        Image {
            executable: self.privacy.text(&executable),
            arguments: self.privacy.arguments(&arguments.collect::<Vec<_>>(), cwd),
            truncated: exec.arguments_truncated || cut,
        }
    }

    fn parents_cwd(&mut self, parent: ProcessKey) -> Option<PathBuf> {
        let known = self.turn.directories.entry(parent);
        known
            .or_insert_with(|| self.proc.open(parent)?.cwd())
            .clone()
    }

    fn exit(&mut self, boot_ns: u64, Exit { process }: Exit, out: &mut Vec<Report>) {
        let sent = self.table.exit(process, boot_ns);
        if sent == Some(self.round) {
            self.send(boot_ns, process, out);
        }
    }

    /// Makes sure that the process and its ancestors have been sent.
    fn refer(&mut self, boot_ns: u64, key: ProcessKey, out: &mut Vec<Report>) {
        if self
            .table
            .get(key)
            .is_some_and(|entry| entry.sent == self.round)
        {
            return;
        }
        if !self.know(key) {
            self.metrics.processes_unknown.one();
            self.insert(key, Entry::default());
        }
        for key in self.unsent(key).into_iter().rev() {
            self.ask_again(key);
            self.send(boot_ns, key, out);
        }
    }

    /// The process and its ancestors, as far as they are known and not yet sent in this round.
    fn unsent(&mut self, key: ProcessKey) -> Vec<ProcessKey> {
        let mut chain = Vec::new();
        let mut next = Some(key);
        while let Some(key) = next.filter(|key| chain.len() < ANCESTORS_MAX && !chain.contains(key))
        {
            if !self.know(key) {
                break;
            }
            let Some(entry) = self.table.get(key).filter(|entry| entry.sent != self.round) else {
                break;
            };
            next = entry.parent;
            chain.push(key);
        }
        chain
    }

    /// A process may have changed its user, its login or its place since it was started, without an exec.
    fn ask_again(&mut self, key: ProcessKey) {
        let Some(pid) = self.proc.open(key) else {
            return;
        };
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        pid.user(&mut entry.owner);
        pid.login(&mut entry.owner);
        entry.set_scope(pid.scope());
    }

    fn send(&mut self, boot_ns: u64, key: ProcessKey, out: &mut Vec<Report>) {
        let round = self.round;
        let Some(entry) = self.table.get_mut(key) else {
            return out.push(Report {
                boot_ns,
                body: Body::Process(Box::new(bare(key))),
            });
        };
        let said_before = std::mem::replace(&mut entry.sent, round) == round;
        let process = Process {
            key,
            said_before,
            parent: entry.parent,
            image: self.names.hide_known(&entry.image, &self.privacy),
            owner: entry.owner,
            user: self.users.name(entry.owner.uid),
            login_user: entry
                .owner
                .login_uid
                .map(|uid| self.users.name(uid))
                .unwrap_or_default(),
            scope: entry.scope.clone(),
            given_bytes: entry.given_bytes,
            exited_boot_ns: entry.exited_boot_ns,
        };
        out.push(Report {
            boot_ns,
            body: Body::Process(Box::new(process)),
        });
    }

    fn named(&self, access: Access) -> NamedAccess {
        let name = self
            .names
            .get(access.record)
            .map(|path| self.privacy.name(access.store, path));
        if name.is_none() {
            self.metrics.accesses_unnamed.one();
        }
        NamedAccess {
            store: self.store(access.store),
            name,
            access,
        }
    }

    /// Where a carrier lies; empty when that is not known.
    fn place(&self, carrier: RecordId) -> String {
        let Some(path) = self.carriers.get(carrier) else {
            return String::new();
        };
        let shown = self.privacy.text(path);
        self.names.hide(&shown, &self.privacy).unwrap_or(shown)
    }

    /// A store the configuration does not have is called by its number: the access still counts.
    fn store(&self, StoreId(number): StoreId) -> Arc<str> {
        let index = (number as usize).checked_sub(1);
        index
            .and_then(|i| self.stores.get(i))
            .cloned()
            .unwrap_or_else(|| format!("#{number}").into())
    }

    /// True when the process is in the table, after a look into /proc if need be.
    fn know(&mut self, key: ProcessKey) -> bool {
        if self.table.get(key).is_some() {
            return true;
        }
        let found = self.look_up(key);
        if found {
            self.metrics.processes_looked_up.one();
        }
        found
    }

    fn look_up(&mut self, key: ProcessKey) -> bool {
        let Some(pid) = self.proc.open(key) else {
            return false;
        };
        let mut owner = Owner::default();
        pid.user(&mut owner);
        pid.login(&mut owner);
        let cwd = pid.cwd().filter(|_| self.privacy.wants_cwd());
        let (raw, cut) = pid.arguments();
        let (arguments, cut_again) = arguments(&raw);
        let image = Image {
            executable: pid
                .executable()
                .map(|exe| self.privacy.text(&exe))
                .unwrap_or_default(),
            arguments: self.privacy.arguments(&arguments.collect::<Vec<_>>(), cwd),
            truncated: cut || cut_again,
        };
        let parent = self.proc.key(pid.parent);
        let mut entry = Entry {
            parent,
            image: Arc::new(image),
            owner,
            ..Entry::default()
        };
        entry.set_scope(pid.scope());
        self.insert(key, entry);
        true
    }

    fn insert(&mut self, key: ProcessKey, entry: Entry) {
        self.metrics
            .processes_evicted
            .add(self.table.insert(key, entry));
    }
}

fn ended(event: &Event) -> Option<ProcessKey> {
    match event.what {
        What::Exit(Exit { process }) => Some(process),
        _ => None,
    }
}

/// Splits arguments at the NUL that ends each; true when the bytes were more than are kept.
fn arguments(untrusted: &[u8]) -> (impl Iterator<Item = &[u8]>, bool) {
    let kept = &untrusted[..untrusted.len().min(ARGUMENTS_BYTES_MAX)];
    let whole = kept.strip_suffix(b"\0").unwrap_or(kept);
    let count = if kept.is_empty() { 0 } else { usize::MAX };
    (
        whole.split(|b| *b == 0).take(count),
        kept.len() < untrusted.len(),
    )
}

/// All there is to say of a process nothing is known of.
fn bare(key: ProcessKey) -> Process {
    Process {
        key,
        parent: None,
        image: Arc::default(),
        owner: Owner::default(),
        user: Arc::default(),
        login_user: Arc::default(),
        scope: Arc::default(),
        given_bytes: 0,
        exited_boot_ns: None,
        said_before: false,
    }
}

#[cfg(test)]
mod tests;
