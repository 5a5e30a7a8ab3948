//! An alert as an OCSF 1.8.0 Data Security Finding (class 2006), one line of JSON.
//!
//! What OCSF has a place for is put there; figures, destination details, gaps and next steps, for which class 2006 has
//! none, are in `unmapped`, as the schema asks. Decisions:
//! - `finding_info.uid` is the alert's id, the same for every revision; `metadata.uid` names this revision
//!   (`id.revision`), since that field identifies an event instance; `metadata.sequence` is the revision.
//! - `activity_id` is 1 Create for the first revision and 2 Update for all others. 3 Close means that somebody has
//!   closed it with `chartwatch close`: the same finding with status, verdict and comment. A settled alert says so in
//!   `unmapped.settled`.
//! - `dst_endpoint` is where the records went. The schema's words for it in this class are the endpoint where sensitive
//!   data is stored or was accessed from; it has no other place for a destination. Host and store are `device` and
//!   `databucket`.
//! - `actor` is who sent, with its ancestors. The class has no evidences, so how the records came to it, and the processes
//!   on the way, are `unmapped.path` and `unmapped.path_processes`.
//! - `actor` and `device` are the class's own attributes, so no host profile is needed for them; the container of a
//!   process is there by the container profile.
//! - What threat intelligence says of the destination is `osint`, with the profile of that name; `name` in it is the field it is about.
//! - Times are milliseconds since the Unix epoch and come from the events, so live and replay agree.

mod model;

use model::{
    Activity, Actor, Analytic, Attack, Container, DataSecurity, Databucket, Device, Endpoint, File,
    Finding, FindingInfo, Metadata, Named, Osint, Process, Product, Session, Unmapped, User,
};

use serde_json::{Value, json};

use crate::alerts::form::{AlertForm, HitForm, ProcessForm};
use crate::alerts::{Closing, Verdict};
use crate::detect::{Alert, Confidence, Level};
use crate::text;

/// Version of the schema.
const SCHEMA: &str = "1.8.0";
/// Data Security Finding.
const CLASS: u32 = 2006;
/// Findings.
const CATEGORY: u32 = 2;

/// The finding, one line without its end.
pub fn finding(alert: &Alert) -> Result<String, serde_json::Error> {
    serde_json::to_string(&build(alert))
}

/// The same finding when somebody has closed it: activity 3 Close, status 4 Resolved or, of a false positive, 3 Suppressed, and the
/// verdict, which belongs to the profile `incident` (OCSF 1.8, finding).
///
/// # Errors
/// What is stored is no finding.
pub fn closed(finding: &str, closing: &Closing) -> Result<String, serde_json::Error> {
    let mut finding: serde_json::Map<String, Value> = serde_json::from_str(finding)?;
    let (status_id, status, verdict_id, verdict) = match closing.verdict {
        Verdict::FalsePositive => (3, "Suppressed", 1, "False Positive"),
        Verdict::TruePositive => (4, "Resolved", 2, "True Positive"),
    };
    let activity = Activity::CLOSE;
    let fields = [
        ("activity_id", json!(activity.id)),
        ("activity_name", json!(activity.name)),
        (
            "type_uid",
            json!(u64::from(CLASS) * 100 + u64::from(activity.id)),
        ),
        (
            "type_name",
            json!(format!("Data Security Finding: {}", activity.name)),
        ),
        ("time", json!(millis(closing.at_ns))),
        ("status_id", json!(status_id)),
        ("status", json!(status)),
        ("verdict_id", json!(verdict_id)),
        ("verdict", json!(verdict)),
        (
            "comment",
            json!(format!("{} (closed by {})", closing.why, closing.who)),
        ),
    ];
    finding.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    if let Some(metadata) = finding.get_mut("metadata") {
        let uid = metadata["uid"].as_str().unwrap_or_default();
        metadata["uid"] = json!(format!("{uid}.closed.{}", closing.at_ns));
        if let Some(profiles) = metadata["profiles"].as_array_mut() {
            profiles.push(json!("incident"));
        }
    }
    serde_json::to_string(&finding)
}

