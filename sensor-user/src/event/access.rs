//! Records, their names, and what processes do with them.

use super::ProcessKey;

/// Which of the configured stores, by its place in the configuration. The layout keeps 0 for the sensor's own
/// canary store, so the first configured store is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u32);

/// A file in a store, by identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// Device number as the kernel keeps it: `major << 20 | minor`.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// Inode generation.
    pub generation: u32,
}

/// The name a record was first seen under. Comes before the first [`Access`] to the record, unless it was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The record.
    pub record: RecordId,
    /// The store it is in; nothing for a carrier.
    pub store: StoreId,
    /// True for a file that is no record but carries what is: its path begins with a slash.
    pub is_carrier: bool,
    /// Path below the store's root, without a leading slash. Any bytes but NUL.
    pub untrusted_path: Vec<u8>,
}

/// What one process did with one record since this was last reported: amounts are to be added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The process.
    pub process: ProcessKey,
    /// The store the record is in.
    pub store: StoreId,
    /// The record.
    pub record: RecordId,
    /// Times it was opened; open at the start of the sensor counts as opened then.
    pub opens: u64,
    /// Bytes that read calls gave.
    pub bytes_read: u64,
    /// Bytes of the file at the times it was mapped.
    pub bytes_mapped: u64,
    /// Bytes that write calls took.
    pub bytes_written: u64,
    /// Times its length, mode, owner, times or attributes were set, or a name was added.
    pub changes: u64,
    /// Times a name of it was removed, or given to another file.
    pub deletions: u64,
    /// Times the names in it were asked for: then it is a directory of the store.
    pub listings: u64,
    /// First touch, boot clock.
    pub first_boot_ns: u64,
    /// Last touch, boot clock.
    pub last_boot_ns: u64,
}
