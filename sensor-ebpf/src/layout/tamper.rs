//! What is tried on the sensor itself.

use super::proc::Process;

/// A signal that ends or stops; the number is the signal's.
pub const SIGNAL: u32 = 1;
/// To be traced, or to have its memory read; the number is 0.
pub const TRACE: u32 = 2;
/// A descriptor of one of its maps; the number is the map's id.
pub const MAP: u32 = 3;
/// A descriptor of one of its programs; the number is the program's id.
pub const PROGRAM: u32 = 4;
/// A descriptor of what attaches one of its programs; the number is the link's id.
pub const LINK: u32 = 5;
/// To write to one of its files, to change, replace or remove it; the number is one of those below.
pub const FILE: u32 = 6;

/// Its program.
pub const FILE_PROGRAM: u32 = 1;
/// Its configuration.
pub const FILE_CONFIGURATION: u32 = 2;
/// The key of its tokens.
pub const FILE_KEY: u32 = 3;
/// Its systemd unit.
pub const FILE_UNIT: u32 = 4;
/// What its disk spool is made of.
pub const FILE_SPOOL: u32 = 5;
/// Its key and certificate.
pub const FILE_IDENTITY: u32 = 6;
/// The authority by which it knows the collector.
pub const FILE_AUTHORITY: u32 = 7;

/// Names an attempt: who, and at what.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TamperKey {
    /// The process that tries.
    pub process: Process,
    /// One of the constants above.
    pub what: u32,
    /// Which one of its kind.
    pub number: u32,
}

/// How often it was tried since it was first seen.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TamperSum {
    /// First time, boot clock, nanoseconds.
    pub first_ns: u64,
    /// Last time, boot clock, nanoseconds.
    pub last_ns: u64,
    /// How often.
    pub times: u64,
    /// How often it was refused.
    pub denied: u64,
}

/// One of the sensor's own maps, programs or links.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Own {
    /// [`MAP`], [`PROGRAM`] or [`LINK`].
    pub what: u32,
    /// Its id.
    pub id: u32,
}

const _: () = assert!(size_of::<TamperKey>() == 24);
const _: () = assert!(size_of::<TamperSum>() == 32);
const _: () = assert!(size_of::<Own>() == 8);
