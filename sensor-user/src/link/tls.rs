//! TLS below gRPC: 1.3 (RFC 8446) and nothing older.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;
use tower::{Service, service_fn};

/// A connection as tonic takes it.
type Connection = TokioIo<TlsStream<TcpStream>>;

/// Makes connections to whatever address tonic asks for.
pub(super) fn connector(
    config: ClientConfig,
) -> impl Service<Uri, Response = Connection, Error = io::Error, Future: Send> + Send + 'static {
    let config = Arc::new(config);
    service_fn(move |uri: Uri| {
        let config = Arc::clone(&config);
        async move { connect(config, &uri).await.map(TokioIo::new) }
    })
}

/// Connects to the host and port of an address; the collector's certificate must have that host's name.
///
/// # Errors
///
/// The system's, or what rustls finds wrong with the other end.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    uri: &Uri,
) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(name, stream).await
}
