//! The programs in the kernel and their maps.

mod kept;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{Iter, Program, RawTracePoint, RawTracePointRunOptions, TestRun as _};
use rustix::thread::{MembarrierCommand, gettid, membarrier};
use sensor_ebpf::layout::access::{AccessKey, AccessSum, Inode};
use sensor_ebpf::layout::config;
use sensor_ebpf::layout::count::{Counts, ERRORS, Error, HOOKS, Hook, LostBytes};
use sensor_ebpf::layout::edge::{EdgeKey, EdgeSum};
use sensor_ebpf::layout::flow::{DatagramKey, Datagrams, LocalKey, QuietName, Socket};
use sensor_ebpf::layout::limits::{QUIET_PORTS_MAX, UNIT_NAME_MAX};
use sensor_ebpf::layout::news::{NEWS_WORDS, News};
use sensor_ebpf::layout::proc::Process;
use sensor_ebpf::layout::tamper::{Own, TamperKey, TamperSum};

use super::sums::{Shared, Slots};
use super::{
    AttemptError, Canary, Found, Kept, Programs, Roots, batch, files, hooks, name, own, pod,
};
use crate::config::Backend;
use crate::event::Part;
use crate::health::HookCount;

/// Bytes of a unix socket's name (`UNIX_PATH_MAX` of include/uapi/linux/un.h), without the NUL.
const SUN_PATH_MAX: usize = 107;

// One byte more may come before it (`group_of` of load.rs), and NUL behind it.
const _: () = assert!(crate::config::UNIT_BYTES_MAX + 2 <= UNIT_NAME_MAX);
const _: () = assert!(crate::config::QUIET_PORTS_MAX <= QUIET_PORTS_MAX as usize);

/// Access sums taken from the kernel.
pub type Sums = Vec<(AccessKey, AccessSum)>;

