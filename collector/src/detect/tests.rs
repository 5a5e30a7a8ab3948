//! What detection finds, what it leaves alone, and that it always says the same.

mod approval;
pub(in crate::detect) mod chain;
mod doubled;
mod growth;
mod late;
mod leaving;
mod listed;
mod media;
mod memory;
mod staging;
mod tampering;
mod thresholds;
mod usual;
mod wipe;

use super::{Alert, Detector};
use crate::config::{ApprovedWay, DetectConfig};
use crate::event::{
    Access, Block, Direction, Event, Flow, Gap, GapReason, NameForm, Origin, Process, ProcessKey,
    RecordId, RecordName, What,
};
use crate::text;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_773_630_000 * SECOND;
const ROOT: ProcessKey = ProcessKey {
    pid: 1,
    start_cs: 0,
};
const SHELL: ProcessKey = ProcessKey {
    pid: 900,
    start_cs: 10,
};
const THIEF: ProcessKey = ProcessKey {
    pid: 1000,
    start_cs: 20,
};

fn at(second: u64) -> u64 {
    START + second * SECOND
}

fn event(at_ns: u64, what: What) -> Event {
    Event {
        at_ns,
        boot_ns: at_ns - START,
        what,
    }
}

fn process(key: ProcessKey, parent: Option<ProcessKey>, executable: &str) -> Event {
    let process = Process {
        key,
        parent,
        executable: executable.into(),
        arguments: vec![executable.into(), "--upload".into()],
        arguments_truncated: false,
        uid: 1001,
        user: "anna".into(),
        login_uid: Some(1001),
        login_user: "anna".into(),
        session: Some(3),
        unit: "session-3.scope".into(),
        container: String::new(),
        given_bytes: 0,
        started_ns: at(0),
        exited_ns: None,
    };
    event(at(0), What::Process(process))
}

fn family() -> Vec<Event> {
    vec![
        process(ROOT, None, "/sbin/init"),
        process(SHELL, Some(ROOT), "/bin/bash"),
        process(THIEF, Some(SHELL), "/usr/bin/curl"),
    ]
}

fn exit(second: u64) -> Event {
    let Event {
        what: What::Process(process),
        ..
    } = process(THIEF, Some(SHELL), "/usr/bin/curl")
    else {
        unreachable!("process() makes a process");
    };
    event(
        at(second),
        What::Process(Process {
            exited_ns: Some(at(second)),
            ..process
        }),
    )
}

fn read(second: u64, record: u64, bytes: u64) -> Event {
    let access = Access {
        process: THIEF,
        store: "pacs".into(),
        record: RecordId {
            device: 8 << 20 | 1,
            inode: record,
            generation: 0,
        },
        name: Some(RecordName {
            text: format!("token{record}"),
            form: NameForm::Token,
        }),
        opens: 1,
        bytes_read: bytes,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_ns: at(second),
        last_ns: at(second),
    };
    event(at(second), What::Access(access))
}

fn flow(second: u64, bytes_out: u64, closed: bool) -> Flow {
    Flow {
        id: 77,
        process: THIEF,
        protocol: 6,
        direction: Direction::Connected,
        local: Some("10.0.0.5:40000".parse().unwrap()),
        remote: "203.0.113.9:443".parse().unwrap(),
        bytes_out,
        bytes_in: 300,
        bytes_out_before: 0,
        opened_ns: at(1),
        last_ns: at(second),
        closed,
        name: None,
    }
}

fn sent(second: u64, bytes_out: u64, closed: bool) -> Event {
    event(at(second), What::Flow(flow(second, bytes_out, closed)))
}

fn sent_by(second: u64, bytes_out: u64, change: impl FnOnce(&mut Flow)) -> Event {
    let mut flow = flow(second, bytes_out, true);
    change(&mut flow);
    event(at(second), What::Flow(flow))
}

fn block(events: Vec<Event>) -> Block {
    let origin = Origin {
        sensor: "ws-12".into(),
        boot_id: "boot-1".into(),
        host: "ws-12.ward".into(),
    };
    Block {
        origin,
        events,
        unknown: 0,
        older_to_come: false,
        missing_before: 0,
        pos: 0,
    }
}

