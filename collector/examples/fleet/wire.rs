//! The protocol as a simulated sensor speaks it: everything of `link.proto` that the measurement uses is in this file.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use proto::prost::Message as _;
use proto::sensor::v1;
use proto::sensor::v1::from_collector::Message as FromCollector;
use proto::sensor::v1::from_sensor::Message as FromSensor;
use proto::sensor::v1::link_client::LinkClient;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};
use zstd::bulk::Compressor;

use crate::sensor::{ANSWER_WITHIN, Identity, KEEPALIVE, now_ns};

/// Messages that may wait for the connection to take them, as at the real sensor.
const OUTBOUND_MAX: usize = 4;

/// How a block is compressed, as at the real sensor.
const LEVEL: i32 = 1;

thread_local! {
    /// It has tables of its own, which are too large to be made for each block.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A connection on which the collector has said Welcome.
pub(crate) struct Link {
    out: mpsc::Sender<v1::FromSensor>,
    inbound: Streaming<v1::FromCollector>,
    epoch: Vec<u8>,
    /// Bytes of credit that are left; `None` where the collector sets no limit.
    left: Option<u64>,
}

/// Events as they wait for their acknowledgement: sent again, they are the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// Bytes of its events before they were compressed: what it costs of the credit.
    pub(crate) cost: u64,
    payload: Vec<u8>,
}

impl Batch {
    /// Events that begin with a number.
    pub(crate) fn new(first_seq: u64, block: &v1::EventBlock) -> Result<Self, String> {
        let plain = block.encode_to_vec();
        let payload = compress(&plain).map_err(|error| error.to_string())?;
        Ok(Self {
            first_seq,
            last_seq: first_seq + block.events.len() as u64 - 1,
            cost: plain.len() as u64,
            payload,
        })
    }

    /// Its events.
    pub(crate) fn events(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }

    /// Bytes of its payload as it travels.
    pub(crate) fn bytes(&self) -> u64 {
        self.payload.len() as u64
    }

    fn check(&self) -> u32 {
        let numbers = [self.first_seq, self.last_seq].map(u64::to_le_bytes);
        crc32c::crc32c_append(crc32c::crc32c(&numbers.concat()), &self.payload)
    }
}

fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(plain)
    })
}

impl Link {
    /// Connects, says Hello and waits for Welcome; answers with it how far the log holds the epoch.
    pub(crate) async fn open(
        identity: &Identity,
        target: SocketAddr,
        first_unacknowledged: u64,
    ) -> Result<(Self, u64), String> {
        let channel = connect(identity, target).await?;
        let (out, outbound) = mpsc::channel(OUTBOUND_MAX);
        let epoch = identity.epoch.as_bytes().to_vec();
        let hello = FromSensor::Hello(v1::Hello {
            sensor_id: identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: epoch.clone(),
            first_unacknowledged,
            capabilities: vec![v1::Capability::Credit.into()],
            clocks: Some(clocks(now_ns())),
            spool: Some(v1::SpoolDepth::default()),
            live_epoch: epoch.clone(),
            live_first_unacknowledged: None,
        });
        out.try_send(message(hello)).map_err(|e| e.to_string())?;
        let request = async {
            let mut inbound = LinkClient::new(channel)
                .deliver(ReceiverStream::new(outbound))
                .await?
                .into_inner();
            let first = inbound.message().await?;
            Ok::<_, Status>((inbound, first))
        };
        let (inbound, said) = tokio::time::timeout(ANSWER_WITHIN, request)
            .await
            .map_err(|_| "no Welcome in time".to_owned())?
            .map_err(|status| status.to_string())?;
        let Some(FromCollector::Welcome(welcome)) = said.and_then(|said| said.message) else {
            return Err("no Welcome".to_owned());
        };
        let link = Self {
            out,
            inbound,
            epoch,
            left: welcome.credit_bytes,
        };
        Ok((link, welcome.persisted.unwrap_or(0)))
    }

    /// Whether the credit is enough for a batch.
    pub(crate) fn covers(&self, batch: &Batch) -> bool {
        self.left.is_none_or(|left| batch.cost <= left)
    }

