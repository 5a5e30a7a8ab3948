//! One connection to the collector, from Hello to its end.
//!
//! It delivers one epoch, or two: an earlier one, and ahead of it the live one (see [`lane`](super::lane)).
//!
//! **Invariant:** batches of an epoch go out in the order of their numbers, each exactly as the queue holds it; only a Persisted makes
//! the queue forget.

use std::error::Error;
use std::time::Duration;

use proto::sensor::v1;
use proto::sensor::v1::from_collector::Message as FromCollector;
use proto::sensor::v1::from_sensor::Message as FromSensor;
use proto::sensor::v1::link_client::LinkClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use super::client::{Client, Settings};
use super::identity::IdentityError;
use super::lane::{Flow, Lane, Lanes, Next, Outgoing};
use super::{encode, enroll, tls, wire};
use crate::spool::NeverSent;

/// Messages that may wait for the connection to take them; a batch is up to 256 KiB.
const OUTBOUND_MAX: usize = 4;

/// Wait after a certificate could not be renewed.
const RENEW_AGAIN: Duration = Duration::from_mins(10);
/// No renewal is further away: longer than any certificate lasts.
const RENEW_IN_MAX_S: u64 = 400 * 86_400;

/// Why a connection ended, or never was.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// Nobody answers at the address.
    #[error("no connection: {}", first_cause(.0))]
    Connect(tonic::transport::Error),
    /// The collector's certificate is of an authority this sensor does not know.
    #[error(
        "{reason}: the collector shows a certificate of an authority that this sensor does not know. If the collector's authority was changed while this sensor was away, enrol it again: there `chartwatch-collector token --sensor NAME`, here `chartwatch-sensor enroll --replace --token-file FILE`. If not, somebody else answers in its place"
    )]
    OtherAuthority {
        /// What rustls said.
        reason: String,
    },
    /// The collector does not take the sensor's certificate.
    #[error(
        "{reason}: the collector does not take this sensor's certificate, which has expired, or whose authority counts no more. Enrol it again: there `chartwatch-collector token --sensor NAME`, here `chartwatch-sensor enroll --replace --token-file FILE`"
    )]
    NotTaken {
        /// What rustls said.
        reason: String,
    },
    /// The sensor's key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The connection broke, which is also how a collector says that it does not take the sensor's certificate.
    #[error("the connection broke: {0}")]
    Broke(String),
    /// The collector ended the conversation with a reason.
    #[error("the collector refused: {0}")]
    Refused(tonic::Status),
    /// The sensor has a new certificate and shows it on the next connection.
    #[error("the certificate was renewed")]
    Renewed,
    /// The collector ended the conversation without a reason.
    #[error("the collector closed the connection")]
    Closed,
    /// The collector did not say Welcome in time, or said something else first.
    #[error("the collector did not say Welcome")]
    NoWelcome,
    /// The collector named another epoch than this one.
    #[error("the collector acknowledged another epoch than this sensor's")]
    OtherEpoch,
    /// A batch cannot be unpacked for a collector that does not take zstd.
    #[error("a batch of the queue cannot be unpacked for a collector that does not take zstd: {0}")]
    Unpack(std::io::Error),
    /// The collector acknowledged too much.
    #[error(transparent)]
    NeverSent(#[from] NeverSent),
}

impl SessionError {
    /// The collector holds other events under the numbers of what it was sent.
    pub(super) fn is_contested(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code() == Code::AlreadyExists)
    }
}

/// How a connection ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is delivered and nothing will come.
    Drained,
    /// Another epoch has its turn, or this one goes on behind a hole, which a Hello must say.
    Turned,
}

/// A connection on which the collector has welcomed the sensor.
pub(super) struct Session<'a> {
    state: State<'a>,
    out: mpsc::Sender<v1::FromSensor>,
    inbound: Streaming<v1::FromCollector>,
    channel: Channel,
}

