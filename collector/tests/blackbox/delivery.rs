//! What is acknowledged is durable, once; what is wrong is refused and changes nothing.

use collector::event::What;
use collector::log::LogReader;
use proto::prost::Message as _;
use proto::sensor::v1::event::Body;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{
    Access, Batch, Capability, Conflict, ConflictKind, Encoding, Event, EventBlock, Flow, Hello,
    Process,
};
use serde_json::Value;
use tonic::Code;

use crate::daemon::{Daemon, Place, lines, until};
use crate::events::{event, id, read, sent, theft};
use crate::sensor::{EPOCH, Sensor, batch, checked, hello, packed};

fn totals(place: &Place) -> (u64, u64) {
    LogReader::open(&place.data()).unwrap().totals().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_kill_and_is_stored_once() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    assert_eq!(welcome.persisted, None);
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    daemon.kill();
    assert_eq!(totals(&place), (1, 8), "acknowledged, so it was durable");

    let daemon = Daemon::start(&place);
    let (mut sensor, again) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    assert_eq!((again.persisted, again.log_id), (Some(8), welcome.log_id));
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    sensor.send(9, vec![read(9, 5, 1, 1)]).await;
    sensor.persisted(9).await;
    assert_eq!(
        totals(&place),
        (2, 9),
        "the same batch again is acknowledged and not stored again"
    );
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_batches_are_kept_as_they_came_and_are_the_same_as_plain_ones() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    assert_eq!(
        welcome.encodings().collect::<Vec<_>>(),
        [Encoding::Zstd],
        "the collector says what it takes"
    );
    let all = batch(1, theft(0, 1000));
    sensor.say(Message::Batch(packed(&all))).await;
    sensor.persisted(8).await;
    // As a sensor sends it again that was put back to an older version: the same events, otherwise encoded.
    sensor.say(Message::Batch(all.clone())).await;
    sensor.persisted(8).await;
    assert_eq!(totals(&place), (1, 8));
    let stored = LogReader::open(&place.data()).unwrap().page(1).unwrap();
    assert_eq!(stored[0].payload, packed(&all).payload);
    let block = collector::ingest::stored(&stored[0]).unwrap();
    assert_eq!(block.events.len(), 8);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_came_damaged_is_refused_by_its_check() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let mut damaged = packed(&batch(1, theft(0, 1000)));
    damaged.payload[20] ^= 1;
    sensor.say(Message::Batch(damaged)).await;
    let (code, message) = sensor.refused().await;
    assert_eq!(code, Code::DataLoss, "{message}");
    assert!(
        message.contains("CRC32C") && message.contains("damaged"),
        "{message}"
    );
    assert_eq!(totals(&place), (0, 0));
    assert!(daemon.stop().success());
}