fn build(alert: &Alert) -> Finding {
    let form = AlertForm::from(alert);
    let wiped = form.destination.is_none() && !form.store.is_empty();
    let activity = if alert.revision == 1 {
        Activity::CREATE
    } else {
        Activity::UPDATE
    };
    let (severity_id, severity) = severity(alert.severity.level);
    let (confidence_id, confidence) = match alert.severity.confidence {
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    };
    Finding {
        activity_id: activity.id,
        activity_name: activity.name,
        category_uid: CATEGORY,
        category_name: "Findings",
        class_uid: CLASS,
        class_name: "Data Security Finding",
        type_uid: u64::from(CLASS) * 100 + u64::from(activity.id),
        type_name: format!("Data Security Finding: {}", activity.name),
        time: millis(alert.revised_ns),
        start_time: millis(alert.first_ns),
        end_time: millis(alert.last_ns),
        severity_id,
        severity,
        confidence_id,
        confidence,
        status_id: 1,
        status: "New",
        is_alert: true,
        message: form.story.clone(),
        metadata: metadata(&form),
        finding_info: finding_info(&form),
        data_security: DataSecurity {
            data_lifecycle_state_id: if wiped { 1 } else { 2 },
            data_lifecycle_state: if wiped {
                "Data at-Rest"
            } else {
                "Data in-Transit"
            },
            detection_system_id: 1,
            detection_system: "Endpoint",
            detection_pattern: form.measured_by.clone(),
        },
        actor: actor(&form.chain),
        device: Device {
            hostname: form.host.clone(),
            name: form.host.clone(),
            uid: form.sensor.clone(),
            type_id: 0,
            r#type: "Unknown",
        },
        osint: form.intelligence.iter().map(osint).collect(),
        databucket: (!form.store.is_empty()).then(|| Databucket {
            name: form.store.clone(),
            type_id: 99,
            r#type: "Record store",
        }),
        dst_endpoint: form
            .destination
            .as_ref()
            .filter(|to| to.medium.is_none())
            .map(|to| Endpoint {
                ip: to.address.clone(),
                port: to.port,
                hostname: to.name.clone(),
            }),
        unmapped: unmapped(form),
    }
}

/// What a feed says, as an OSINT object: the schema's numbers are 1 for an address, 2 for a name.
fn osint(hit: &HitForm) -> Osint {
    let is_address = hit.value.parse::<std::net::IpAddr>().is_ok();
    Osint {
        value: hit.value.clone(),
        type_id: if is_address { 1 } else { 2 },
        r#type: if is_address { "IP Address" } else { "Domain" },
        name: if is_address {
            "dst_endpoint.ip"
        } else {
            "dst_endpoint.hostname"
        },
        vendor_name: hit.feed.clone(),
        labels: [hit.label.clone()],
        comment: format!("feed version {}", hit.version),
    }
}

fn severity(level: Level) -> (u32, &'static str) {
    match level {
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    }
}

fn metadata(form: &AlertForm) -> Metadata {
    Metadata {
        product: Product {
            name: "Chartwatch",
            vendor_name: "Chartwatch",
            version: env!("CARGO_PKG_VERSION"),
        },
        version: SCHEMA,
        uid: format!("{}.{}", form.id, form.revision),
        correlation_uid: form.id.clone(),
        sequence: form.revision,
        // The profile's one attribute has to be there when it is named.
        profiles: if form.intelligence.is_empty() {
            vec!["container"]
        } else {
            vec!["container", "osint"]
        },
    }
}

