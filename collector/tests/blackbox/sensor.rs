//! A small sensor: speaks the protocol as the real one does, and wrongly where a test wants that.

use proto::prost::Message as _;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::link_client::LinkClient;
use proto::sensor::v1::{
    Batch, Encoding, Event, EventBlock, FromCollector, FromSensor, Heartbeat, Hello, Persisted,
    Welcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::daemon::PATIENCE;

pub(crate) const EPOCH: [u8; 16] = [9; 16];

/// One stream to the collector.
pub(crate) struct Sensor {
    out: mpsc::Sender<FromSensor>,
    answers: Streaming<FromCollector>,
}

impl Sensor {
    /// Connects and says Hello.
    pub(crate) async fn connect(
        address: &str,
        id: &str,
        first_unacknowledged: u64,
    ) -> (Self, Welcome) {
        let sensor = Self::open(address).await;
        sensor.hello(id, first_unacknowledged).await;
        sensor.welcomed().await
    }

    /// Says Hello.
    pub(crate) async fn hello(&self, id: &str, first_unacknowledged: u64) {
        self.say(Message::Hello(hello(id, first_unacknowledged)))
            .await;
    }

    /// Waits for Welcome.
    pub(crate) async fn welcomed(mut self) -> (Self, Welcome) {
        match self.answer().await.unwrap() {
            Some(Answer::Welcome(welcome)) => (self, welcome),
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    /// Connects and says nothing.
    pub(crate) async fn open(address: &str) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        Self::over(endpoint.connect().await.unwrap()).await.unwrap()
    }

    /// Opens a stream on a connection and says nothing.
    pub(crate) async fn over(channel: Channel) -> Result<Self, Status> {
        let mut client = LinkClient::new(channel);
        let (out, messages) = mpsc::channel(64);
        let answers = client
            .deliver(ReceiverStream::new(messages))
            .await?
            .into_inner();
        Ok(Self { out, answers })
    }

    pub(crate) async fn say(&self, message: Message) {
        // A stream the collector has ended takes nothing more; the answer says why.
        let _ended = self
            .out
            .send(FromSensor {
                message: Some(message),
            })
            .await
            .is_err();
    }

    /// Sends events as the batch that begins with `first_seq`.
    pub(crate) async fn send(&self, first_seq: u64, events: Vec<Event>) {
        self.say(Message::Batch(batch(first_seq, events))).await;
    }

    pub(crate) async fn heartbeat(&self, heartbeat: Heartbeat) {
        self.say(Message::Heartbeat(heartbeat)).await;
    }

    /// Waits until everything up to a number is durable.
    pub(crate) async fn persisted(&mut self, seq: u64) {
        loop {
            match self.answer().await.unwrap() {
                Some(Answer::Persisted(Persisted { epoch, seq: now })) => {
                    assert_eq!(epoch, EPOCH);
                    if now >= seq {
                        return;
                    }
                }
                other => panic!("{other:?} instead of Persisted"),
            }
        }
    }

    /// The next answer; `None` when the collector has ended the stream well.
    pub(crate) async fn answer(&mut self) -> Result<Option<Answer>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.answers.message()).await;
        Ok(next
            .expect("an answer in time")?
            .and_then(|answer| answer.message))
    }

    /// Waits until the collector ends the stream; what it had acknowledged before does not matter.
    pub(crate) async fn refused(&mut self) -> (Code, String) {
        loop {
            match self.answer().await {
                Ok(Some(Answer::Persisted(_))) => {}
                Ok(other) => panic!("{other:?} instead of a refusal"),
                Err(status) => return (status.code(), status.message().to_owned()),
            }
        }
    }
}

/// What a sensor says first that knows what version 0.1.0 knew.
pub(crate) fn hello(id: &str, first_unacknowledged: u64) -> Hello {
    Hello {
        sensor_id: id.into(),
        version: "0.0.0-test".into(),
        epoch: EPOCH.to_vec(),
        first_unacknowledged,
        ..Hello::default()
    }
}

/// Events as a batch.
pub(crate) fn batch(first_seq: u64, events: Vec<Event>) -> Batch {
    let last_seq = first_seq + events.len() as u64 - 1;
    let block = EventBlock {
        host: "ws-12.ward".into(),
        boot_id: "boot-1".into(),
        events,
        older_to_come: false,
    };
    Batch {
        epoch: EPOCH.to_vec(),
        first_seq,
        last_seq,
        encoding: Encoding::Plain.into(),
        payload: block.encode_to_vec(),
        crc32c: None,
        follows_seq: None,
    }
}

/// A batch as it is sent to a collector that takes zstd: packed, and with its check.
pub(crate) fn packed(batch: &Batch) -> Batch {
    let packed = Batch {
        encoding: Encoding::Zstd.into(),
        payload: zstd::bulk::compress(&batch.payload, 3).unwrap(),
        ..batch.clone()
    };
    checked(packed)
}

/// A batch with the check that belongs to it.
pub(crate) fn checked(batch: Batch) -> Batch {
    let numbers = [batch.first_seq, batch.last_seq].map(u64::to_le_bytes);
    let check = crc32c::crc32c(&numbers.concat());
    Batch {
        crc32c: Some(crc32c::crc32c_append(check, &batch.payload)),
        ..batch
    }
}
