//! Two epochs on one stream: what is live goes ahead of what is old.

use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{Batch, Event, Hello, Welcome};
use tonic::Code;

use crate::daemon::{Daemon, Place};
use crate::events::read;
use crate::sensor::{EPOCH, Sensor, batch, hello};

/// The epoch of this start; that of the one before is [`EPOCH`].
const LIVE: [u8; 16] = [7; 16];

async fn connect(daemon: &Daemon, held: (u64, u64)) -> (Sensor, Welcome) {
    let sensor = Sensor::open(&daemon.address).await;
    let hello = Hello {
        live_epoch: LIVE.to_vec(),
        live_first_unacknowledged: Some(held.1),
        ..hello("ws-12", held.0)
    };
    sensor.say(Message::Hello(hello)).await;
    sensor.welcomed().await
}

fn live(first_seq: u64, events: Vec<Event>) -> Batch {
    Batch {
        epoch: LIVE.to_vec(),
        ..batch(first_seq, events)
    }
}

async fn durable(sensor: &mut Sensor) -> (Vec<u8>, u64) {
    match sensor.answer().await.unwrap() {
        Some(Answer::Persisted(persisted)) => (persisted.epoch, persisted.seq),
        other => panic!("{other:?} instead of Persisted"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_epochs_on_a_stream_are_taken_and_acknowledged_each_by_its_numbers() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, welcome) = connect(&daemon, (1, 1)).await;
    assert!(welcome.takes_lanes);
    assert_eq!((welcome.persisted, welcome.live_persisted), (None, Some(0)));
    let event = |n| vec![read(n, 5, 1, n)];
    for (lane, seq) in [(EPOCH, 1), (LIVE, 1), (LIVE, 2), (EPOCH, 2), (LIVE, 3)] {
        let batch = if lane == LIVE {
            live(seq, event(10 + seq))
        } else {
            batch(seq, event(seq))
        };
        sensor.say(Message::Batch(batch)).await;
        assert_eq!(durable(&mut sensor).await, (lane.to_vec(), seq));
    }
    // A hole that the sensor gave up, and one that nobody did.
    let given_up = Batch {
        follows_seq: Some(3),
        ..live(5, event(15))
    };
    sensor.say(Message::Batch(given_up)).await;
    assert_eq!(durable(&mut sensor).await, (LIVE.to_vec(), 5));
    sensor.say(Message::Batch(live(8, event(18)))).await;
    assert_eq!(sensor.refused().await.0, Code::OutOfRange);

    let (mut sensor, welcome) = connect(&daemon, (1, 8)).await;
    assert_eq!(
        (welcome.persisted, welcome.live_persisted),
        (Some(2), Some(5))
    );
    sensor.say(Message::Batch(live(8, event(18)))).await;
    assert_eq!(durable(&mut sensor).await, (LIVE.to_vec(), 8));
    // The same numbers again with other content are a conflict in either lane.
    sensor.say(Message::Batch(live(2, event(99)))).await;
    assert_eq!(sensor.refused().await.0, Code::AlreadyExists);
    let (mut sensor, _) = connect(&daemon, (1, 9)).await;
    sensor.say(Message::Batch(batch(2, event(99)))).await;
    assert_eq!(sensor.refused().await.0, Code::AlreadyExists);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_was_not_said_is_none_of_the_streams() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    // A sensor of before says its live epoch and delivers another.
    let sensor = Sensor::open(&daemon.address).await;
    let older = Hello {
        live_epoch: LIVE.to_vec(),
        ..hello("ws-12", 1)
    };
    sensor.say(Message::Hello(older)).await;
    let (mut sensor, welcome) = sensor.welcomed().await;
    assert_eq!(welcome.live_persisted, None);
    let event = vec![read(1, 5, 1, 1)];
    let stray = live(1, event.clone());
    sensor.say(Message::Batch(stray)).await;
    assert_eq!(sensor.refused().await.0, Code::InvalidArgument);
    // Nor may the collector's own be one.
    for live_epoch in [vec![0; 16], vec![]] {
        let mut sensor = Sensor::open(&daemon.address).await;
        let bad = Hello {
            live_epoch,
            live_first_unacknowledged: Some(1),
            ..hello("ws-12", 1)
        };
        sensor.say(Message::Hello(bad)).await;
        assert_eq!(sensor.refused().await.0, Code::InvalidArgument);
    }
    // One that says the same twice has one lane.
    let sensor = Sensor::open(&daemon.address).await;
    let same = Hello {
        live_epoch: EPOCH.to_vec(),
        live_first_unacknowledged: Some(1),
        ..hello("ws-12", 1)
    };
    sensor.say(Message::Hello(same)).await;
    let (mut sensor, welcome) = sensor.welcomed().await;
    assert_eq!(welcome.live_persisted, None);
    sensor.send(1, event).await;
    sensor.persisted(1).await;
    assert!(daemon.stop().success());
}
