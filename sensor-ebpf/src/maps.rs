//! The maps. Names are what the sensor finds them by; sizes come from `layout::limits`.

use core::cell::UnsafeCell;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use sensor_ebpf::layout::{
    access::{AccessKey, AccessSum, Answer, Carrier, Inode, Mark, Shares, SumSlot},
    config::{Control, Holder, KeptHolder, UnitName},
    count::{Counts, ERRORS as ALL_ERRORS, HOOKS, LostBytes},
    edge::{EdgeKey, EdgeSum},
    flow::{DatagramKey, Datagrams, Given, Local, LocalKey, QuietName, Socket, Talk, Waiting},
    limits,
    news::NEWS_WORDS,
    proc::Process,
    tamper::{Own, TamperKey, TamperSum},
};

/// The one value of a map whose address the programs know: to look something up in an array is a dozen instructions, and
/// these are asked on every read of every file. A section of its own is a map of that name.
#[repr(transparent)]
pub(crate) struct Value<T>(UnsafeCell<T>);

// SAFETY: it is reached through pointers only, by which nothing is said of who else reads or writes.
unsafe impl<T> Sync for Value<T> {}

/// The address of a [`Value`], which is that of a map's value and always there.
// The compiler sees nobody write to it, and would take what it is at first for what it always is; so it is not to see how
// the address is come by.
macro_rules! address {
    ($value:ident) => {{
        let address: u64;
        // SAFETY: the instruction loads the address of the value and nothing else.
        unsafe {
            core::arch::asm!("{0} = {1} ll", out(reg) address, sym $value, options(pure, nomem, nostack));
        }
        address
    }};
}

/// What the sensor tells the programs.
#[unsafe(link_section = ".data.control")]
static CONTROL: Value<Control> = Value(UnsafeCell::new(Control::NONE));

/// Where that is.
#[inline(always)]
pub(crate) fn control() -> *const Control {
    address!(CONTROL) as *const Control
}

/// Moves on when a rename may have changed what lies in a store; answers of an older generation are void.
#[unsafe(link_section = ".data.generation")]
static GENERATION: Value<u32> = Value(UnsafeCell::new(0));

/// Where that is.
#[inline(always)]
pub(crate) fn generation() -> *mut u32 {
    address!(GENERATION) as *mut u32
}

/// Roots of stores, and the store each belongs to; directories that were moved out of one say so by `MOVED`.
#[map]
pub(crate) static ROOTS: HashMap<Inode, u32> = HashMap::with_max_entries(limits::ROOTS_MAX, 0);

/// Disks that stores lie on, by device number, and the store; who reads one reads the store past its files.
#[map]
pub(crate) static DISKS: HashMap<u32, u32> =
    HashMap::with_max_entries(limits::DISKS_MAX, BPF_F_NO_PREALLOC);

/// The memory of answers.
#[unsafe(link_section = ".bss.answers")]
static ANSWERS: Value<[Answer; limits::ANSWERS_MAX as usize]> = Value(UnsafeCell::new(
    [Answer::NONE; limits::ANSWERS_MAX as usize],
));

/// The first of them.
#[inline(always)]
pub(crate) fn answers() -> *mut Answer {
    address!(ANSWERS) as *mut Answer
}

/// Records that names outside of their store lead to, told by the sensor at start and by the link and rename hooks.
#[map]
pub(crate) static LINKED: HashMap<Inode, u32> =
    HashMap::with_max_entries(limits::LINKED_MAX, BPF_F_NO_PREALLOC);

/// Not zero once a file with such an inode number is in `LINKED`: until then, none with a single name outside of all stores
/// is a record.
#[unsafe(link_section = ".bss.linked_hints")]
static LINKED_HINTS: Value<[u32; 1 << limits::HINTS_BITS]> =
    Value(UnsafeCell::new([0; 1 << limits::HINTS_BITS]));

/// The first of them.
#[inline(always)]
pub(crate) fn linked_hints() -> *mut u32 {
    address!(LINKED_HINTS) as *mut u32
}

