//! The client's end of TLS, as a sensor has it or as a test wants it.

use std::path::Path;
use std::sync::Arc;

use collector::identity::Authority;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// What a client shows, and to whom.
pub(crate) struct Client {
    root: CertificateDer<'static>,
    identity: Option<(CertificateDer<'static>, KeyPair)>,
    version: &'static SupportedProtocolVersion,
}

impl Client {
    /// One that trusts the authority of a data directory and shows nothing.
    pub(crate) fn nameless(data: &Path) -> Self {
        let authority = Authority::open(data).unwrap().unwrap();
        Self {
            root: authority.certificate().clone(),
            identity: None,
            version: &version::TLS13,
        }
    }

    /// One with a certificate of the collector's authority, valid for so long from then on.
    pub(crate) fn named(data: &Path, name: &str, from: OffsetDateTime, valid: Duration) -> Self {
        let authority = Authority::open(data).unwrap().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = authority.sensor(name, &key, from, valid).unwrap();
        Self {
            identity: Some((certificate, key)),
            ..Self::nameless(data)
        }
    }

    /// One with a certificate that is valid now.
    pub(crate) fn valid(data: &Path, name: &str) -> Self {
        Self::named(data, name, OffsetDateTime::now_utc(), Duration::DAY)
    }

    /// One with a certificate of an authority that calls itself as the collector's does.
    pub(crate) fn forged(data: &Path, name: &str) -> Self {
        let other = tempfile::tempdir().unwrap();
        Authority::open_or_make(other.path()).unwrap();
        Self {
            root: Self::nameless(data).root,
            ..Self::valid(other.path(), name)
        }
    }

    /// One with this certificate and key, that trusts this authority.
    pub(crate) fn with(
        root: CertificateDer<'static>,
        certificate: CertificateDer<'static>,
        key: KeyPair,
    ) -> Self {
        Self {
            root,
            identity: Some((certificate, key)),
            version: &version::TLS13,
        }
    }

    /// A copy of its key.
    pub(crate) fn key(&self) -> Option<KeyPair> {
        let (_, key) = self.identity.as_ref()?;
        Some(KeyPair::from_pem(&key.serialize_pem()).unwrap())
    }

    /// The same with an older TLS.
    pub(crate) fn outdated(self) -> Self {
        Self {
            version: &version::TLS12,
            ..self
        }
    }

    fn settings(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivatePkcs8KeyDer::from(key.serialize_der());
                config
                    .with_client_auth_cert(vec![certificate.clone()], key.into())
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// Connects; the error is the first cause.
    pub(crate) async fn connect(&self, address: &str) -> Result<Channel, String> {
        let settings = self.settings();
        let (target, own) = (address.to_owned(), settings.clone());
        let connector = tower::service_fn(move |_: Uri| {
            let (target, settings) = (target.clone(), own.clone());
            async move {
                let stream = TcpStream::connect(target).await?;
                let name = ServerName::try_from("localhost").unwrap();
                let connector = tokio_rustls::TlsConnector::from(settings);
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let connected = endpoint.connect_with_connector(connector).await;
        connected.map_err(|error| first_cause(&error))
    }
}

/// An authority of a hospital: a server's certificate and key, the authority itself, and a way to make more.
pub(crate) struct Hospital {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Hospital {
    pub(crate) fn found() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            root: certificate.der().clone(),
            root_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Duration::HOUR;
        params.not_after = OffsetDateTime::now_utc() + Duration::DAY;
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

fn first_cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), first_cause)
}
