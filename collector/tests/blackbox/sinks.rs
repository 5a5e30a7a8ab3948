//! What leaves the collector: every revision in the file exactly once, over syslog at least once, over restarts of
//! either side.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::daemon::{Daemon, Place, lines, until};
use crate::events::theft;
use crate::sensor::Sensor;
use crate::syslogd::Receiver;

/// Id and revision of a finding.
fn name(finding: &str) -> (String, u64) {
    let finding: Value = serde_json::from_str(finding).unwrap();
    let id = finding["finding_info"]["uid"].as_str().unwrap().to_owned();
    (id, finding["metadata"]["sequence"].as_u64().unwrap())
}

/// Has a number of thefts seen, from `first` on; each is 8 events.
async fn thefts(daemon: &Daemon, first: u64, count: u64) {
    let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", first * 8 + 1).await;
    let mut seq = welcome.persisted.unwrap_or(0) + 1;
    for n in first..first + count {
        sensor.send(seq, theft(n * 10, 1000 + n as u32)).await;
        seq += 8;
    }
    sensor.persisted(seq - 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_has_every_finding_once_whatever_is_killed() {
    let place = Place::new("");
    let path = place.file("findings.jsonl");
    let text = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(
        place.config(),
        format!("{text}[sink.file]\npath = \"{}\"\n", path.display()),
    )
    .unwrap();
    for round in 0..4 {
        let daemon = Daemon::start(&place);
        thefts(&daemon, round * 5, 5).await;
        daemon.kill();
    }
    // A kill may have left a torn last line, or whole lines that the cursor does not know of.
    let daemon = Daemon::start(&place);
    until("all findings", || lines(&path).len() >= 20);
    assert!(daemon.stop().success());
    let names: Vec<_> = lines(&path).iter().map(|line| name(line)).collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "none twice"
    );
    assert_eq!(names.len(), 20);

    // Rotated while the collector is down, and while it runs.
    std::fs::rename(&path, place.file("findings.1")).unwrap();
    let daemon = Daemon::start(&place);
    thefts(&daemon, 20, 1).await;
    until("a finding in the new file", || lines(&path).len() == 1);
    std::fs::rename(&path, place.file("findings.2")).unwrap();
    thefts(&daemon, 21, 2).await;
    until("findings in the third file", || lines(&path).len() == 2);
    assert!(daemon.stop().success());
    assert_eq!(lines(&place.file("findings.1")).len(), 20);
    assert_eq!(lines(&place.file("findings.2")).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_an_alert_reaches_the_sink_and_so_does_closing_it_again() {
    let place = Place::new("");
    let path = place.file("findings.jsonl");
    let config = std::fs::read_to_string(place.config()).unwrap();
    let sink = format!("{config}[sink.file]\npath = \"{}\"\n", path.display());
    std::fs::write(place.config(), sink).unwrap();
    let daemon = Daemon::start(&place);
    thefts(&daemon, 0, 1).await;
    until("a finding", || lines(&path).len() == 1);
    let first: Value = serde_json::from_str(&lines(&path)[0]).unwrap();
    let id = first["finding_info"]["uid"].as_str().unwrap();
    let close = |verdict: &str| {
        let close = ["close", id, "--as", verdict, "--why", "ticket 4711"];
        assert!(place.chartwatch(&close).status.success());
    };
    close("false-positive");
    until("that it is closed", || lines(&path).len() == 2);
    close("true-positive");
    assert!(daemon.stop().success());
    // What was closed just before the end, or while nobody ran, comes at the next start.
    let daemon = Daemon::start(&place);
    until("that it is closed otherwise", || lines(&path).len() == 3);
    assert!(daemon.stop().success());
    let all: Vec<Value> = lines(&path)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let key = |key: &str| -> Vec<_> { all.iter().map(|finding| finding[key].clone()).collect() };
    assert_eq!(key("activity_id"), [1, 3, 3]);
    assert_eq!(key("type_uid"), [200_601, 200_603, 200_603]);
    assert_eq!(key("status"), ["New", "Suppressed", "Resolved"]);
    assert_eq!(key("verdict_id")[1..], [1, 2]);
    assert!(
        all[2]["comment"]
            .as_str()
            .unwrap()
            .starts_with("ticket 4711")
    );
    assert!(
        all.iter()
            .all(|finding| finding["finding_info"] == first["finding_info"])
    );
    let uids: BTreeSet<String> = all
        .iter()
        .map(|one| one["metadata"]["uid"].to_string())
        .collect();
    assert_eq!(uids.len(), 3, "each is an event of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn syslog_delivers_at_least_once_over_restarts_of_either_side() {
    let Some(mut receiver) = Receiver::new() else {
        return crate::skip(
            "the syslog sink was not tested against rsyslog: /usr/sbin/rsyslogd is not installed",
        );
    };
    let sink = format!(
        "[sink.syslog]\naddress = \"127.0.0.1:{}\"\nsettle_ms = 300\n",
        receiver.port
    );
    let place = Place::new(&sink);
    let arrived = |receiver: &Receiver| -> BTreeSet<(String, u64)> {
        lines(&receiver.messages())
            .iter()
            .filter_map(|line| whole(line))
            .collect()
    };

    // The receiver is down, the collector is killed and comes back, then the receiver comes.
    let daemon = Daemon::start(&place);
    thefts(&daemon, 0, 3).await;
    place.alerts_until(|alerts| alerts.len() == 3);
    daemon.kill();
    let daemon = Daemon::start(&place);
    receiver.start();
    until("three findings", || arrived(&receiver).len() == 3);

    // The receiver is killed with messages on their way, several times.
    for round in 1..4 {
        thefts(&daemon, round * 3, 3).await;
        receiver.kill();
        receiver.start();
    }
    until("twelve findings", || arrived(&receiver).len() == 12);
    // The collector is killed right after something was raised.
    thefts(&daemon, 12, 3).await;
    daemon.kill();
    let daemon = Daemon::start(&place);
    until("fifteen findings", || arrived(&receiver).len() == 15);
    assert!(daemon.stop().success());

    // What is settled is not sent again: a run with nothing new adds nothing.
    let before = lines(&receiver.messages()).len();
    let daemon = Daemon::start(&place);
    thefts(&daemon, 15, 1).await;
    until("the last finding", || arrived(&receiver).len() == 16);
    assert!(daemon.stop().success());
    assert_eq!(lines(&receiver.messages()).len(), before + 1);
    let stored = place.json(&["alerts", "--json"]);
    assert_eq!(stored.as_array().unwrap().len(), 16);
}

/// Id and revision of a line rsyslog wrote, checked field by field; `None` for one that a kill cut short.
fn whole(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.splitn(6, '|').collect();
    let [pri, host, app, msgid, data, message] = fields.as_slice() else {
        return None;
    };
    let message = message.trim_start_matches('\u{feff}');
    serde_json::from_str::<Value>(message).ok()?;
    let (id, revision) = name(message);
    assert_eq!(
        (*pri, *app, *msgid),
        ("82", "chartwatch", "data-security-finding"),
        "{line}"
    );
    assert!(!host.is_empty());
    assert_eq!(
        *data,
        format!("[chartwatch@32473 id=\"{id}\" revision=\"{revision}\"]")
    );
    Some((id, revision))
}
