//! Findings against a table of what a Data Security Finding has to look like.
//!
//! The table was written by hand and has only what our findings use. Class, required fields, activities and constraints
//! of the class are those of the schema at release 1.8.0. Fields and constraints of finding, `finding_info`, `analytic`,
//! `attack`, `metadata`, `product`, `data_security`, `actor`, `process`, `file`, `session` and `device` were read in the
//! files of the ocsf-schema repository, each at some state between its beginning and 1.9-dev, not all at 1.8.0. Those of
//! `user`, `container`, `databucket` and the endpoint, and the numbers of `data_security` and `databucket`, are not
//! compared with a file. So this catches a finding that strays from the table, not a slip in the table: that needs the
//! compiled schema of 1.8.0.

use serde_json::Value;

use super::finding;
use crate::detect::{
    Alert, AtLeast, Attempt, Confidence, Destination, Figures, Level, Link, Path, Severity,
    Technique,
};
use crate::event::{
    Direction, FlowName, Gap, GapReason, NameForm, NameSource, Origin, Process, ProcessKey,
    RecordName, TamperKind,
};

/// An object of the schema: its fields as far as they are used here, those it must have, and those of which it must
/// have one.
struct Shape {
    name: &'static str,
    fields: &'static [&'static str],
    required: &'static [&'static str],
    one_of: &'static [&'static str],
}

const fn shape(
    name: &'static str,
    fields: &'static [&'static str],
    required: &'static [&'static str],
    one_of: &'static [&'static str],
) -> Shape {
    Shape {
        name,
        fields,
        required,
        one_of,
    }
}

/// The class first.
const SHAPES: &[Shape] = &[
    shape(
        "data_security_finding",
        &[
            "activity_id",
            "activity_name",
            "category_uid",
            "category_name",
            "class_uid",
            "class_name",
            "type_uid",
            "type_name",
            "time",
            "start_time",
            "end_time",
            "severity_id",
            "severity",
            "confidence_id",
            "confidence",
            "status_id",
            "status",
            "is_alert",
            "message",
            "metadata",
            "finding_info",
            "data_security",
            "actor",
            "device",
            "osint",
            "databucket",
            "dst_endpoint",
            "unmapped",
        ],
        &[
            "activity_id",
            "category_uid",
            "class_uid",
            "type_uid",
            "time",
            "severity_id",
            "metadata",
            "finding_info",
        ],
        &[],
    ),
    shape(
        "metadata",
        &[
            "product",
            "version",
            "uid",
            "correlation_uid",
            "sequence",
            "profiles",
        ],
        &["product", "version"],
        &[],
    ),
    shape(
        "osint",
        &[
            "value",
            "type_id",
            "type",
            "name",
            "vendor_name",
            "labels",
            "comment",
        ],
        &["value", "type_id"],
        &["name", "uid"],
    ),
    shape(
        "product",
        &["name", "vendor_name", "version"],
        &["name"],
        &[],
    ),
    shape(
        "finding_info",
        &[
            "uid",
            "title",
            "desc",
            "types",
            "analytic",
            "created_time",
            "modified_time",
            "first_seen_time",
            "last_seen_time",
            "attacks",
        ],
        &["uid"],
        &[],
    ),
    shape(
        "analytic",
        &["uid", "name", "version", "type_id", "type"],
        &["type_id"],
        &["name", "uid"],
    ),
    shape(
        "attacks",
        &["technique", "tactic"],
        &[],
        &["technique", "tactic"],
    ),
    shape("technique", &["uid", "name"], &[], &["uid", "name"]),
    shape("tactic", &["uid", "name"], &[], &["uid", "name"]),
    shape(
        "data_security",
        &[
            "data_lifecycle_state_id",
            "data_lifecycle_state",
            "detection_system_id",
            "detection_system",
            "detection_pattern",
        ],
        &[],
        &[
            "data_lifecycle_state_id",
            "detection_pattern",
            "detection_system_id",
        ],
    ),
    shape(
        "actor",
        &["process", "user", "session"],
        &[],
        &["process", "user", "session"],
    ),
    shape(
        "process",
        &[
            "pid",
            "uid",
            "name",
            "cmd_line",
            "file",
            "user",
            "session",
            "container",
            "created_time",
            "terminated_time",
            "parent_process",
        ],
        &[],
        &["pid", "uid"],
    ),
    shape(
        "file",
        &["name", "path", "type_id", "type"],
        &["name", "type_id"],
        &[],
    ),
    shape("user", &["uid", "name"], &[], &["uid", "name"]),
    shape("session", &["uid"], &[], &[]),
    shape("container", &["uid"], &[], &["uid"]),
    shape(
        "device",
        &["hostname", "name", "uid", "type_id", "type"],
        &["type_id"],
        &["hostname", "name", "uid"],
    ),
    shape(
        "databucket",
        &["name", "type_id", "type"],
        &["type_id"],
        &["name"],
    ),
    shape(
        "dst_endpoint",
        &["ip", "port", "hostname"],
        &[],
        &["ip", "hostname"],
    ),
];

