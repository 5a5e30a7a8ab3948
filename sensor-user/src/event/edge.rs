//! What goes from one process to another.

use super::{ProcessKey, StoreId};

/// How something went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// Memory was read by `process_vm_readv`.
    MemoryCall,
    /// Memory was read by `ptrace`.
    Ptrace,
    /// Memory was opened, or read, as the file `/proc/PID/mem`.
    ProcMem,
}

/// What a process that holds records gave to another since this was last reported: amounts are to be added up. The other
/// holds records of the same stores from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where it comes from.
    pub from: ProcessKey,
    /// Where it goes.
    pub to: ProcessKey,
    /// How.
    pub kind: EdgeKind,
    /// Stores that `from` held records of.
    pub stores: Vec<StoreId>,
    /// How often.
    pub times: u64,
    /// Bytes; 0 when it is not known how many.
    pub bytes: u64,
    /// First time since the last report, boot clock.
    pub first_boot_ns: u64,
    /// Last time, boot clock.
    pub last_boot_ns: u64,
}