/// Connects a sensor that keeps to credits.
async fn with_credit(daemon: &Daemon) -> (Sensor, u64) {
    let sensor = Sensor::open(&daemon.address).await;
    let hello = Hello {
        capabilities: vec![Capability::Credit.into()],
        ..hello("ws-12", 1)
    };
    sensor.say(Message::Hello(hello)).await;
    let (sensor, welcome) = sensor.welcomed().await;
    (sensor, welcome.credit_bytes.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_comes_back_as_batches_become_durable_and_each_is_said_to_be_received_first() {
    const BATCHES: u64 = 40;
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, credit) = with_credit(&daemon).await;
    assert_eq!(credit, 2 * 1024 * 1024);
    let (mut left, mut received, mut persisted) = (credit, 0, 0);
    for n in 0..BATCHES {
        let events = (1..=2_000).map(|i| read(n, 5, i, 1)).collect();
        let batch = batch(n * 2_000 + 1, events);
        let cost = batch.payload.len() as u64;
        assert!((60_000..256 * 1024).contains(&cost), "{cost}");
        while left < cost || n + 1 == BATCHES && persisted < n * 2_000 {
            match sensor.answer().await.unwrap() {
                Some(Answer::Received(said)) => received = said.seq,
                Some(Answer::Credit(granted)) => left += granted.bytes,
                Some(Answer::Persisted(said)) => {
                    assert!(said.seq > persisted);
                    persisted = said.seq;
                }
                other => panic!("{other:?}"),
            }
        }
        left -= cost;
        sensor.say(Message::Batch(packed(&batch))).await;
    }
    assert!(received > 0, "it was said that something was received");
    assert!(left <= credit);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_more_than_its_credit_is_refused_and_an_older_sensor_has_none_to_exceed() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, credit) = with_credit(&daemon).await;
    // Says of itself that it unpacks to more than the credit: what a batch costs is what it says.
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    frame.push(0xa0);
    frame.extend((credit as u32 + 1).to_le_bytes());
    let claims = checked(Batch {
        encoding: Encoding::Zstd.into(),
        payload: frame,
        ..batch(1, theft(0, 1000))
    });
    sensor.say(Message::Batch(claims.clone())).await;
    let (code, message) = sensor.refused().await;
    assert_eq!(code, Code::ResourceExhausted, "{message}");
    assert!(
        message.contains("2097153 bytes") && message.contains("2097152 are left"),
        "{message}"
    );
    let (mut older, welcome) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    assert_eq!(welcome.credit_bytes, None);
    older.say(Message::Batch(claims)).await;
    let (code, message) = older.refused().await;
    assert_eq!(code, Code::InvalidArgument, "{message}");
    assert_eq!(totals(&place), (0, 0));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sensors_share_a_log_and_do_not_mix() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let mut sensors = Vec::new();
    for n in 0..8 {
        sensors.push(
            Sensor::connect(&daemon.address, &format!("ws-{n}"), 1)
                .await
                .0,
        );
    }
    for round in 0..20 {
        for sensor in &sensors {
            sensor
                .send(round * 2 + 1, vec![read(1, 5, 1, 1), sent(1, 5, 1, false)])
                .await;
        }
    }
    for sensor in &mut sensors {
        sensor.persisted(40).await;
    }
    assert_eq!(totals(&place), (160, 320));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_any_moment_lose_nothing_acknowledged_and_double_nothing() {
    const EVENTS: u64 = 300;
    let place = Place::new("");
    let mut acknowledged = 0;
    for kill_after in [3, 40, 90, 170, EVENTS] {
        let daemon = Daemon::start(&place);
        let (mut sensor, welcome) =
            Sensor::connect(&daemon.address, "ws-12", acknowledged + 1).await;
        let held = welcome.persisted.unwrap_or(0);
        assert!(
            held >= acknowledged,
            "{acknowledged} was acknowledged, the log has {held}"
        );
        acknowledged = held;
        let mut seq = held;
        while acknowledged < kill_after {
            // A few batches are always on their way when the collector dies.
            while seq < EVENTS && seq < acknowledged + 6 {
                seq += 1;
                sensor.send(seq, vec![read(seq, 1000, seq, 1)]).await;
            }
            match sensor.answer().await.unwrap() {
                Some(Answer::Persisted(persisted)) => acknowledged = persisted.seq,
                other => panic!("{other:?} instead of Persisted"),
            }
        }
        daemon.kill();
    }
    let log = LogReader::open(&place.data()).unwrap();
    let mut records = Vec::new();
    let mut pos = 0;
    while let Some(last) = log.page(pos).unwrap().last().map(|batch| batch.pos) {
        for stored in log.page(pos).unwrap() {
            for event in EventBlock::decode(stored.payload.as_slice())
                .unwrap()
                .events
            {
                let Some(Body::Access(access)) = event.body else {
                    panic!("only accesses were sent")
                };
                records.push(access.record.unwrap().inode);
            }
        }
        pos = last + 1;
    }
    assert_eq!(records, (1..=EVENTS).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_are_taken_or_left_out_are_refused() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor
        .send(1, vec![read(1, 5, 1, 1), read(1, 5, 2, 1)])
        .await;
    sensor.persisted(2).await;
    let cases = [
        (
            batch(1, vec![read(1, 5, 1, 1), read(1, 5, 2, 99)]),
            Code::AlreadyExists,
            "with other content",
        ),
        (
            batch(2, vec![read(1, 5, 2, 1), read(1, 5, 3, 1)]),
            Code::AlreadyExists,
            "events 2 to 3",
        ),
        (
            batch(4, vec![read(1, 5, 1, 1)]),
            Code::OutOfRange,
            "begins with 4, the log expects 3",
        ),
    ];
    for (batch, code, part) in cases {
        let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 3).await;
        sensor.say(Message::Batch(batch)).await;
        let (found, message) = sensor.refused().await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(part), "{message}");
    }
    // The batch, and a note about each of the two that came with other content.
    assert_eq!(totals(&place), (3, 4));
    // What the sensor gave up in Hello is a hole, kept as such.
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 6).await;
    sensor.send(6, vec![read(1, 5, 1, 1)]).await;
    sensor.persisted(6).await;
    let stored = LogReader::open(&place.data()).unwrap().page(4).unwrap();
    assert_eq!(stored[0].missing_before, 3);
    assert!(daemon.stop().success());
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_frame_is_wrong_ends_the_stream_and_changes_nothing() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    for (batch, part) in bad_batches() {
        let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
        sensor.say(Message::Batch(batch)).await;
        let (code, message) = sensor.refused().await;
        assert_eq!(code, Code::InvalidArgument, "{part}: {message}");
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert_eq!(totals(&place), (0, 0));
    assert!(daemon.stop().success());
}

