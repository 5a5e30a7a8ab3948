//! Processes.

use super::header::Header;
use super::limits::FILENAME_MAX;

/// Names a process within one boot.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// `task_struct.start_boottime` of the thread group's leader, nanoseconds.
    pub start_ns: u64,
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// Zero.
    pub pad: u32,
}

/// A process started another.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Fork {
    /// Kind [`FORK`](super::header::kind::FORK).
    pub header: Header,
    /// The new process.
    pub child: Process,
    /// The one that called fork or clone.
    pub parent: Process,
    /// Stores whose records the new process holds, because the other one does.
    pub stores: u64,
}

/// A process became another program; `A` is the room for its arguments.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Exec<const A: usize> {
    /// Kind [`EXEC_SMALL`](super::header::kind::EXEC_SMALL) or [`EXEC_LARGE`](super::header::kind::EXEC_LARGE).
    pub header: Header,
    /// The process.
    pub process: Process,
    /// Its parent at this moment.
    pub parent: Process,
    /// Real user id.
    pub uid: u32,
    /// Bytes of `filename` in which the name is: it ends at the first NUL among them, or with them.
    pub filename_len: u32,
    /// Bytes of arguments the process has, which may be more than are kept.
    pub arguments_len: u32,
    /// Bytes of environment the process has.
    pub environment_len: u32,
    /// The name exec was called with (`linux_binprm.filename`); what follows is of older records, or lay behind the name.
    pub filename: [u8; FILENAME_MAX],
    /// Arguments as they lie in the process's memory, each ended by NUL; what follows is of older records.
    pub arguments: [u8; A],
}

/// A process ended: its last thread did.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// Kind [`EXIT`](super::header::kind::EXIT).
    pub header: Header,
    /// The process.
    pub process: Process,
}

const _: () = assert!(size_of::<Process>() == 16 && align_of::<Process>() == 8);
const _: () = assert!(size_of::<Fork>() == 56);
const _: () = assert!(size_of::<Exec<512>>() == 64 + 256 + 512);
const _: () = assert!(core::mem::offset_of!(Exec<512>, filename) == 64);
const _: () = assert!(core::mem::offset_of!(Exec<512>, arguments) == 320);
const _: () = assert!(size_of::<Exit>() == 32);