/// Renames under way of what lies in a store, by the address of its directory entry.
#[map]
pub(crate) static RENAMES: LruHashMap<u64, u32> =
    LruHashMap::with_max_entries(limits::RENAMES_MAX, 0);

/// Records that have been named. Only a memory: what is forgotten is found again by walking up, and named again.
#[map]
pub(crate) static MARKS: LruHashMap<Inode, Mark> =
    LruHashMap::with_max_entries(limits::MARKS_MAX, 0);

/// Access sums by slot, one half for each buffer.
#[map]
pub(crate) static SUMS: Array<SumSlot> = Array::with_max_entries(limits::SUMS_MAX, BPF_F_MMAPABLE);

/// Which slots are used, one half for each buffer, so that the sensor looks at those only.
#[map]
pub(crate) static USED: Array<u64> =
    Array::with_max_entries(2 * limits::USED_WORDS, BPF_F_MMAPABLE);

/// Access sums that found their slot taken, first buffer. The sensor makes the other one active, waits until no program can still write here, and
/// takes what is in it, so no addition is lost.
#[map]
pub(crate) static ACCESSES_0: HashMap<AccessKey, AccessSum> =
    HashMap::with_max_entries(limits::ACCESSES_MAX, 0);

/// The same, second buffer.
#[map]
pub(crate) static ACCESSES_1: HashMap<AccessKey, AccessSum> =
    HashMap::with_max_entries(limits::ACCESSES_MAX, 0);

/// Processes that have touched records, by pid.
#[map]
pub(crate) static HOLDERS: HashMap<u32, Holder> =
    HashMap::with_max_entries(limits::HOLDERS_MAX, BPF_F_NO_PREALLOC);

/// Processes that held records when the sensor stopped, or were started by such since, by pid; while the sensor starts.
#[map]
pub(crate) static KEPT: HashMap<u32, KeptHolder> =
    HashMap::with_max_entries(limits::HOLDERS_MAX, BPF_F_NO_PREALLOC);

/// Systemd units that serve records, told by the sensor, and the stores: bit `n % 64` for store `n`.
#[map]
pub(crate) static UNITS: HashMap<UnitName, u64> =
    HashMap::with_max_entries(limits::UNITS_MAX, BPF_F_NO_PREALLOC);

/// The lower half is not zero once a process with such a number, or with one that has the same word, has held records; the
/// upper one, once it has shared memory.
#[unsafe(link_section = ".bss.holder_hints")]
static HOLDER_HINTS: Value<[u32; limits::HOLDER_HINTS_MAX as usize]> =
    Value(UnsafeCell::new([0; limits::HOLDER_HINTS_MAX as usize]));

/// The first of them.
#[inline(always)]
pub(crate) fn holder_hints() -> *mut u32 {
    address!(HOLDER_HINTS) as *mut u32
}

/// Files and pipes that holders have written to.
#[map]
pub(crate) static CARRIERS: HashMap<Inode, Carrier> =
    HashMap::with_max_entries(limits::CARRIERS_MAX, BPF_F_NO_PREALLOC);

/// Memory that processes share which do not hold records.
#[map]
pub(crate) static SHARES: HashMap<Process, Shares> =
    HashMap::with_max_entries(limits::SHARES_MAX, BPF_F_NO_PREALLOC);

/// Segments of System V memory, and their bytes; only where the file behind one is not seen.
#[map]
pub(crate) static SEGMENTS: LruHashMap<u32, u64> =
    LruHashMap::with_max_entries(limits::SEGMENTS_MAX, 0);

/// Not zero once a carrier has had such an inode number, or one that shares its word.
#[map]
pub(crate) static CARRIER_HINTS: Array<u32> =
    Array::with_max_entries(1 << limits::CARRIER_HINTS_BITS, 0);

/// Open TCP sockets of processes that hold records, by cookie.
#[map]
pub(crate) static SOCKETS: HashMap<u64, Socket> =
    HashMap::with_max_entries(limits::SOCKETS_MAX, BPF_F_NO_PREALLOC);

