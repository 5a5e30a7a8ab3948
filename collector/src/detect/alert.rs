//! Alerts: findings with their evidence, in full depth.
//!
//! The id is a UUID of version 5 (RFC 9562) over pattern, sensor, boot, process (pid and start), store and destination
//! (protocol, direction, address, port): one alert per process, store and destination, which grows. Where several
//! processes are in it, the process is the root of their lineage. Thresholds and counts are no part of it, so live, replay
//! and a restarted collector agree on it.

use std::net::IpAddr;

use uuid::Uuid;

use crate::event::{
    Carrier, Direction, FlowName, Gap, Medium, Origin, PAST_IP, Process, ProcessKey, RecordName,
    TamperKind,
};
use crate::intel::Known;

/// Names the space of alert ids; made once at random, never to be changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d1c_29a4_7f3b_4e0a_9c55_2f8e_d041_b7a6);

/// A finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The same for every revision, live or replayed.
    pub id: Uuid,
    /// From 1; a higher one replaces a lower one.
    pub revision: u32,
    /// Short name of the pattern.
    pub pattern: &'static str,
    /// Version of the pattern: moves when its meaning changes.
    pub pattern_version: u32,
    /// True when nothing more is to be expected: every flow to the destination is closed, or the process has exited.
    pub settled: bool,
    /// Event time of the first revision, nanoseconds since the Unix epoch, as all times here.
    pub raised_ns: u64,
    /// Event time of this revision.
    pub revised_ns: u64,
    /// First touch of a record, or opening of the flow if that was after it.
    pub first_ns: u64,
    /// Last access or last byte sent.
    pub last_ns: u64,
    /// Where it happened and who saw it.
    pub origin: Origin,
    /// How bad, and why.
    pub severity: Severity,
    /// The store; empty when it is about none.
    pub store: String,
    /// How much.
    pub figures: Figures,
    /// Bytes received over the same flows.
    pub bytes_received: u64,
    /// Flows to the destination.
    pub flows: u64,
    /// Reasons why the figures are lower bounds; none: they are exact as far as the sensor could see.
    pub at_least: Vec<AtLeast>,
    /// Names of a few of the records.
    pub names: Vec<RecordName>,
    /// The process that sent, then its parent and so on as far as known.
    pub chain: Vec<Link>,
    /// How the records came from who read them to who sent them; no steps when that is one process.
    pub path: Path,
    /// Where the records went; `None` when it is about none.
    pub destination: Option<Destination>,
    /// What it is called, if its flows say so.
    pub destination_name: Option<FlowName>,
    /// What was tried on the sensor.
    pub attempts: Vec<Attempt>,
    /// Techniques of MITRE ATT&CK.
    pub techniques: Vec<Technique>,
    /// Known losses in the time of the alert, on this host.
    pub gaps: Vec<Gap>,
    /// The thresholds it was measured by, for a person.
    pub measured_by: String,
    /// What is known of the destination.
    pub known: Known,
    /// Approved ways that would have covered it but for one thing, each in words.
    pub almost: Vec<String>,
    /// What happened, for somebody who runs a ward.
    pub story: String,
    /// What to do next, in this order.
    pub next_steps: Vec<String>,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Distinct records read; in `wipe`, distinct records taken away.
    pub records: u64,
    /// Bytes of records that read calls gave.
    pub bytes_read: u64,
    /// Bytes of records at the times they were mapped.
    pub bytes_mapped: u64,
    /// Bytes sent to the destination since the first record was read.
    pub bytes_sent: u64,
}

impl Figures {
    /// Bytes read and mapped together.
    pub fn bytes_taken(&self) -> u64 {
        self.bytes_read.saturating_add(self.bytes_mapped)
    }

    /// True when one of them is at least twice what it was.
    pub(super) fn doubled(&self, before: &Self) -> bool {
        let twice = |now: u64, then: u64| now > then && now >= then.saturating_mul(2);
        twice(self.records, before.records)
            || twice(self.bytes_taken(), before.bytes_taken())
            || twice(self.bytes_sent, before.bytes_sent)
    }
}

/// A reason why figures are lower bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtLeast {
    /// Events of the host were lost in this time.
    Gaps,
    /// More records were read than detection tells apart; so many further accesses were not told apart.
    Records(u64),
    /// So many processes of the host were forgotten to bound memory.
    Processes(u64),
    /// So many destinations of the process were forgotten.
    Destinations(u64),
    /// So many steps of this host, by which records may have been handed on, were forgotten.
    Steps(u64),
    /// The host had more gaps than are kept; so many were let go.
    GapsForgotten(u64),
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
    /// Look at it now and wake somebody.
    Critical,
}

