//! The gRPC service: takes batches from sensors, has them made durable, and only then acknowledges them.
//!
//! One stream is two tasks: one reads, checks and hands over, the other waits for the log in the same order and
//! answers. Between them at most [`IN_HAND_MAX`] batches are on their way, which bounds what a sensor can make the
//! collector hold.
//!
//! **Invariant:** the only room that knows the protocol. Nothing is handed on before it is checked, and a
//! `Persisted` is sent only for what the log has said is durable.

mod convert;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod serve;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::limits::PAYLOAD_BYTES_MAX;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::link_server::{Link, LinkServer};
use proto::sensor::v1::{FromCollector, FromSensor, Persisted, Welcome};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

pub use convert::{WireError, block};
pub use error::Refusal;
pub use serve::serve;

use crate::event::{Block, GapReason, What};
use crate::fleet::FleetHandle;
use crate::log::{AppendReply, LogHandle};

/// Batches of one sensor that may wait for the log at a time.
const IN_HAND_MAX: usize = 8;
/// Answers that may wait for a slow sensor.
const ANSWERS_MAX: usize = 16;
/// How long a sensor may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message taken off the wire: a batch and its frame.
const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 16 * 1024;

/// The service, one for all sensors.
#[derive(Debug, Clone)]
pub struct Ingest {
    log: LogHandle,
    fleet: FleetHandle,
    log_id: [u8; 16],
    stopping: watch::Receiver<bool>,
}

