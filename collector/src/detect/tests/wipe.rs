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
    let becomes = vec![process(THIEF, Some(SHELL), "/usr/sbin/keeper")];
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
