//! Bounds, and how they depend on each other. The verifier needs them, and so do reviewers.

/// Directories between a record and its store's root, at most; deeper files count as failed, not as no record.
pub const DEPTH_MAX: usize = 32;
/// Longest file name, with its NUL (`NAME_MAX` + 1).
pub const NAME_MAX: usize = 256;
/// Bytes of a record's path below its store that are kept, NULs between the parts included.
pub const PATH_SMALL: usize = 128;
/// The same for paths that do not fit into [`PATH_SMALL`].
pub const PATH_LARGE: usize = 1024;
/// Bytes of exec's file name that are kept.
pub const FILENAME_MAX: usize = 256;
/// Bytes that are read at once of exec's file name; where the name does not end among them it is read as a string.
pub const FILENAME_SHORT: usize = 32;
/// Arguments of less bytes than this are read over the stack.
pub const ARGUMENTS_FEW: usize = 64;
/// Bytes of arguments that are kept, if they are few.
pub const ARGUMENTS_SMALL: usize = 512;
/// Bytes of arguments that are kept at most.
pub const ARGUMENTS_LARGE: usize = 4096;
/// Store roots, at most: configured paths, the mounts below them, and directories that were moved out of a store.
pub const ROOTS_MAX: u32 = 8192;
/// Disks that stores lie on, whole disks and what they are made of included.
pub const DISKS_MAX: u32 = 1024;
/// Records that names outside of their store lead to: those with several names, and those that were moved out.
pub const LINKED_MAX: u32 = 65_536;
/// Words that tell whether any linked record may have such an inode number, as a power of two.
pub const HINTS_BITS: u32 = 8;
/// Slots of the memory of answers, as a power of two: 2.5 MiB.
pub const ANSWERS_BITS: u32 = 16;
/// Slots of the memory of answers.
pub const ANSWERS_MAX: u32 = 1 << ANSWERS_BITS;
/// Records that are known to have been named; the least recently used one is forgotten and named again.
pub const MARKS_MAX: u32 = 65_536;
/// Slots of the array of access sums in each of its two halves, as a power of two.
pub const SUMS_BITS: u32 = 12;
/// Slots of both halves.
pub const SUMS_MAX: u32 = 2 << SUMS_BITS;
/// Words that tell which slots of a half are used: a bit for each slot, and a last word for sums that found theirs taken.
pub const USED_WORDS: u32 = (1 << SUMS_BITS) / 64 + 1;
/// Sums of accesses per tick and buffer that found their slot taken: room for a second of readers at full speed while the sensor
/// is not let run. What does not fit here is reported one by one.
pub const ACCESSES_MAX: u32 = 65_536;
/// Processes that hold records at one time.
pub const HOLDERS_MAX: u32 = 65_536;
/// Open TCP sockets of processes that hold records.
pub const SOCKETS_MAX: u32 = 131_072;
/// UDP flows of processes that hold records.
pub const DATAGRAMS_MAX: u32 = 16_384;
/// Edges between processes at one time.
pub const EDGES_MAX: u32 = 4_096;
/// Threads that have just been let at another process's memory.
pub const TARGETS_MAX: u32 = 1_024;
/// Attempts on the sensor at one time.
pub const TAMPERS_MAX: u32 = 1_024;
/// Maps, programs and links of the sensor's own.
pub const OWN_MAX: u32 = 1_024;
/// Bytes of a packet's payload that are kept: enough for a TLS hello with its keys, and for most of DNS.
pub const PAYLOAD_MAX: usize = 2048;
/// First packets of a conversation whose payload is kept, each way, where names are asked for and given.
pub const PAYLOADS_DNS: u32 = 64;
/// Copies under way in `vfs_copy_file_range`.
pub const COPIES_MAX: u32 = 4_096;
/// Files and pipes that holders have written to.
pub const CARRIERS_MAX: u32 = 262_144;
/// Processes that share memory and hold no record.
pub const SHARES_MAX: u32 = 16_384;
/// Segments of System V memory whose size is known.
pub const SEGMENTS_MAX: u32 = 4_096;
/// Pieces of memory that are noted of one of them; of more, the later ones take the places of earlier ones.
pub const SHARES_EACH: usize = 8;
/// Words that tell whether any carrier may have such an inode number, as a power of two.
pub const CARRIER_HINTS_BITS: u32 = 14;
/// Words that tell whether a process with such a number may hold records, or shares memory with one that may.
pub const HOLDER_HINTS_MAX: u32 = 1 << 15;
/// Descriptors of a new holder that are looked at ahead of what it does with them.
pub const AHEAD_MAX: u64 = 64;
/// UDP sockets of this machine to which holders have sent, and ends of pseudo terminals that get what they write; the least recently used one is forgotten.
pub const WAITING_MAX: u32 = 4_096;
/// Ports of UDP over which no records go.
pub const QUIET_PORTS_MAX: u32 = 256;
/// Conversations within the machine by which holders send.
pub const LOCALS_MAX: u32 = 65_536;
/// Words that tell whether any of them may have such a port.
pub const LOCAL_HINTS_MAX: u32 = 1 << 14;
/// Unix sockets, by name, whose talk carries no records.
pub const QUIET_MAX: u32 = 4_096;
/// Systemd units that serve records.
pub const UNITS_MAX: u32 = 1_024;
/// Bytes of a unit's name, with its NUL.
pub const UNIT_NAME_MAX: usize = 128;
/// Control groups that are looked at for a unit's name, from a process's own upwards.
pub const UNIT_DEPTH_MAX: u32 = 8;
/// Renames under way of what lies in a store.
pub const RENAMES_MAX: u32 = 4_096;
/// Bytes waiting in a ring from which on its reader is woken before its tick.
pub const WAKE_BYTES: u64 = 64 * 1024;

const _: () = assert!(PATH_SMALL.is_power_of_two() && PATH_LARGE.is_power_of_two());
const _: () = assert!(ARGUMENTS_SMALL.is_power_of_two() && ARGUMENTS_LARGE.is_power_of_two());
const _: () = assert!(ARGUMENTS_FEW.is_power_of_two() && ARGUMENTS_FEW < ARGUMENTS_SMALL);
const _: () = assert!(FILENAME_SHORT.is_multiple_of(8) && FILENAME_SHORT < FILENAME_MAX);
const _: () = assert!(PAYLOAD_MAX.is_power_of_two());
const _: () = assert!(SHARES_EACH.is_power_of_two());
const _: () = assert!(PATH_SMALL < PATH_LARGE && ARGUMENTS_SMALL < ARGUMENTS_LARGE);