fn bad_batches() -> Vec<(Batch, &'static str)> {
    let good = || batch(1, vec![read(1, 5, 1, 1)]);
    let block = |host: &str, boot_id: &str| {
        let block = EventBlock {
            host: host.into(),
            boot_id: boot_id.into(),
            events: vec![read(1, 5, 1, 1)],
        };
        Batch {
            payload: block.encode_to_vec(),
            ..good()
        }
    };
    vec![
        (
            Batch {
                crc32c: None,
                ..packed(&good())
            },
            "batch.crc32c is missing",
        ),
        (
            checked(Batch {
                encoding: Encoding::Zstd.into(),
                payload: zstd::bulk::compress(&vec![0; 256 * 1024 + 1], 3).unwrap(),
                ..good()
            }),
            "payload has 262145 bytes when unpacked",
        ),
        (
            Batch {
                epoch: vec![1; 16],
                ..good()
            },
            "another epoch",
        ),
        (
            Batch {
                epoch: vec![1; 15],
                ..good()
            },
            "15 bytes instead of 16",
        ),
        (
            Batch {
                first_seq: 0,
                ..good()
            },
            "0 to 1",
        ),
        (
            Batch {
                first_seq: 2,
                ..good()
            },
            "2 to 1",
        ),
        (
            Batch {
                last_seq: 2,
                ..good()
            },
            "holds 1 events, the sequence numbers say 2",
        ),
        (
            Batch {
                last_seq: u64::MAX,
                ..good()
            },
            "batch.last_seq",
        ),
        (
            Batch {
                encoding: 0,
                ..good()
            },
            "encoding 0",
        ),
        (
            Batch {
                encoding: 99,
                ..good()
            },
            "encoding 99",
        ),
        (
            Batch {
                payload: Vec::new(),
                ..good()
            },
            "payload has 0 bytes",
        ),
        (
            Batch {
                payload: vec![0; 256 * 1024 + 1],
                ..good()
            },
            "payload has 262145 bytes",
        ),
        (
            Batch {
                payload: vec![0xff; 40],
                ..good()
            },
            "no EventBlock",
        ),
        (block("", "b"), "block.host is missing"),
        (block("h", ""), "block.boot_id is missing"),
        (block(&"h".repeat(256), "b"), "block.host has 256"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_breaks_a_rule_is_a_gap_and_keeps_nothing_from_arriving() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let bad = bad_events();
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let mut seq = 1;
    for (event, _) in &bad {
        sensor
            .send(seq, vec![read(1, 5, seq, 1), event.clone()])
            .await;
        seq += 2;
    }
    sensor.send(seq, theft(0, 1000)).await;
    sensor.persisted(seq + 7).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    assert_eq!(alerts[0]["store"], "pacs", "what came after them arrived");
    let printed = String::from_utf8(place.chartwatch(&["events"]).stdout).unwrap();
    let gaps: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["gap"]["reason"] == "refused")
        .collect();
    assert_eq!(gaps.len(), bad.len());
    for (gap, (_, part)) in gaps.iter().zip(&bad) {
        let detail = gap["gap"]["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{part:?} is not in {detail:?}");
        assert!(gap["at_ns"].as_u64().unwrap() > 0);
    }
    assert!(daemon.stop().success());
}

fn bad_events() -> Vec<(Event, &'static str)> {
    let body = |body: Body| event(1, body);
    let access = |change: fn(&mut Access)| {
        let Some(Body::Access(mut access)) = read(1, 5, 1, 1).body else {
            panic!("an access")
        };
        change(&mut access);
        body(Body::Access(access))
    };
    let flow = |change: fn(&mut Flow)| {
        let Some(Body::Flow(mut flow)) = sent(1, 5, 1, true).body else {
            panic!("a flow")
        };
        change(&mut flow);
        body(Body::Flow(flow))
    };
    vec![
        (
            Event {
                time_unix_ns: u64::MAX,
                ..read(1, 5, 1, 1)
            },
            "event 1 of the block: time_unix_ns",
        ),
        (
            access(|access| access.process = None),
            "access.process is missing",
        ),
        (
            access(|access| access.record = None),
            "access.record is missing",
        ),
        (
            access(|access| access.store.clear()),
            "access.store is missing",
        ),
        (
            access(|access| access.name = "x".repeat(8193)),
            "access.name has 8193",
        ),
        (
            access(|access| access.bytes_read = u64::MAX),
            "access.bytes_read",
        ),
        (flow(|flow| flow.remote = None), "flow.remote is missing"),
        (flow(|flow| flow.protocol = 256), "flow.protocol is 256"),
        (
            flow(|flow| flow.remote.as_mut().unwrap().address = vec![1; 5]),
            "flow.remote is 5",
        ),
        (
            flow(|flow| flow.remote.as_mut().unwrap().port = 65_536),
            "flow.remote is 65536",
        ),
        (
            body(Body::Process(Process::default())),
            "process.id is missing",
        ),
        (
            body(Body::Process(Process {
                id: Some(id(1)),
                arguments: vec![String::new(); 4097],
                ..Process::default()
            })),
            "process.arguments has 4097",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_word_is_hello_and_only_the_first() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let mut rude = Sensor::open(&daemon.address).await;
    rude.send(1, vec![read(1, 5, 1, 1)]).await;
    assert_eq!(rude.refused().await.0, Code::FailedPrecondition);
    let hello = |id: &str, epoch: &[u8]| Hello {
        sensor_id: id.into(),
        epoch: epoch.to_vec(),
        ..Hello::default()
    };
    for (hello, part) in [
        (hello("", &EPOCH), "hello.sensor_id is missing"),
        (hello(&"x".repeat(256), &EPOCH), "hello.sensor_id has 256"),
        (hello("ws-12", b"short"), "epoch has 5 bytes"),
    ] {
        let mut sensor = Sensor::open(&daemon.address).await;
        sensor.say(Message::Hello(hello)).await;
        let (code, message) = sensor.refused().await;
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.contains(part), "{message}");
    }
    let (mut twice, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    twice.say(Message::Hello(hello("ws-12", &EPOCH))).await;
    assert_eq!(twice.refused().await.0, Code::FailedPrecondition);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_kind_that_is_not_known_are_kept_and_passed_over() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let unknown = Event {
        body: None,
        ..read(1, 5, 1, 1)
    };
    sensor
        .send(1, [vec![unknown], theft(0, 1000)].concat())
        .await;
    sensor.persisted(9).await;
    assert_eq!(totals(&place), (1, 9));
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    assert_eq!(alerts[0]["distinct_records"], 3);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_hand_and_tells_the_sensor() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let stopped = tokio::task::spawn_blocking(move || daemon.stop());
    assert_eq!(
        sensor.refused().await,
        (Code::Unavailable, "the collector is stopping".into())
    );
    assert!(stopped.await.unwrap().success());
    assert_eq!(
        place.alerts_until(|_| true).len(),
        1,
        "detection had caught up before the end"
    );
}
