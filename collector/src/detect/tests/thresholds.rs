//! What it takes for an alert: table by table around each threshold.

use super::*;
use crate::config::SlowConfig;

/// A record that was open goes on being read.
fn read_on(second: u64, record: u64, bytes: u64) -> Event {
    let mut event = read(second, record, bytes);
    if let What::Access(access) = &mut event.what {
        access.opens = 0;
    }
    event
}

/// The first 300 bytes of so many records.
fn heads(records: u64) -> Vec<Event> {
    (0..records).map(|record| read(2, record, 300)).collect()
}

#[test]
fn the_thresholds_decide() {
    let family = || family();
    let cases: Vec<(&str, Vec<Event>, bool)> = vec![
        (
            "just enough",
            vec![read(2, 1, 65_536), sent(3, 16_384, true)],
            true,
        ),
        (
            "one byte too little read",
            vec![read(2, 1, 65_535), sent(3, 16_384, true)],
            false,
        ),
        (
            "one byte too little sent",
            vec![read(2, 1, 65_536), sent(3, 16_383, true)],
            false,
        ),
        (
            "the heads of many records",
            [heads(50), vec![sent(60, 15_000, true)]].concat(),
            true,
        ),
        (
            "the heads of one record less",
            [heads(49), vec![sent(60, 15_000, true)]].concat(),
            false,
        ),
        (
            "little of the heads of many records",
            [heads(50), vec![sent(60, 4_095, true)]].concat(),
            false,
        ),
        (
            "the heads of many records, and more came than went",
            [
                heads(50),
                vec![sent_by(60, 15_000, |flow| flow.bytes_in = 90_000)],
            ]
            .concat(),
            false,
        ),
        (
            "five percent of much",
            vec![read(2, 1, 10_000_000), sent(3, 500_000, true)],
            true,
        ),
        (
            "less than five percent",
            vec![read(2, 1, 10_000_000), sent(3, 499_999, true)],
            false,
        ),
        (
            "five percent of what was read thirty times",
            [
                (2..32).map(|second| read(second, 1, 2_000_000)).collect(),
                vec![sent(40, 100_000, true)],
            ]
            .concat(),
            true,
        ),
        (
            "less than five percent of it",
            [
                (2..32).map(|second| read(second, 1, 2_000_000)).collect(),
                vec![sent(40, 99_999, true)],
            ]
            .concat(),
            false,
        ),
        (
            "less than five percent of one that was read on and on",
            [
                vec![read(2, 1, 2_000_000)],
                (3..32)
                    .map(|second| read_on(second, 1, 2_000_000))
                    .collect(),
                vec![sent(40, 200_000, true)],
            ]
            .concat(),
            false,
        ),
        (
            "the flow is heard of first",
            vec![sent(3, 99_000, true), read(2, 1, 99_000)],
            true,
        ),
        (
            "sent before the first read",
            vec![sent(1, 99_000, true), read(2, 1, 99_000)],
            false,
        ),
        (
            "the same, heard of the other way round",
            vec![read(2, 1, 99_000), sent(1, 99_000, true)],
            false,
        ),
        (
            "only what was sent after the first read counts",
            vec![
                sent(1, 990_000, false),
                read(2, 1, 99_000),
                sent(3, 1_006_383, true),
            ],
            false,
        ),
        (
            "and is enough",
            vec![
                sent(1, 990_000, false),
                read(2, 1, 99_000),
                sent(3, 1_006_384, true),
            ],
            true,
        ),
        (
            "totals are not added up",
            vec![
                read(2, 1, 99_000),
                sent(3, 9_000, false),
                sent(4, 12_000, false),
                sent(5, 16_000, true),
            ],
            false,
        ),
        (
            "loopback",
            vec![read(2, 1, 99_000), to("127.0.0.1:80")],
            false,
        ),
        (
            "all of 127/8",
            vec![read(2, 1, 99_000), to("127.8.0.1:80")],
            false,
        ),
        (
            "loopback of IPv6",
            vec![read(2, 1, 99_000), to("[::1]:80")],
            false,
        ),
        (
            "the host's own address",
            vec![read(2, 1, 99_000), to("10.0.0.5:80")],
            false,
        ),
        (
            "a neighbour",
            vec![read(2, 1, 99_000), to("10.0.0.6:80")],
            true,
        ),
        (
            "IPv6",
            vec![read(2, 1, 99_000), to("[2001:db8::9]:80")],
            true,
        ),
        (
            "the read is too long ago",
            vec![read(2, 1, 99_000), sent(86_403, 99_000, true)],
            false,
        ),
        (
            "just within the window",
            vec![read(2, 1, 99_000), sent(86_402, 99_000, true)],
            true,
        ),
        (
            "only opened",
            vec![read(2, 1, 0), sent(3, 99_000, true)],
            false,
        ),
    ];
    for (what, events, fires) in cases {
        // Of what is too little for `direct`, `slow` may tell.
        let config = DetectConfig {
            slow: SlowConfig {
                sent_bytes_min: 0,
                ..SlowConfig::default()
            },
            ..config()
        };
        let found = detect(config.clone(), &[[family(), events.clone()].concat()]);
        assert_eq!(!found.is_empty(), fires, "{what}");
        // One event a block: the same, block by block.
        let single: Vec<Vec<Event>> = [family(), events]
            .concat()
            .into_iter()
            .map(|e| vec![e])
            .collect();
        assert_eq!(
            !detect(config, &single).is_empty(),
            fires,
            "{what}, event by event"
        );
    }
}
