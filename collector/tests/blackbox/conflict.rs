//! What is delivered in a sensor's name and cannot all be of it.

use collector::event::What;
use collector::log::LogReader;
use proto::sensor::v1::event::Body;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{Conflict, ConflictKind, Hello};
use serde_json::Value;
use tonic::Code;

use crate::daemon::{Daemon, Place, lines, until};
use crate::delivery::totals;
use crate::events::{event, read};
use crate::sensor::{Sensor, batch, hello, packed};

/// As a machine that was put back to a snapshot delivers: its sensor goes on with numbers that the log has from before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_events_under_known_numbers_are_an_alert_once_live_replayed_and_at_the_sinks() {
    let place = Place::new("");
    let file = place.file("findings.jsonl");
    let config = std::fs::read_to_string(place.config()).unwrap();
    let sink = format!("{config}[sink.file]\npath = \"{}\"\n", file.display());
    std::fs::write(place.config(), sink).unwrap();
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor
        .send(1, vec![read(1, 5, 1, 1), read(2, 5, 2, 1)])
        .await;
    sensor.persisted(2).await;
    let other = packed(&batch(1, vec![read(1, 5, 1, 1), read(2, 5, 2, 99)]));
    // It does not give up, and is found once.
    for _ in 0..3 {
        let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
        sensor.say(Message::Batch(other.clone())).await;
        let (code, message) = sensor.refused().await;
        assert_eq!(code, Code::AlreadyExists, "{message}");
        assert!(message.contains("events 1 to 2"), "{message}");
    }
    let alerts = place.alerts_until(|alerts| !alerts.is_empty());
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    assert_eq!(
        (&alert["pattern"], &alert["sensor"], &alert["host"]),
        (&"doubled".into(), &"ws-12".into(), &"ws-12.ward".into())
    );
    assert_eq!(alert["revision"], 1);
    let id = alert["id"].as_str().unwrap();
    let page = place.chartwatch(&["show", id]);
    let page = String::from_utf8(page.stdout).unwrap();
    for part in ["events 1 to 2 a second time", "snapshot", "restart"] {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
    until("the finding", || lines(&file).len() == 1);
    assert!(lines(&file)[0].contains(id), "{}", lines(&file)[0]);
    assert_eq!(totals(&place), (2, 3), "what it held, and one note");
    // What the log held goes on, and the note is not taken for events of the sensor's.
    let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", 3).await;
    assert_eq!(welcome.persisted, Some(2));
    sensor.send(3, vec![read(3, 5, 3, 1)]).await;
    sensor.persisted(3).await;
    assert!(daemon.stop().success());
    let replayed = place.chartwatch(&["replay", "--json"]);
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(
        (&replayed["id"], &replayed["revision"], &replayed["story"]),
        (&alert["id"], &alert["revision"], &alert["story"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_collector_says_itself_no_sensor_can_say() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let mut sensor = Sensor::open(&daemon.address).await;
    let own = Hello {
        epoch: vec![0; 16],
        ..hello("ws-12", 1)
    };
    sensor.say(Message::Hello(own)).await;
    let (code, message) = sensor.refused().await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("hello.epoch"), "{message}");
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let conflict = Conflict {
        kind: ConflictKind::Overlap.into(),
        epoch: vec![1; 16],
        ..Conflict::default()
    };
    sensor
        .send(
            1,
            vec![event(1, Body::Conflict(conflict)), read(1, 5, 1, 1)],
        )
        .await;
    sensor.persisted(2).await;
    let stored = LogReader::open(&place.data()).unwrap().page(1).unwrap();
    let block = collector::ingest::stored(&stored[0]).unwrap();
    let What::Gap(gap) = &block.events[0].what else {
        panic!("{block:?}")
    };
    assert!(
        gap.detail.contains("which only the collector finds"),
        "{gap:?}"
    );
    assert_eq!(place.json(&["alerts", "--json"]), Value::Array(vec![]));
    assert!(daemon.stop().success());
}
