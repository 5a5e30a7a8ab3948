//! What is acknowledged is durable, once; what is wrong is refused and changes nothing.

use collector::log::LogReader;
use proto::prost::Message as _;
use proto::sensor::v1::event::Body;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{Access, Batch, Encoding, Event, EventBlock, Flow, Hello, Process};
use serde_json::Value;
use tonic::Code;

use crate::daemon::{Daemon, Place};
use crate::events::{event, id, read, sent, theft};
use crate::sensor::{EPOCH, Sensor, batch, checked, packed};

pub(crate) fn totals(place: &Place) -> (u64, u64) {
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

/// What a sensor's spool gave up between what it kept is a hole that it says with the next batch, without connecting anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_says_was_given_up_before_it_is_a_hole_and_nothing_else_is() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let follows = |first_seq, seq| Batch {
        follows_seq: Some(seq),
        ..batch(first_seq, vec![read(1, 5, first_seq, 1)])
    };
    let (mut sensor, welcome) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    assert!(welcome.takes_follows);
    sensor
        .send(1, vec![read(1, 5, 1, 1), read(1, 5, 2, 1)])
        .await;
    sensor.say(Message::Batch(follows(5, 2))).await;
    sensor.say(Message::Batch(follows(9, 5))).await;
    sensor.persisted(9).await;
    // Nobody gave up 10: whoever was to bring it on has lost it.
    sensor.say(Message::Batch(follows(13, 10))).await;
    let (code, message) = sensor.refused().await;
    assert_eq!(code, Code::OutOfRange, "{message}");
    let stored = LogReader::open(&place.data()).unwrap().page(0).unwrap();
    let holes: Vec<_> = stored
        .iter()
        .map(|batch| (batch.first_seq, batch.missing_before))
        .collect();
    assert_eq!(holes, [(1, 0), (5, 2), (9, 3)]);
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
            older_to_come: false,
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

/// What the disk has made of a batch is told from what was written, is said, and is a gap; all else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_batch_is_left_out_and_counts_as_missing() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)[..4].to_vec()).await;
    sensor.persisted(4).await;
    sensor
        .send(5, vec![read(3, 77, 9, 1), read(3, 77, 10, 1)])
        .await;
    sensor.persisted(6).await;
    assert!(daemon.stop().success());
    let log = rusqlite::Connection::open(place.data().join("log.db")).unwrap();
    let changed =
        "UPDATE batch SET payload = (SELECT payload FROM batch WHERE pos = 1) WHERE pos = 2";
    assert_eq!(log.execute(changed, []).unwrap(), 1);
    drop(log);

    let said = place.file("said");
    let daemon = Daemon::start_logging(&place, &said);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 7).await;
    sensor.send(7, theft(0, 1000)[4..].to_vec()).await;
    sensor.persisted(10).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let lost = alerts[0]["gaps"].to_string();
    assert!(lost.contains("log-hole"), "{}", alerts[0]);
    assert!(daemon.stop().success());
    let said = std::fs::read_to_string(said).unwrap();
    for part in ["log.db is damaged", "batch=2", "events=2", "ws-12"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let events = place.chartwatch(&["events"]);
    let told = String::from_utf8_lossy(&events.stderr);
    assert!(events.status.success(), "{told}");
    assert!(
        told.contains("1 of its batches cannot be read") && told.contains("batch 2"),
        "{told}"
    );
    assert_eq!(String::from_utf8_lossy(&events.stdout).lines().count(), 8);
    let replayed = place.chartwatch(&["replay"]);
    let told = String::from_utf8_lossy(&replayed.stderr);
    assert!(told.contains("log.db is damaged"), "{told}");
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
