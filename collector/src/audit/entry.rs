//! What an entry says: number, time, who, what, about what, and details.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Who;
use crate::text;

/// Characters of a text in an entry; what is longer is cut and says so. A reason has 4,096 bytes at most, so none is.
const TEXT_MAX: usize = 4_096;

/// What was done or tried. The names are a contract: they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each has its name in the log below")]
pub enum Action {
    CollectorStarted,
    CollectorStopped,
    AuthorityMade,
    AuthorityLoaded,
    AuthorityRetired,
    KeyMade,
    ConfigurationReloaded,
    ConfigurationRefused,
    TokenMade,
    TokenRefused,
    CertificateIssued,
    CertificateRenewed,
    CertificateRefused,
    Revoked,
    IdentityRefused,
    AlertClosed,
    WayApproved,
    Revealed,
    RevealRefused,
    Looked,
    AnalystRefused,
    RolesGiven,
    SetAside,
    LineTorn,
    EntriesMissing,
    EntriesLost,
}

impl Action {
    /// As it stands in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::CollectorStarted => "collector-started",
            Self::CollectorStopped => "collector-stopped",
            Self::AuthorityMade => "authority-made",
            Self::AuthorityLoaded => "authority-loaded",
            Self::AuthorityRetired => "authority-retired",
            Self::KeyMade => "key-made",
            Self::ConfigurationReloaded => "configuration-reloaded",
            Self::ConfigurationRefused => "configuration-refused",
            Self::TokenMade => "token-made",
            Self::TokenRefused => "token-refused",
            Self::CertificateIssued => "certificate-issued",
            Self::CertificateRenewed => "certificate-renewed",
            Self::CertificateRefused => "certificate-refused",
            Self::Revoked => "revoked",
            Self::IdentityRefused => "identity-refused",
            Self::AlertClosed => "alert-closed",
            Self::WayApproved => "way-approved",
            Self::Revealed => "revealed",
            Self::RevealRefused => "reveal-refused",
            Self::Looked => "looked",
            Self::AnalystRefused => "analyst-refused",
            Self::RolesGiven => "roles-given",
            Self::SetAside => "set-aside",
            Self::LineTorn => "line-torn",
            Self::EntriesMissing => "entries-missing",
            Self::EntriesLost => "entries-lost",
        }
    }
}

/// An entry that is not yet in the log.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) who: Option<Who>,
    pub(super) what: Action,
    pub(super) about: String,
    pub(super) details: Map<String, Value>,
}

impl Entry {
    /// Something about nothing in particular, done by whom the log was opened for.
    pub fn new(what: Action) -> Self {
        Self {
            who: None,
            what,
            about: String::new(),
            details: Map::new(),
        }
    }

    /// Who did it, where that is not whom the log was opened for.
    #[must_use]
    pub fn by(mut self, who: Who) -> Self {
        self.who = Some(who);
        self
    }

    /// What it is about: a sensor, an analyst, an alert, a file.
    #[must_use]
    pub fn about(mut self, untrusted: &str) -> Self {
        self.about = cut(untrusted);
        self
    }

    /// One more thing to know.
    #[must_use]
    pub fn with(mut self, key: &str, untrusted: &str) -> Self {
        self.details.insert(key.to_owned(), cut(untrusted).into());
        self
    }

    /// One more number to know.
    #[must_use]
    pub fn counting(mut self, key: &str, count: u64) -> Self {
        self.details.insert(key.to_owned(), count.into());
        self
    }

    /// A list, whole: who makes it bounds it.
    #[must_use]
    pub fn listing(mut self, key: &str, list: &[String]) -> Self {
        self.details.insert(key.to_owned(), list.into());
        self
    }

    /// The bytes that are hashed and written.
    pub(super) fn canonical(&self, seq: u64, at_ns: u64, otherwise: &Who) -> String {
        let stored = Stored {
            seq,
            time: text::rfc3339(at_ns),
            who: self.who.as_ref().unwrap_or(otherwise).clone(),
            what: self.what.name().to_owned(),
            about: self.about.clone(),
            details: self.details.clone(),
        };
        // Maps with text as keys always have a JSON; what could move a terminal's cursor is escaped, so `cat` may be used.
        text::clean_json(&serde_json::to_string(&stored).unwrap_or_default())
    }
}

fn cut(untrusted: &str) -> String {
    match untrusted.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}… (cut)", &untrusted[..at]),
        None => untrusted.to_owned(),
    }
}

/// An entry as the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Dense, from 1 on.
    pub seq: u64,
    /// RFC 3339, by the clock of the machine it was done on.
    pub time: String,
    /// Who.
    pub who: Who,
    /// What, by [`Action::name`]; a newer collector may know more.
    pub what: String,
    /// About what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Further things to know.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}
