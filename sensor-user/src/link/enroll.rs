//! The first certificate: asked for with a one-time token, from a collector that is known by the token's fingerprint.
//!
//! **Invariant:** the key never leaves this machine, nothing is asked of a collector before its chain has been checked, and files
//! that are there are written over only when that was asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::sensor::v1::enrollment_client::EnrollmentClient;
use proto::sensor::v1::link_client::LinkClient;
use proto::sensor::v1::{EnrollReply, EnrollRequest, RenewRequest};
use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;
use tonic::transport::{Channel, Endpoint};

use super::identity::{self, Files, IdentityError};
use super::session::first_cause;
use super::tls;
use crate::durable;
use crate::privacy::{Key, KeyError, Placed};

/// How long the collector may take for all of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What a token begins with.
const KIND: &str = "chartwatch-token-1";

/// A token, as `chartwatch-collector token` printed it.
#[derive(Clone)]
pub struct Token {
    /// The sensor it was made for.
    pub sensor: String,
    /// `HOST:PORT` of the collector.
    pub address: String,
    fingerprint: [u8; 32],
    secret: [u8; 32],
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("sensor", &self.sensor)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Why a sensor was not enrolled. Unless it says otherwise the token has not been used.
#[derive(Debug, Error)]
pub enum EnrollError {
    /// The token's file cannot be read, or is open to others.
    #[error(transparent)]
    File(#[from] IdentityError),
    /// The file does not hold a token.
    #[error(
        "{0}: is not one line as `chartwatch-collector token` prints it; copy it again, or make a new one"
    )]
    Token(PathBuf),
    /// The token is for another sensor.
    #[error(
        "the token is for sensor {token:?} and this is {own:?}; make one with `chartwatch-collector token --sensor {own}`, or set sensor_id"
    )]
    OtherSensor {
        /// The sensor it is for.
        token: String,
        /// This sensor.
        own: String,
    },
    /// There is an identity already.
    #[error("{0}: is there already; --replace enrols this sensor again and writes over it")]
    Exists(PathBuf),
    /// The machine has no means to connect.
    #[error("failed to start the runtime: {0}")]
    Runtime(String),
    /// Key or request could not be made.
    #[error("no key could be made: {0}")]
    Key(#[from] rcgen::Error),
    /// The TLS library refuses its settings.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// Nobody answers, or somebody who is not the collector of the token.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// The collector's address.
        address: String,
        /// What the system or TLS said.
        reason: String,
    },
    /// The collector did not certify.
    #[error("the collector refused: {0}")]
    Refused(String),
    /// The answer is not what it must be. The token is used up.
    #[error("the collector's answer cannot be used: {0}; the token is used up, make a new one")]
    Answer(String),
    /// The key for names that came could not be written, or compared with the one that is there. The certificate is in its place.
    #[error(
        "this sensor is enrolled, but its key for names is not in place: {0}; put that right, and copy the key from the collector or another sensor, or enrol again with a new token and --replace"
    )]
    Names(#[from] KeyError),
    /// Key or certificate could not be written. The token is used up.
    #[error("{file}: {source}; the token is used up, make a new one")]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Token {
    /// Reads a token from a file only its owner can read.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is open to others, or holds no token.
    pub fn read(file: &Path) -> Result<Self, EnrollError> {
        let bytes = identity::read(file, true)?;
        let text = std::str::from_utf8(&bytes).ok();
        text.and_then(Self::parse)
            .ok_or_else(|| EnrollError::Token(file.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.trim_end().split(' ').collect();
        let [KIND, sensor, address, fingerprint, secret] = fields[..] else {
            return None;
        };
        Some(Self {
            sensor: sensor.to_owned(),
            address: address.to_owned(),
            fingerprint: unhex(fingerprint)?,
            secret: unhex(secret)?,
        })
    }
}

/// Enrols the sensor `own`: makes a key, has it certified, and writes the files; and the key for names that came with the certificate to
/// `names_key`, if that is wanted. Answers what became of that; `None` when none came or none is wanted.
///
/// # Errors
///
/// As [`EnrollError`] says. Files are written last, so whatever was there before still is.
pub async fn enroll(
    token: &Token,
    own: &str,
    files: &Files,
    names_key: Option<&Path>,
    replace: bool,
) -> Result<Option<Placed>, EnrollError> {
    if token.sensor != own {
        let (token, own) = (token.sensor.clone(), own.to_owned());
        return Err(EnrollError::OtherSensor { token, own });
    }
    for file in [&files.identity, &files.ca] {
        if !replace && file.exists() {
            return Err(EnrollError::Exists(file.clone()));
        }
    }
    let (key, request) = new_key()?;
    let request = EnrollRequest {
        secret: token.secret.to_vec(),
        request,
        takes_authorities: true,
    };
    let asked = tokio::time::timeout(ANSWER_WITHIN, ask(token, request)).await;
    let reply = asked.map_err(|_| EnrollError::Connect {
        address: token.address.clone(),
        reason: "no answer in time".to_owned(),
    })??;
    if sha256(&reply.authority) != token.fingerprint {
        let reason = "it names another authority than the token".to_owned();
        return Err(EnrollError::Answer(reason));
    }
    let names = match &*reply.token_key {
        [] => None,
        bytes => Some(Key::received(bytes).ok_or_else(|| {
            EnrollError::Answer("its key for names is not one of 64 bytes".to_owned())
        })?),
    };
    keep(&reply, &key, files)?;
    let placed = names.zip(names_key).map(|(names, file)| names.place(file));
    Ok(placed.transpose()?)
}

/// Has a new key certified over a connection of the sensor, and writes it over the one before.
///
/// # Errors
///
/// The collector does not certify, or its answer cannot be used or written. The files are what they were.
pub(super) async fn renew(channel: Channel, files: Files) -> Result<(), EnrollError> {
    let (key, request) = new_key()?;
    let request = RenewRequest {
        request,
        takes_authorities: true,
    };
    let renewed = LinkClient::new(channel).renew(request).await;
    let renewed = renewed
        .map_err(|status| EnrollError::Refused(status.message().to_owned()))?
        .into_inner();
    let reply = EnrollReply {
        chain: renewed.chain,
        authority: renewed.authority,
        authorities: renewed.authorities,
        token_key: Vec::new(),
    };
    let kept = tokio::task::spawn_blocking(move || keep(&reply, &key, &files)).await;
    kept.map_err(|error| EnrollError::Runtime(error.to_string()))?
}

/// A key and a request to certify it, which names nobody: the collector knows whom it certifies.
fn new_key() -> Result<(rcgen::KeyPair, Vec<u8>), EnrollError> {
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

async fn ask(token: &Token, request: EnrollRequest) -> Result<EnrollReply, EnrollError> {
    let failed = |reason: String| EnrollError::Connect {
        address: token.address.clone(),
        reason,
    };
    let connector = tls::connector(pinned(token.fingerprint)?);
    let endpoint = Endpoint::from_shared(format!("http://{}", token.address))
        .map_err(|error| failed(error.to_string()))?;
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|error| failed(token_of_another(&error)))?;
    match EnrollmentClient::new(channel).enroll(request).await {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) => Err(EnrollError::Refused(status.message().to_owned())),
    }
}

/// Why there is no connection; an authority that the token does not name may be one that was changed since the token was made.
fn token_of_another(error: &tonic::transport::Error) -> String {
    let cause = first_cause(error);
    if tls::distrusts(error) {
        return format!(
            "{cause}: the collector there is not of the authority in the token; if its authority was changed since, make a new token"
        );
    }
    cause
}

/// The authorities of an answer, as PEM; an older collector names one.
fn believed(reply: &EnrollReply) -> String {
    if reply.authorities.is_empty() {
        return pem(&reply.authority);
    }
    reply.authorities.iter().map(|one| pem(one)).collect()
}

/// Checks that the certificate is of the key, and writes both beside the authority's.
fn keep(reply: &EnrollReply, key: &rcgen::KeyPair, files: &Files) -> Result<(), EnrollError> {
    let mut text = key.serialize_pem();
    for certificate in &reply.chain {
        text += &pem(certificate);
    }
    let beside = |file: &Path| file.with_extension("new");
    let fresh = Files {
        identity: beside(&files.identity),
        ca: beside(&files.ca),
    };
    write(&fresh.ca, &believed(reply), 0o644)?;
    write(&fresh.identity, &text, 0o600)?;
    if let Err(error) = fresh.check() {
        return Err(EnrollError::Answer(error.to_string()));
    }
    for (from, to) in [(&fresh.ca, &files.ca), (&fresh.identity, &files.identity)] {
        rename(from, to)?;
    }
    Ok(())
}

/// Writes a file and brings it to the disk. What an attempt that was cut off has left is written over.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), EnrollError> {
    let inner = || {
        if let Some(directory) = file.parent() {
            durable::make_directory(directory, 0o700)?;
        }
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(mode).open(file)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()
    };
    inner().map_err(|source| unwritten(file, source))
}