    /// Hands a batch that the credit covers to the connection, waiting while that takes none.
    pub(crate) async fn send(&mut self, batch: &Batch) -> Result<(), String> {
        self.left = self.left.map(|left| left.saturating_sub(batch.cost));
        let batch = FromSensor::Batch(v1::Batch {
            epoch: self.epoch.clone(),
            first_seq: batch.first_seq,
            last_seq: batch.last_seq,
            encoding: v1::Encoding::Zstd.into(),
            payload: batch.payload.clone(),
            crc32c: Some(batch.check()),
            follows_seq: None,
        });
        let sent = self.out.send(message(batch)).await;
        sent.map_err(|_| "the stream was closed".to_owned())
    }

    /// A heartbeat that finds no room is left out, as at the real sensor.
    pub(crate) fn beat(&self, queued_events: u64) {
        let beat = FromSensor::Heartbeat(heartbeat(now_ns(), queued_events));
        let _left_out = self.out.try_send(message(beat)).is_err();
    }

    /// Waits until the collector says something; up to which number the log holds the events, if it says that.
    pub(crate) async fn hear(&mut self) -> Result<Option<u64>, String> {
        let said = match self.inbound.message().await {
            Ok(Some(said)) => said.message,
            Ok(None) => return Err("the collector ended the stream".to_owned()),
            Err(status) => return Err(status.to_string()),
        };
        match said {
            Some(FromCollector::Persisted(persisted)) => return Ok(Some(persisted.seq)),
            Some(FromCollector::Credit(more)) => {
                self.left = self.left.map(|left| left.saturating_add(more.bytes));
            }
            Some(
                FromCollector::Received(_) | FromCollector::Welcome(_) | FromCollector::Renewal(_),
            )
            | None => {}
        }
        Ok(None)
    }
}

/// Connects with the settings of the real sensor.
async fn connect(identity: &Identity, target: SocketAddr) -> Result<Channel, String> {
    let (source, tls) = (identity.source, identity.tls.clone());
    let connector = tower::service_fn(move |_: Uri| shake_hands(source, target, tls.clone()));
    let endpoint = Endpoint::from_shared(format!("http://{target}"))
        .map_err(|error| error.to_string())?
        .connect_timeout(ANSWER_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(ANSWER_WITHIN)
        .keep_alive_while_idle(true);
    let connected = endpoint.connect_with_connector(connector).await;
    connected.map_err(|error| first_cause(&error))
}

async fn shake_hands(
    source: SocketAddr,
    target: SocketAddr,
    tls: Arc<ClientConfig>,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(source)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::from(target.ip());
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(TokioIo::new(stream))
}

fn first_cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), first_cause)
}

fn message(message: FromSensor) -> v1::FromSensor {
    v1::FromSensor {
        message: Some(message),
    }
}

/// What a sensor says of itself, as long as a real one's.
fn heartbeat(now_ns: u64, queued_events: u64) -> v1::Heartbeat {
    let hook = |name: &&str| v1::HookCount {
        hook: (*name).to_owned(),
        seen: now_ns / 1_000_000,
        reported: 1_000,
        summed: 20_000,
        ignored: now_ns / 1_000_000 - 21_000,
        failed: 0,
        dropped: 0,
    };
    v1::Heartbeat {
        time_unix_ns: now_ns,
        backend: "fentry".to_owned(),
        backend_reason: "lsm: bpf is not in the list of security modules".to_owned(),
        kernel: "6.1.0-37-amd64".to_owned(),
        hooks: HOOKS.iter().map(hook).collect(),
        queued_events,
        lost_events: 0,
        stores: vec!["pacs".to_owned()],
        clocks: Some(clocks(now_ns)),
        spool: Some(v1::SpoolDepth {
            events: queued_events,
            memory_bytes: queued_events * 60,
            disk_bytes: Some(1_048_576),
            ..v1::SpoolDepth::default()
        }),
        canary: Some(v1::Canary {
            state: v1::CanaryState::Seen.into(),
            seen_unix_ns: now_ns,
        }),
    }
}

fn clocks(now_ns: u64) -> v1::Clocks {
    v1::Clocks {
        boot_ns: now_ns % 1_000_000_000_000_000,
        unix_ns: now_ns,
    }
}

/// Names of hooks.
const HOOKS: [&str; 24] = [
    "accept",
    "clone_range",
    "connect",
    "copy_range",
    "exec",
    "exit",
    "fork",
    "io_uring",
    "link",
    "listing",
    "mmap",
    "notify_change",
    "open",
    "pipe_write",
    "read",
    "readv",
    "rename",
    "sendmsg",
    "splice",
    "tcp_close",
    "tee",
    "unlink",
    "write",
    "writev",
];
