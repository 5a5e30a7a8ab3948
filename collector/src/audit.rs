//! The audit log: who did or tried what that bears on security, one entry to a line, each chained to the one before.
//!
//! It lies in `audit/audit.log` of the data directory, is only ever appended to, and an entry is on the disk when
//! [`Audit::append`] returns. A line is `{"hash":"H","entry":E}`; H is SHA-256 over the 32 bytes of the hash of the line before (zeros before
//! the first) and the bytes of E as they stand there, in hexadecimal digits. `audit/head` beside it holds number and hash of the last entry.
//!
//! What that proves: an entry cannot be changed, removed or put in without all that follow being made anew. What it does not: whoever may write
//! to the files can make all of that anew, or cut the end off and set the head back. Only a hash that lies elsewhere shows that, so
//! the collector says each of its entries' hashes in its own log (the journal), and `chartwatch audit verify --head` takes one.
//!
//! **Invariant:** whoever appends, the daemon or a command, of whichever user, holds a lock on the file and reads its end first. Nothing in it is ever
//! written over: what a crash has left of a line stays, and the entry after it says so.

mod chain;
mod desk;
mod entry;
mod file;
mod verify;
mod who;

use std::path::PathBuf;

pub use chain::Hash;
pub use desk::{Desk, spawn};
pub use entry::{Action, Entry, Stored};
pub use file::{Appended, Audit, read};
pub use verify::{Break, Head, Verified, verify};
pub use who::Who;

/// Directory below the data directory, its log, and the file with the last entry's hash.
const DIRECTORY: &str = "audit";
const LOG: &str = "audit.log";
const HEAD: &str = "head";
/// Longest line, bytes: what is longer was not written here.
const LINE_MAX: u64 = 1 << 20;

/// Why an entry was not written, or the log not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file cannot be read or written.
    #[error("{file}: the audit log cannot be used: {source}; run this as the collector's user, or make room on the disk", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else holds the lock.
    #[error("{file}: another process has held the audit log for seconds; end it, or try again", file = .0.display())]
    Busy(PathBuf),
    /// The end of the log holds no entry.
    #[error("{file}: the end holds no entry of an audit log; keep the file elsewhere, and a new one is begun", file = .0.display())]
    Damaged(PathBuf),
    /// There is no log.
    #[error("{file}: is not there: the collector makes it at its first start", file = .0.display())]
    Missing(PathBuf),
    /// The entry is too long.
    #[error("an entry of {0} bytes is too long for the audit log")]
    Long(usize),
}

#[cfg(test)]
mod tests;
