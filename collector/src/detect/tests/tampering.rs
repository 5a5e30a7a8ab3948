//! Attempts on the sensor.

use super::*;
use crate::detect::Level;
use crate::event::{Tamper, TamperFile, TamperKind};

fn tried(second: u64, kind: TamperKind, number: u32, times: u64, denied: u64) -> Event {
    let tamper = Tamper {
        process: THIEF,
        kind,
        number,
        times,
        denied,
        first_ns: at(second),
        last_ns: at(second),
    };
    event(at(second), What::Tamper(tamper))
}

#[test]
fn a_signal_to_the_sensor_is_an_alert_with_who_sent_it() {
    let found = detect(
        config(),
        &[family(), vec![tried(2, TamperKind::Signal, 9, 1, 0)]],
    );
    assert_eq!(found.len(), 1);
    let alert = &found[0];
    assert_eq!(
        (alert.pattern, alert.severity.level),
        ("tampering", Level::High)
    );
    assert_eq!(alert.techniques[0].id, "T1562.001");
    assert!(alert.destination.is_none() && alert.store.is_empty());
    let pids: Vec<u32> = alert.chain.iter().map(|link| link.key.pid).collect();
    assert_eq!(pids, [1000, 900, 1]);
    assert!(
        alert.story.contains("signal 9 was sent to it (1 time)"),
        "{}",
        alert.story
    );
}

#[test]
fn a_changed_file_of_the_sensor_is_worth_a_look() {
    let kind = TamperKind::File(TamperFile::Configuration);
    let found = detect(config(), &[family(), vec![tried(2, kind, 0, 1, 0)]]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity.level, Level::Medium);
    assert!(found[0].severity.reasons[0].contains("after its next start"));
    assert!(
        found[0]
            .story
            .contains("its configuration was changed (1 time)")
    );
}

#[test]
fn it_is_told_again_for_something_else_for_twice_as_much_and_at_the_end() {
    let map = |second, times| tried(second, TamperKind::Map, second as u32, times, times);
    let blocks = [
        vec![map(1, 4)],
        vec![map(2, 3)],
        vec![map(3, 1)],
        vec![tried(4, TamperKind::Trace, 0, 1, 1)],
        vec![exit(5)],
        vec![exit(6)],
    ];
    let found = detect(config(), &blocks);
    let told: Vec<(u32, bool, u64)> = found
        .iter()
        .map(|a| {
            (
                a.revision,
                a.settled,
                a.attempts.iter().map(|a| a.times).sum(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [(1, false, 4), (2, false, 8), (3, false, 9), (4, true, 9)]
    );
    assert!(found.iter().all(|alert| alert.id == found[0].id));
    assert_eq!(found[3].severity.level, Level::Medium);
    assert!(
        found[3]
            .severity
            .reasons
            .iter()
            .any(|r| r.contains("refused"))
    );
}

#[test]
fn what_was_tried_no_times_is_no_alert() {
    let found = detect(
        config(),
        &[family(), vec![tried(2, TamperKind::Signal, 9, 0, 0)]],
    );
    assert!(found.is_empty());
}