/// What is wrong with an object and the objects in it, with the place of each. What is in `unmapped` is our own.
fn faults(value: &Value, shape: &Shape, place: &str, faults_found: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        faults_found.push(format!("{place}: no object"));
        return;
    };
    for key in shape.required {
        if !object.contains_key(*key) {
            faults_found.push(format!("{place}: {key} is required"));
        }
    }
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(|key| object.contains_key(*key)) {
        faults_found.push(format!("{place}: one of {:?} is required", shape.one_of));
    }
    for (key, value) in object {
        let place = format!("{place}/{key}");
        if !shape.fields.contains(&key.as_str()) {
            faults_found.push(format!("{place}: not known"));
        }
        let children: Vec<&Value> = match value {
            Value::Array(values) => values.iter().filter(|value| value.is_object()).collect(),
            Value::Object(_) if key != "unmapped" => vec![value],
            _ => Vec::new(),
        };
        let of = if key == "parent_process" {
            "process"
        } else {
            key.as_str()
        };
        for child in children {
            match SHAPES.iter().find(|shape| shape.name == of) {
                Some(shape) => faults(child, shape, &place, faults_found),
                None => faults_found.push(format!("{place}: an object that is not known")),
            }
        }
    }
}

/// Numbers the enumerations allow.
const ENUMS: &[(&str, &[u64])] = &[
    ("/activity_id", &[1, 2, 3]),
    ("/severity_id", &[1, 2, 3, 4, 5, 6]),
    ("/confidence_id", &[0, 1, 2, 3, 99]),
    ("/status_id", &[0, 1, 2, 3, 4, 5, 6, 99]),
    ("/finding_info/analytic/type_id", &[0, 1, 2, 3, 4, 99]),
    ("/data_security/data_lifecycle_state_id", &[0, 1, 2, 3, 99]),
    (
        "/data_security/detection_system_id",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99],
    ),
    ("/actor/process/file/type_id", &[0, 1, 2, 3, 4, 5, 6, 7, 99]),
    (
        "/device/type_id",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 99],
    ),
    ("/databucket/type_id", &[0, 1, 2, 3, 99]),
];

/// An alert with something in every field.
pub(crate) fn alert() -> Alert {
    let key = ProcessKey {
        pid: 1000,
        start_cs: 5,
    };
    let process = Process {
        key,
        parent: Some(ProcessKey {
            pid: 1,
            start_cs: 0,
        }),
        executable: "/usr/bin/curl".into(),
        arguments: vec!["curl".into(), "-F\n\"x\"".into()],
        arguments_truncated: false,
        uid: 1001,
        user: "anna".into(),
        login_uid: Some(1002),
        login_user: String::new(),
        session: Some(3),
        unit: "session-3.scope".into(),
        container: "0123".into(),
        given_bytes: 0,
        started_ns: 1_773_630_000_000_000_000,
        exited_ns: Some(1_773_630_009_000_000_000),
    };
    let gap = Gap {
        reason: GapReason::RingFull,
        count: 2,
        from_ns: 1,
        to_ns: 2,
        detail: "ring".into(),
    };
    Alert {
        id: uuid::Uuid::from_u128(7),
        revision: 2,
        pattern: "direct",
        pattern_version: 1,
        settled: true,
        raised_ns: 1_773_630_003_000_000_000,
        revised_ns: 1_773_630_009_000_000_000,
        first_ns: 1_773_630_001_000_000_000,
        last_ns: 1_773_630_004_000_000_000,
        origin: Origin {
            sensor: "s".into(),
            boot_id: "b".into(),
            host: "h".into(),
        },
        severity: Severity {
            level: Level::High,
            confidence: Confidence::Medium,
            reasons: vec!["r".into()],
        },
        store: "pacs".into(),
        figures: Figures {
            records: 3,
            bytes_read: 10,
            bytes_mapped: 20,
            bytes_sent: 30,
        },
        bytes_received: 4,
        flows: 1,
        at_least: vec![AtLeast::Gaps],
        names: vec![RecordName {
            text: "t".into(),
            form: NameForm::Token,
        }],
        chain: vec![
            Link {
                key,
                process: Some(process),
                earlier: Vec::new(),
            },
            Link {
                key: ProcessKey {
                    pid: 1,
                    start_cs: 0,
                },
                process: None,
                earlier: Vec::new(),
            },
        ],
        destination: Some(Destination {
            protocol: 6,
            direction: Direction::Connected,
            address: "203.0.113.9".parse().unwrap(),
            port: 443,
            disk: None,
        }),
        destination_name: Some(FlowName {
            source: NameSource::Server,
            name: "files.example".into(),
        }),
        attempts: Vec::new(),
        techniques: vec![Technique {
            id: "T1005",
            name: "n",
            tactic_id: "TA0009",
            tactic: "Collection",
        }],
        gaps: vec![gap],
        path: Path::default(),
        measured_by: "m".into(),
        known: crate::intel::Known::default(),
        almost: Vec::new(),
        story: "s".into(),
        next_steps: vec!["n".into()],
    }
}