fn finding_info(form: &AlertForm) -> FindingInfo {
    FindingInfo {
        uid: form.id.clone(),
        title: match &form.destination {
            Some(_) => format!(
                "Patient records of store {} leave {}",
                text::clean(&form.store),
                text::clean(&form.host)
            ),
            None if !form.store.is_empty() => format!(
                "Patient records of store {} are {} on {}",
                text::clean(&form.store),
                if form.pattern == "bulk" {
                    "read in bulk"
                } else {
                    "wiped"
                },
                text::clean(&form.host)
            ),
            None if form.pattern == "stale_feed" => format!(
                "Threat intelligence is out of date on {}",
                text::clean(&form.host)
            ),
            None => format!(
                "Somebody disturbs the sensor of {}",
                text::clean(&form.host)
            ),
        },
        desc: form.story.clone(),
        types: [match &form.destination {
            Some(_) => format!("records-leave-{}", form.pattern),
            None if !form.store.is_empty() => format!("records-{}", form.pattern),
            None if form.pattern == "stale_feed" => "collector-stale-feed".to_owned(),
            None => format!("sensor-{}", form.pattern),
        }],
        analytic: Analytic {
            uid: form.pattern.clone(),
            name: form.pattern.clone(),
            version: form.pattern_version.to_string(),
            type_id: 2,
            r#type: "Behavioral",
        },
        created_time: millis(form.raised_ns),
        modified_time: millis(form.revised_ns),
        first_seen_time: millis(form.first_ns),
        last_seen_time: millis(form.last_ns),
        attacks: form
            .techniques
            .iter()
            .map(|technique| Attack {
                technique: Named {
                    uid: technique.id.clone(),
                    name: technique.name.clone(),
                },
                tactic: Named {
                    uid: technique.tactic_id.clone(),
                    name: technique.tactic.clone(),
                },
            })
            .collect(),
    }
}

/// The sender, and in it its parent, and so on: built from the root down.
fn actor(chain: &[ProcessForm]) -> Actor {
    let process = chain
        .iter()
        .rev()
        .fold(None, |parent, link| Some(Box::new(process(link, parent))));
    let sender = chain.first();
    Actor {
        user: sender.and_then(user),
        session: sender.and_then(session),
        process,
    }
}

fn process(link: &ProcessForm, parent_process: Option<Box<Process>>) -> Process {
    let name = link.executable.rsplit('/').next().unwrap_or_default();
    let file = (!link.executable.is_empty()).then(|| File {
        name: name.to_owned(),
        path: link.executable.clone(),
        type_id: 1,
        r#type: "Regular File",
    });
    Process {
        pid: link.pid,
        uid: format!("{}.{}", link.pid, link.start_cs),
        name: file.as_ref().map(|file| file.name.clone()),
        cmd_line: link.known.then(|| link.arguments.join(" ")),
        file,
        user: user(link),
        session: session(link),
        container: (!link.container.is_empty()).then(|| Container {
            uid: link.container.clone(),
        }),
        created_time: link.known.then(|| millis(link.started_ns)),
        terminated_time: link.exited_ns.map(millis),
        parent_process,
    }
}

fn user(link: &ProcessForm) -> Option<User> {
    link.uid.map(|uid| User {
        uid: uid.to_string(),
        name: named(&link.user, uid),
    })
}

fn named(name: &str, uid: u32) -> String {
    if name.is_empty() {
        uid.to_string()
    } else {
        name.to_owned()
    }
}

fn session(link: &ProcessForm) -> Option<Session> {
    link.session.map(|session| Session {
        uid: session.to_string(),
    })
}

/// What the schema has no place for, under the names of our own JSON.
fn unmapped(form: AlertForm) -> Unmapped {
    Unmapped {
        revision: form.revision,
        settled: form.settled,
        distinct_records: form.distinct_records,
        bytes_read: form.bytes_read,
        bytes_mapped: form.bytes_mapped,
        bytes_sent: form.bytes_sent,
        bytes_received: form.bytes_received,
        flows: form.flows,
        at_least: form.at_least,
        names: form.names,
        destination: form.destination,
        attempts: form.attempts,
        path: form.path,
        path_more: form.path_more,
        path_processes: form.path_processes,
        severity_reasons: form.severity.reasons,
        known_as: form.known_as,
        almost_approved: form.almost,
        boot_id: form.boot_id,
        systemd_units: form.chain.iter().map(|link| link.unit.clone()).collect(),
        login_user: form
            .chain
            .first()
            .and_then(|link| link.login_uid.map(|uid| named(&link.login_user, uid))),
        gaps: form.gaps,
        next_steps: form.next_steps,
    }
}

fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}

#[cfg(test)]
pub(crate) mod tests;
