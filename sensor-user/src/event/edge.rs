//! What goes from one process to another, be it by way of a carrier.

use super::{ProcessKey, RecordId, StoreId};

/// How something went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
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

/// What kind of carrier it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CarrierKind {
    /// A file outside of every store, or one that has no name.
    File,
    /// A pipe.
    Pipe,
    /// Memory without a file, which a process shares with those that it starts.
    Memory,
}

/// Where a carrier lies, as far as that makes it a way out of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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

/// One end of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// A process.
    Process(ProcessKey),
    /// A file outside of the stores, or a pipe, into which a holder of records wrote: by identity, as with a record.
    Carrier(CarrierKind, RecordId),
}

/// What a process that holds records gave to another since this was last reported: amounts are to be added up. The other
/// holds records of the same stores from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// How.
    pub kind: EdgeKind,
    /// Stores that `from` held records of; empty where an end is a carrier.
    pub stores: Vec<StoreId>,
    /// How often; 0 when it was not counted.
    pub times: u64,
    /// Bytes; 0 when it is not known how many.
    pub bytes: u64,
    /// First time since the last report, boot clock.
    pub first_boot_ns: u64,
    /// Last time, boot clock.
    pub last_boot_ns: u64,
}