/// How far a connection is.
struct State<'a> {
    client: &'a mut Client,
    lanes: Lanes,
    /// Whether the collector takes zstd.
    takes_zstd: bool,
    flow: Flow,
    /// When the certificate is to be renewed.
    renew_at: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Connects, introduces the sensor and takes in where to go on.
    pub(super) async fn open(client: &'a mut Client) -> Result<Self, SessionError> {
        let channel = connect(&client.settings).await?;
        let (out, outbound) = mpsc::channel(OUTBOUND_MAX);
        let (epoch, first) = client.spool.turn();
        let live = client.spool.live_lane().filter(|_| !client.one_lane);
        let hello = v1::Hello {
            sensor_id: client.settings.sensor_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: epoch.as_bytes().to_vec(),
            first_unacknowledged: first,
            capabilities: vec![v1::Capability::Credit.into()],
            clocks: Some(wire::clocks()),
            spool: Some(wire::depth(&client.spool)),
            live_epoch: client.spool.live_epoch().as_bytes().to_vec(),
            live_first_unacknowledged: live.map(|(_, first)| first),
        };
        // The channel is new and holds more than one message.
        out.try_send(message(FromSensor::Hello(hello)))
            .map_err(|_| SessionError::Closed)?;
        let limit = client.settings.answer_within;
        let request = async {
            let mut inbound = LinkClient::new(channel.clone())
                .deliver(ReceiverStream::new(outbound))
                .await?
                .into_inner();
            let first = inbound.message().await?;
            Ok::<_, tonic::Status>((inbound, first))
        };
        let (inbound, said) = timeout(limit, request)
            .await
            .map_err(|_| SessionError::NoWelcome)??;
        let Some(FromCollector::Welcome(welcome)) = said.and_then(|m| m.message) else {
            return Err(SessionError::NoWelcome);
        };
        let sent = client.welcomed((epoch, first), &welcome).await?;
        let lanes = Lanes {
            live: client.live_lane(live, &welcome)?,
            turn: Lane::new(epoch, sent),
            takes_follows: welcome.takes_follows,
            can_part: welcome.takes_lanes && epoch == client.spool.live_epoch(),
        };
        let takes_zstd = welcome.encodings().any(|known| known == v1::Encoding::Zstd);
        let in_s = welcome
            .renew_in_s
            .map(|s| Duration::from_secs(s.min(RENEW_IN_MAX_S)));
        Ok(Self {
            channel,
            out,
            inbound,
            state: State {
                renew_at: in_s.map(|wait| Instant::now() + wait),
                client,
                lanes,
                takes_zstd,
                flow: Flow::new(welcome.credit_bytes),
            },
        })
    }

    /// Delivers until the connection ends, or all of the epoch whose turn it is is delivered.
    pub(super) async fn deliver(mut self) -> Result<Ended, SessionError> {
        let spool = self.state.client.spool.clone();
        let mut beat = interval_at(Instant::now(), self.state.client.settings.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if spool.is_drained() {
                return self.leave(Ended::Drained).await;
            }
            let next = self.state.lanes.next(&spool).await;
            if matches!(next, Next::Turned) {
                return self.leave(Ended::Turned).await;
            }
            if self.state.renew_at.is_some_and(|due| due <= Instant::now()) {
                self.renew().await?;
            }
            let next = next.batch();
            let may = next.as_ref().is_none_or(|next| self.state.may_go(next));
            if !may && self.state.flow.begins_to_wait() {
                self.state.client.metrics.credit_waits.one();
            }
            tokio::select! {
                said = self.inbound.message() => self.state.hear(said?)?,
                _ = beat.tick() => {
                    self.say_heartbeat();
                    self.state.ask_for_lane();
                }
                () = at(self.state.renew_at) => {}
                permit = self.out.reserve(), if next.is_some() && may => {
                    let Some(next) = next else { continue };
                    permit.map_err(|_| SessionError::Closed)?.send(self.state.numbered(&next)?);
                }
                // What is live may come while something old waits.
                () = spool.changed(), if next.is_none() || self.state.lanes.live.is_some() => {}
            }
        }
    }

    /// Renews the certificate; one that could not be renewed still counts, and is tried again.
    async fn renew(&mut self) -> Result<(), SessionError> {
        let settings = &self.state.client.settings;
        let Some(files) = settings.identity.clone() else {
            self.state.renew_at = None;
            return Ok(());
        };
        let renewed = timeout(
            settings.answer_within,
            enroll::renew(self.channel.clone(), files),
        );
        match renewed.await {
            Ok(Ok(())) => return Err(SessionError::Renewed),
            Ok(Err(error)) => tracing::warn!(%error, "the certificate could not be renewed yet"),
            Err(_) => tracing::warn!("the collector did not renew the certificate in time"),
        }
        self.state.renew_at = Some(Instant::now() + RENEW_AGAIN);
        Ok(())
    }

    /// A heartbeat that finds no room is left out: the batches in its way show that the sensor is alive.
    fn say_heartbeat(&self) {
        let client = &self.state.client;
        let lost = client.metrics.lost();
        let health = client.health.borrow();
        let beat = wire::heartbeat(&health, &client.settings.stores, &client.spool, lost);
        if self
            .out
            .try_send(message(FromSensor::Heartbeat(beat)))
            .is_err()
        {
            tracing::debug!("no room for a heartbeat");
        }
    }

    /// Says the last heartbeat, and waits a moment for the collector to have read it.
    async fn leave(self, ended: Ended) -> Result<Ended, SessionError> {
        self.say_heartbeat();
        let Self {
            state,
            out,
            mut inbound,
            ..
        } = self;
        drop(out);
        let end = async { while let Ok(Some(_)) = inbound.message().await {} };
        if timeout(state.client.settings.answer_within, end)
            .await
            .is_err()
        {
            tracing::debug!("the collector kept the connection open after the last message");
        }
        Ok(ended)
    }
}

