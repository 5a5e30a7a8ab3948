//! What goes from one process to another: how, and how much.

use super::proc::Process;

/// One process read another's memory by `process_vm_readv`.
pub const MEMORY_CALL: u32 = 1;
/// One process read another's memory by `ptrace`.
pub const PTRACE: u32 = 2;
/// One process opened or read another's memory as a file, `/proc/PID/mem`.
pub const PROC_MEM: u32 = 3;

/// One process received over a unix socket what another had sent.
pub const UNIX_SOCKET: u32 = 4;
/// One process received over a connection within the host, or in datagrams of UDP, what another had sent.
pub const LOOPBACK: u32 = 5;

/// One process read from a pseudo terminal what another had written to its other end.
pub const TERMINAL: u32 = 6;

/// Names an edge: a process that holds records, the one that got something of it, and how.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EdgeKey {
    /// Where it comes from.
    pub from: Process,
    /// Where it goes.
    pub to: Process,
    /// One of the constants above.
    pub kind: u32,
    /// Zero.
    pub pad: u32,
}

/// What went over an edge since it was first seen.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct EdgeSum {
    /// First time, boot clock, nanoseconds.
    pub first_ns: u64,
    /// Last time, boot clock, nanoseconds.
    pub last_ns: u64,
    /// How often.
    pub times: u64,
    /// Bytes, as far as they are known.
    pub bytes: u64,
    /// Stores that `from` held records of: bit `n % 64` for store `n`.
    pub stores: u64,
}

const _: () = assert!(size_of::<EdgeKey>() == 40);
const _: () = assert!(core::mem::offset_of!(EdgeKey, pad) + 4 == size_of::<EdgeKey>());
const _: () = assert!(size_of::<EdgeSum>() == 40);
