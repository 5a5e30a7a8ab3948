//! Records that lie in a file of their own for hours or days before they are sent.

use super::chain::{
    JOB, ends, file, gets, hands, job, pipe, program, sends, takes, techniques, writes,
};
use super::*;
use crate::config::{BulkConfig, ChainConfig};
use crate::event::{EdgeKind, End};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// So much else goes on that what exited processes did is let go.
fn busy(second: u64) -> Vec<Event> {
    let count = crate::detect::limits::SWEEP_EVERY;
    (0..count)
        .map(|_| program(second, 700, JOB, "/bin/other"))
        .collect()
}

/// An archive is made of three records; after so many seconds another program sends it. Where these are even, much goes on meanwhile.
fn staged(after: u64, carrier: impl Fn() -> End) -> Vec<Vec<Event>> {
    vec![
        job(vec![
            program(1, 1000, JOB, "/usr/bin/zip"),
            takes(2, 1000, 1, 2_000_000),
            takes(2, 1000, 2, 2_000_000),
            takes(2, 1000, 3, 281_604),
            writes(2, 1000, carrier(), 2_120_000),
            ends(3, 1000, JOB, "/usr/bin/zip"),
        ]),
        if after.is_multiple_of(2) {
            busy(after / 2)
        } else {
            vec![]
        },
        vec![
            program(after, 1001, JOB, "/usr/bin/curl"),
            gets(after, 1001, carrier(), 2_120_000),
            sends(after + 1, 1001, 2_060_000),
        ],
    ]
}

fn archive() -> End {
    file(5, "/home/anna/.x.zip")
}

/// No habits, which are another pattern.
fn quiet() -> DetectConfig {
    DetectConfig {
        bulk: BulkConfig {
            records_min: 0,
            ..BulkConfig::default()
        },
        ..config()
    }
}

fn patterns(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.pattern).collect()
}

#[test]
fn what_is_put_into_a_file_on_monday_and_sent_on_thursday_is_an_alert() {
    for after in [HOUR, 23 * HOUR + 1, 3 * DAY, 7 * DAY - 9] {
        let alerts = detect(quiet(), &staged(after, archive));
        assert_eq!(patterns(&alerts), ["chain"], "after {after} s");
        let alert = &alerts[0];
        assert_eq!(
            (
                alert.figures.records,
                alert.figures.bytes_read,
                alert.figures.bytes_sent
            ),
            (3, 4_281_604, 2_060_000)
        );
        assert_eq!(
            techniques(alert),
            ["T1005", "T1074.001", "T1560.001", "T1048"]
        );
        assert!(alert.at_least.is_empty() && alert.chain[0].key.pid == 1001);
        assert!(
            alert.measured_by.contains("for what lay in a file"),
            "{}",
            alert.measured_by
        );
    }
}

#[test]
fn what_lay_in_a_file_for_too_long_or_in_none_is_no_alert() {
    let none = |config, blocks: &[Vec<Event>]| {
        let alerts = detect(config, blocks);
        assert_eq!(patterns(&alerts), [""; 0]);
    };
    none(quiet(), &staged(7 * DAY + 9, archive));
    none(quiet(), &staged(3 * DAY + 1, || pipe(5)));
    let shorter = DetectConfig {
        chain: ChainConfig {
            staged: std::time::Duration::from_hours(48),
        },
        ..quiet()
    };
    assert_eq!(
        patterns(&detect(shorter.clone(), &staged(DAY + 9, archive))),
        ["chain"]
    );
    none(shorter, &staged(3 * DAY + 1, archive));
    let mut little = staged(3 * DAY + 1, archive);
    little[2].pop();
    little[2].push(sends(3 * DAY + 2, 1001, 10_000));
    none(quiet(), &little);
}

/// What was read long ago does not make little of what is read and sent today.
#[test]
fn much_that_was_staged_long_ago_does_not_hide_what_is_sent_now() {
    let mut blocks = vec![job(vec![
        program(1, 1000, JOB, "/usr/bin/zip"),
        takes(2, 1000, 1, 100_000_000),
        writes(2, 1000, archive(), 90_000_000),
        ends(3, 1000, JOB, "/usr/bin/zip"),
    ])];
    let now = 3 * DAY;
    blocks.push(vec![
        program(now, 1001, JOB, "/usr/bin/tar"),
        takes(now, 1001, 2, 200_000),
        program(now, 1002, JOB, "/usr/bin/curl"),
        gets(now, 1002, archive(), 10_000_000),
        hands(now, EdgeKind::UnixSocket, 1001, 1002, 200_000),
        sends(now + 1, 1002, 190_000),
    ]);
    let alerts = detect(quiet(), &blocks);
    assert_eq!(patterns(&alerts), ["chain"]);
    assert_eq!(alerts[0].figures.records, 1, "of the tar alone");
}