impl State<'_> {
    /// Whether the collector has room for a batch now.
    fn may_go(&self, next: &Outgoing) -> bool {
        self.flow
            .covers(encode::cost(&next.batch), self.lanes.spares(next))
    }

    /// A batch as it travels; it counts as sent.
    fn numbered(&mut self, next: &Outgoing) -> Result<v1::FromSensor, SessionError> {
        let numbered = encode::numbered(next.epoch, &next.batch, self.takes_zstd)
            .map_err(SessionError::Unpack)?;
        let (epoch, last_seq) = (next.epoch, next.batch.last_seq);
        self.flow.sent((epoch, last_seq), encode::cost(&next.batch));
        self.lanes.sent(epoch, last_seq);
        self.client.count_sent(epoch, &next.batch);
        Ok(message(FromSensor::Batch(numbered)))
    }

    /// Where much waits, what happens from now on is to go ahead of it.
    fn ask_for_lane(&self) {
        if self.lanes.wants_lane() {
            let worth = self.client.settings.lane_events;
            self.client.spool.want_epoch(worth);
        }
    }

    /// Takes in what the collector said, none when it said nothing more.
    fn hear(&mut self, said: Option<v1::FromCollector>) -> Result<(), SessionError> {
        match said.ok_or(SessionError::Closed)?.message {
            Some(FromCollector::Persisted(persisted)) => {
                let epoch = self.lanes.own(&persisted.epoch)?;
                self.client.spool.persisted(epoch, persisted.seq)?;
                if self.lanes.persisted(epoch, persisted.seq) {
                    self.ask_for_lane();
                }
            }
            Some(FromCollector::Received(received)) => {
                let epoch = self.lanes.own(&received.epoch)?;
                if let Some(took) = self.flow.received((epoch, received.seq)) {
                    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    self.client.metrics.round_trips.one();
                    self.client.metrics.round_trip_us.add(took);
                }
            }
            Some(FromCollector::Credit(credit)) => self.flow.granted(credit.bytes),
            Some(FromCollector::Renewal(renewal)) => {
                let due = Instant::now() + Duration::from_secs(renewal.in_s.min(RENEW_IN_MAX_S));
                self.renew_at = Some(self.renew_at.map_or(due, |before| before.min(due)));
            }
            // Welcome comes once; a kind that a later version may add is none of ours.
            Some(FromCollector::Welcome(_)) | None => {}
        }
        Ok(())
    }
}

/// Returns at a time; never, when there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl From<tonic::Status> for SessionError {
    /// What only this side says has a cause in the connection; what the collector says has none.
    fn from(status: tonic::Status) -> Self {
        match status.source() {
            Some(cause) if tls::is_distrusted(cause) => Self::NotTaken {
                reason: first_cause(cause),
            },
            Some(cause) => Self::Broke(first_cause(cause)),
            None => Self::Refused(status),
        }
    }
}

impl From<tonic::transport::Error> for SessionError {
    fn from(error: tonic::transport::Error) -> Self {
        let reason = first_cause(&error);
        if tls::distrusts(&error) {
            Self::OtherAuthority { reason }
        } else if tls::is_distrusted(&error) {
            Self::NotTaken { reason }
        } else {
            Self::Connect(error)
        }
    }
}

async fn connect(settings: &Settings) -> Result<Channel, SessionError> {
    // The way there is the connector's business: for tonic both are HTTP/2 to an authority.
    let plain = settings.address.replacen("https:", "http:", 1);
    let endpoint = Endpoint::from_shared(plain)?
        .connect_timeout(settings.answer_within)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.answer_within)
        .keep_alive_while_idle(true);
    let channel = match &settings.identity {
        None => endpoint.connect().await?,
        Some(files) => {
            let connector = tls::connector(files.client()?);
            endpoint.connect_with_connector(connector).await?
        }
    };
    Ok(channel)
}

/// What the system or the other end said: tonic itself says `transport error` and no more.
pub(super) fn first_cause(error: &dyn Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), first_cause)
}

fn message(message: FromSensor) -> v1::FromSensor {
    v1::FromSensor {
        message: Some(message),
    }
}