fn config() -> DetectConfig {
    DetectConfig::default()
}

/// The alerts of blocks, in order.
fn detect(config: DetectConfig, blocks: &[Vec<Event>]) -> Vec<Alert> {
    let mut detector = Detector::new(config);
    blocks
        .iter()
        .flat_map(|events| detector.block(&block(events.clone())))
        .collect()
}

fn theft() -> Vec<Event> {
    [
        family(),
        vec![
            read(2, 1, 100_000),
            read(3, 2, 50_000),
            sent(4, 150_300, true),
        ],
    ]
    .concat()
}

#[test]
fn a_theft_is_told_in_full_depth() {
    let alerts = detect(config(), &[theft(), vec![exit(5)]]);
    assert_eq!(alerts.len(), 2);
    let [first, last] = alerts.as_slice() else {
        panic!("two revisions")
    };
    assert_eq!(
        (first.revision, first.settled, last.revision, last.settled),
        (1, true, 2, true)
    );
    assert_eq!(first.id, last.id);
    assert_eq!(
        (
            last.store.as_str(),
            last.figures.records,
            last.figures.bytes_read
        ),
        ("pacs", 2, 150_000)
    );
    assert_eq!(
        (last.figures.bytes_sent, last.bytes_received, last.flows),
        (150_300, 300, 1)
    );
    let pids: Vec<u32> = last.chain.iter().map(|link| link.key.pid).collect();
    assert_eq!(pids, [1000, 900, 1]);
    assert!(last.chain.iter().all(|link| link.process.is_some()));
    let to = last.destination.clone().unwrap();
    assert_eq!(to.address.to_string(), "203.0.113.9");
    assert_eq!((to.port, to.protocol), (443, 6));
    assert_eq!(
        last.techniques.iter().map(|t| t.id).collect::<Vec<_>>(),
        ["T1005", "T1048"]
    );
    assert_eq!(
        (last.first_ns, last.last_ns, last.revised_ns),
        (at(2), at(4), at(5))
    );
    assert_eq!(
        last.names
            .iter()
            .map(|n| n.text.as_str())
            .collect::<Vec<_>>(),
        ["token1", "token2"]
    );
    assert!(last.at_least.is_empty() && last.gaps.is_empty());
    for part in [
        "ws-12.ward",
        "curl",
        "user anna",
        "2 patient records",
        "150 kB",
        "\"pacs\"",
        "203.0.113.9",
        "has ended",
    ] {
        assert!(
            last.story.contains(part),
            "{part:?} is not in {:?}",
            last.story
        );
    }
}

#[test]
fn an_id_is_the_same_everywhere_and_for_ever() {
    let alerts = detect(config(), &[theft()]);
    assert_eq!(alerts[0].id.to_string(), GOLDEN_ID);
}

/// Changing it makes every stored alert a stranger to its own replay.
const GOLDEN_ID: &str = "2203a3f2-51b0-5337-a500-a9a6ae8eccde";

fn to(remote: &str) -> Event {
    sent_by(3, 99_000, |flow| flow.remote = remote.parse().unwrap())
}

#[test]
fn an_old_flow_is_a_command_channel() {
    for (read_at, technique) in [(2, "T1048"), (61, "T1048"), (62, "T1041")] {
        let found = detect(
            config(),
            &[vec![read(read_at, 1, 99_000), sent(90, 99_000, true)]],
        );
        assert_eq!(
            found[0].techniques[1].id, technique,
            "opened at 1, first read at {read_at}"
        );
    }
}

#[test]
fn mapped_bytes_count_and_records_are_told_apart() {
    let mapped = |record| {
        let Event {
            at_ns,
            boot_ns,
            what: What::Access(access),
        } = read(2, record, 0)
        else {
            unreachable!("read() makes an access")
        };
        Event {
            at_ns,
            boot_ns,
            what: What::Access(Access {
                bytes_mapped: 40_000,
                ..access
            }),
        }
    };
    let events = vec![mapped(1), mapped(2), mapped(1), sent(3, 99_000, true)];
    let found = detect(config(), &[events]);
    assert_eq!(found[0].figures.records, 2);
    assert_eq!(
        (found[0].figures.bytes_read, found[0].figures.bytes_mapped),
        (0, 120_000)
    );
    assert!(
        found[0].chain[0].process.is_none(),
        "an unknown process raises an alert too"
    );
}

