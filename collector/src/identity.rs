//! Who is who on the link: the collector's own certificate authority or a hospital's, and what a sensor's certificate says.
//!
//! By default the collector makes an authority of its own at its first start, below `<data_dir>/pki/`, and with it a
//! certificate for itself. That one lives in memory only and is made anew at every start and once a day, so that
//! nothing but the authority's key has to be guarded. An authority can be changed for another while everything runs (`authorities`).
//!
//! **Invariant:** a key that others can read is not used, and no key or certificate that is there is written over. TLS is 1.3 (RFC 8446)
//! or nothing.

mod analyst;
mod authorities;
mod authority;
mod book;
mod files;
mod lapse;
mod peer;
mod request;
mod revocations;
mod server;
mod token;

use std::path::{Path, PathBuf};

pub use analyst::{AnalystCertificate, Role, Roles};
pub(crate) use analyst::{analyst_of, can_be_analyst, subject as analyst_subject};
pub use authorities::Authorities;
pub(crate) use authorities::short;
pub use authority::Authority;
pub use book::{Book, Revoked};
pub use lapse::Lapse;
pub(crate) use peer::can_be_certified;
pub use peer::{Peer, PeerError, SensorCertificate};
pub use request::{RequestError, RequestedKey};
pub use revocations::watch as watch_revocations;
pub use server::Server;
pub(crate) use server::all_names as known_names;
pub use token::Secret;
pub(crate) use token::mark as token_mark;

/// Directory of the authority, below the data directory.
const DIRECTORY: &str = "pki";

/// Keys or certificates that cannot be used. Each says which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or made.
    #[error("{file}: {source}; let the collector's user read it, or correct the path", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner can read or write a key.
    #[error("{file}: mode {mode:04o} lets others read or change the key; run `chmod 600 {file}`", file = file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what it must be.
    #[error("{file}: {reason}; {remedy}", file = file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Only one of the two files of the authority is there.
    #[error("{missing}: is not there, while {there} is; put it back from a backup, or move {there} away to begin with a new authority, with which every sensor must be enrolled again",
        missing = missing.display(), there = there.display())]
    Half {
        /// The file that is missing.
        missing: PathBuf,
        /// The file that is there.
        there: PathBuf,
    },
    /// The authority is not being changed.
    #[error("{file}: is not there: the authority is not being changed; begin with `chartwatch-collector rotate-authority`", file = .0.display())]
    NoNext(PathBuf),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The database of tokens cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// There is no authority yet.
    #[error("{file}: is not there: the collector makes its authority at its first start; start it, and run this as its user", file = .0.display())]
    NeverRan(PathBuf),
    /// The TLS library refuses key or certificate.
    #[error("{file}: cannot be used for TLS: {source}; give a certificate and the key that belongs to it", file = file.display())]
    Tls {
        /// The certificate's file.
        file: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The authorities of sensors cannot be used.
    #[error("{file}: holds no authority that sensors' certificates could be checked with: {reason}; give CA certificates as PEM", file = file.display())]
    ClientCa {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Whether there is an authority of the collector's own already.
pub(crate) fn has_authority(data_dir: &Path) -> bool {
    directory(data_dir).join("ca.pem").exists()
}

/// The directory of the authority.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY)
}

#[cfg(test)]
mod tests;
