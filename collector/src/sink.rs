//! Sinks: how alerts leave for the hospital's other systems. One file per format or target.
//!
//! Each sink reads the alerts at its own pace and keeps a cursor of its own, so one that is down holds nobody up.
//!
//! **Invariant:** the order is that of the alerts, nothing is left out, and a cursor moves only past what is delivered.

pub mod file;
pub mod ocsf;
pub mod rfc5424;
pub mod syslog;

use crate::alerts::AlertError;

/// Entries taken from the alerts at a time.
const PAGE: u32 = 64;

/// A sink that cannot go on for the moment.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The alerts cannot be read, or the cursor not kept.
    #[error(transparent)]
    Alerts(#[from] AlertError),
    /// The file cannot be written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The receiver cannot be reached, or the connection broke.
    #[error("syslog receiver {address}: {source}")]
    Syslog {
        /// The receiver.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The receiver closed the connection.
    #[error("syslog receiver {address} closed the connection")]
    Closed {
        /// The receiver.
        address: String,
    },
}
