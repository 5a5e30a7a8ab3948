//! Many records taken away.

use super::*;
use crate::config::{Keeper, WipeConfig};

fn watching() -> DetectConfig {
    DetectConfig {
        wipe: WipeConfig {
            records_min: 10,
            ..WipeConfig::default()
        },
        ..config()
    }
}

fn changed(second: u64, record: u64, change: impl FnOnce(&mut Access)) -> Event {
    let mut event = read(second, record, 0);
    if let What::Access(access) = &mut event.what {
        change(access);
    }
    event
}

fn removed(second: u64, record: u64) -> Event {
    changed(second, record, |access| access.deletions = 1)
}

fn written(second: u64, record: u64) -> Event {
    changed(second, record, |access| access.bytes_written = 500)
}

fn all(records: u64, act: impl Fn(u64, u64) -> Event) -> Vec<Event> {
    (0..records).map(|record| act(2, record)).collect()
}

#[test]
fn many_removed_records_are_deletion_and_fewer_are_nothing() {
    let found = detect(watching(), &[family(), all(10, removed)]);
    assert_eq!(found.len(), 1);
    let alert = &found[0];
    assert_eq!((alert.pattern, alert.figures.records), ("wipe", 10));
    assert_eq!(alert.techniques[0].id, "T1485");
    assert!(alert.destination.is_none() && alert.store == "pacs");
    assert!(
        alert.story.contains("10 patient records"),
        "{}",
        alert.story
    );
    assert!(detect(watching(), &[family(), all(9, removed)]).is_empty());
    let again = [all(9, removed), all(9, removed)].concat();
    assert!(
        detect(watching(), &[family(), again]).is_empty(),
        "distinct"
    );
    let mut off = config();
    off.wipe.records_min = 0;
    for (config, alerts) in [(config(), 1), (off, 0)] {
        let found = detect(config, &[family(), all(100, removed)]);
        assert_eq!(found.len(), alerts);
    }
}

#[test]
fn what_was_read_and_then_written_is_encryption_and_new_records_are_nothing() {
    let reads = all(10, |second, record| read(second, record, 500));
    let found = detect(watching(), &[family(), reads, all(10, written)]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].techniques[0].id, "T1486");
    assert!(detect(watching(), &[family(), all(10, written)]).is_empty());
}

#[test]
fn what_is_spread_over_more_than_the_window_is_nothing() {
    let slow = |step: u64| (0..10).map(|n| removed(2 + n * step, n)).collect();
    assert_eq!(detect(watching(), &[family(), slow(400)]).len(), 1);
    assert!(detect(watching(), &[family(), slow(401)]).is_empty());
}

#[test]
fn it_grows_and_ends_with_the_process() {
    let blocks = [
        family(),
        all(10, removed),
        all(19, removed),
        all(20, removed),
        vec![exit(5)],
    ];
    let told: Vec<(u32, u64, bool)> = detect(watching(), &blocks)
        .iter()
        .map(|alert| (alert.revision, alert.figures.records, alert.settled))
        .collect();
    assert_eq!(told, [(1, 10, false), (2, 20, false), (3, 20, true)]);
}

#[test]
fn a_keeper_is_a_full_tuple_and_its_twins_alert() {
    let keeper = |store: &str, executable: &str, user: &str| DetectConfig {
        keepers: vec![Keeper {
            name: "housekeeping".into(),
            store: store.into(),
            executable: executable.into(),
            user: user.into(),
        }],
        ..watching()
    };
    let cases = [
        ("pacs", "/usr/bin/curl", "anna", 0),
        ("ehr", "/usr/bin/curl", "anna", 1),
        ("pacs", "/tmp/curl", "anna", 1),
        ("pacs", "/usr/bin/curl", "root", 1),
    ];
    for (store, executable, user, alerts) in cases {
        let found = detect(
            keeper(store, executable, user),
            &[family(), all(10, removed)],
        );
        assert_eq!(found.len(), alerts, "{store} {executable} {user}");
    }
    let mut becomes = process(THIEF, Some(SHELL), "/usr/sbin/keeper");
    becomes.at_ns = at(50);
    let becomes = vec![becomes];
    let blocks = [[family(), all(10, removed), becomes].concat()];
    let found = detect(keeper("pacs", "/usr/sbin/keeper", "anna"), &blocks);
    assert_eq!(found.len(), 1, "it was another program when it began");
}

#[test]
fn sinks_and_lists_tell_it_from_what_was_tried_on_the_sensor() {
    let found = detect(watching(), &[family(), all(10, removed)]);
    let finding = crate::sink::ocsf::finding(&found[0]).unwrap();
    for part in [
        "Patient records of store pacs are wiped on ws-12.ward",
        "records-wipe",
        "Data at-Rest",
    ] {
        assert!(finding.contains(part), "{part:?} is not in {finding}");
    }
    assert!(!finding.contains("dst_endpoint"), "{finding}");
    let form = crate::alerts::form::AlertForm::from(&found[0]);
    assert_eq!(form.headline(), "many patient records were wiped on");
}