/// Marks sockets over which a process that holds records talks; it goes with the socket.
#[btf_map]
pub(crate) static TALKING: SkStorage<Talk> = SkStorage::new();

/// Marks unix sockets to which holders have sent; it goes with the socket.
#[btf_map]
pub(crate) static GIVEN: SkStorage<Given> = SkStorage::new();

/// Unix sockets whose talk carries no records by nature, told by the sensor.
#[map]
pub(crate) static QUIET: HashMap<QuietName, u32> =
    HashMap::with_max_entries(limits::QUIET_MAX, BPF_F_NO_PREALLOC);

/// UDP sockets of this machine to which holders have sent, by cookie, and ends of pseudo terminals that get what they write,
/// by address: no cookie is as large.
#[map]
pub(crate) static WAITING: LruHashMap<u64, Waiting> =
    LruHashMap::with_max_entries(limits::WAITING_MAX, 0);

/// Ports of UDP over which no records go, told by the sensor.
#[map]
pub(crate) static QUIET_PORTS: HashMap<u32, u32> =
    HashMap::with_max_entries(limits::QUIET_PORTS_MAX, BPF_F_NO_PREALLOC);

/// Conversations of holders whose other end is on this machine, too.
#[map]
pub(crate) static LOCALS: HashMap<LocalKey, Local> =
    HashMap::with_max_entries(limits::LOCALS_MAX, BPF_F_NO_PREALLOC);

/// Not zero once one of them has had such a port, or one that shares its word, or a UDP socket to which a holder has sent.
#[map]
pub(crate) static LOCAL_HINTS: Array<u32> = Array::with_max_entries(limits::LOCAL_HINTS_MAX, 0);

/// Conversations without a connection, of processes that hold records.
#[map]
pub(crate) static DATAGRAMS: HashMap<DatagramKey, Datagrams> =
    HashMap::with_max_entries(limits::DATAGRAMS_MAX, BPF_F_NO_PREALLOC);

/// What processes that hold records gave to others.
#[map]
pub(crate) static EDGES: HashMap<EdgeKey, EdgeSum> =
    HashMap::with_max_entries(limits::EDGES_MAX, BPF_F_NO_PREALLOC);

/// Whose memory a thread was last let at, where that process holds records.
#[map]
pub(crate) static TARGETS: LruHashMap<u32, Process> =
    LruHashMap::with_max_entries(limits::TARGETS_MAX, 0);

/// What was tried on the sensor.
#[map]
pub(crate) static TAMPERS: HashMap<TamperKey, TamperSum> =
    HashMap::with_max_entries(limits::TAMPERS_MAX, BPF_F_NO_PREALLOC);

/// That there is something new in `EDGES`, `DATAGRAMS`, `TAMPERS` or `ERRORS`.
#[map]
pub(crate) static NEWS: Array<u64> = Array::with_max_entries(NEWS_WORDS, BPF_F_MMAPABLE);

/// The sensor's own maps, programs and links.
#[map]
pub(crate) static OWN: HashMap<Own, u32> =
    HashMap::with_max_entries(limits::OWN_MAX, BPF_F_NO_PREALLOC);

/// Threads inside `vfs_copy_file_range` with a record, so that the splice inside is not counted as well.
#[map]
pub(crate) static COPIES: LruHashMap<u32, u32> =
    LruHashMap::with_max_entries(limits::COPIES_MAX, 0);

/// The books, by hook and CPU.
#[map]
pub(crate) static COUNTS: PerCpuArray<Counts> =
    PerCpuArray::with_max_entries(HOOKS.len() as u32, 0);

/// What went wrong, by error and CPU.
#[map]
pub(crate) static ERRORS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(ALL_ERRORS.len() as u32, 0);

/// Bytes of accesses that found no room, by CPU.
#[map]
pub(crate) static LOST_BYTES: PerCpuArray<LostBytes> = PerCpuArray::with_max_entries(1, 0);

/// Processes and flows: few, and nothing else may push them out. The sensor sets the size.
#[map]
pub(crate) static CRITICAL: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Names, and accesses that found no room in their map. The sensor sets the size.
#[map]
pub(crate) static BULK: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
