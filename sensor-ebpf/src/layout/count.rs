//! The books of each hook: seen = reported + summed + ignored + failed + dropped.

/// The hooks. Numbers index the map `COUNTS` and are never used again.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A process became another program.
    Exec = 0,
    /// A process started another.
    Fork = 1,
    /// A process ended.
    Exit = 2,
    /// A file was opened.
    Open = 3,
    /// A file was read.
    Read = 4,
    /// A file was written.
    Write = 5,
    /// A file was mapped.
    Mmap = 6,
    /// A file was copied or spliced inside the kernel.
    Copy = 7,
    /// A file or directory was renamed.
    Rename = 8,
    /// A TCP socket changed its state.
    Flow = 9,
    /// A connection was accepted.
    Accept = 10,
    /// A packet left.
    PacketOut = 11,
    /// A packet came.
    PacketIn = 12,
    /// A request of an `io_uring` was completed.
    Ring = 13,
    /// A file was changed other than by writing, or a name of it was added or removed.
    Change = 14,
    /// A process read another's memory.
    Memory = 15,
    /// Bytes were sent on a socket.
    Send = 16,
    /// Something was tried on the sensor itself.
    Tamper = 17,
    /// The names in a directory were asked for.
    List = 18,
    /// The sensor looked at what is open and mapped when it starts.
    Baseline = 19,
    /// Something was sent over a unix socket, or written to a terminal.
    Hand = 20,
    /// Something was received over a unix socket, a TCP connection or UDP, or read from a terminal.
    Receive = 21,
}

/// All hooks, in the order of their numbers.
pub const HOOKS: [(Hook, &str); 22] = [
    (Hook::Exec, "exec"),
    (Hook::Fork, "fork"),
    (Hook::Exit, "exit"),
    (Hook::Open, "open"),
    (Hook::Read, "read"),
    (Hook::Write, "write"),
    (Hook::Mmap, "mmap"),
    (Hook::Copy, "copy"),
    (Hook::Rename, "rename"),
    (Hook::Flow, "flow"),
    (Hook::Accept, "accept"),
    (Hook::PacketOut, "packet-out"),
    (Hook::PacketIn, "packet-in"),
    (Hook::Ring, "ring"),
    (Hook::Change, "change"),
    (Hook::Memory, "memory"),
    (Hook::Send, "send"),
    (Hook::Tamper, "tamper"),
    (Hook::List, "list"),
    (Hook::Baseline, "baseline"),
    (Hook::Hand, "hand"),
    (Hook::Receive, "receive"),
];

/// Why a hook failed or dropped. Numbers index the map `ERRORS` and are never used again.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error {
    /// The programs' own settings could not be read.
    NoControl = 0,
    /// A file without an inode.
    NoInode = 1,
    /// A descriptor that is not in its process's table any more.
    NoFile = 2,
    /// A process without what a process has.
    NoTask = 3,
    /// A file more than `DEPTH_MAX` directories deep.
    Depth = 4,
    /// Kernel or user memory could not be read.
    Fault = 5,
    /// No room for a store's root.
    RootsFull = 6,
    /// No room for a process that holds records.
    HoldersFull = 7,
    /// No room for a socket.
    SocketsFull = 8,
    /// No room for a UDP conversation.
    DatagramsFull = 9,
    /// A 32-bit system call, whose numbers the tracepoint backend does not read.
    Compat = 10,
    /// No room in the ring for processes and flows.
    CriticalRingFull = 11,
    /// No room for an access, neither in the map of sums nor in the ring.
    BulkRingFull = 12,
    /// A socket of no family the sensor knows, or without what a socket has.
    NoSocket = 13,
    /// No room for a record with several names.
    LinkedFull = 14,
    /// No room for an edge between processes.
    EdgesFull = 15,
    /// No room for an attempt on the sensor.
    TampersFull = 16,
    /// No room in the ring for a record's name; its next access tries again.
    NameLost = 17,
    /// No memory for the mark of a socket.
    TalkingFull = 18,
    /// No room for a carrier.
    CarriersFull = 19,
    /// No room for a conversation within the machine.
    LocalsFull = 20,
    /// No room for a process that shares memory.
    SharesFull = 21,
    /// A socket of before the programs, which before Linux 5.12 nothing gives a cookie.
    NoCookie = 22,
}

/// All errors, in the order of their numbers.
pub const ERRORS: [(Error, &str); 23] = [
    (Error::NoControl, "settings unreadable"),
    (Error::NoInode, "file without inode"),
    (Error::NoFile, "descriptor gone"),
    (Error::NoTask, "process unreadable"),
    (Error::Depth, "path too deep"),
    (Error::Fault, "memory unreadable"),
    (Error::RootsFull, "map of roots full"),
    (Error::HoldersFull, "map of holders full"),
    (Error::SocketsFull, "map of sockets full"),
    (Error::DatagramsFull, "map of datagrams full"),
    (Error::Compat, "32-bit system call"),
    (Error::CriticalRingFull, "critical ring full"),
    (Error::BulkRingFull, "no room for accesses"),
    (Error::NoSocket, "socket unreadable"),
    (Error::LinkedFull, "map of linked records full"),
    (Error::EdgesFull, "map of edges full"),
    (Error::TampersFull, "map of attempts full"),
    (Error::NameLost, "no room for names"),
    (Error::TalkingFull, "no memory to mark a socket"),
    (Error::CarriersFull, "map of carriers full"),
    (Error::LocalsFull, "map of local connections full"),
    (Error::SharesFull, "map of shared memory full"),
    (Error::NoCookie, "socket older than the programs"),
];

/// What a hook's runs came to, on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Times it ran.
    pub seen: u64,
    /// Ended in a record in a ring.
    pub reported: u64,
    /// Added to a sum or changed a mark.
    pub summed: u64,
    /// Had nothing to do with a record.
    pub ignored: u64,
    /// Could not find out what it needed.
    pub failed: u64,
    /// Had something to say and no room to say it.
    pub dropped: u64,
}

/// Bytes of accesses that found no room, on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LostBytes {
    /// As [`AccessSum::read`](super::access::AccessSum::read).
    pub read: u64,
    /// As [`AccessSum::mapped`](super::access::AccessSum::mapped).
    pub mapped: u64,
    /// As [`AccessSum::written`](super::access::AccessSum::written).
    pub written: u64,
}

const _: () = assert!(size_of::<LostBytes>() == 24);
const _: () = assert!(size_of::<Counts>() == 48);
const _: () = {
    let mut i = 0;
    while i < HOOKS.len() {
        assert!(HOOKS[i].0 as usize == i);
        i += 1;
    }
    let mut i = 0;
    while i < ERRORS.len() {
        assert!(ERRORS[i].0 as usize == i);
        i += 1;
    }
};
