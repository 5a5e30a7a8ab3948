//! The gRPC service: takes batches from sensors, has them made durable, and only then acknowledges them.
//!
//! One stream is two tasks: one reads, checks and hands over, the other waits for the log in the same order and
//! answers. What is on its way between them bounds what a sensor can make the collector hold: bytes of [`credit`], or, of a sensor
//! that knows no credits, [`IN_HAND_MAX`] batches.
//!
//! **Invariant:** the only room that knows the protocol. Nothing is handed on before it is checked, and a
//! `Persisted` is sent only for what the log has said is durable.

mod convert;
mod counts;
mod credit;
mod enroll;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod note;
mod payload;
mod places;
mod renewal;
mod serve;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use counts::Counts;
use credit::{Credit, Streams};
use places::{Place, Places};
use proto::limits::PAYLOAD_BYTES_MAX;
use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::link_server::{Link, LinkServer};
use proto::sensor::v1::{
    self, Encoding, FromCollector, FromSensor, Persisted, Received, RenewReply, RenewRequest,
    Renewal, Welcome,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

pub use convert::{WireError, block, stored};
pub use enroll::Enroll;
pub use error::Refusal;
pub use note::overlap;
pub use serve::serve;

pub(crate) use renewal::in_time;
pub(crate) use serve::{Caller, door};

use crate::audit::{Action, Desk, Entry, Who};
use crate::event::{Block, GapReason, What};
use crate::fleet::FleetHandle;
use crate::identity::{Lapse, Peer, Revoked, SensorCertificate};
use crate::log::{AppendReply, Epoch, LogHandle};

/// Batches that may wait for the log at a time, of a sensor that knows no credits, and of one that does.
const IN_HAND_MAX: usize = 8;
const IN_HAND_CREDIT_MAX: usize = 64;
/// Answers that may wait for a slow sensor.
const ANSWERS_MAX: usize = 16;
/// How long a sensor may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a certificate is looked at again: a clock that is set, or a machine that sleeps, must not prolong it.
const VALID_AGAIN: Duration = Duration::from_mins(1);
/// Largest message taken off the wire: a batch and its frame.
const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 16 * 1024;

/// The service, one for all sensors.
#[derive(Debug, Clone)]
pub struct Ingest {
    log: LogHandle,
    fleet: FleetHandle,
    log_id: [u8; 16],
    stopping: watch::Receiver<bool>,
    revoked: watch::Receiver<Revoked>,
    renewal: Option<Enroll>,
    lapse: Option<Arc<Lapse>>,
    audit: Option<Desk>,
    counts: Arc<Counts>,
    streams: Arc<Streams>,
    places: Arc<Places>,
}

/// A batch that was handed over: its epoch, what the log will say, and the bytes it cost.
type InHand = (Epoch, AppendReply, u64);

impl Ingest {
    /// A service that writes to `log`, ends its streams when `stopping` turns true, and those of sensors that are `revoked`.
    pub fn new(
        log: LogHandle,
        fleet: FleetHandle,
        log_id: [u8; 16],
        stopping: watch::Receiver<bool>,
        revoked: watch::Receiver<Revoked>,
    ) -> Self {
        Self {
            log,
            fleet,
            log_id,
            stopping,
            revoked,
            renewal: None,
            lapse: None,
            audit: None,
            counts: Arc::default(),
            streams: Arc::default(),
            places: Arc::default(),
        }
    }

    /// The same, which renews certificates of sensors.
    #[must_use]
    pub fn renewing(self, renewal: Option<Enroll>) -> Self {
        Self { renewal, ..self }
    }

    /// The same, which says when a certificate is from a time of which tokens and revocations are not known.
    #[must_use]
    pub fn after(self, lapse: Option<Lapse>) -> Self {
        let lapse = lapse.map(Arc::new);
        Self { lapse, ..self }
    }

    /// The same, which says in the audit log whom it does not let in.
    #[must_use]
    pub fn auditing(self, audit: Desk) -> Self {
        Self {
            audit: Some(audit),
            ..self
        }
    }

    /// Says in the audit log that somebody was not let in.
    fn audit(&self, who: Who, refusal: &Refusal) {
        let Some(audit) = &self.audit else {
            return;
        };
        let entry = Entry::new(Action::IdentityRefused).by(who);
        let entry = match refusal {
            Refusal::OtherName { claimed, .. } => entry.about(claimed),
            _ => entry,
        };
        audit.repeated(entry.with("reason", &refusal.to_string()));
    }

    /// The certificate of a connection, if it is let in.
    fn let_in(&self, peer: &Peer) -> Result<Option<Arc<SensorCertificate>>, Refusal> {
        let certificate = certificate(peer)?;
        if holds(&self.revoked.borrow(), certificate.as_deref()) {
            return Err(Refusal::Revoked);
        }
        renewal::counts(self.renewal.as_ref(), certificate.as_deref())?;
        if let (Some(lapse), Some(certificate)) = (&self.lapse, &certificate) {
            lapse.is_shown_by(&certificate.name, certificate.not_before);
        }
        Ok(certificate)
    }

    /// Counts who was refused for who they are; answers how many there have been.
    fn refused(&self, end: &Caller, refusal: &Refusal) -> u64 {
        let sensor = match (&end.peer, refusal) {
            (Peer::Certified(Ok(certificate)), _) => &*certificate.name,
            (_, _) => "",
        };
        self.fleet.refused(&end.address(), sensor, refusal.kind());
        self.audit(end.who(), refusal);
        self.counts.identity_refused()
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
            changes: renewal::Changes::of(self),
            end: caller(&request),
            place: None,
            reached: BTreeMap::new(),
            answers,
            inbound: request.into_inner(),
        };
        tokio::spawn(session.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let end = caller(&request);
        let certificate = self.let_in(&end.peer).map_err(|refusal| {
            self.refused(&end, &refusal);
            refusal.status()
        })?;
        let (Some(certificate), Some(renewal)) = (certificate, &self.renewal) else {
            return Err(Status::unimplemented("certificates are not renewed here"));
        };
        // Two signatures, a fraction of a millisecond: not worth a thread of its own.
        let reply = renewal.renew(&certificate.name, end.who(), &request.into_inner());
        reply.map(Response::new)
    }
}

/// One stream.
struct Session {
    ingest: Ingest,
    end: Caller,
    /// Where it is, of a sensor that says which start of it it is.
    place: Option<Place>,
    /// Last number of each of its epochs that the log has or was handed, or that Hello gave up.
    reached: BTreeMap<Epoch, u64>,
    /// Of the authority, from before anything was said about it.
    changes: renewal::Changes,
    inbound: Streaming<FromSensor>,
    answers: mpsc::Sender<Result<FromCollector, Status>>,
}

impl Session {
    async fn run(mut self) {
        let _open = self.ingest.counts.open();
        let (hello, credit) = match self.hello().await {
            Ok(introduced) => introduced,
            Err(refusal) => return self.refuse(None, &refusal).await,
        };
        tracing::info!(sensor = %hello.sensor.escape_debug(), version = %hello.version.escape_debug(), "sensor connected");
        let enter = |live| Place::enter(&self.ingest.places, &hello.sensor, live, Instant::now());
        self.place = hello.live_epoch.map(enter);
        let shown = certificate(&self.end.peer).ok().flatten();
        let shown = shown.as_deref().map(renewal::seen);
        let fleet = &self.ingest.fleet;
        let connection = fleet.connected(&hello.sensor, &hello.version, hello.clocks, shown);
        let (in_hand, waiting) = mpsc::channel(if credit.is_some() {
            IN_HAND_CREDIT_MAX
        } else {
            IN_HAND_MAX
        });
        let acker = acknowledge(waiting, credit.clone(), self.answers.clone());
        let acker = tokio::spawn(acker);
        let end = self.take_all(&hello, credit.as_deref(), in_hand).await;
        // The acknowledgements of what was handed over come before the reason the stream ends.
        let lost = acker.await.unwrap_or_else(|_| Err(Refusal::Stopped));
        match lost.and(end) {
            Ok(()) => tracing::info!(sensor = %hello.sensor.escape_debug(), "sensor disconnected"),
            Err(refusal) => self.refuse(Some(&hello.sensor), &refusal).await,
        }
        drop(connection);
    }

    /// Waits for Hello and answers it, if it comes from whom it says.
    async fn hello(&mut self) -> Result<(convert::Hello, Option<Arc<Credit>>), Refusal> {
        let certificate = self.ingest.let_in(&self.end.peer)?;
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
        speaks_for_itself(certificate.as_deref(), &hello.sensor)?;
        let persisted = self.mark(&hello, hello.epoch, hello.given_up()).await?;
        let live_persisted = match hello.live_lane {
            None => None,
            Some((live, first)) => {
                let persisted = self.mark(&hello, live, first.saturating_sub(1)).await?;
                Some(persisted.unwrap_or(0))
            }
        };
        let open = || Arc::new(Credit::open(&self.ingest.streams));
        let credit = hello.keeps_credit.then(open);
        let welcome = Welcome {
            credit_bytes: credit.as_ref().map(|credit| credit.window()),
            log_id: self.ingest.log_id.to_vec(),
            persisted,
            encodings: vec![Encoding::Zstd.into()],
            takes_follows: true,
            takes_lanes: true,
            live_persisted,
            renew_in_s: renewal::due(&self.ingest, certificate.as_deref()),
        };
        self.answers
            .send(Ok(answer(Answer::Welcome(welcome))))
            .await
            .map_err(|_| Refusal::Stopped)?;
        Ok((hello, credit))
    }

    /// How far the log holds an epoch of this stream, of which the sensor gave up what is up to a number.
    async fn mark(
        &mut self,
        hello: &convert::Hello,
        epoch: Epoch,
        given_up: u64,
    ) -> Result<Option<u64>, Refusal> {
        let mark = self.ingest.log.mark(&hello.sensor, epoch).await;
        let persisted = mark.map_err(Refusal::Log)?;
        self.reached
            .insert(epoch, persisted.unwrap_or(0).max(given_up));
        Ok(persisted)
    }

    /// Takes messages until the sensor ends the stream, says something wrong, or the collector stops.
    async fn take_all(
        &mut self,
        hello: &convert::Hello,
        credit: Option<&Credit>,
        in_hand: mpsc::Sender<InHand>,
    ) -> Result<(), Refusal> {
        let mut stopping = self.ingest.stopping.clone();
        let certificate = certificate(&self.end.peer)?;
        let revoked = revoked(self.ingest.revoked.clone(), certificate.as_deref());
        let mut revoked = std::pin::pin!(revoked);
        let mut expired = std::pin::pin!(expired(certificate.as_deref()));
        loop {
            let message = tokio::select! {
                message = self.inbound.next() => Some(message),
                () = self.changes.next() => None,
                () = &mut expired => return Err(Refusal::Expired),
                () = &mut revoked => return Err(Refusal::Revoked),
                _ = stopping.wait_for(|stop| *stop) => return Err(Refusal::Stopped),
                // The log failed or the sensor reads no answers: the acker has ended and says why.
                () = in_hand.closed() => return Ok(()),
            };
            let Some(message) = message else {
                self.renew_early(certificate.as_deref()).await?;
                continue;
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
                    let taken = self.take(batch, hello, credit).await?;
                    if in_hand.send(taken).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The authority was changed: a certificate that still counts is to be renewed soon.
    async fn renew_early(&self, certificate: Option<&SensorCertificate>) -> Result<(), Refusal> {
        renewal::counts(self.ingest.renewal.as_ref(), certificate)?;
        if let Some(in_s) = renewal::due(&self.ingest, certificate) {
            let said = answer(Answer::Renewal(Renewal { in_s }));
            let sent = self.answers.send(Ok(said)).await;
            sent.map_err(|_| Refusal::Stopped)?;
        }
        Ok(())
    }

    /// Checks a batch and hands it over.
    async fn take(
        &mut self,
        batch: v1::Batch,
        hello: &convert::Hello,
        credit: Option<&Credit>,
    ) -> Result<InHand, Refusal> {
        let cost = payload::cost(&batch);
        if let Some(credit) = credit {
            credit.spend(cost)?;
        }
        let follows = batch.follows_seq;
        let (mut batch, block) = convert::batch(batch, hello)?;
        let reached = self.reached.entry(batch.epoch).or_default();
        if follows.is_some_and(|seq| seq <= *reached) {
            // Nothing is missing but what the sensor says it gave up.
            batch.offered_from = batch.first_seq;
        }
        *reached = (*reached).max(batch.last_seq);
        warn_of_refused(&hello.sensor, &block);
        let place = self.place.as_mut();
        let two = place.and_then(|place| place.delivers(Instant::now()));
        if let Some(note) = two.and_then(|two| note::two_places(&block, two)) {
            tracing::warn!(sensor = %hello.sensor.escape_debug(), "two starts of a sensor deliver at the same time: it was copied, or somebody else speaks in its name");
            self.ingest.log.note(note).await.map_err(Refusal::Log)?;
        }
        let epoch = batch.epoch;
        let received = Received {
            epoch: epoch.to_vec(),
            seq: batch.last_seq,
        };
        let log = &self.ingest.log;
        let reply = log.append(batch, block).await.map_err(Refusal::Log)?;
        // Where there is no room, other answers are on their way that say as much.
        let room = credit.and_then(|_| self.answers.try_reserve().ok());
        if let Some(room) = room {
            room.send(Ok(answer(Answer::Received(received))));
        }
        Ok((epoch, reply, cost))
    }

    /// Says why, to the sensor and in the log.
    async fn refuse(&self, sensor: Option<&Arc<str>>, refusal: &Refusal) {
        let sensor = sensor.map_or("(not introduced)", |name| name);
        match refusal {
            Refusal::Stopped | Refusal::Stream(_) | Refusal::Expired => {
                tracing::info!(sensor = %sensor.escape_debug(), reason = %refusal, "stream ended");
            }
            _ if refusal.is_about_identity() => {
                let identities_refused = self.ingest.refused(&self.end, refusal);
                tracing::warn!(address = self.end.address(), reason = %refusal, identities_refused, "stream refused for who is at its other end");
            }
            Refusal::Wire(WireError::Check { .. }) => {
                let batches_damaged = self.ingest.counts.batch_damaged();
                tracing::warn!(sensor = %sensor.escape_debug(), reason = %refusal, batches_damaged, "a batch came damaged; the sensor sends it again");
            }
            _ => {
                tracing::warn!(sensor = %sensor.escape_debug(), reason = %refusal, "stream refused; the sensor keeps its events");
            }
        }
        if self.answers.send(Err(refusal.status())).await.is_err() {
            tracing::debug!(sensor = %sensor.escape_debug(), "the sensor left before it was told why");
        }
    }
}

/// Waits for the log, batch by batch, and tells the sensor what it may forget.
async fn acknowledge(
    mut waiting: mpsc::Receiver<InHand>,
    credit: Option<Arc<Credit>>,
    answers: mpsc::Sender<Result<FromCollector, Status>>,
) -> Result<(), Refusal> {
    while let Some((epoch, reply, cost)) = waiting.recv().await {
        let seq = reply
            .await
            .map_err(|_| Refusal::Stopped)?
            .map_err(Refusal::Append)?;
        let persisted = Persisted {
            epoch: epoch.to_vec(),
            seq,
        };
        let grant = credit.as_ref().and_then(|credit| credit.durable(cost));
        let grant = grant.map(|bytes| Answer::Credit(v1::Credit { bytes }));
        for said in std::iter::once(Answer::Persisted(persisted)).chain(grant) {
            if answers.send(Ok(answer(said))).await.is_err() {
                return Ok(()); // The sensor is gone; it will ask again what the log has.
            }
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

/// Who is at the other end of a request's connection.
pub(crate) fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get().cloned().unwrap_or_default()
}

/// The certificate of the other end; `None` when TLS is off and none is asked for.
fn certificate(peer: &Peer) -> Result<Option<Arc<SensorCertificate>>, Refusal> {
    match peer {
        Peer::Trusted => Ok(None),
        Peer::Nobody => Err(Refusal::NoCertificate),
        Peer::Certified(Err(error)) => Err(Refusal::Certificate(error.clone())),
        Peer::Certified(Ok(certificate)) if certificate.not_after < now_s() => {
            Err(Refusal::Expired)
        }
        Peer::Certified(Ok(certificate)) => Ok(Some(certificate.clone())),
    }
}

/// A sensor may only speak for itself.
fn speaks_for_itself(certificate: Option<&SensorCertificate>, sensor: &str) -> Result<(), Refusal> {
    match certificate {
        Some(certificate) if *certificate.name != *sensor => Err(Refusal::OtherName {
            claimed: sensor.to_owned(),
            certified: certificate.name.to_string(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a certificate was revoked.
fn holds(revoked: &Revoked, certificate: Option<&SensorCertificate>) -> bool {
    certificate.is_some_and(|own| revoked.holds(&own.name, own.not_before))
}

/// Returns when a certificate is revoked; never, when there is none, or nobody who tells.
async fn revoked(mut told: watch::Receiver<Revoked>, certificate: Option<&SensorCertificate>) {
    let found = told
        .wait_for(|revoked| holds(revoked, certificate))
        .await
        .is_ok();
    if !found {
        std::future::pending::<()>().await;
    }
}

/// Returns when a certificate has expired.
async fn expired(certificate: Option<&SensorCertificate>) {
    let Some(certificate) = certificate else {
        return std::future::pending().await;
    };
    loop {
        let left = certificate.not_after.saturating_sub(now_s());
        if left < 0 {
            return;
        }
        // The last second counts.
        let left = Duration::from_secs(left.unsigned_abs() + 1);
        tokio::time::sleep(left.min(VALID_AGAIN)).await;
    }
}

/// Seconds since the Unix epoch.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}
