//! The gRPC server around the service: one listener, TLS on every connection, idle ones asked whether they live, a clean end.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::counts::Counts;
use super::{Enroll, Ingest};
use crate::fleet::FleetHandle;
use crate::identity::{Peer, Server};

/// How often an idle connection is asked whether the sensor is still there, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of one connection. A sensor needs one; a second may overlap with it while it reconnects.
const STREAMS_PER_CONNECTION: u32 = 4;
/// How long the other end may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at a time: one is a signature, and a hospital's sensors may all come back in the same moment.
const HANDSHAKES_MAX: usize = 256;
/// Wait after the system had no connection to give, for example because there are too many.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping` turns true and the streams have ended; in plain HTTP/2 when there is no `tls`.
///
/// # Errors
///
/// Whatever makes the HTTP/2 layer end before that.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Server>>,
    service: Ingest,
    enroll: Option<Enroll>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let stop = async move {
        // An error means that the collector was dropped, which is as good a reason.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the collector was dropped");
        }
    };
    let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
    let door = Door {
        listener,
        tls,
        counts: service.counts.clone(),
        fleet: service.fleet.clone(),
        ready,
    };
    let door = tokio::spawn(door.keep());
    let served = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(service.into_server())
        .add_optional_service(enroll.map(Enroll::into_server))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop)
        .await;
    door.abort();
    served
}

/// Takes connections and has each shake hands in a task of its own: a slow one holds up nobody.
struct Door {
    listener: TcpListener,
    tls: Option<Arc<Server>>,
    counts: Arc<Counts>,
    fleet: FleetHandle,
    ready: mpsc::Sender<Result<Connection, std::io::Error>>,
}

impl Door {
    async fn keep(self) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        // The semaphore is never closed.
        while let Ok(permit) = handshakes.clone().acquire_owned().await {
            let (stream, from) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.let_in(stream, from.ip(), permit);
        }
    }

    fn let_in(&self, stream: TcpStream, from: IpAddr, permit: OwnedSemaphorePermit) {
        let ready = self.ready.clone();
        let (counts, fleet) = (self.counts.clone(), self.fleet.clone());
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let shaken = match tls {
                None => Ok(Connection::Plain(stream)),
                Some(tls) => shake_hands(&tls, stream).await,
            };
            drop(permit);
            match shaken {
                Ok(connection) => {
                    if ready.send(Ok(connection)).await.is_err() {
                        tracing::debug!("the server has ended");
                    }
                }
                Err(error) => {
                    fleet.refused(&from.to_string(), "", &format!("TLS: {error}"));
                    counts.handshake_failed(&error);
                }
            }
        });
    }
}

async fn shake_hands(tls: &Server, stream: TcpStream) -> Result<Connection, std::io::Error> {
    let acceptor = TlsAcceptor::from(tls.config());
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let stream = shaken.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    let peer = match stream.get_ref().1.peer_certificates() {
        Some([certificate, ..]) => Peer::Certified(tls.read(certificate).map(Arc::new)),
        Some([]) | None => Peer::Nobody,
    };
    Ok(Connection::Tls(Box::new(stream), peer))
}

/// The other end of a connection, as requests know it.
#[derive(Debug, Clone)]
pub(super) struct OtherEnd {
    pub(super) peer: Peer,
    address: String,
}

impl OtherEnd {
    /// Its address; empty when the system could not say.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Default for OtherEnd {
    fn default() -> Self {
        Self {
            peer: Peer::Nobody,
            address: String::new(),
        }
    }
}

/// A connection, with what the other end has shown of itself.
enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Peer),
}

impl Connected for Connection {
    type ConnectInfo = OtherEnd;

    fn connect_info(&self) -> OtherEnd {
        let (stream, peer) = match self {
            Self::Plain(stream) => (stream, Peer::Trusted),
            Self::Tls(stream, peer) => (stream.get_ref().0, peer.clone()),
        };
        let address = stream.peer_addr().ok();
        let address = address.map_or_else(String::new, |address| address.ip().to_string());
        OtherEnd { peer, address }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
