//! The collector's end of TLS: its certificate, and whose certificates it takes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::{Authorities, IdentityError, PeerError, SensorCertificate, authorities, files};
use crate::config::Tls;

/// The collector's own certificate is made anew after so long, well within its validity.
const RENEW_EVERY: Duration = Duration::from_hours(24);

/// Gives the settings of new connections.
#[derive(Debug)]
pub struct Server {
    source: Source,
    current: Mutex<Current>,
}

#[derive(Debug)]
enum Source {
    Own {
        authorities: watch::Receiver<Arc<Authorities>>,
        names: Vec<String>,
    },
    Given,
}

/// The settings of new connections, with what they were made of.
#[derive(Debug)]
struct Current {
    made: Instant,
    of: Option<Arc<Authorities>>,
    config: Arc<ServerConfig>,
}

impl Server {
    /// Reads, or makes, what the configuration asks for; `None` when TLS is off.
    ///
    /// # Errors
    ///
    /// A key or certificate cannot be read, made or used, or a key is open to others.
    pub fn open(
        tls: &Tls,
        data_dir: &Path,
        listen: SocketAddr,
    ) -> Result<Option<Self>, IdentityError> {
        let (source, of, config) = match tls {
            Tls::Off => return Ok(None),
            Tls::Own { names, .. } => {
                let authorities = authorities::follow(data_dir)?;
                let names = all_names(names, listen.ip());
                let now = authorities.borrow().clone();
                let config = own(&now, &names)?;
                (Source::Own { authorities, names }, Some(now), config)
            }
            Tls::Given {
                certificate,
                key,
                client_ca,
            } => {
                // Revocations lie there too.
                files::make_private_directory(&super::directory(data_dir))?;
                (Source::Given, None, given(certificate, key, client_ca)?)
            }
        };
        let current = Mutex::new(Current {
            made: Instant::now(),
            of,
            config: Arc::new(config),
        });
        Ok(Some(Self { source, current }))
    }

    /// The collector's own authorities, if it is those which certify sensors.
    pub fn authorities(&self) -> Option<&watch::Receiver<Arc<Authorities>>> {
        match &self.source {
            Source::Own { authorities, .. } => Some(authorities),
            Source::Given => None,
        }
    }

    /// What a sensor's certificate says, which has been verified.
    pub fn read(&self, certificate: &CertificateDer<'_>) -> Result<SensorCertificate, PeerError> {
        let authorities = self.authorities().map(|told| told.borrow().clone());
        let authority = authorities.and_then(|all| all.signer(certificate));
        let read = SensorCertificate::read(certificate)?;
        Ok(SensorCertificate { authority, ..read })
    }

    /// Settings for a connection that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Source::Own { authorities, names } = &self.source {
            let now = authorities.borrow().clone();
            let same = current.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &now));
            if !same || current.made.elapsed() > RENEW_EVERY {
                match own(&now, names) {
                    Ok(config) => {
                        *current = Current {
                            made: Instant::now(),
                            of: Some(now),
                            config: Arc::new(config),
                        };
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the collector's certificate could not be renewed; the one before is used");
                    }
                }
            }
        }
        current.config.clone()
    }
}

/// What the collector is called on this machine, and by the administrator.
pub(crate) fn all_names(given: &[String], listen: IpAddr) -> Vec<String> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let mut names = given.to_vec();
    names.extend(super::peer::can_be_certified(&host).then_some(host));
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend((!listen.is_unspecified()).then(|| listen.to_string()));
    names.sort_unstable();
    names.dedup();
    names
}

fn own(authorities: &Authorities, names: &[String]) -> Result<ServerConfig, IdentityError> {
    let authority = authorities.current();
    let (chain, key) = authority.server(names)?;
    settings(
        chain,
        key,
        authorities.certificates(),
        authority.file(),
        authority.file(),
    )
}

fn given(certificate: &Path, key: &Path, client_ca: &Path) -> Result<ServerConfig, IdentityError> {
    let chain = certificates(certificate)?;
    let text = files::read_private(key)?.ok_or_else(|| missing(key))?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| form(key, error.to_string(), "give one private key as PEM"))?;
    settings(
        chain,
        private,
        certificates(client_ca)?,
        certificate,
        client_ca,
    )
}

fn settings(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
    certificate_file: &Path,
    ca_file: &Path,
) -> Result<ServerConfig, IdentityError> {
    let refused = |reason: String| IdentityError::ClientCa {
        file: ca_file.to_owned(),
        reason,
    };
    let unusable = |source| IdentityError::Tls {
        file: certificate_file.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| refused(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Who has no certificate yet may ask for one; everything else is refused later, with a reason the sensor can read.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| refused(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the certificate, and with it its expiry.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The certificates of a PEM file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    const REMEDY: &str = "give one or more certificates as PEM";
    let text = files::read(file)?.ok_or_else(|| missing(file))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.map_err(|error| form(file, error.to_string(), REMEDY))?;
    if all.is_empty() {
        return Err(form(file, "holds no certificate".to_owned(), REMEDY));
    }
    Ok(all)
}

fn form(file: &Path, reason: String, remedy: &'static str) -> IdentityError {
    IdentityError::Form {
        file: file.to_owned(),
        reason,
        remedy,
    }
}

fn missing(file: &Path) -> IdentityError {
    files::io(file, std::io::ErrorKind::NotFound.into())
}
