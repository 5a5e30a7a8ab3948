//! `chartwatch events`: every stored event of a span as a line of JSON, in the order of the log.

use proto::sensor::v1::event::Body;
use proto::sensor::v1::{Event, Gap, GapReason};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};
use crate::events::{at, event, read, theft};
use crate::sensor::Sensor;

/// What it printed, and what it said beside.
fn exported(place: &Place, arguments: &[&str]) -> (Vec<Value>, String) {
    let output = place.chartwatch(&[&["events"], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), said)
}

fn numbers(lines: &[Value]) -> Vec<Option<u64>> {
    lines.iter().map(|line| line["seq"].as_u64()).collect()
}

fn gap(second: u64) -> Event {
    let gap = Gap {
        reason: GapReason::RingFull.into(),
        count: 3,
        from_unix_ns: at(second - 1),
        to_unix_ns: at(second),
        detail: "bulk ring".into(),
        ..Gap::default()
    };
    event(second, Body::Gap(gap))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_event_is_a_line_once_and_of_the_span_asked_for() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.send(9, vec![gap(10)]).await;
    sensor.persisted(9).await;

    let (lines, said) = exported(&place, &[]);
    assert_eq!(said, "");
    assert_eq!(numbers(&lines), (1..=9).map(Some).collect::<Vec<_>>());
    assert_eq!(lines[0]["sensor"], "ws-12");
    assert_eq!(lines[0]["epoch"], "09090909-0909-0909-0909-090909090909");
    assert_eq!(lines[2]["process"]["executable"], "/usr/bin/curl");
    assert_eq!(lines[2]["process"]["parent"]["pid"], 900);
    let access = &lines[3]["access"];
    assert_eq!(
        (&access["opens"], &access["bytes_read"], &access["name"]),
        (&json!(1), &json!(50_000), &json!("token1"))
    );
    assert_eq!(lines[6]["flow"]["remote"], "203.0.113.9:443");
    assert_eq!(lines[6]["flow"]["bytes_out"], 150_300);
    assert_eq!(lines[8]["gap"]["reason"], "ring-full");
    assert_eq!(lines[8]["at_ns"], at(10));

    let of_span = |arguments: &[&str]| numbers(&exported(&place, arguments).0);
    let (from, to) = ("2026-03-16T03:00:02Z", "2026-03-16T03:00:03Z");
    assert_eq!(of_span(&["--from", from, "--to", to]), [Some(6), Some(7)]);
    assert_eq!(of_span(&["--from", "2026-03-17T00:00:00Z"]), []);

    // A kind of event that a later version may add: what it is cannot be told, that it is there can.
    let later = Event {
        body: None,
        ..read(20, 1000, 4, 1)
    };
    sensor.send(10, vec![later, read(21, 1000, 5, 7)]).await;
    sensor.persisted(11).await;
    let (lines, said) = exported(&place, &["--from", "2026-03-16T03:00:20Z"]);
    assert_eq!(numbers(&lines), [None]);
    assert_eq!(lines[0]["access"]["inode"], 5);
    assert!(said.contains("1 event of a kind"), "{said}");
    assert!(daemon.stop().success());
}