impl Ingest {
    /// A service that writes to `log` and ends its streams when `stopping` turns true.
    pub fn new(
        log: LogHandle,
        fleet: FleetHandle,
        log_id: [u8; 16],
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            log,
            fleet,
            log_id,
            stopping,
        }
    }

    /// The service as tonic's router wants it, with its size limit set.
    fn into_server(self) -> LinkServer<Self> {
        LinkServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Link for Ingest {
    type DeliverStream = Pin<Box<dyn Stream<Item = Result<FromCollector, Status>> + Send>>;

    async fn deliver(
        &self,
        request: Request<Streaming<FromSensor>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let (answers, receiver) = mpsc::channel(ANSWERS_MAX);
        let session = Session {
            ingest: self.clone(),
            answers,
            inbound: request.into_inner(),
        };
        tokio::spawn(session.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One stream.
struct Session {
    ingest: Ingest,
    inbound: Streaming<FromSensor>,
    answers: mpsc::Sender<Result<FromCollector, Status>>,
}

impl Session {
    async fn run(mut self) {
        let hello = match self.hello().await {
            Ok(hello) => hello,
            Err(refusal) => return refuse(&self.answers, None, &refusal).await,
        };
        tracing::info!(sensor = %hello.sensor.escape_debug(), version = %hello.version.escape_debug(), "sensor connected");
        let connection = self.ingest.fleet.connected(&hello.sensor, &hello.version);
        let (in_hand, waiting) = mpsc::channel(IN_HAND_MAX);
        let acker = tokio::spawn(acknowledge(waiting, hello.epoch, self.answers.clone()));
        let end = self.take_all(&hello, in_hand).await;
        // The acknowledgements of what was handed over come before the reason the stream ends.
        let lost = acker.await.unwrap_or_else(|_| Err(Refusal::Stopped));
        match lost.and(end) {
            Ok(()) => tracing::info!(sensor = %hello.sensor.escape_debug(), "sensor disconnected"),
            Err(refusal) => refuse(&self.answers, Some(&hello.sensor), &refusal).await,
        }
        drop(connection);
    }

    /// Waits for Hello and answers it.
    async fn hello(&mut self) -> Result<convert::Hello, Refusal> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, self.inbound.next())
            .await
            .map_err(|_| Refusal::NoHello)?;
        let Some(Message::Hello(hello)) = first
            .ok_or(Refusal::NoHello)?
            .map_err(Refusal::Stream)?
            .message
        else {
            return Err(Refusal::NoHello);
        };
        let hello = convert::hello(hello)?;
        let persisted = self
            .ingest
            .log
            .mark(&hello.sensor, hello.epoch)
            .await
            .map_err(Refusal::Log)?;
        let welcome = Welcome {
            log_id: self.ingest.log_id.to_vec(),
            persisted,
        };
        self.answers
            .send(Ok(answer(Answer::Welcome(welcome))))
            .await
            .map_err(|_| Refusal::Stopped)?;
        Ok(hello)
    }

    /// Takes messages until the sensor ends the stream, says something wrong, or the collector stops.
    async fn take_all(
        &mut self,
        hello: &convert::Hello,
        in_hand: mpsc::Sender<AppendReply>,
    ) -> Result<(), Refusal> {
        let mut stopping = self.ingest.stopping.clone();
        loop {
            let message = tokio::select! {
                message = self.inbound.next() => message,
                _ = stopping.wait_for(|stop| *stop) => return Err(Refusal::Stopped),
                // The log failed or the sensor reads no answers: the acker has ended and says why.
                () = in_hand.closed() => return Ok(()),
            };
            let Some(message) = message else {
                return Ok(());
            };
            match message.map_err(Refusal::Stream)?.message {
                None => {} // A kind of message this version does not know.
                Some(Message::Hello(_)) => return Err(Refusal::SecondHello),
                Some(Message::Heartbeat(heartbeat)) => {
                    self.ingest
                        .fleet
                        .heartbeat(&hello.sensor, convert::heartbeat(heartbeat)?);
                }
                Some(Message::Batch(batch)) => {
                    let (batch, block) = convert::batch(batch, hello)?;
                    warn_of_refused(&hello.sensor, &block);
                    let reply = self
                        .ingest
                        .log
                        .append(batch, block)
                        .await
                        .map_err(Refusal::Log)?;
                    if in_hand.send(reply).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Waits for the log, batch by batch, and tells the sensor what it may forget.
async fn acknowledge(
    mut waiting: mpsc::Receiver<AppendReply>,
    epoch: [u8; 16],
    answers: mpsc::Sender<Result<FromCollector, Status>>,
) -> Result<(), Refusal> {
    while let Some(reply) = waiting.recv().await {
        let seq = reply
            .await
            .map_err(|_| Refusal::Stopped)?
            .map_err(Refusal::Append)?;
        let persisted = Persisted {
            epoch: epoch.to_vec(),
            seq,
        };
        if answers
            .send(Ok(answer(Answer::Persisted(persisted))))
            .await
            .is_err()
        {
            return Ok(()); // The sensor is gone; it will ask again what the log has.
        }
    }
    Ok(())
}

/// Says that events of a batch break the rules: one line a batch, with the first of them.
fn warn_of_refused(sensor: &str, block: &Block) {
    let mut refused = block.events.iter().filter_map(|event| match &event.what {
        What::Gap(gap) if gap.reason == GapReason::Refused => Some(&gap.detail),
        _ => None,
    });
    if let Some(first) = refused.next() {
        let more = refused.count();
        tracing::warn!(sensor = %sensor.escape_debug(), first = %first.escape_debug(), more, "events of a sensor break the rules of the protocol; gaps stand in their place");
    }
}

fn answer(message: Answer) -> FromCollector {
    FromCollector {
        message: Some(message),
    }
}

/// Says why, to the sensor and in the log.
async fn refuse(
    answers: &mpsc::Sender<Result<FromCollector, Status>>,
    sensor: Option<&Arc<str>>,
    refusal: &Refusal,
) {
    let sensor = sensor.map_or("(not introduced)", |name| name);
    match refusal {
        Refusal::Stopped | Refusal::Stream(_) => {
            tracing::info!(sensor = %sensor.escape_debug(), reason = %refusal, "stream ended");
        }
        _ => {
            tracing::warn!(sensor = %sensor.escape_debug(), reason = %refusal, "stream refused; the sensor keeps its events");
        }
    }
    if answers.send(Err(refusal.status())).await.is_err() {
        tracing::debug!(sensor = %sensor.escape_debug(), "the sensor left before it was told why");
    }
}
