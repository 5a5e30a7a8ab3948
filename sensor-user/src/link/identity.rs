//! The sensor's key and certificate, and the authority it trusts: PEM files that are read at every connection.
//!
//! **Invariant:** a key that others can read is not used.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use thiserror::Error;

use crate::config::Collector;

/// Larger than any chain of certificates.
const BYTES_MAX: u64 = 1 << 20;

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The sensor's key and certificate.
    pub identity: PathBuf,
    /// The authority that the collector's certificate is checked with.
    pub ca: PathBuf,
}

/// Why the sensor cannot show who it is.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// There is no such file.
    #[error(
        "{0}: there is no such file; enrol this sensor: on the collector `chartwatch-collector token --sensor NAME`, here `chartwatch-sensor enroll --token-file FILE`"
    )]
    Missing(PathBuf),
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than the owner can read or write the key.
    #[error("{file}: mode {mode:04o} lets others read or change the key; run `chmod 600 {file}`")]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what it must be.
    #[error("{file}: {reason}; enrol this sensor again, or put the file back")]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Files {
    /// Those of a configuration; `None` when the way to its collector is not encrypted.
    #[must_use]
    pub fn of(collector: &Collector) -> Option<Self> {
        collector.is_secure().then(|| Self {
            identity: collector.identity.clone(),
            ca: collector.ca.clone(),
        })
    }

    /// Reads and checks them.
    ///
    /// # Errors
    ///
    /// One is not there, cannot be read, is open to others, or is not what it must be.
    pub fn check(&self) -> Result<(), IdentityError> {
        self.client().map(drop)
    }

    /// The settings of a connection.
    pub(super) fn client(&self) -> Result<ClientConfig, IdentityError> {
        let identity = read(&self.identity, true)?;
        let form = |reason: String| IdentityError::Form {
            file: self.identity.clone(),
            reason,
        };
        let key = PrivateKeyDer::from_pem_slice(&identity).map_err(|e| form(e.to_string()))?;
        let chain = certificates(&self.identity, &identity)?;
        let mut config = builder()
            .map_err(|e| form(e.to_string()))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)
            .map_err(|e| form(e.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, IdentityError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, &read(&self.ca, false)?)? {
            roots
                .add(certificate)
                .map_err(|error| IdentityError::Form {
                    file: self.ca.clone(),
                    reason: error.to_string(),
                })?;
        }
        Ok(roots)
    }
}

/// Settings that every connection has.
pub(super) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])
}

/// The certificates of a PEM text, at least one.
fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let form = |reason: String| IdentityError::Form {
        file: file.to_owned(),
        reason,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| form(error.to_string()))?;
    if all.is_empty() {
        return Err(form("holds no certificate".to_owned()));
    }
    Ok(all)
}

/// Reads a file. Permissions are those of the file that was opened, not of whatever has its name later.
pub(super) fn read(path: &Path, private: bool) -> Result<Vec<u8>, IdentityError> {
    let failed = |source| IdentityError::Io {
        file: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing(path.to_owned()),
        _ => failed(error),
    })?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::Error::other(
            "is a directory; name the file that is meant",
        )));
    }
    let mode = metadata.mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        let file = path.to_owned();
        return Err(IdentityError::Open { file, mode });
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
