//! How an alert grows and ends, what is missing from it, and what detection forgets.

use super::*;
use crate::detect::{AtLeast, limits};

#[test]
fn an_alert_grows_by_doubling_and_ends_exact() {
    let blocks: Vec<Vec<Event>> = (0..64)
        .map(|n| {
            vec![
                read(2 + n, n, 100_000),
                sent(2 + n, (n + 1) * 100_000, false),
            ]
        })
        .chain([vec![sent(70, 6_400_000, true)], vec![exit(71)]])
        .collect();
    let found = detect(config(), &[vec![family()], blocks].concat());
    let records: Vec<u64> = found.iter().map(|alert| alert.figures.records).collect();
    assert_eq!(records, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    let revisions: Vec<u32> = found.iter().map(|alert| alert.revision).collect();
    assert_eq!(revisions, (1..=9).collect::<Vec<u32>>());
    let settled: Vec<bool> = found.iter().map(|alert| alert.settled).collect();
    assert_eq!(
        settled,
        [false, false, false, false, false, false, false, true, true]
    );
    let last = found.last().unwrap();
    assert_eq!(
        (last.figures.bytes_read, last.figures.bytes_sent),
        (6_400_000, 6_400_000)
    );
}

#[test]
fn what_comes_after_the_exit_still_makes_the_figures_exact() {
    let found = detect(
        config(),
        &[
            theft(),
            vec![exit(5)],
            vec![read(4, 3, 10)],
            vec![process(ROOT, None, "/sbin/init")],
        ],
    );
    let figures: Vec<(u64, u64)> = found
        .iter()
        .map(|a| (a.figures.records, a.figures.bytes_read))
        .collect();
    assert_eq!(figures, [(2, 150_000), (2, 150_000), (3, 150_010)]);
    assert!(
        found[2].chain[0]
            .process
            .as_ref()
            .unwrap()
            .exited_ns
            .is_some()
    );
}

#[test]
fn a_gap_in_the_window_makes_it_at_least() {
    let gap = |from, to| {
        let gap = Gap {
            reason: GapReason::RingFull,
            count: 7,
            from_ns: at(from),
            to_ns: at(to),
            detail: "ring".into(),
        };
        event(at(to), What::Gap(gap))
    };
    for (from, to, within) in [
        (0, 1, false),
        (1, 2, true),
        (3, 3, true),
        (4, 9, true),
        (5, 9, false),
    ] {
        let found = detect(config(), &[[vec![gap(from, to)], theft()].concat()]);
        assert_eq!(!found[0].gaps.is_empty(), within, "{from} to {to}");
        assert_eq!(found[0].story.contains("at least"), within);
    }
    let mut detector = Detector::new(config());
    let hole = Block {
        missing_before: 4,
        ..block(theft())
    };
    let found = detector.block(&hole);
    assert_eq!(found[0].gaps.len(), 0, "the hole is before the theft");
    let mut detector = Detector::new(config());
    assert!(
        detector
            .block(&block([family(), vec![read(2, 1, 99_000)]].concat()))
            .is_empty()
    );
    let found = detector.block(&Block {
        missing_before: 4,
        ..block(vec![sent(4, 99_000, true)])
    });
    assert_eq!(
        (found[0].gaps[0].reason, found[0].gaps[0].count),
        (GapReason::LogHole, 4)
    );
}

#[test]
fn hosts_boots_stores_and_destinations_do_not_mix() {
    let mut detector = Detector::new(config());
    let half = |sensor: &str, boot: &str, events: Vec<Event>| {
        let origin = Origin {
            sensor: sensor.into(),
            boot_id: boot.into(),
            host: "h".into(),
        };
        Block {
            origin,
            ..block(events)
        }
    };
    let quiet = [
        half("a", "1", vec![read(2, 1, 99_000)]),
        half("a", "2", vec![sent(3, 99_000, true)]),
        half("b", "1", vec![sent(3, 99_000, true)]),
    ];
    for block in quiet {
        assert!(detector.block(&block).is_empty(), "{:?}", block.origin);
    }
    let alert = detector.block(&half("a", "1", vec![sent(3, 99_000, true)]));
    assert_eq!(
        alert.len(),
        1,
        "the other half on the same boot of the same host"
    );
}

#[test]
fn memory_is_bounded_and_forgetting_is_said() {
    let mut detector = Detector::new(config());
    for chunk in 0..20u32 {
        let many = (0..1_000).map(|n| {
            let key = ProcessKey {
                pid: 10_000 + chunk * 1_000 + n,
                start_cs: 5,
            };
            process(key, Some(ROOT), "/bin/true")
        });
        detector.block(&block(many.collect()));
    }
    let host = &detector.hosts["ws-12"][0];
    assert!(host.processes_known() <= limits::PROCESSES);
    let found = detector.block(&block(theft()));
    assert!(matches!(found[0].at_least[..], [AtLeast::Processes(count)] if count > 0));
}

#[test]
fn the_same_log_gives_the_same_alerts() {
    let blocks = [
        theft(),
        vec![read(6, 9, 300_000), sent(7, 450_300, false)],
        vec![exit(8)],
    ];
    let once = detect(config(), &blocks);
    assert_eq!(once, detect(config(), &blocks));
    assert_eq!(once.last().unwrap().figures.records, 3);
    assert!(text::time(once[0].first_ns).starts_with("2026-03-16 03:00:02"));
}
