//! An analyst's first certificate: asked for with a one-time token, from a collector that is known by the token's fingerprint.
//!
//! **Invariant:** nothing is asked of a collector before its chain has been checked, and files
//! that are there are written over only when that was asked for.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use collector::text;
use proto::sensor::v1::enrollment_client::EnrollmentClient;
use proto::sensor::v1::{EnrollReply, EnrollRequest};
use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use super::keeping::{self, Files};
use super::remote;

/// What a token begins with.
const KIND: &str = "chartwatch-analyst-1";

#[derive(Debug, Clone, clap::Args)]
pub(super) struct EnrollArgs {
    /// File with the token that `chartwatch-collector token --analyst` has printed, readable for its owner only.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Write over a key and certificate that are there.
    #[arg(long)]
    replace: bool,
}

struct Token {
    analyst: String,
    address: String,
    fingerprint: [u8; 32],
    secret: [u8; 32],
}

/// Has a new key certified and writes it beside the authority's certificate.
pub(super) fn enroll(
    args: &EnrollArgs,
    directory: &Path,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    let text = keeping::read(&args.token_file, true)?;
    let token = std::str::from_utf8(&text).ok().and_then(parse);
    let token = token.with_context(|| {
        format!(
            "{}: is not one line as `chartwatch-collector token --analyst` prints it",
            args.token_file.display()
        )
    })?;
    let files = Files::below(directory);
    for file in [&files.identity, &files.ca] {
        if !args.replace && file.exists() {
            bail!(
                "{}: is there already; --replace writes over it",
                file.display()
            );
        }
    }
    let _lock = files.lock()?;
    let (key, request) = keeping::new_key()?;
    let request = EnrollRequest {
        secret: token.secret.to_vec(),
        request,
        takes_authorities: true,
    };
    let reply = remote::runtime()?.block_on(async {
        let channel = remote::connect(&token.address, pinned(token.fingerprint)?).await?;
        let reply = EnrollmentClient::new(channel).enroll(request).await;
        reply.map_err(|status| {
            anyhow::anyhow!("the collector refused: {}", text::clean(status.message()))
        })
    })?;
    let EnrollReply {
        chain,
        authority,
        mut authorities,
        ..
    } = reply.into_inner();
    if sha256(&authority) != token.fingerprint {
        bail!(
            "the collector's answer names another authority than the token; the token is used up"
        );
    }
    if authorities.is_empty() {
        // An older collector names one.
        authorities.push(authority);
    }
    let kept = keeping::keep(&files, &key, &chain, &authorities);
    kept.context("the token is used up, ask for a new one")?;
    writeln!(
        out,
        "made {} and {}: you are {} now; remove the token's file. Try: chartwatch --collector {} alerts",
        files.identity.display(),
        files.ca.display(),
        text::clean(&token.analyst),
        text::clean(&token.address)
    )
    .context("failed to write")
}

fn parse(text: &str) -> Option<Token> {
    let fields: Vec<&str> = text.trim_end().split(' ').collect();
    let [KIND, analyst, address, fingerprint, secret] = fields[..] else {
        return None;
    };
    Some(Token {
        analyst: analyst.to_owned(),
        address: address.to_owned(),
        fingerprint: unhex(fingerprint)?,
        secret: unhex(secret)?,
    })
}

/// Settings of a connection to the collector whose authority has this fingerprint.
fn pinned(fingerprint: [u8; 32]) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned {
        fingerprint,
        provider: provider.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
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
