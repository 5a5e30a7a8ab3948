//! An analyst's key and certificate, and the authorities that are believed: PEM files that are replaced as a whole.
//!
//! **Invariant:** the key never leaves this machine, a key that others can read is not used, and whoever changes the files holds their lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use collector::durable;
use collector::identity::AnalystCertificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Larger than any chain of certificates.
const BYTES_MAX: u64 = 1 << 20;

/// The files of an analyst.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// Key and certificate.
    pub(super) identity: PathBuf,
    /// The authorities the collector's certificate is checked with.
    pub(super) ca: PathBuf,
    /// Held by who changes them.
    lock: PathBuf,
}

impl Files {
    /// Those of a directory.
    pub(super) fn below(directory: &Path) -> Self {
        Self {
            identity: directory.join("identity.pem"),
            ca: directory.join("ca.pem"),
            lock: directory.join("lock"),
        }
    }

    /// Key and certificate, as they are now.
    pub(super) fn identity(&self) -> Result<Vec<u8>, anyhow::Error> {
        read(&self.identity, true)
    }

    /// What the certificate says.
    pub(super) fn certificate(&self, identity: &[u8]) -> Option<AnalystCertificate> {
        let all = certificates(&self.identity, identity).ok()?;
        AnalystCertificate::read(all.first()?).ok()
    }

    /// Keeps others from changing the files until it is dropped; waits for who does.
    pub(super) fn lock(&self) -> Result<File, anyhow::Error> {
        let file = self.lock_file()?;
        let shown = || self.lock.display().to_string();
        file.lock().with_context(shown)?;
        Ok(file)
    }

    /// The same without waiting; `None` when somebody else changes them.
    pub(super) fn try_lock(&self) -> Result<Option<File>, anyhow::Error> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| self.lock.display().to_string())
            }
        }
    }

    fn lock_file(&self) -> Result<File, anyhow::Error> {
        let inner = || {
            if let Some(directory) = self.lock.parent() {
                durable::make_directory(directory, 0o700)?;
            }
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600);
            options.open(&self.lock)
        };
        inner().with_context(|| format!("{}: cannot be written", self.lock.display()))
    }

    /// Settings of a connection with a key and certificate.
    pub(super) fn client(&self, identity: &[u8]) -> Result<ClientConfig, anyhow::Error> {
        let shown = self.identity.display();
        let key = PrivateKeyDer::from_pem_slice(identity)
            .with_context(|| format!("{shown}: holds no key; enrol again"))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca, &read(&self.ca, false)?)? {
            roots
                .add(authority)
                .with_context(|| format!("{}: is no authority; enrol again", self.ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&self.identity, identity)?, key)
            .with_context(|| format!("{shown}: key and certificate do not fit; enrol again"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// A key and a request to certify it, which names nobody: the collector knows whom it certifies.
pub(super) fn new_key() -> Result<(rcgen::KeyPair, Vec<u8>), anyhow::Error> {
    let key = rcgen::KeyPair::generate().context("no key could be made")?;
    let request = rcgen::CertificateParams::new(Vec::new())
        .and_then(|params| params.serialize_request(&key))
        .context("no key could be made")?;
    Ok((key, request.der().to_vec()))
}

/// Checks that the certificate is of the key, and puts both in the place of those before. Whoever is interrupted leaves files that can be used.
pub(super) fn keep(
    files: &Files,
    key: &rcgen::KeyPair,
    chain: &[Vec<u8>],
    authorities: &[Vec<u8>],
) -> Result<(), anyhow::Error> {
    let all =
        |certificates: &[Vec<u8>]| -> String { certificates.iter().map(|one| pem(one)).collect() };
    let identity = key.serialize_pem() + &all(chain);
    let fresh = Files {
        identity: files.identity.with_extension("new"),
        ca: files.ca.with_extension("new"),
        lock: files.lock.clone(),
    };
    write(&fresh.ca, &all(authorities), 0o644)?;
    write(&fresh.identity, &identity, 0o600)?;
    fresh
        .client(identity.as_bytes())
        .context("the collector's answer cannot be used")?;
    // The new authorities first: they are believed with the certificate of before, too.
    for (from, to) in [(&fresh.ca, &files.ca), (&fresh.identity, &files.identity)] {
        let renamed = std::fs::rename(from, to)
            .and_then(|()| to.parent().map_or(Ok(()), durable::sync_directory));
        renamed.with_context(|| format!("{}: cannot be written", to.display()))?;
    }
    Ok(())
}

/// Writes a file and brings it to the disk. What an attempt that was cut off has left is removed.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), anyhow::Error> {
    let inner = || {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut out = options.open(file)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()
    };
    inner().with_context(|| format!("{}: cannot be written", file.display()))
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        out += &String::from_utf8_lossy(line);
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, anyhow::Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.with_context(|| format!("{}: cannot be read; enrol again", file.display()))?;
    if all.is_empty() {
        bail!("{}: holds no certificate; enrol again", file.display());
    }
    Ok(all)
}

/// Reads a file. Permissions are those of the file that was opened, not of whatever has its name later.
pub(super) fn read(path: &Path, private: bool) -> Result<Vec<u8>, anyhow::Error> {
    let shown = path.display();
    let file = File::open(path).with_context(|| {
        format!("{shown}: cannot be read; `chartwatch enroll --token-file FILE` makes it")
    })?;
    let mode = file.metadata().with_context(|| shown.to_string())?.mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        bail!("{shown}: mode {mode:04o} lets others read or change it; run `chmod 600 {shown}`");
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| shown.to_string())?;
    Ok(bytes)
}
