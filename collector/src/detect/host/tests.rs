//! What is let go to bound memory, and that an alert says so.

use super::*;
use crate::alerts::form::AlertForm;
use crate::detect::alert::AtLeast;
use crate::detect::tests::chain::{JOB, ends, file, gets, job, program, sends, takes, writes};
use crate::event::Event;

fn host() -> Host {
    let origin = Origin {
        sensor: "ws-12".into(),
        boot_id: "boot-1".into(),
        host: "ws-12.ward".into(),
    };
    Host::new(origin, limits::LATE_NS)
}

/// The alerts of the last of several blocks.
fn judged(mut host: Host, blocks: Vec<Vec<Event>>) -> Vec<Alert> {
    let found = blocks.into_iter().map(|events| block(&mut host, events));
    found.last().unwrap_or_default()
}

fn block(host: &mut Host, events: Vec<Event>) -> Vec<Alert> {
    for event in events {
        host.saw(event.at_ns);
        match event.what {
            What::Process(process) => host.process(&process, event.at_ns),
            What::Access(access) => {
                host.access(&access);
            }
            What::Flow(flow) => host.flow(&flow, |_| false),
            What::Edge(edge) => host.edge(&edge),
            What::Tamper(_) | What::Gap(_) | What::Conflict(_) => {
                unreachable!("none is made here")
            }
        }
    }
    host.judge(&DetectConfig::default())
}

fn theft(records: u64) -> Vec<Event> {
    let reads = (0..records).map(|record| takes(2, 1000, record, 50_000));
    let zip = vec![program(1, 1000, JOB, "/usr/bin/zip")];
    let bytes = 40_000 * records;
    let rest = vec![
        writes(3, 1000, file(5, "/tmp/x"), bytes),
        ends(3, 1000, JOB, "/usr/bin/zip"),
    ];
    job([zip, reads.collect(), rest].concat())
}

fn sent(second: u64, bytes: u64) -> Vec<Event> {
    vec![
        program(second, 1001, JOB, "/usr/bin/curl"),
        gets(second, 1001, file(5, "/tmp/x"), bytes),
        sends(second + 1, 1001, bytes),
    ]
}

/// Of who reads no more it stays known how many records it were; of two such nobody knows which they have in common.
#[test]
fn records_of_processes_that_have_ended_go_first_and_stay_counted() {
    let others = |pid, count: u64| -> Vec<Event> {
        let reads = (0..count).map(|record| takes(4, pid, 1_000 + record, 10));
        [vec![program(4, pid, JOB, "/bin/cat")], reads.collect()].concat()
    };
    let mut small = host();
    small.records_max = 100;
    let events = [theft(90), others(2000, 60), sent(9, 3_000_000)].concat();
    let alerts = judged(small, vec![events]);
    assert_eq!((alerts.len(), alerts[0].figures.records), (1, 90));
    assert!(alerts[0].at_least.is_empty(), "{:?}", alerts[0].at_least);

    let mut small = host();
    small.records_max = 100;
    let both = vec![
        writes(5, 2000, file(5, "/tmp/x"), 2_000_000),
        takes(5, 2000, 7_000, 2_000_000),
    ];
    let events = [theft(90), others(2000, 60), both, sent(9, 3_000_000)].concat();
    let alerts = judged(small, vec![events]);
    assert_eq!((alerts.len(), alerts[0].figures.records), (1, 90));
    assert_eq!(alerts[0].at_least, [AtLeast::Records(90)]);

    let mut small = host();
    small.records_max = 50;
    let alerts = judged(small, vec![theft(90), sent(9, 3_000_000)]);
    assert_eq!(alerts[0].figures.records, 50, "it was still reading");
    assert_eq!(alerts[0].at_least, [AtLeast::Records(40)]);
}

#[test]
fn an_alert_says_how_many_steps_were_forgotten_and_why() {
    let mut small = host();
    small.lineage = Lineage::with_room_for(16);
    let others = (0..30).map(|other| {
        let (pid, path) = (3_000 + other, format!("/tmp/{other}"));
        vec![
            program(1, pid, JOB, "/bin/cp"),
            takes(1, pid, u64::from(pid), 10),
            writes(1, pid, file(u64::from(pid), &path), 10),
        ]
    });
    let blocks = others.chain([theft(9), sent(9, 300_000)]).collect();
    let alerts = judged(small, blocks);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let steps = |reason: &AtLeast| matches!(reason, AtLeast::Steps(count) if *count > 0);
    assert!(
        alerts[0].at_least.iter().any(steps),
        "{:?}",
        alerts[0].at_least
    );
    let said = AlertForm::from(&alerts[0]).at_least.join(" ");
    assert!(
        said.contains("steps of this host") && said.contains("to bound memory"),
        "{said}"
    );
    let reasons = alerts[0].severity.reasons.join(" ");
    assert!(reasons.contains("lower bounds"), "{reasons}");
}