impl Level {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Something in the evidence is missing or weak.
    Medium,
    /// The evidence is complete.
    High,
}

impl Confidence {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How bad and how sure, each with its reasons spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Severity {
    /// How bad.
    pub level: Level,
    /// How sure.
    pub confidence: Confidence,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// One process of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The process.
    pub key: ProcessKey,
    /// Who it is; `None` when the sensor's account of it was lost or forgotten.
    pub process: Option<Process>,
    /// Executables it ran before the present one, since it read its first record; for the first of the chain only.
    pub earlier: Vec<String>,
}

/// The way records went, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// The steps, from the store to the destination.
    pub steps: Vec<Step>,
    /// Further steps that are not listed.
    pub more: u64,
    /// Processes that are in the steps, and their ancestors; without those of the alert's chain.
    pub processes: Vec<Link>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where it comes from.
    pub from: Place,
    /// Where it goes.
    pub to: Place,
    /// How: `read` from a store, `sent` to the destination, `start` of a process by another, or the name of an edge's
    /// kind.
    pub way: &'static str,
    /// Bytes that went over it; `None` when that is not known.
    pub bytes: Option<u64>,
    /// First time, nanoseconds since the Unix epoch; 0 when not known.
    pub first_ns: u64,
    /// Last time.
    pub last_ns: u64,
}

/// An end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The store.
    Store,
    /// A process.
    Process(ProcessKey),
    /// A file outside of the stores, a pipe or shared memory.
    Carrier(Carrier),
    /// The destination.
    Destination,
}

/// Where records went. For connections the host accepted, the port is the host's own: the far one means nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// As [`crate::event::Flow::protocol`] has it.
    pub protocol: u16,
    /// Who began the conversation.
    pub direction: Direction,
    /// Address of the other end.
    pub address: IpAddr,
    /// Port that names the service.
    pub port: u16,
    /// A file system that leads out of the host, where records were written to files; address and port are nobody's then.
    pub disk: Option<Disk>,
}

/// A file system that leads out of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disk {
    /// On what its files lie.
    pub medium: Medium,
    /// Its device number as the kernel keeps it: `major << 20 | minor`.
    pub device: u32,
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = (self.device >> 20, self.device & 0xf_ffff);
        write!(f, "{} {major}:{minor}", self.medium.name())
    }
}

impl Destination {
    /// Name of the protocol, as people say it.
    pub fn protocol_name(&self) -> String {
        if self.disk.is_some() {
            return "files".into();
        }
        match self.protocol {
            6 => "TCP".into(),
            17 => "UDP".into(),
            1 => "ICMP".into(),
            58 => "ICMPv6".into(),
            other if other < PAST_IP => format!("IP protocol {other}"),
            other => match other - PAST_IP {
                17 => "a packet socket".into(),
                40 => "vsock".into(),
                family => format!("address family {family}"),
            },
        }
    }
}

/// What was tried on the sensor, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What.
    pub kind: TamperKind,
    /// The signal; 0 for everything else.
    pub signal: u32,
    /// How often.
    pub times: u64,
    /// How often it is known to have been refused.
    pub denied: u64,
}

/// A technique of MITRE ATT&CK (Enterprise).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Technique {
    /// Its id, for example `T1005`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Tactic id.
    pub tactic_id: &'static str,
    /// Tactic name.
    pub tactic: &'static str,
}

/// The id of an alert. Strings are given with their length, so no two alerts can be spelled alike.
pub(super) fn id(
    pattern: &str,
    origin: &Origin,
    process: ProcessKey,
    store: &str,
    to: Option<&Destination>,
) -> Uuid {
    let to = to.map_or(String::new(), |to| {
        let direction = match to.direction {
            Direction::Accepted => "accepted",
            Direction::Connected | Direction::Unknown => "connected",
        };
        let disk = to.disk.map_or_else(String::new, |disk| format!(" {disk}"));
        format!(
            "{} {direction} {} {}{disk}",
            to.protocol, to.address, to.port
        )
    });
    let boot = origin.boot_id.to_string();
    let process = format!("{}.{}", process.pid, process.start_cs);
    id_of(pattern, &origin.sensor, &[&boot, &process, store, &to])
}

/// The id of an alert about what goes on over boots and processes.
pub(super) fn id_of(pattern: &str, sensor: &str, about: &[&str]) -> Uuid {
    let parts = [&[pattern, sensor], about].concat();
    let spelled = parts.iter().map(|part| format!("{}:{part};", part.len()));
    let spelled = spelled.collect::<Vec<_>>().concat();
    Uuid::new_v5(&NAMESPACE, spelled.as_bytes())
}
