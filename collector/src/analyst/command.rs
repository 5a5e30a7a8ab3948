//! What can be asked, and who may.

use super::Approval;
use crate::admin::Task;
use crate::alerts::Verdict;
use crate::audit::Hash;
use crate::console::AuditFilter;
use crate::identity::Role;

/// How an alert is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As text.
    Text,
    /// As an OCSF finding.
    Json,
    /// As a picture.
    Svg,
}

/// A command with its arguments.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the arguments are those of the command line, documented there"
)]
pub enum Command {
    /// List the alerts.
    Alerts { json: bool },
    /// Show one alert.
    Show { id: String, form: Form },
    /// Say what became of one.
    Close {
        id: String,
        verdict: Verdict,
        why: String,
    },
    /// Run a span of the log through detection again.
    Replay {
        from_ns: Option<u64>,
        to_ns: Option<u64>,
        json: bool,
    },
    /// Print stored events.
    Events {
        from_ns: Option<u64>,
        to_ns: Option<u64>,
    },
    /// Show the sensors.
    Sensors { refused: bool, json: bool },
    /// Show the feeds, or what they say of values.
    Intel { values: Vec<String>, json: bool },
    /// Show what was learned to be usual.
    Usual { sensor: Option<String>, json: bool },
    /// Turn tokens back.
    Reveal {
        texts: Vec<String>,
        alert: Option<String>,
        why: String,
        json: bool,
    },
    /// Show the audit log.
    Audit { filter: AuditFilter, json: bool },
    /// Check it.
    AuditVerify { head: Option<Hash> },
    /// Propose a way, or approve the one that was proposed.
    Approve(Approval),
    /// Make tokens, revoke, give roles.
    Administer(Task),
}

impl Command {
    /// The role it needs.
    pub fn needs(&self) -> Role {
        match self {
            Self::Close { .. } => Role::Triage,
            Self::Reveal { .. } => Role::Reveal,
            Self::Approve(_) | Self::Administer(_) => Role::Administer,
            Self::Alerts { .. }
            | Self::Show { .. }
            | Self::Replay { .. }
            | Self::Events { .. }
            | Self::Sensors { .. }
            | Self::Intel { .. }
            | Self::Usual { .. }
            | Self::Audit { .. }
            | Self::AuditVerify { .. } => Role::Read,
        }
    }

    /// Whether it works through the log, which is long: few such run at a time.
    pub fn is_long(&self) -> bool {
        matches!(
            self,
            Self::Replay { .. }
                | Self::Events { .. }
                | Self::AuditVerify { .. }
                | Self::Approve(Approval { agreed: None, .. })
        )
    }

    /// What the audit log says of it: its name and what it is about. Reasons and tokens stand in entries of their own.
    pub fn said(&self) -> String {
        match self {
            Self::Alerts { .. } => "alerts".to_owned(),
            Self::Show { id, .. } => format!("show {id}"),
            Self::Close { id, .. } => format!("close {id}"),
            Self::Replay { .. } => "replay".to_owned(),
            Self::Events { .. } => "events".to_owned(),
            Self::Sensors { .. } => "sensors".to_owned(),
            Self::Intel { .. } => "intel".to_owned(),
            Self::Usual { .. } => "usual".to_owned(),
            Self::Reveal {
                alert: Some(id), ..
            } => format!("reveal --alert {id}"),
            Self::Reveal { .. } => "reveal".to_owned(),
            Self::Audit { .. } => "audit".to_owned(),
            Self::AuditVerify { .. } => "audit verify".to_owned(),
            Self::Approve(asked) => format!("approve {}", asked.id),
            Self::Administer(task) => task.said(),
        }
    }
}
