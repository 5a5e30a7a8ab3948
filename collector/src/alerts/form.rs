//! An alert as JSON of our own: what is stored, what `--json` prints, and what the console shows.
//!
//! Field names are the contract; what they mean is documented at [`Alert`], whose fields these are. Times are
//! nanoseconds since the Unix epoch, sizes are bytes.

use serde::{Deserialize, Serialize};

use super::Closing;
use crate::detect::{Alert, AtLeast, Attempt, Destination, Link, Place, Step};
use crate::event::{Direction, FlowName, Gap, GapReason, Medium, NameForm, RecordName};
use crate::intel::Hit;

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct AlertForm {
    pub id: String,
    pub revision: u32,
    pub pattern: String,
    pub pattern_version: u32,
    pub settled: bool,
    pub raised_ns: u64,
    pub revised_ns: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    pub host: String,
    pub sensor: String,
    pub boot_id: String,
    pub severity: SeverityForm,
    pub store: String,
    pub distinct_records: u64,
    pub bytes_read: u64,
    pub bytes_mapped: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub flows: u64,
    /// Why figures are lower bounds, in sentences; empty: they are exact as far as the sensor could see.
    pub at_least: Vec<String>,
    pub names: Vec<NameOf>,
    /// The process that sent, then its parent and so on.
    pub chain: Vec<ProcessForm>,
    /// How the records came to it; empty when it read them itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<StepForm>,
    /// Further steps that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub path_more: u64,
    /// Processes of the path and their ancestors, without those of `chain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_processes: Vec<ProcessForm>,
    /// Null for an alert about the sensor itself.
    pub destination: Option<DestinationForm>,
    #[serde(default)]
    pub attempts: Vec<AttemptForm>,
    pub techniques: Vec<TechniqueForm>,
    pub gaps: Vec<GapForm>,
    pub measured_by: String,
    /// What threat intelligence says of the destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intelligence: Vec<HitForm>,
    /// Warning lists that the destination is on, as one that many use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_as: Vec<String>,
    /// Approved ways that would have covered it but for one thing, each in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub almost: Vec<String>,
    pub story: String,
    pub next_steps: Vec<String>,
    /// What a person made of it, of this revision or an older one; never stored with the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closing>,
}

/// How bad and how sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct SeverityForm {
    pub level: String,
    pub confidence: String,
    pub reasons: Vec<String>,
}

/// The name of a record; `form` is `token` or `plain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct NameOf {
    pub text: String,
    pub form: String,
}

/// A process. `known` is false when only pid and start are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct ProcessForm {
    pub known: bool,
    pub pid: u32,
    pub start_cs: u64,
    pub executable: String,
    pub arguments: Vec<String>,
    pub arguments_truncated: bool,
    pub uid: Option<u32>,
    pub user: String,
    pub login_uid: Option<u32>,
    pub login_user: String,
    pub session: Option<u32>,
    pub unit: String,
    pub container: String,
    pub started_ns: u64,
    pub exited_ns: Option<u64>,
    pub earlier_executables: Vec<String>,
}

/// A step of a path; `bytes` is null when it is not known how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the step, documented there"
)]
pub struct StepForm {
    pub from: PlaceForm,
    pub to: PlaceForm,
    pub way: String,
    pub bytes: Option<u64>,
    pub first_ns: u64,
    pub last_ns: u64,
}

/// What one feed says of the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitForm {
    /// The address or name that was looked for.
    pub value: String,
    /// The feed.
    pub feed: String,
    /// Its version.
    pub version: String,
    /// What its entry means.
    pub label: String,
    /// How sure it is, 0 to 100, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<u8>,
    /// False when it has no weight: a warning list has the same value, or the feed is not sure enough.
    #[serde(default = "yes")]
    pub counts: bool,
}

fn yes() -> bool {
    true
}

impl From<&Hit> for HitForm {
    fn from(hit: &Hit) -> Self {
        Self {
            value: hit.value.clone(),
            feed: hit.feed.to_string(),
            version: hit.version.to_string(),
            label: hit.label.to_string(),
            confidence: hit.confidence,
            counts: hit.counts,
        }
    }
}

/// An end of a step; `kind` is `store`, `process`, `file`, `pipe`, `memory`, `unknown` or `destination`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceForm {
    /// What it is.
    pub kind: String,
    /// Of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Of a process: its start, which with the pid names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cs: Option<u64>,
    /// Of a file or pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u32>,
    /// Of a file or pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Of a file or pipe: where it lies, if that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it lies on, where that leads out of the host: `removable`, `network` or `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
}

