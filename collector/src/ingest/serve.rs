//! The gRPC server around the service: one listener, TLS on every connection, idle ones asked whether they live, a clean end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::counts::Counts;
use super::{Enroll, Ingest};
use crate::audit::{Action, Desk, Entry, Who};
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
/// Connections that may be open with one certificate, where connections are counted.
const OPEN_EACH: usize = 16;
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
        fleet: Some(service.fleet.clone()),
        audit: service.audit.clone(),
        open: None,
        apart: Arc::default(),
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

/// A door for others than sensors: its task, and the connections that come through it, at most `open_max` at a time.
pub(crate) fn door(
    listener: TcpListener,
    tls: Arc<Server>,
    audit: Desk,
    open_max: usize,
) -> (
    tokio::task::JoinHandle<()>,
    ReceiverStream<Result<Connection, std::io::Error>>,
) {
    let (ready, connections) = mpsc::channel(HANDSHAKES_MAX);
    let door = Door {
        listener,
        tls: Some(tls),
        counts: Arc::default(),
        fleet: None,
        audit: Some(audit),
        open: Some(Arc::new(Semaphore::new(open_max))),
        apart: Arc::default(),
        ready,
    };
    (tokio::spawn(door.keep()), ReceiverStream::new(connections))
}

/// Takes connections and has each shake hands in a task of its own: a slow one holds up nobody.
struct Door {
    listener: TcpListener,
    tls: Option<Arc<Server>>,
    counts: Arc<Counts>,
    /// Where those who are refused are listed; none: they are no sensors.
    fleet: Option<FleetHandle>,
    audit: Option<Desk>,
    /// Of how many connections may be open; none: any number.
    open: Option<Arc<Semaphore>>,
    /// Of these, who has how many.
    apart: Arc<Apart>,
    ready: mpsc::Sender<Result<Connection, std::io::Error>>,
}

impl Door {
    async fn keep(self) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        // The semaphore is never closed.
        while let Ok(permit) = handshakes.clone().acquire_owned().await {
            let (stream, from) = match self.listener.accept().await {
                Ok((stream, from)) => (stream, from.ip()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.let_in(stream, from, permit);
        }
    }

    fn let_in(&self, stream: TcpStream, from: IpAddr, permit: OwnedSemaphorePermit) {
        let ready = self.ready.clone();
        let open = match &self.open {
            None => None,
            Some(open) => match open.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    return tracing::warn!(%from, "a connection is refused: too many are open");
                }
            },
        };
        let (counts, fleet) = (self.counts.clone(), self.fleet.clone());
        let (audit, tls, apart) = (self.audit.clone(), self.tls.clone(), self.apart.clone());
        tokio::spawn(async move {
            let shaken = match tls {
                None => Ok(Connection::Plain(stream, from)),
                Some(tls) => shake_hands(&tls, stream, from, open, &apart).await,
            };
            drop(permit);
            match shaken {
                Ok(connection) => {
                    if ready.send(Ok(connection)).await.is_err() {
                        tracing::debug!("the server has ended");
                    }
                }
                Err(error) => {
                    counts.handshake_failed(&error);
                    if let Some(fleet) = fleet {
                        fleet.refused(&from.to_string(), "", &format!("TLS: {error}"));
                    }
                    if let Some(audit) = audit {
                        let entry = Entry::new(Action::IdentityRefused)
                            .by(Who::Stranger { from: Some(from) })
                            .with("reason", &format!("the TLS handshake failed: {error}"));
                        audit.repeated(entry);
                    }
                }
            }
        });
    }
}

async fn shake_hands(
    tls: &Server,
    stream: TcpStream,
    from: IpAddr,
    open: Option<OwnedSemaphorePermit>,
    apart: &Arc<Apart>,
) -> Result<Connection, std::io::Error> {
    let acceptor = TlsAcceptor::from(tls.config());
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let stream = shaken.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    let peer = match stream.get_ref().1.peer_certificates() {
        Some([certificate, ..]) => Peer::Certified(tls.read(certificate).map(Arc::new)),
        Some([]) | None => Peer::Nobody,
    };
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| chain.first().cloned());
    let certificate = certificate.map(CertificateDer::into_owned);
    let open = match open {
        None => None,
        Some(permit) => {
            let own = apart.place(certificate.as_deref().unwrap_or_default())?;
            Some(Arc::new((own, permit)))
        }
    };
    let caller = Caller {
        peer,
        certificate,
        from: Some(from),
        _open: open,
    };
    Ok(Connection::Tls(Box::new(stream), caller))
}

/// Connections that are open, by certificate, DER; all without one are one's.
#[derive(Debug, Default)]
struct Apart(Mutex<BTreeMap<Vec<u8>, usize>>);

/// One's place among them, given back when it is dropped.
#[derive(Debug)]
struct Own {
    apart: Arc<Apart>,
    certificate: Vec<u8>,
}

impl Apart {
    /// A place for one more connection, if not too many are open with the same certificate.
    fn place(self: &Arc<Self>, certificate: &[u8]) -> Result<Own, std::io::Error> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.entry(certificate.to_vec()).or_default();
        if *own >= OPEN_EACH {
            return Err(std::io::Error::other(
                "too many connections are open with the same certificate",
            ));
        }
        *own += 1;
        Ok(Own {
            apart: self.clone(),
            certificate: certificate.to_vec(),
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut open = self.apart.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.certificate) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.certificate);
            }
        }
    }
}

/// A connection, with what the other end has shown of itself.
pub(crate) enum Connection {
    Plain(TcpStream, IpAddr),
    Tls(Box<TlsStream<TcpStream>>, Caller),
}

/// The other end of a connection, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) peer: Peer,
    /// As it was shown; verified against the authority when the connection began.
    certificate: Option<CertificateDer<'static>>,
    from: Option<IpAddr>,
    /// Held by connections that are counted.
    _open: Option<Arc<(Own, OwnedSemaphorePermit)>>,
}

impl Caller {
    /// The certificate, whatever it says.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    /// Where it is.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// The same as text; empty when it is not known.
    pub(super) fn address(&self) -> String {
        self.from
            .map_or_else(String::new, |address| address.to_string())
    }

    /// As the audit log has it.
    pub(super) fn who(&self) -> Who {
        let from = self.from;
        match &self.peer {
            Peer::Certified(Ok(certificate)) => Who::Certified {
                name: certificate.name.to_string(),
                from,
            },
            Peer::Trusted | Peer::Nobody | Peer::Certified(Err(_)) => Who::Stranger { from },
        }
    }
}

/// A connection always says who is at its other end; one that did not would be nobody's.
impl Default for Caller {
    fn default() -> Self {
        Self {
            peer: Peer::Nobody,
            certificate: None,
            from: None,
            _open: None,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        match self {
            Self::Plain(_, from) => Caller {
                peer: Peer::Trusted,
                certificate: None,
                from: Some(*from),
                _open: None,
            },
            Self::Tls(_, caller) => caller.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_read(context, buffer),
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
            Self::Plain(stream, _) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
