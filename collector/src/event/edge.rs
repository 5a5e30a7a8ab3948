//! What goes from one process to another, be it by way of a carrier.

use super::ProcessKey;

/// How something went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// Not given, or a way this version does not know.
    Unknown,
    /// Memory was read by `process_vm_readv`.
    MemoryCall,
    /// Memory was read by `ptrace`.
    Ptrace,
    /// Memory was opened, or read, as the file `/proc/PID/mem`.
    ProcMem,
    /// A process wrote to a carrier.
    Write,
    /// A process read from a carrier.
    Read,
    /// A carrier is mapped into a process's memory; the bytes are those of the whole carrier.
    Map,
    /// What another process had sent was received over a unix socket.
    UnixSocket,
    /// The same over a connection within the host, or in datagrams of UDP.
    Loopback,
    /// What another process had written to a pseudo terminal was read from its other end.
    Terminal,
}

impl EdgeKind {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MemoryCall => "memory-call",
            Self::Ptrace => "ptrace",
            Self::ProcMem => "proc-mem",
            Self::Write => "write",
            Self::Read => "read",
            Self::Map => "map",
            Self::UnixSocket => "unix-socket",
            Self::Loopback => "loopback",
            Self::Terminal => "terminal",
        }
    }
}

/// What kind of carrier it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CarrierKind {
    /// Not given, or a kind this version does not know.
    Unknown,
    /// A file outside of every store, or one that has no name.
    File,
    /// A pipe, with or without a name.
    Pipe,
    /// Memory without a file, which a process shares with those that it starts.
    Memory,
}

impl CarrierKind {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::File => "file",
            Self::Pipe => "pipe",
            Self::Memory => "memory",
        }
    }
}

/// Where a carrier lies, as far as that makes it a way out of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// On a disk of the host or in its memory, or not known.
    #[default]
    Fixed,
    /// On what can be taken out and carried away.
    Removable,
    /// On another machine, or wherever a program puts it that serves a file system.
    Network,
    /// In a file of the host that is mounted as a disk.
    Image,
}

impl Medium {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Removable => "removable",
            Self::Network => "network",
            Self::Image => "image",
        }
    }
}

/// Names a carrier within one boot of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierKey {
    /// What it is.
    pub kind: CarrierKind,
    /// Device number as the kernel keeps it: `major << 20 | minor`.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// Inode generation.
    pub generation: u32,
}

/// A file outside of the stores, or a pipe, into which a holder of records wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Which one.
    pub key: CarrierKey,
    /// Where it lies, as far as is known; what in it is called like a record is a token. Empty when it was not seen.
    pub path: String,
    /// On what it lies.
    pub medium: Medium,
}

/// One end of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A process.
    Process(ProcessKey),
    /// Something that lies between processes.
    Carrier(Carrier),
}

/// What went from a holder of records to somebody else since the sensor last said so: amounts are to be added up. Who got
/// it holds records of the same stores from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// How.
    pub kind: EdgeKind,
    /// Stores whose records `from` held; empty where an end is a carrier.
    pub stores: Vec<String>,
    /// How often; 0 when it was not counted.
    pub times: u64,
    /// Bytes; 0 when it is not known how many.
    pub bytes: u64,
    /// First time in this event, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last time in this event, nanoseconds since the Unix epoch.
    pub last_ns: u64,
}
