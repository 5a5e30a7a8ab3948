//! What goes from one process to another.

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
}

impl EdgeKind {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MemoryCall => "memory-call",
            Self::Ptrace => "ptrace",
            Self::ProcMem => "proc-mem",
        }
    }
}

/// What a holder of records gave to another process since the sensor last said so: amounts are to be added up. The other
/// holds records of the same stores from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where it comes from.
    pub from: ProcessKey,
    /// Where it goes.
    pub to: ProcessKey,
    /// How.
    pub kind: EdgeKind,
    /// Stores whose records `from` held.
    pub stores: Vec<String>,
    /// How often.
    pub times: u64,
    /// Bytes; 0 when it is not known how many.
    pub bytes: u64,
    /// First time in this event, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last time in this event, nanoseconds since the Unix epoch.
    pub last_ns: u64,
}