#[test]
fn an_approved_way_is_a_full_tuple_and_its_twins_alert() {
    let way = ApprovedWay {
        name: "backup".into(),
        store: "pacs".into(),
        executable: "/usr/bin/curl".into(),
        reader: None,
        user: "anna".into(),
        destination: "203.0.113.0/24:443".parse().unwrap(),
        schedule: None,
        bytes_max: None,
    };
    let with = |way: ApprovedWay| DetectConfig {
        approved: vec![way],
        ..config()
    };
    assert!(detect(with(way.clone()), &[theft()]).is_empty());
    let twins = [
        ApprovedWay {
            store: "ehr".into(),
            ..way.clone()
        },
        ApprovedWay {
            executable: "/tmp/curl".into(),
            ..way.clone()
        },
        ApprovedWay {
            user: "backup".into(),
            ..way.clone()
        },
        ApprovedWay {
            destination: "203.0.113.0/24:22".parse().unwrap(),
            ..way.clone()
        },
        ApprovedWay {
            destination: "203.0.112.0/24:443".parse().unwrap(),
            ..way.clone()
        },
    ];
    for twin in twins {
        assert_eq!(detect(with(twin.clone()), &[theft()]).len(), 1, "{twin:?}");
    }
    let changed = [
        family(),
        vec![
            read(2, 1, 99_000),
            process(THIEF, Some(SHELL), "/usr/bin/curl"),
        ],
    ]
    .concat();
    let mut was_other = changed;
    was_other[2] = process(THIEF, Some(SHELL), "/tmp/other");
    was_other[4].at_ns = at(3);
    let was_other = [was_other, vec![sent(4, 99_000, true)]].concat();
    let found = detect(with(way), &[was_other]);
    assert_eq!(
        found.len(),
        1,
        "who read as another program is not approved"
    );
    assert_eq!(found[0].chain[0].earlier, ["/tmp/other"]);
}

/// As FTP does: commands over one connection, each file over another.
#[test]
fn what_went_over_other_ports_is_said() {
    let other = |port: u16, bytes| {
        sent_by(3, bytes, |flow| {
            flow.id = u64::from(port);
            flow.remote = format!("203.0.113.9:{port}").parse().unwrap();
        })
    };
    let told = |bytes| {
        let events = vec![
            read(2, 1, 200_000),
            other(50_001, bytes),
            other(50_002, bytes),
            sent(4, 18_000, true),
        ];
        let found = detect(config(), &[events]);
        assert_eq!(found[0].figures.bytes_sent, 18_000);
        let reasons = &found[0].severity.reasons;
        reasons
            .iter()
            .any(|reason| reason.contains("another 19.0 kB over other ports"))
    };
    assert!(told(9_500));
    assert!(!told(8_500), "less than here is not worth a word");
}

#[test]
fn accepted_connections_are_one_destination_by_the_hosts_port() {
    let client = |id: u64, port: u16| {
        sent_by(3 + id, 20_000, |flow| {
            flow.id = id;
            flow.direction = Direction::Accepted;
            flow.local = Some("10.0.0.5:8000".parse().unwrap());
            flow.remote = format!("10.0.0.77:{port}").parse().unwrap();
        })
    };
    let found = detect(
        config(),
        &[
            vec![read(2, 1, 99_000), client(1, 50_001)],
            vec![client(2, 50_002)],
        ],
    );
    assert_eq!(found.len(), 2, "it has doubled");
    assert_eq!(found[0].id, found[1].id);
    assert_eq!(
        (
            found[1].destination.as_ref().unwrap().port,
            found[1].flows,
            found[1].figures.bytes_sent
        ),
        (8000, 2, 40_000)
    );
}
