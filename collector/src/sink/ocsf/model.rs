//! The part of OCSF 1.8.0 that a finding uses, field for field: class 2006 and the objects it refers to, under the
//! schema's names. What these are checked against is said in the tests.

#![expect(clippy::struct_field_names, reason = "the names are the schema's")]

use serde::Serialize;

use crate::alerts::form::{AttemptForm, DestinationForm, GapForm, NameOf, ProcessForm, StepForm};

/// What happened to the finding.
pub(super) struct Activity {
    pub(super) id: u32,
    pub(super) name: &'static str,
}

impl Activity {
    pub(super) const CREATE: Self = Self {
        id: 1,
        name: "Create",
    };
    pub(super) const CLOSE: Self = Self {
        id: 3,
        name: "Close",
    };
    pub(super) const UPDATE: Self = Self {
        id: 2,
        name: "Update",
    };
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) activity_id: u32,
    pub(super) activity_name: &'static str,
    pub(super) category_uid: u32,
    pub(super) category_name: &'static str,
    pub(super) class_uid: u32,
    pub(super) class_name: &'static str,
    pub(super) type_uid: u64,
    pub(super) type_name: String,
    pub(super) time: u64,
    pub(super) start_time: u64,
    pub(super) end_time: u64,
    pub(super) severity_id: u32,
    pub(super) severity: &'static str,
    pub(super) confidence_id: u32,
    pub(super) confidence: &'static str,
    pub(super) status_id: u32,
    pub(super) status: &'static str,
    pub(super) is_alert: bool,
    pub(super) message: String,
    pub(super) metadata: Metadata,
    pub(super) finding_info: FindingInfo,
    pub(super) data_security: DataSecurity,
    pub(super) actor: Actor,
    pub(super) device: Device,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) osint: Vec<Osint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) databucket: Option<Databucket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dst_endpoint: Option<Endpoint>,
    pub(super) unmapped: Unmapped,
}

#[derive(Debug, Serialize)]
pub(super) struct Osint {
    pub(super) value: String,
    pub(super) type_id: u32,
    pub(super) r#type: &'static str,
    pub(super) name: &'static str,
    pub(super) vendor_name: String,
    pub(super) labels: [String; 1],
    pub(super) comment: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    pub(super) product: Product,
    pub(super) version: &'static str,
    pub(super) uid: String,
    pub(super) correlation_uid: String,
    pub(super) sequence: u32,
    pub(super) profiles: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Product {
    pub(super) name: &'static str,
    pub(super) vendor_name: &'static str,
    pub(super) version: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct FindingInfo {
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) desc: String,
    pub(super) types: [String; 1],
    pub(super) analytic: Analytic,
    pub(super) created_time: u64,
    pub(super) modified_time: u64,
    pub(super) first_seen_time: u64,
    pub(super) last_seen_time: u64,
    pub(super) attacks: Vec<Attack>,
}

#[derive(Debug, Serialize)]
pub(super) struct Analytic {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) type_id: u32,
    pub(super) r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Attack {
    pub(super) technique: Named,
    pub(super) tactic: Named,
}

#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) uid: String,
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DataSecurity {
    pub(super) data_lifecycle_state_id: u32,
    pub(super) data_lifecycle_state: &'static str,
    pub(super) detection_system_id: u32,
    pub(super) detection_system: &'static str,
    pub(super) detection_pattern: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Actor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Box<Process>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session>,
}

#[derive(Debug, Serialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cmd_line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<File>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terminated_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_process: Option<Box<Process>>,
}

#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) type_id: u32,
    pub(super) r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct User {
    pub(super) uid: String,
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Session {
    pub(super) uid: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Container {
    pub(super) uid: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Device {
    pub(super) hostname: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) type_id: u32,
    pub(super) r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Databucket {
    pub(super) name: String,
    pub(super) type_id: u32,
    pub(super) r#type: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) ip: String,
    pub(super) port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
}

/// What the schema has no place for; names and meanings are those of the alert.
#[derive(Debug, Serialize)]
pub(super) struct Unmapped {
    pub(super) revision: u32,
    pub(super) settled: bool,
    pub(super) distinct_records: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_mapped: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) flows: u64,
    pub(super) at_least: Vec<String>,
    pub(super) names: Vec<NameOf>,
    pub(super) destination: Option<DestinationForm>,
    pub(super) attempts: Vec<AttemptForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) path: Vec<StepForm>,
    pub(super) path_more: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) path_processes: Vec<ProcessForm>,
    pub(super) severity_reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) known_as: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) almost_approved: Vec<String>,
    pub(super) boot_id: String,
    /// Units of the chain, the sender's first.
    pub(super) systemd_units: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login_user: Option<String>,
    pub(super) gaps: Vec<GapForm>,
    pub(super) next_steps: Vec<String>,
}
