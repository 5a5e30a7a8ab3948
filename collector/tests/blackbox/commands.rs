//! `chartwatch` beside a collector that runs: what it shows, and that replay says what live said.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use proto::sensor::v1::event::Body;
use proto::sensor::v1::{
    Canary, CanaryState, Clocks, EventClass, Gap, GapReason, Heartbeat, HookCount, SpoolDepth,
};
use serde_json::Value;

use crate::daemon::{Daemon, Place, until};
use crate::events::{at, event, read, sent, theft};
use crate::sensor::{EPOCH, Sensor};

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn id(alert: &Value) -> &str {
    alert["id"].as_str().unwrap()
}

fn replayed(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let output = place.chartwatch(&[&["replay", "--json"], arguments].concat());
    text(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_listed_shown_and_exported_while_the_collector_runs() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    assert_eq!(text(&place.chartwatch(&["alerts"])), "No alerts.\n");
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let alert = &alerts[0];
    assert_eq!(alert["settled"], true);
    assert_eq!(
        (
            &alert["distinct_records"],
            &alert["bytes_read"],
            &alert["bytes_sent"]
        ),
        (&3.into(), &150_000.into(), &150_300.into())
    );
    let id = alert["id"].as_str().unwrap();

    let list = text(&place.chartwatch(&["alerts"]));
    for part in [
        "CRITICAL",
        "ws-12.ward",
        "pacs",
        "150 kB",
        "curl",
        "203.0.113.9:443",
        "settled",
        &id[..8],
    ] {
        assert!(list.contains(part), "{part:?} is not in\n{list}");
    }
    let page = text(&place.chartwatch(&["show", &id[..8]]));
    for part in [
        "3 patient records",
        "150 kB (150,000 bytes)",
        "150 kB (150,300 bytes)",
        "/usr/bin/curl  pid 1000  ◄ read the records and sent",
        "'f=@two words\\u{1b}[2J'",
        "/sbin/init  pid 1",
        "user anna (uid 1001), logged in as anna (uid 1001), session 3",
        "unit session-3.scope",
        "token1",
        "T1005",
        "203.0.113.9:443 over TCP",
        "What to do next",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    assert!(
        !page.contains('\x1b'),
        "control characters of a host are escaped"
    );
    let order: Vec<usize> = ["/sbin/init", "/bin/bash", "/usr/bin/curl  pid"]
        .map(|p| page.find(p).unwrap())
        .into();
    assert!(
        order.is_sorted(),
        "the tree goes from the root to the sender"
    );

    let finding = place.json(&["show", id, "--json"]);
    assert_eq!(
        (&finding["class_uid"], &finding["finding_info"]["uid"]),
        (&2006.into(), &id.into())
    );
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_approved_with_its_whole_tuple_and_silent_after_a_reload() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = alerts[0]["id"].as_str().unwrap();
    let approve = ["approve", &id[..8], "--why", "ticket \u{1b}[2J4712"];
    let refused = place.chartwatch(&approve);
    assert_eq!(refused.status.code(), Some(1), "there is nobody to ask");
    let directory = place.config().with_file_name("approved.d");
    assert!(!directory.exists());

    let said = text(&place.chartwatch(&[&approve[..], &["--yes"]].concat()));
    for part in [
        "executable = \"/usr/bin/curl\"",
        "user = \"anna\"",
        "destination = \"203.0.113.9/32:443\"",
        "bytes_max = 300600",
        "this alert and no other",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let file = std::fs::read_to_string(directory.join(format!("{}.toml", &id[..8]))).unwrap();
    assert!(file.contains("# Why: ticket \\u{1b}[2J4712"), "{file}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let written = directory.join(format!("{}.toml", &id[..8]));
    assert_eq!(mode(&written), mode(&place.config()));
    let again = place.chartwatch(&[&approve[..], &["--yes"]].concat());
    assert_eq!(again.status.code(), Some(1), "it silences nothing any more");
    // The name is taken: what is there stays, and nothing is left beside it.
    std::fs::write(&written, file.replace("203.0.113.9", "203.0.113.8")).unwrap();
    let taken = place.chartwatch(&[&approve[..], &["--yes"]].concat());
    assert_eq!(taken.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    std::fs::write(&written, &file).unwrap();
    assert!(replayed(&place, &[]).is_empty());

    daemon.hang_up();
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"))
        .args(["check", "--config"])
        .arg(place.config())
        .output()
        .unwrap();
    assert!(text(&checked).contains(&format!("approve \"as in alert {}\"", &id[..8])));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_alert_says_so_until_it_grows() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = alerts[0]["id"].as_str().unwrap();
    let close = ["close", &id[..8], "--as", "false-positive", "--why"];
    let said = text(&place.chartwatch(&[&close[..], &["ticket \u{1b}[2J4711"]].concat()));
    assert!(
        said.contains(id) && said.contains("false-positive"),
        "{said}"
    );

    let list = text(&place.chartwatch(&["alerts"]));
    assert!(list.contains("false-positive"), "{list}");
    let page = text(&place.chartwatch(&["show", id]));
    assert!(page.contains("Closed as false-positive"), "{page}");
    assert!(page.contains("ticket \\u{1b}[2J4711"), "{page}");
    let closed = &place.json(&["alerts", "--json"])[0]["closed"];
    assert_eq!(closed["verdict"], "false-positive");
    assert_eq!(closed["revision"], alerts[0]["revision"]);
    assert!(!closed["who"].as_str().unwrap().is_empty());
    let finding = place.json(&["show", id, "--json"]);
    assert_eq!(
        (&finding["activity_id"], &finding["status_id"]),
        (&3.into(), &3.into())
    );

    let more = vec![read(60, 1000, 9, 400_000), sent(61, 1000, 900_000, true)];
    sensor.send(9, more).await;
    place.alerts_until(|alerts| alerts[0]["bytes_sent"] == 900_000);
    let list = text(&place.chartwatch(&["alerts"]));
    assert!(list.contains("open again"), "{list}");
    let page = text(&place.chartwatch(&["show", id]));
    assert!(page.contains("it has grown since"), "{page}");
    let again = ["close", id, "--as", "true-positive", "--why", "he did"];
    text(&place.chartwatch(&again));
    let list = text(&place.chartwatch(&["alerts"]));
    assert!(list.contains("true-positive"), "{list}");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_gives_what_live_gave_also_after_kills() {
    let place = Place::new("");
    let mut seq = 1;
    for round in 0..4u64 {
        let daemon = Daemon::start(&place);
        let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", seq).await;
        assert_eq!(welcome.persisted.unwrap_or(0) + 1, seq);
        let pid = 1000 + round as u32;
        // One theft in one batch, one that grows over several, one that goes on over the kill.
        let events = [
            theft(round * 100, pid),
            vec![read(round * 100 + 10, 7, round, 90_000 << round)],
            vec![sent(
                round * 100 + 11,
                7,
                (90_000 << round) + round * 1_000_000,
                false,
            )],
        ];
        for events in events {
            let count = events.len() as u64;
            sensor.send(seq, events).await;
            seq += count;
        }
        sensor.persisted(seq - 1).await;
        daemon.kill();
    }
    let daemon = Daemon::start(&place);
    let replayed = replayed(&place, &[]);
    let newest: BTreeMap<&str, &Value> = replayed.iter().map(|alert| (id(alert), alert)).collect();
    assert_eq!(newest.len(), 5);
    // Analysts are served while the log is read back: alerts are still growing then.
    let live = place.alerts_until(|alerts| {
        alerts.len() == 5 && alerts.iter().all(|alert| newest[id(alert)] == alert)
    });
    assert!(
        replayed.len() > live.len(),
        "growing alerts have several revisions"
    );
    let table = text(&place.chartwatch(&["replay"]));
    assert_eq!(table, text(&place.chartwatch(&["alerts"])));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_takes_a_span_and_other_thresholds() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.send(9, theft(3600, 1001)).await;
    sensor.persisted(16).await;
    place.alerts_until(|alerts| alerts.len() == 2);
    let pids = |arguments: &[&str]| -> Vec<u64> {
        replayed(&place, arguments)
            .iter()
            .map(|alert| alert["chain"][0]["pid"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(pids(&[]), [1000, 1001]);
    assert_eq!(pids(&["--from", "2026-03-16T03:30:00Z"]), [1001]);
    assert_eq!(pids(&["--to", "2026-03-16T04:30:00+01:00"]), [1000]);
    assert_eq!(
        pids(&[
            "--from",
            "2026-03-16T03:30:00Z",
            "--to",
            "2026-03-16T03:40:00Z"
        ]),
        [0; 0]
    );
    let before = std::fs::read_to_string(place.config()).unwrap();
    let approved = "[[approved]]\nname = \"upload\"\nstore = \"pacs\"\nexecutable = \"/usr/bin/curl\"\n\
                    user = \"anna\"\ndestination = \"203.0.113.9/32:443\"\n";
    std::fs::write(place.config(), format!("{before}\n{approved}")).unwrap();
    assert_eq!(pids(&[]), [0; 0], "with the way approved there is no alert");
    assert_eq!(
        place.json(&["alerts", "--json"]).as_array().unwrap().len(),
        2,
        "replay stores nothing"
    );
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sensors_tells_who_is_alive_and_what_is_missing() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let hook = |name: &str, seen| HookCount {
        hook: name.into(),
        seen,
        summed: 7,
        ignored: 3,
        ..HookCount::default()
    };
    let heartbeat = Heartbeat {
        time_unix_ns: at(0),
        backend: "tracepoint".into(),
        backend_reason: "lsm: bpf is not in the kernel's list; fentry: refused".into(),
        kernel: "6.1.0".into(),
        hooks: vec![hook("file_open", 10), hook("file_read", 11)],
        queued_events: 4,
        lost_events: 2,
        stores: vec!["pacs".into()],
        // Seventy minutes behind at least: what the test takes comes on top.
        clocks: Some(Clocks {
            boot_ns: 5,
            unix_ns: now_ns() - 4_200_000_000_000,
        }),
        spool: Some(SpoolDepth {
            events: 4,
            memory_bytes: 1_200,
            disk_bytes: Some(34_000),
            backlog_events: 3,
            backlog_since_unix_ns: at(0),
        }),
        canary: Some(Canary {
            state: CanaryState::Missed.into(),
            seen_unix_ns: at(0),
        }),
    };
    sensor.heartbeat(heartbeat).await;
    let gap = Gap {
        reason: GapReason::RingFull.into(),
        count: 5,
        from_unix_ns: at(0),
        to_unix_ns: at(1),
        detail: "ring of CPU 1".into(),
        lost: EventClass::Reads.into(),
        stores: vec!["pacs".into(), "lab".into()],
        epoch: EPOCH.to_vec(),
        first_seq: 4,
        last_seq: 9,
    };
    sensor.send(1, vec![event(1, Body::Gap(gap))]).await;
    sensor.persisted(1).await;
    let mut seen = Value::Null;
    until("the sensor's state", || {
        seen = place.json(&["sensors", "--json"])[0].clone();
        seen["gaps"] == 1 && seen["heartbeat"] != Value::Null
    });
    assert_eq!(
        (&seen["state"], &seen["missing"], &seen["host"]),
        (&"alive".into(), &5.into(), &"ws-12.ward".into())
    );
    assert_eq!(seen["heartbeat"]["books_balance"], false);
    assert_eq!(seen["heartbeat"]["spool"]["disk_bytes"], 34_000);
    assert_eq!(seen["heartbeat"]["canary"]["seen"], false);
    let behind_ns = -seen["clock_offset_ns"].as_i64().unwrap();
    assert!(
        (4_200_000_000_000..4_800_000_000_000).contains(&behind_ns),
        "{behind_ns}"
    );
    let page = text(&place.chartwatch(&["sensors"]));
    for part in [
        "ALIVE",
        "  backend      tracepoint\n    - lsm: bpf is not in the kernel's list\n    - fentry: refused\n",
        "DO NOT BALANCE",
        "balance",
        "pacs",
        "ring of CPU 1; what went: what processes did with records; stores: pacs, lab; numbers 4 to 9 of epoch ",
        "4 waiting (1.20 kB in memory, 34.0 kB on its disk), 2 lost",
        "  backlog      3 events still to come from the time since 20",
        "; what happens now goes ahead of them\n",
        "  canary       NOT SEEN, last at 20",
        "  clock        1 h 1",
        " behind the collector's\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    drop(sensor);
    until("the sensor to be gone", || {
        place.json(&["sensors", "--json"])[0]["state"] == "disconnected"
    });
    assert!(daemon.stop().success());
}

#[test]
fn wrong_usage_and_unknown_things_have_their_exit_status() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["show", "abc"],
            1,
            "no alert has an id that begins with abc",
        ),
        (&["show", "%"], 1, "is no alert id"),
        (&["show"], 2, "Usage"),
        (
            &["close", "abc", "--as", "true-positive", "--why", "it was"],
            1,
            "no alert has an id that begins with abc",
        ),
        (
            &["close", "abc", "--as", "true-positive", "--why", " "],
            2,
            "say what was found out",
        ),
        (
            &["close", "abc", "--as", "maybe", "--why", "x"],
            2,
            "true-positive",
        ),
        (&["replay", "--from", "yesterday"], 2, "RFC 3339"),
        (
            &[
                "replay",
                "--from",
                "2026-03-02T00:00:00Z",
                "--to",
                "2026-03-01T00:00:00Z",
            ],
            2,
            "--from is later than --to",
        ),
        (&["nonsense"], 2, "Usage"),
        (&["--data", "/nowhere", "alerts"], 1, "/nowhere/alerts.db"),
        (
            &["--config", "/nowhere.toml", "alerts"],
            64,
            "/nowhere.toml",
        ),
    ];
    for (arguments, code, part) in cases {
        let output = place.chartwatch(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(
            said.contains(part),
            "{arguments:?}: {part:?} is not in {said}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&place.chartwatch(&["completions", shell])).contains("chartwatch"));
    }
    assert!(text(&place.chartwatch(&["--help"])).contains("Exit status"));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_command_is_shown_whole_for_the_sender_only() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let long = "x".repeat(900);
    let mut events = theft(0, 1000);
    for event in &mut events {
        if let Some(Body::Process(process)) = &mut event.body {
            process.arguments = vec!["program".into(), long.clone()];
        }
    }
    let count = events.len() as u64;
    sensor.send(1, events).await;
    sensor.persisted(count).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let chain = alerts[0]["chain"].as_array().unwrap();
    assert!(chain.len() > 1, "there are ancestors");
    let page = text(&place.chartwatch(&["show", alerts[0]["id"].as_str().unwrap()]));
    let whole = page.matches(&format!("$ program {long}\n")).count();
    let cut = page
        .matches("x … (608 more characters; --json has them)\n")
        .count();
    assert_eq!((whole, cut), (1, chain.len() - 1), "{page}");
    assert!(daemon.stop().success());
}
