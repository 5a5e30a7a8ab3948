//! Sums of what processes do with records, and names of records.

use super::header::Header;
use super::limits::{CARRIER_HINTS_BITS, NAME_MAX, SHARES_EACH};
use super::proc::Process;

/// Store number of the sensor's own private store, by which it tests itself.
pub const CANARY_STORE: u32 = 0;
/// Store number that means "no store".
pub const NO_STORE: u32 = u32::MAX;
/// Set in the store number of a root that is none by configuration: a directory that was moved out of the store.
pub const MOVED: u32 = 1 << 31;

/// Store number of the first of the sensor's own files, beyond all stores: `n` more is file `n` of
/// [`tamper`](super::tamper).
pub const OWN_FILES: u32 = MOVED - 256;

/// Store number of files that are no records but may hold what is: holders have written to them, or can.
pub const CARRIER_FILE: u32 = MOVED - 512;
/// The same of pipes.
pub const CARRIER_PIPE: u32 = CARRIER_FILE + 1;
/// The same of memory that has no file: what a process maps so, and its descendants share.
pub const CARRIER_MEMORY: u32 = CARRIER_FILE + 2;
/// Device of the identity that such memory is given: number and generation are when it was mapped, and by which process.
pub const MEMORY_DEV: u32 = u32::MAX;
/// Generation of a segment of System V memory where its file is not seen; the number is the segment's.
pub const SEGMENT: u32 = u32::MAX;

/// Store number of the first program that serves the records of a store: `n` more is that of store `n`.
pub const SERVICES: u32 = CARRIER_FILE - 2048;
/// Store number of programs that share memory with everybody and carry no records by nature, as a display server does.
pub const QUIET_PROGRAM: u32 = CARRIER_FILE - 1;

/// A file by identity.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// `inode.i_ino`.
    pub ino: u64,
    /// `super_block.s_dev`: major << 20 | minor.
    pub dev: u32,
    /// `inode.i_generation`.
    pub generation: u32,
}

/// That a file is a record and has been named.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Its store.
    pub store: u32,
    /// Value of the map `GENERATION` when the answer was found; another one makes it void.
    pub generation: u32,
}

/// A slot of the memory of answers, see `observe/answer.rs`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Writers under way in the lower half, finished ones in the upper.
    pub state: u64,
    /// Address of the inode's `super_block`: cheaper to compare than the device's number that lies behind it.
    pub sb: u64,
    /// `inode.i_ino` of the file or directory.
    pub ino: u64,
    /// Its `inode.i_generation`.
    pub inode_generation: u32,
    /// Its store, or [`NO_STORE`].
    pub store: u32,
    /// As [`Mark::generation`].
    pub generation: u32,
    /// The device's number, of a record: [`Inode::dev`].
    pub dev: u32,
}

impl Answer {
    /// A slot that nobody has written to.
    pub const NONE: Self = Self {
        state: 0,
        sb: 0,
        ino: 0,
        inode_generation: 0,
        store: 0,
        generation: 0,
        dev: 0,
    };
}

/// A file outside of the stores, or a pipe, that holders have written to.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Carrier {
    /// Stores whose records it may carry: bit `n % 64` for store `n`.
    pub stores: u64,
    /// When a holder last wrote to it, boot clock, nanoseconds.
    pub last_ns: u64,
}

/// Which of the words that tell of carriers is that of an inode number.
#[must_use]
pub const fn carrier_hint(ino: u64) -> u32 {
    // As in observe/answer.rs.
    (ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - CARRIER_HINTS_BITS)) as u32
}

/// Memory that a process shares with others, mapped before it held a record.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// 0 while the place is free; [`SUM_READY`] and up when the rest is there.
    pub state: u64,
    /// The file that is mapped, or an identity of [`MEMORY_DEV`].
    pub file: Inode,
    /// Bytes of the file, or of the mapping where there is none.
    pub bytes: u64,
}

/// What one process shares, as far as there are places.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// In no order.
    pub places: [Share; SHARES_EACH],
}

impl Shares {
    /// All places free.
    pub const NONE: Self = Self {
        places: [Share {
            state: 0,
            file: Inode {
                ino: 0,
                dev: 0,
                generation: 0,
            },
            bytes: 0,
        }; SHARES_EACH],
    };
}

/// Who touches what.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessKey {
    /// The record.
    pub file: Inode,
    /// The process.
    pub process: Process,
}

/// What it did, added up since the buffer was last taken.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct AccessSum {
    /// First touch, boot clock, nanoseconds.
    pub first_ns: u64,
    /// The kernel's tick (low half of `jiffies_64`) at the first touch.
    pub first_tick: u32,
    /// The same at the last touch: an exact clock costs more than all else.
    pub last_tick: u32,
    /// Times opened; open at the start of the sensor counts as opened then.
    pub opens: u64,
    /// Bytes that read calls gave.
    pub read: u64,
    /// Bytes of the file at the times it was mapped.
    pub mapped: u64,
    /// Bytes that write calls took.
    pub written: u64,
    /// Times its length, mode, owner, times or extended attributes were set, or a name was added or became another.
    pub changed: u64,
    /// Times a name of it was removed, or given to another file.
    pub deleted: u64,
    /// Times the names in it were asked for: it is a directory. Of a carrier: bytes of it at the times it was mapped so that
    /// what is written there is written to it.
    pub listed: u64,
    /// Store of the record.
    pub store: u32,
    /// Zero.
    pub pad: u32,
}

/// A slot of the array of sums, see `observe/sum.rs`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SumSlot {
    /// 0 while it is free; [`SUM_READY`] and up when key and sum are there.
    pub state: u64,
    /// Who touches what.
    pub key: AccessKey,
    /// What it did.
    pub sum: AccessSum,
}

/// What is added to a slot's state when its key and sum have been written.
pub const SUM_READY: u64 = 1 << 32;

/// A sum that found no room in its map.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Kind [`ACCESS`](super::header::kind::ACCESS).
    pub header: Header,
    /// Who touched what.
    pub key: AccessKey,
    /// What it did.
    pub sum: AccessSum,
}

/// The name a record was found under; `P` is the room for its path.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Name<const P: usize> {
    /// Kind [`NAME_SMALL`](super::header::kind::NAME_SMALL) or [`NAME_LARGE`](super::header::kind::NAME_LARGE).
    pub header: Header,
    /// The record.
    pub file: Inode,
    /// Its store.
    pub store: u32,
    /// Parts of the path that are kept.
    pub parts: u32,
    /// Parts the path has; more than `parts` when it did not fit.
    pub parts_all: u32,
    /// Bytes of `path` that are used.
    pub path_len: u32,
    /// The parts from the file's own name upwards, each ended by NUL.
    pub path: [u8; P],
    /// Room that lets the last part be written without a variable bound.
    pub slack: [u8; NAME_MAX],
}

const _: () = assert!(size_of::<Inode>() == 16 && align_of::<Inode>() == 8);
const _: () = assert!(size_of::<Mark>() == 8);
const _: () = assert!(size_of::<Answer>() == 40);
const _: () = assert!(size_of::<Carrier>() == 16);
const _: () = assert!(size_of::<Share>() == 32);
const _: () = assert!(size_of::<AccessKey>() == 32);
const _: () = assert!(size_of::<AccessSum>() == 80);
const _: () = assert!(size_of::<SumSlot>() == 120);
const _: () = assert!(size_of::<Access>() == 128);
const _: () = assert!(size_of::<Name<128>>() == 48 + 128 + 256);
const _: () = assert!(core::mem::offset_of!(Name<128>, path) == 48);
