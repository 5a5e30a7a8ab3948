//! Batches that are compressed and checked, and the credit they cost.

use collector::log::LogReader;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{Batch, Capability, Encoding, Hello};
use tonic::Code;

use crate::daemon::{Daemon, Place};
use crate::delivery::totals;
use crate::events::{read, theft};
use crate::sensor::{Sensor, batch, checked, hello, packed};

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