const FIND: ProcessKey = ProcessKey {
    pid: 2_000,
    start_cs: 30,
};

/// A program that `find` starts for one record.
fn child(number: u32, executable: &str, mut act: Event) -> Vec<Event> {
    let key = ProcessKey {
        pid: 3_000 + number,
        start_cs: 40,
    };
    if let What::Access(access) = &mut act.what {
        access.process = key;
    }
    vec![process(key, Some(FIND), executable), act]
}

/// As `find STORE -exec` does, with as many records.
fn each(records: u32, act: impl Fn(u32) -> Vec<Event>) -> Vec<Vec<Event>> {
    let family = [family(), vec![process(FIND, Some(SHELL), "/usr/bin/find")]].concat();
    std::iter::once(family)
        .chain((0..records).map(act))
        .collect()
}

fn rm(number: u32) -> Vec<Event> {
    child(
        number,
        "/usr/bin/rm",
        removed(2 + u64::from(number), number.into()),
    )
}

#[test]
fn a_loop_of_a_program_for_each_record_is_judged_as_a_whole() {
    let found = detect(watching(), &each(25, rm));
    let told: Vec<(u32, u64)> = found
        .iter()
        .map(|alert| (alert.revision, alert.figures.records))
        .collect();
    assert_eq!(told, [(1, 10), (2, 20)]);
    let alert = &found[1];
    assert_eq!((alert.pattern, alert.techniques[0].id), ("wipe", "T1485"));
    for part in [
        "20 programs did it one after the other",
        "\"find\" (process 2000) started them",
    ] {
        assert!(alert.story.contains(part), "{}", alert.story);
    }
    assert!(
        alert.next_steps[0].contains("stop process 2000"),
        "{:?}",
        alert.next_steps
    );
    let pids: Vec<u32> = alert.chain.iter().map(|link| link.key.pid).collect();
    assert_eq!(pids, [3_019, 2_000, 900, 1]);
    let mut ended = process(FIND, Some(SHELL), "/usr/bin/find");
    if let What::Process(process) = &mut ended.what {
        process.exited_ns = Some(at(60));
    }
    let found = detect(watching(), &[each(25, rm), vec![vec![ended]]].concat());
    let last = &found[2];
    assert_eq!(
        (last.revision, last.figures.records, last.settled),
        (3, 25, true)
    );
}

/// One program reads and writes a copy, the next puts it in the place of the record, or writes over it.
#[test]
fn a_loop_that_reads_and_then_replaces_looks_like_encryption() {
    let second = |number: u32| 2 + 2 * u64::from(number);
    let reads = |number: u32| {
        let read = read(second(number), number.into(), 500);
        child(2 * number, "/usr/bin/openssl", read)
    };
    for replaces in [removed, written] {
        let both = |number: u32| {
            let act = replaces(second(number) + 1, number.into());
            [reads(number), child(2 * number + 1, "/usr/bin/mv", act)].concat()
        };
        let found = detect(watching(), &each(10, both));
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].techniques[0].id, found[0].figures.records),
            ("T1486", 10)
        );
    }
    let stores = |number: u32| {
        let act = written(second(number), number.into());
        [child(2 * number, "/usr/bin/cp", act), reads(number)].concat()
    };
    assert!(
        detect(watching(), &each(50, stores)).is_empty(),
        "new records"
    );
}

#[test]
fn what_is_of_several_sessions_or_slow_is_not_a_loop() {
    let elsewhere = |number: u32| {
        let mut events = rm(number);
        if let What::Process(process) = &mut events[0].what {
            process.parent = Some(ROOT);
            process.session = Some(number);
        }
        events
    };
    assert!(detect(watching(), &each(30, elsewhere)).is_empty());
    let slow = |number: u32| {
        child(
            number,
            "/usr/bin/rm",
            removed(401 * u64::from(number), number.into()),
        )
    };
    assert!(detect(watching(), &each(10, slow)).is_empty());
    let alone = [each(5, rm), vec![all(100, removed)]].concat();
    assert_eq!(
        detect(watching(), &alone).len(),
        1,
        "one program is one alert"
    );
}

/// Housekeeping in a loop is the keeper's whose program starts it; by any other it is not.
#[test]
fn a_loop_of_a_keeper_is_left_alone_and_its_twins_alert() {
    let keeper = |executable: &str, user: &str| DetectConfig {
        keepers: vec![Keeper {
            name: "housekeeping".into(),
            store: "pacs".into(),
            executable: executable.into(),
            user: user.into(),
        }],
        ..watching()
    };
    for (executable, user, alerts) in [
        ("/usr/bin/find", "anna", 0),
        ("/usr/bin/rm", "anna", 0),
        ("/usr/bin/find", "root", 1),
        ("/tmp/find", "anna", 1),
        ("/bin/bash", "anna", 1),
    ] {
        let found = detect(keeper(executable, user), &each(10, rm));
        assert_eq!(found.len(), alerts, "{executable} of {user}");
    }
}
