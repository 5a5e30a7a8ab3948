//! Why a feed could not be pulled, in words for whoever runs the collector.
//!
//! **Invariant:** no message repeats a URL or a password: an URL may have a key in it.

use std::path::{Path, PathBuf};

use super::super::feed::{FeedError, Refused};

/// A feed that could not be pulled; what was pulled before stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// The file with the password cannot be used.
    #[error("password_file {path}: {reason}", path = path.display())]
    Password { path: PathBuf, reason: String },
    /// The certificates that would vouch for the server cannot be used.
    #[error("certificates: {0}")]
    Certificates(String),
    /// No answer: the name is not known, nobody listens, TLS failed, or it took too long.
    #[error("the server does not answer: {0}")]
    Ask(#[source] Box<ureq::Error>),
    /// An answer that is none.
    #[error("the server answers {status}{hint}", hint = hint(*status))]
    Status { status: u16 },
    /// The server says to ask somewhere else, which is for a person to decide.
    #[error("the server redirects to {0:?}; if that is right write it as url")]
    Redirect(String),
    /// What a person should see came in place of the feed: a login, or a proxy's refusal.
    #[error("a web page came, not a feed")]
    Page,
    /// More than is kept of a feed.
    #[error("more than 256 MiB")]
    Large,
    /// More events than a feed may have.
    #[error("more than 100,000 events")]
    Many,
    /// The answer broke off.
    #[error("the answer did not come whole: {0}")]
    Broken(#[source] std::io::Error),
    /// Not of the form that it should have.
    #[error("not what its kind says: {0}")]
    Json(String),
    /// Pages without an end: the same again, none that can be asked for, or too many.
    #[error("the pages of the collection have no end")]
    Endless,
    /// It took longer than a feed may.
    #[error("it took longer than an hour")]
    Late,
    /// What came cannot be read as a feed.
    #[error("what came is refused: {0}")]
    Refused(Refused),
    /// It cannot be written, or what was written cannot be read again.
    #[error("{path}: cannot be kept: {source}", path = path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The collector stops.
    #[error("the collector stops")]
    Stopped,
}

impl PullError {
    pub(super) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

impl From<FeedError> for PullError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Read { path, source } => Self::Write { path, source },
            FeedError::Refused { reason, .. } => Self::Refused(reason),
        }
    }
}

/// What to do about a status, where that can be said (RFC 9110, 15).
fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => ": user or password is refused, or one is needed",
        404 | 410 => ": there is nothing at this url",
        406 | 415 => ": it does not speak TAXII 2.1",
        407 => ": the proxy wants a password",
        429 => ": it is asked too often",
        _ => "",
    }
}
