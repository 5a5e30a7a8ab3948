//! Records and what processes do with them.

use super::ProcessKey;

/// A file in a store, by identity: the same however it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Device number as the kernel keeps it: `major << 20 | minor`.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
    /// Inode generation.
    pub generation: u32,
}

/// How a record's name is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// A token: the name encrypted under the hospital's key; equal names give equal tokens.
    Token,
    /// The path below the store itself.
    Plain,
}

/// The name of a record, as the sensor gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordName {
    /// Token or path.
    pub text: String,
    /// Which of the two.
    pub form: NameForm,
}

/// What one process did with one record since the sensor last said so: amounts are to be added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The process.
    pub process: ProcessKey,
    /// The store the record is in.
    pub store: String,
    /// The record.
    pub record: RecordId,
    /// Its name below the store; `None` when the sensor did not see it.
    pub name: Option<RecordName>,
    /// Times it was opened.
    pub opens: u64,
    /// Bytes that read calls gave.
    pub bytes_read: u64,
    /// Bytes of the file at the times it was mapped.
    pub bytes_mapped: u64,
    /// Bytes that write calls took.
    pub bytes_written: u64,
    /// Times its length, mode, owner, times or attributes were set, or a name was added or became another.
    pub changes: u64,
    /// Times a name of it was removed, or given to another file.
    pub deletions: u64,
    /// Times the names in it were asked for: then it is a directory of the store. Zero from sensors that do not tell.
    pub listings: u64,
    /// First touch in this event, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last touch in this event, nanoseconds since the Unix epoch.
    pub last_ns: u64,
}