/// Where records went; `direction` is `connected` or `accepted`, `protocol` the IANA number, or from 256 on
/// an address family of Linux.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct DestinationForm {
    pub address: String,
    pub port: u16,
    pub protocol: u16,
    pub protocol_name: String,
    pub direction: String,
    /// Of a file system: on what its files lie; `address` is that and the device's number then, and `port` 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// What it is called, if its flows say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the name comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_source: Option<String>,
}

/// What was tried on the sensor; `kind` is a stable short name, `signal` 0 where it is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct AttemptForm {
    pub kind: String,
    pub signal: u32,
    pub times: u64,
    pub denied: u64,
}

/// A technique of MITRE ATT&CK.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the alert, documented there"
)]
pub struct TechniqueForm {
    pub id: String,
    pub name: String,
    pub tactic_id: String,
    pub tactic: String,
}

/// A known loss; `reason` is a stable short name, `meaning` is for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields are those of the gap, documented there"
)]
pub struct GapForm {
    pub reason: String,
    pub meaning: String,
    pub count: u64,
    pub from_ns: u64,
    pub to_ns: u64,
    pub detail: String,
}

impl AlertForm {
    /// Its closing, if nothing has come to it since.
    pub fn closed(&self) -> Option<&Closing> {
        let closed = self.closed.as_ref();
        closed.filter(|closing| closing.revision >= self.revision)
    }

    /// What it is about, in a few words without the host; the same as long as it does not settle.
    pub fn headline(&self) -> &'static str {
        match (&self.destination, self.settled) {
            (None, _) if self.pattern == "stale_feed" => "threat intelligence is out of date on",
            (None, _) if self.pattern == "bulk" => "unusually many patient records are read on",
            (None, _) if !self.store.is_empty() => "many patient records were wiped on",
            (None, _) => "somebody disturbs the sensor of",
            (Some(_), true) => "patient records have left",
            (Some(_), false) => "patient records are leaving",
        }
    }
}

impl From<&Alert> for AlertForm {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id.to_string(),
            revision: alert.revision,
            pattern: alert.pattern.into(),
            pattern_version: alert.pattern_version,
            settled: alert.settled,
            raised_ns: alert.raised_ns,
            revised_ns: alert.revised_ns,
            first_ns: alert.first_ns,
            last_ns: alert.last_ns,
            host: alert.origin.host.to_string(),
            sensor: alert.origin.sensor.to_string(),
            boot_id: alert.origin.boot_id.to_string(),
            severity: SeverityForm {
                level: alert.severity.level.name().into(),
                confidence: alert.severity.confidence.name().into(),
                reasons: alert.severity.reasons.clone(),
            },
            store: alert.store.clone(),
            distinct_records: alert.figures.records,
            bytes_read: alert.figures.bytes_read,
            bytes_mapped: alert.figures.bytes_mapped,
            bytes_sent: alert.figures.bytes_sent,
            bytes_received: alert.bytes_received,
            flows: alert.flows,
            at_least: alert
                .at_least
                .iter()
                .map(|reason| at_least(reason, &alert.gaps))
                .collect(),
            names: alert.names.iter().map(NameOf::from).collect(),
            chain: alert.chain.iter().map(ProcessForm::from).collect(),
            path: alert.path.steps.iter().map(StepForm::from).collect(),
            path_more: alert.path.more,
            path_processes: alert.path.processes.iter().map(ProcessForm::from).collect(),
            destination: alert
                .destination
                .as_ref()
                .map(|to| DestinationForm::of(to, alert.destination_name.as_ref())),
            attempts: alert.attempts.iter().map(AttemptForm::from).collect(),
            techniques: alert
                .techniques
                .iter()
                .map(|technique| TechniqueForm {
                    id: technique.id.into(),
                    name: technique.name.into(),
                    tactic_id: technique.tactic_id.into(),
                    tactic: technique.tactic.into(),
                })
                .collect(),
            gaps: alert.gaps.iter().map(GapForm::from).collect(),
            measured_by: alert.measured_by.clone(),
            intelligence: alert.known.hits.iter().map(HitForm::from).collect(),
            known_as: alert.known.known_as.clone(),
            almost: alert.almost.clone(),
            story: alert.story.clone(),
            next_steps: alert.next_steps.clone(),
            closed: None,
        }
    }
}