/// The programs, attached, and their maps. Dropping it detaches them.
pub struct Kernel {
    object: Ebpf,
    backend: Backend,
    reason: String,
    blind: Vec<&'static str>,
    canary: Option<Canary>,
    roots_told: Option<Roots>,
    programs_told: Option<Programs>,
    kept: Option<(Kept, Option<Found>)>,
    control: config::Control,
    control_map: Array<MapData, pod::Control>,
    generation: Array<MapData, u32>,
    roots: HashMap<MapData, pod::Inode, u32>,
    slots: Slots,
    news: Shared<u64>,
    disks: HashMap<MapData, u32, u32>,
    sums: [HashMap<MapData, pod::AccessKey, pod::AccessSum>; 2],
    holders: HashMap<MapData, u32, pod::Holder>,
    units: HashMap<MapData, pod::UnitName, u64>,
    kept_holders: HashMap<MapData, u32, pod::KeptHolder>,
    carrier_hints: Array<MapData, u32>,
    local_hints: Array<MapData, u32>,
    sockets: HashMap<MapData, u64, pod::Socket>,
    datagrams: HashMap<MapData, pod::DatagramKey, pod::Datagrams>,
    edges: HashMap<MapData, pod::EdgeKey, pod::EdgeSum>,
    carriers: HashMap<MapData, pod::Inode, pod::Carrier>,
    locals: HashMap<MapData, pod::LocalKey, pod::Local>,
    quiet: HashMap<MapData, pod::QuietName, u32>,
    quiet_ports: HashMap<MapData, u32, u32>,
    own: HashMap<MapData, pod::Own, u32>,
    own_files: Vec<files::OwnFile>,
    tampers: HashMap<MapData, pod::TamperKey, pod::TamperSum>,
    counts: PerCpuArray<MapData, pod::Counts>,
    errors: PerCpuArray<MapData, u64>,
    lost_bytes: PerCpuArray<MapData, pod::LostBytes>,
    critical: RingBuf<MapData>,
    bulk: RingBuf<MapData>,
    accounts: Vec<(&'static str, File)>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("backend", &self.backend)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

macro_rules! take {
    ($object:ident, $name:literal) => {
        $object
            .take_map($name)
            .ok_or_else(|| broken($name, "is not in the object"))?
            .try_into()
            .map_err(|e: MapError| broken($name, e))?
    };
}

impl Kernel {
    pub(super) fn new(mut object: Ebpf, backend: Backend) -> Result<Self, AttemptError> {
        let control = config::Control {
            own_pid: std::process::id(),
            ..config::Control::NONE
        };
        let mut kernel = Self {
            control_map: take!(object, ".data.control"),
            generation: take!(object, ".data.generation"),
            roots: take!(object, "ROOTS"),
            slots: Slots::new(&mut object)?,
            news: Shared::new(&mut object, "NEWS", NEWS_WORDS as usize)?,
            disks: take!(object, "DISKS"),
            sums: [take!(object, "ACCESSES_0"), take!(object, "ACCESSES_1")],
            holders: take!(object, "HOLDERS"),
            units: take!(object, "UNITS"),
            kept_holders: take!(object, "KEPT"),
            carrier_hints: take!(object, "CARRIER_HINTS"),
            local_hints: take!(object, "LOCAL_HINTS"),
            sockets: take!(object, "SOCKETS"),
            datagrams: take!(object, "DATAGRAMS"),
            edges: take!(object, "EDGES"),
            carriers: take!(object, "CARRIERS"),
            locals: take!(object, "LOCALS"),
            quiet: take!(object, "QUIET"),
            quiet_ports: take!(object, "QUIET_PORTS"),
            own: take!(object, "OWN"),
            own_files: Vec::new(),
            tampers: take!(object, "TAMPERS"),
            counts: take!(object, "COUNTS"),
            errors: take!(object, "ERRORS"),
            lost_bytes: take!(object, "LOST_BYTES"),
            critical: take!(object, "CRITICAL"),
            bulk: take!(object, "BULK"),
            accounts: Vec::new(),
            object,
            backend,
            reason: String::new(),
            blind: Vec::new(),
            canary: None,
            roots_told: None,
            programs_told: None,
            kept: None,
            control,
        };
        kernel.write_control()?;
        Ok(kernel)
    }

    /// Name of the backend in use.
    #[must_use]
    pub const fn backend(&self) -> &'static str {
        name(self.backend)
    }

    /// Why this backend: what was tried before it and how that ended.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What this backend does not see on this kernel, each a few words.
    #[must_use]
    pub fn blind(&self) -> &[&'static str] {
        &self.blind
    }

    pub(super) fn set_blind(&mut self, blind: Vec<&'static str>) {
        self.blind = blind;
    }

    pub(super) fn add_blind(&mut self, unseen: &'static str) {
        self.blind.push(unseen);
    }

    /// A program of the object that the kernel is to run for each thing of a kind; absent when it was left out.
    pub(super) fn iterator(&mut self, name: &str) -> Option<&mut Iter> {
        let program: &mut Iter = self.object.program_mut(name)?.try_into().ok()?;
        program.fd().is_ok().then_some(program)
    }

    pub(super) fn set_reason(&mut self, reason: String) {
        self.reason = reason;
    }

    /// The canary, for whoever has it sing from now on.
    pub fn take_canary(&mut self) -> Option<Canary> {
        self.canary.take()
    }

    pub(super) fn set_canary(&mut self, canary: Canary) {
        self.canary = Some(canary);
    }

    /// The stores, for whoever follows them from now on.
    pub fn take_roots(&mut self) -> Option<Roots> {
        self.roots_told.take()
    }

    pub(super) fn set_roots(&mut self, roots: Roots) {
        self.roots_told = Some(roots);
    }

    pub(super) fn set_canary_port(&mut self, port: u16) -> Result<(), AttemptError> {
        self.control.canary_port = port.into();
        self.write_control()
    }

    /// Tells the programs what is the sensor's own, and whether to refuse attempts on it.
    pub(super) fn protect(&mut self, own: &[Own], guard: bool) -> Result<(), AttemptError> {
        for one in own {
            self.own
                .insert(pod::Own(*one), 1, 0)
                .map_err(|e| broken("OWN", e))?;
        }
        self.control.guard = u32::from(guard);
        self.write_control()
    }

    /// Tells the programs which files are the sensor's own.
    pub(super) fn tell_own_files(&mut self, own: &[(Part, PathBuf)]) -> Result<(), AttemptError> {
        self.own_files = own.iter().map(files::OwnFile::new).collect();
        self.tell_own_files_again()
    }

    /// The programs of which something is known, for whoever follows them from now on.
    pub fn take_programs(&mut self) -> Option<Programs> {
        self.programs_told.take()
    }

    pub(super) fn set_programs(&mut self, programs: Programs) {
        self.programs_told = Some(programs);
    }

    /// Tells a systemd unit that serves the records of these stores, by the name of its control group.
    pub(super) fn tell_unit(&mut self, group: &str, stores: u64) -> Result<(), AttemptError> {
        let mut key = config::UnitName {
            name: [0; UNIT_NAME_MAX],
        };
        let kept = &group.as_bytes()[..group.len().min(UNIT_NAME_MAX - 1)];
        key.name[..kept.len()].copy_from_slice(kept);
        self.units
            .insert(pod::UnitName(key), stores, 0)
            .map_err(|e| broken("UNITS", e))?;
        self.control.units += 1;
        self.write_control()
    }

    /// The same again: one may have been replaced.
    pub fn tell_own_files_again(&mut self) -> Result<(), AttemptError> {
        let mut own = std::mem::take(&mut self.own_files);
        let told = files::tell(self, &mut own);
        self.own_files = own;
        told
    }

    /// The same, if the sensor itself has put another file in the place of one.
    pub fn follow_own_files(&mut self) -> Result<(), AttemptError> {
        if self.own_files.iter().any(files::OwnFile::is_other) {
            self.tell_own_files_again()?;
        }
        Ok(())
    }

    /// Makes the next opens of this thread tell roots of a store or, `linked`, records of it that have several names.
    pub(super) fn arm(&mut self, store: u32, linked: bool) -> Result<(), AttemptError> {
        self.control.arming_tid = gettid().as_raw_nonzero().get() as u32;
        self.control.arming_store = store;
        self.control.arming_linked = u32::from(linked);
        self.write_control()
    }

    /// From now on what this thread opens is what it is.
    pub(super) fn disarm(&mut self) -> Result<(), AttemptError> {
        self.control.arming_tid = 0;
        self.write_control()
    }

    fn write_control(&mut self) -> Result<(), AttemptError> {
        self.control_map
            .set(0, pod::Control(self.control), 0)
            .map_err(|e| broken("CONTROL", e))
    }

    /// Makes every remembered answer void.
    pub(super) fn forget_answers(&mut self) -> Result<(), AttemptError> {
        let now = self
            .generation
            .get(&0, 0)
            .map_err(|e| broken("GENERATION", e))?;
        self.generation
            .set(0, now.wrapping_add(1), 0)
            .map_err(|e| broken("GENERATION", e))
    }

    /// Tells a disk, by the kernel's own number, that a store lies on. One that several stores share is the first one's.
    pub(super) fn tell_disk(&mut self, device: u32, store: u32) -> Result<(), AttemptError> {
        match self.disks.get(&device, 0) {
            Ok(_) => Ok(()),
            Err(MapError::KeyNotFound) => self
                .disks
                .insert(device, store, 0)
                .map_err(|e| broken("DISKS", e)),
            Err(error) => Err(broken("DISKS", error)),
        }
    }

    /// Roots the programs know, and the store of each.
    pub(super) fn roots(&self) -> impl Iterator<Item = (Inode, u32)> + '_ {
        self.roots
            .iter()
            .filter_map(Result::ok)
            .map(|(file, store)| (file.0, store))
    }