fn rename(from: &Path, to: &Path) -> Result<(), EnrollError> {
    let inner = || {
        std::fs::rename(from, to)?;
        to.parent()
            .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    inner().map_err(|source| unwritten(to, source))
}

fn unwritten(file: &Path, source: io::Error) -> EnrollError {
    let file = file.to_owned();
    EnrollError::Write { file, source }
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

/// Settings of a connection to the collector whose authority has this fingerprint.
fn pinned(fingerprint: [u8; 32]) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned {
        fingerprint,
        provider,
    });
    let mut config = identity::builder()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Takes a chain that ends in the authority with a fingerprint, and checks it as any other.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let unknown = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates
            .iter()
            .find(|certificate| sha256(certificate) == self.fingerprint)
            .ok_or(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| TlsError::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// 64 hexadecimal digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_token_is_one_line_of_five_fields() {
        let hex = "0f".repeat(32);
        let good = format!("{KIND} ws-12 c.example:7443 {hex} {hex}\n");
        let token = Token::parse(&good).unwrap();
        assert_eq!(
            (&*token.sensor, &*token.address),
            ("ws-12", "c.example:7443")
        );
        assert!(
            !format!("{token:?}").contains("15"),
            "the secret is not shown"
        );
        for bad in [
            String::new(),
            good.replace("token-1", "token-2"),
            good.replace("ws-12 ", ""),
            good.replace("0f0f\n", "0f0g\n"),
            good.replace("0f0f\n", "0f\n"),
            good.replace('0', "é"),
        ] {
            assert!(Token::parse(&bad).is_none(), "{bad}");
        }
    }
}