fn at_least(reason: &AtLeast, gaps: &[Gap]) -> String {
    match reason {
        AtLeast::Gaps if gaps.iter().all(|gap| gap.reason == GapReason::LogHole) => {
            "Events of this host never reached the log in this time.".into()
        }
        AtLeast::Gaps => "The sensor reported losses in this time.".into(),
        AtLeast::Records(count) => {
            format!(
                "More records were read than are told apart; {count} further accesses were to unknown ones."
            )
        }
        AtLeast::Processes(count) => {
            format!("{count} processes of this host were forgotten to bound memory.")
        }
        AtLeast::Destinations(count) => {
            format!("{count} destinations of this process were forgotten to bound memory.")
        }
        AtLeast::Steps(count) => {
            format!(
                "{count} steps of this host, by which records may have been handed on, were forgotten to bound memory."
            )
        }
        AtLeast::GapsForgotten(count) => {
            format!("{count} older gaps of this host are no longer listed.")
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&Step> for StepForm {
    fn from(step: &Step) -> Self {
        Self {
            from: PlaceForm::from(&step.from),
            to: PlaceForm::from(&step.to),
            way: step.way.into(),
            bytes: step.bytes,
            first_ns: step.first_ns,
            last_ns: step.last_ns,
        }
    }
}

impl From<&Place> for PlaceForm {
    fn from(place: &Place) -> Self {
        let kind = |kind: &str| Self {
            kind: kind.into(),
            ..Self::default()
        };
        match place {
            Place::Store => kind("store"),
            Place::Destination => kind("destination"),
            Place::Process(key) => Self {
                pid: Some(key.pid),
                start_cs: Some(key.start_cs),
                ..kind("process")
            },
            Place::Carrier(carrier) => Self {
                device: Some(carrier.key.device),
                inode: Some(carrier.key.inode),
                path: (!carrier.path.is_empty()).then(|| carrier.path.clone()),
                medium: (carrier.medium != Medium::Fixed).then(|| carrier.medium.name().into()),
                ..kind(carrier.key.kind.name())
            },
        }
    }
}

impl From<&RecordName> for NameOf {
    fn from(name: &RecordName) -> Self {
        let form = match name.form {
            NameForm::Token => "token",
            NameForm::Plain => "plain",
        };
        Self {
            text: name.text.clone(),
            form: form.into(),
        }
    }
}

impl From<&Link> for ProcessForm {
    fn from(link: &Link) -> Self {
        let named = Self {
            pid: link.key.pid,
            start_cs: link.key.start_cs,
            earlier_executables: link.earlier.clone(),
            ..Self::default()
        };
        let Some(process) = &link.process else {
            return named;
        };
        Self {
            known: true,
            executable: process.executable.clone(),
            arguments: process.arguments.clone(),
            arguments_truncated: process.arguments_truncated,
            uid: Some(process.uid),
            user: process.user.clone(),
            login_uid: process.login_uid,
            login_user: process.login_user.clone(),
            session: process.session,
            unit: process.unit.clone(),
            container: process.container.clone(),
            started_ns: process.started_ns,
            exited_ns: process.exited_ns,
            ..named
        }
    }
}

impl DestinationForm {
    fn of(to: &Destination, name: Option<&FlowName>) -> Self {
        let direction = match to.direction {
            Direction::Accepted => "accepted",
            Direction::Connected | Direction::Unknown => "connected",
        };
        Self {
            address: match to.disk {
                None => to.address.to_string(),
                Some(disk) => disk.to_string(),
            },
            medium: to.disk.map(|disk| disk.medium.name().to_owned()),
            port: to.port,
            protocol: to.protocol,
            protocol_name: to.protocol_name(),
            direction: direction.into(),
            name: name.map(|name| name.name.clone()),
            name_source: name.map(|name| name.source.text().to_owned()),
        }
    }
}

impl From<&Attempt> for AttemptForm {
    fn from(attempt: &Attempt) -> Self {
        Self {
            kind: attempt.kind.name().into(),
            signal: attempt.signal,
            times: attempt.times,
            denied: attempt.denied,
        }
    }
}

impl From<&Gap> for GapForm {
    fn from(gap: &Gap) -> Self {
        Self {
            reason: gap.reason.name().into(),
            meaning: gap.reason.meaning().into(),
            count: gap.count,
            from_ns: gap.from_ns,
            to_ns: gap.to_ns,
            detail: gap.detail.clone(),
        }
    }
}