    /// Takes the access sums, if there are any: makes the other buffer active, waits until no program can still write to this one, and
    /// empties it.
    pub fn take_sums(&mut self) -> Result<Sums, AttemptError> {
        let full = self.control.active as usize;
        if !self.slots.are_used(full) {
            return Ok(Vec::new());
        }
        self.control.active = 1 - self.control.active;
        self.write_control()?;
        // Programs run in RCU read-side sections, and this command is synchronize_rcu() (kernel/sched/membarrier.c).
        membarrier(MembarrierCommand::Global).map_err(|e| broken("ACCESSES", e))?;
        let (mut sums, others) = self.slots.take(full);
        if others {
            batch::empty(
                &self.sums[full],
                |key: pod::AccessKey, sum: pod::AccessSum| {
                    sums.push((key.0, sum.0));
                },
            )
            .map_err(|e| broken("ACCESSES", e))?;
        }
        Ok(sums)
    }

    /// How often the programs have told that there is something new. They tell it after they have written, so who looks after
    /// this call misses nothing: what is not there yet moves the number later.
    #[must_use]
    pub fn news(&self, of: News) -> u64 {
        self.news.get(of as usize)
    }

    /// UDP conversations of processes that hold records, as they stand.
    pub fn datagrams(&self) -> Result<Vec<(DatagramKey, Datagrams)>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.datagrams.iter().collect();
        let entries = entries.map_err(|e| broken("DATAGRAMS", e))?;
        Ok(entries.into_iter().map(|(k, v)| (k.0, v.0)).collect())
    }

    /// What the hooks that add to `DATAGRAMS` have summed since the programs run. They count after they have added, so what is
    /// not in this number yet moves it later.
    pub fn datagrams_added_up(&self) -> Result<u64, AttemptError> {
        let summed = |hook: Hook| {
            let values = self.counts.get(&(hook as u32), 0);
            let values = values.map_err(|e| broken("COUNTS", e))?;
            Ok::<_, AttemptError>(values.iter().map(|count| count.0.summed).sum::<u64>())
        };
        Ok(summed(Hook::PacketOut)? + summed(Hook::PacketIn)? + summed(Hook::Send)?)
    }

    /// Forgets a UDP conversation that is over.
    pub fn forget_datagrams(&mut self, key: DatagramKey) -> Result<(), AttemptError> {
        gone_is_fine(self.datagrams.remove(&pod::DatagramKey(key)), "DATAGRAMS")
    }

    /// What processes that hold records have given to others so far.
    pub fn edges(&self) -> Result<Vec<(EdgeKey, EdgeSum)>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.edges.iter().collect();
        let entries = entries.map_err(|e| broken("EDGES", e))?;
        Ok(entries.into_iter().map(|(k, v)| (k.0, v.0)).collect())
    }

    /// Forgets an edge to a process that is gone.
    pub fn forget_edge(&mut self, key: EdgeKey) -> Result<(), AttemptError> {
        gone_is_fine(self.edges.remove(&pod::EdgeKey(key)), "EDGES")
    }

    /// What was tried on the sensor so far.
    pub fn tampers(&self) -> Result<Vec<(TamperKey, TamperSum)>, AttemptError> {
        let entries: Result<Vec<_>, _> = self.tampers.iter().collect();
        let entries = entries.map_err(|e| broken("TAMPERS", e))?;
        Ok(entries.into_iter().map(|(k, v)| (k.0, v.0)).collect())
    }

    /// Forgets what a process that is gone has tried.
    pub fn forget_tamper(&mut self, key: TamperKey) -> Result<(), AttemptError> {
        gone_is_fine(self.tampers.remove(&pod::TamperKey(key)), "TAMPERS")
    }

    /// Looks at the counters of an open TCP socket; absent when it has closed.
    pub fn refresh(&mut self, cookie: u64) -> Result<Option<Socket>, AttemptError> {
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = cookie;
        self.run("refresh", options)?;
        match self.sockets.get(&cookie, 0) {
            Ok(socket) => Ok(Some(socket.0)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(broken("SOCKETS", error)),
        }
    }

    fn run(
        &mut self,
        program: &'static str,
        options: RawTracePointRunOptions,
    ) -> Result<(), AttemptError> {
        let refused = |reason| AttemptError::Program { program, reason };
        let Some(loaded) = self.object.program_mut(program) else {
            return Err(refused(aya::programs::ProgramError::NotLoaded));
        };
        let raw: &mut RawTracePoint = loaded.try_into().map_err(refused)?;
        raw.test_run(options).map(drop).map_err(refused)
    }

    /// Forgets that a process held records; for processes that are gone.
    pub fn forget_holder(
        &mut self,
        pid: u32,
        is_it: impl Fn(&Process) -> bool,
    ) -> Result<(), AttemptError> {
        match self.holders.get(&pid, 0) {
            Ok(holder) if !is_it(&holder.0.process) => Ok(()),
            Ok(_) => gone_is_fine(self.holders.remove(&pid), "HOLDERS"),
            Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(broken("HOLDERS", error)),
        }
    }

    /// The processes that hold records.
    pub fn holders(&self) -> Result<Vec<Process>, AttemptError> {
        Ok(self.held()?.iter().map(|holder| holder.process).collect())
    }

    /// Tells a unix socket, by path, whose talk carries no records.
    pub fn quieten(&mut self, path: &[u8]) -> Result<(), AttemptError> {
        let mut key = QuietName { name: [0; 112] };
        let kept = &path[..path.len().min(SUN_PATH_MAX)];
        key.name[..kept.len()].copy_from_slice(kept);
        self.quiet
            .insert(pod::QuietName(key), 1, 0)
            .map_err(|e| broken("QUIET", e))
    }

    /// Tells a port of UDP over which no records go.
    pub(super) fn quieten_port(&mut self, port: u16) -> Result<(), AttemptError> {
        self.quiet_ports
            .insert(u32::from(port), 1, 0)
            .map_err(|e| broken("QUIET_PORTS", e))
    }

    /// Forgets a conversation within the machine that is over.
    pub fn forget_local(
        &mut self,
        key: LocalKey,
        is_it: impl Fn(&Process) -> bool,
    ) -> Result<(), AttemptError> {
        let key = pod::LocalKey(key);
        match self.locals.get(&key, 0) {
            Ok(local) if !is_it(&local.0.process) => Ok(()),
            Ok(_) => gone_is_fine(self.locals.remove(&key), "LOCALS"),
            Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(broken("LOCALS", error)),
        }
    }

    /// Forgets the half of all carriers to which holders have written least recently. Answers how many.
    pub fn forget_carriers(&mut self) -> Result<u64, AttemptError> {
        let mut entries = self.carriers()?;
        entries.sort_by_key(|(_, carrier)| carrier.last_ns);
        entries.truncate(entries.len() / 2);
        for (key, _) in &entries {
            gone_is_fine(self.carriers.remove(&pod::Inode(*key)), "CARRIERS")?;
        }
        // Files among them may be remembered as carriers.
        self.forget_answers()?;
        Ok(entries.len() as u64)
    }

    /// The books of all hooks, all CPUs added up.
    pub fn counts(&self) -> Result<Vec<HookCount>, AttemptError> {
        HOOKS
            .iter()
            .map(|(hook, name)| {
                let values = self
                    .counts
                    .get(&(*hook as u32), 0)
                    .map_err(|e| broken("COUNTS", e))?;
                Ok(total(name, values.iter().map(|c| &c.0)))
            })
            .collect()
    }

    /// How often the kernel left out each program because it was running on that CPU already, since it was loaded.
    pub fn skips(&self) -> Result<Vec<(&'static str, u64)>, AttemptError> {
        self.accounts
            .iter()
            .map(|(program, account)| Ok((*program, own::skips(account)?)))
            .collect::<io::Result<_>>()
            .map_err(AttemptError::Own)
    }

    /// Opens the accounts of the programs, in which the kernel says how often it left out each.
    pub(super) fn open_accounts(&mut self) -> Result<(), AttemptError> {
        for program in hooks::PROGRAMS.iter().map(|program| program.name) {
            let loaded = self.object.program(program);
            // Programs of other backends are not loaded.
            let Some(Ok(fd)) = loaded.map(Program::fd) else {
                continue;
            };
            let account = own::account(fd.as_fd()).map_err(AttemptError::Own)?;
            self.accounts.push((program, account));
        }
        Ok(())
    }

    /// How often each kind of trouble has come up, all CPUs added up.
    pub fn errors(&self) -> Result<Vec<(Error, &'static str, u64)>, AttemptError> {
        ERRORS
            .iter()
            .map(|(error, name)| {
                let values = self
                    .errors
                    .get(&(*error as u32), 0)
                    .map_err(|e| broken("ERRORS", e))?;
                Ok((*error, *name, values.iter().sum()))
            })
            .collect()
    }

    /// Bytes of accesses that found no room, all CPUs added up.
    pub fn lost_bytes(&self) -> Result<LostBytes, AttemptError> {
        let values = self
            .lost_bytes
            .get(&0, 0)
            .map_err(|e| broken("LOST_BYTES", e))?;
        let mut sum = LostBytes::default();
        for bytes in values.iter() {
            sum.read += bytes.0.read;
            sum.mapped += bytes.0.mapped;
            sum.written += bytes.0.written;
        }
        Ok(sum)
    }

    /// The next record of processes and flows.
    pub fn next_critical(&mut self) -> Option<impl std::ops::Deref<Target = [u8]> + '_> {
        self.critical.next()
    }

    /// The next record of names and single accesses.
    pub fn next_bulk(&mut self) -> Option<impl std::ops::Deref<Target = [u8]> + '_> {
        self.bulk.next()
    }

    /// What becomes readable when a ring has much to say.
    #[must_use]
    pub fn rings(&self) -> [BorrowedFd<'_>; 2] {
        [self.critical.as_fd(), self.bulk.as_fd()]
    }
}

fn total<'a>(name: &str, counts: impl Iterator<Item = &'a Counts>) -> HookCount {
    let mut sum = HookCount {
        hook: name.to_owned(),
        ..HookCount::default()
    };
    for count in counts {
        sum.seen += count.seen;
        sum.reported += count.reported;
        sum.summed += count.summed;
        sum.ignored += count.ignored;
        sum.failed += count.failed;
        sum.dropped += count.dropped;
    }
    sum
}

fn gone_is_fine(result: Result<(), MapError>, map: &'static str) -> Result<(), AttemptError> {
    match result {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) => Err(broken(map, error)),
    }
}

pub(super) fn broken(map: &'static str, reason: impl std::fmt::Display) -> AttemptError {
    AttemptError::Map {
        map,
        reason: reason.to_string(),
    }
}
