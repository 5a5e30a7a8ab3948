//! TLS below gRPC: 1.3 (RFC 8446) and nothing older.

use std::error::Error;
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

/// Whether a connection failed because this side does not believe the other's certificate: its authority is another one.
pub(super) fn distrusts(error: &(dyn Error + 'static)) -> bool {
    use rustls::{CertificateError, Error as Tls};
    let distrusted = |error: &Tls| {
        matches!(
            error,
            Tls::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        )
    };
    tls_error(error).is_some_and(distrusted)
}

/// Whether a connection broke because the other side does not believe this one's certificate.
pub(super) fn is_distrusted(error: &(dyn Error + 'static)) -> bool {
    use rustls::{AlertDescription as Alert, Error as Tls};
    let told = |error: &Tls| {
        matches!(
            error,
            Tls::AlertReceived(
                Alert::UnknownCA
                    | Alert::DecryptError
                    | Alert::BadCertificate
                    | Alert::CertificateUnknown
                    | Alert::CertificateExpired
            )
        )
    };
    tls_error(error).is_some_and(told)
}

/// What rustls said, below what others made of it.
fn tls_error<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(said) = error.downcast_ref() {
            return Some(said);
        }
        // An I/O error shows what it holds by itself, and not as its source.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match held {
            Some(held) => held,
            None => error.source()?,
        };
    }
}