fn json(alert: &Alert) -> Value {
    let line = finding(alert).unwrap();
    assert!(!line.contains('\n'), "one line");
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_finding_has_what_the_schema_requires_and_nothing_it_does_not_know() {
    let finding = json(&alert());
    let found = |finding: &Value| {
        let mut found = Vec::new();
        faults(finding, &SHAPES[0], "", &mut found);
        found
    };
    assert_eq!(found(&finding), [""; 0]);
    let sensor = Alert {
        destination: None,
        destination_name: None,
        store: String::new(),
        attempts: vec![Attempt {
            kind: TamperKind::Signal,
            signal: 9,
            times: 2,
            denied: 1,
        }],
        ..alert()
    };
    assert_eq!(found(&json(&sensor)), [""; 0], "an alert about the sensor");
    let places = [
        "/actor/process/container",
        "/actor/session",
        "/actor/process/parent_process",
    ];
    for place in places {
        assert!(finding.pointer(place).is_some(), "{place} is looked at too");
    }
    let mut wrong = finding.clone();
    wrong["finding_info"]["attacks"][0] = serde_json::json!({"sub": {}});
    let expect = [
        "/finding_info/attacks: one of [\"technique\", \"tactic\"] is required",
        "/finding_info/attacks/sub: not known",
        "/finding_info/attacks/sub: an object that is not known",
    ];
    assert_eq!(found(&wrong), expect);
    for (place, allowed) in ENUMS {
        let number = finding.pointer(place).and_then(Value::as_u64);
        assert!(
            number.is_some_and(|number| allowed.contains(&number)),
            "{place} is {number:?}"
        );
    }
}

#[test]
fn the_figures_and_names_are_the_alerts() {
    let found = json(&alert());
    let at = |place: &str| {
        found
            .pointer(place)
            .cloned()
            .unwrap_or_else(|| panic!("{place} is missing"))
    };
    assert_eq!(
        (at("/class_uid"), at("/type_uid")),
        (2006.into(), 200_602.into())
    );
    assert_eq!(
        at("/finding_info/uid"),
        "00000000-0000-0000-0000-000000000007"
    );
    assert_eq!(
        at("/metadata/uid"),
        "00000000-0000-0000-0000-000000000007.2"
    );
    assert_eq!(at("/metadata/version"), "1.8.0");
    assert_eq!(
        (at("/start_time"), at("/end_time")),
        (1_773_630_001_000u64.into(), 1_773_630_004_000u64.into())
    );
    assert_eq!(at("/actor/process/parent_process/pid"), 1);
    assert_eq!(
        (at("/unmapped/bytes_sent"), at("/unmapped/distinct_records")),
        (30.into(), 3.into())
    );
    assert_eq!(
        (at("/unmapped/settled"), at("/unmapped/login_user")),
        (true.into(), "1002".into())
    );
    let first = json(&Alert {
        revision: 1,
        ..alert()
    });
    assert_eq!(
        (&first["activity_id"], &first["type_uid"]),
        (&1.into(), &200_601.into())
    );
    for (level, id) in [
        (Level::Low, 2),
        (Level::Medium, 3),
        (Level::High, 4),
        (Level::Critical, 5),
    ] {
        let severity = Severity {
            level,
            ..alert().severity
        };
        assert_eq!(
            json(&Alert {
                severity,
                ..alert()
            })["severity_id"],
            id
        );
    }
}
