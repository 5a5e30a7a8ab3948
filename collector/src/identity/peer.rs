//! What the other end of a connection has shown of itself.
//!
//! rustls has checked the certificate against the authority and its validity when the connection began; here stands what it says.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, DnsName};
use time::OffsetDateTime;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, Tag};

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// TLS is off: whoever reaches the loopback address may say any name.
    Trusted,
    /// It showed no certificate.
    Nobody,
    /// It showed one that the authority signed and that says this, or nothing that could be used.
    Certified(Result<Arc<SensorCertificate>, PeerError>),
}

/// What a sensor's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorCertificate {
    /// The sensor it is for.
    pub name: Arc<str>,
    /// First moment it is valid, seconds since the Unix epoch.
    pub not_before: i64,
    /// Last moment it is valid, seconds since the Unix epoch.
    pub not_after: i64,
    /// Fingerprint of the collector's own authority that signed it; `None` when a hospital's did.
    pub authority: Option<String>,
}

/// A certificate that says nothing a sensor could be told by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not exactly one DNS name.
    #[error("the certificate must hold exactly one DNS name, the sensor's, and holds {0}")]
    Names(usize),
    /// Not exactly one name, an analyst's.
    #[error(
        "the certificate is no analyst's; `chartwatch enroll` gets one with a token of `chartwatch-collector token --analyst`"
    )]
    NoAnalyst,
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Form(String),
}

impl SensorCertificate {
    /// Reads name and validity from a certificate that has been verified.
    ///
    /// # Errors
    ///
    /// It has no DNS name (RFC 5280, 4.2.1.6), or several, or cannot be read.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| PeerError::Form(error.to_string()))?;
        let names: Vec<&str> = parsed.valid_dns_names().collect();
        let [name] = names[..] else {
            return Err(PeerError::Names(names.len()));
        };
        let (not_before, not_after) =
            validity(certificate).map_err(|error| PeerError::Form(error.to_string()))?;
        Ok(Self {
            name: name.into(),
            not_before,
            not_after,
            authority: None,
        })
    }
}

/// Whether a certificate can hold a sensor's name.
pub(crate) fn can_be_certified(name: &str) -> bool {
    DnsName::try_from(name).is_ok() && !name.starts_with('*')
}

/// First and last second of a certificate (RFC 5280, 4.1.2.5).
pub(super) fn validity(certificate: &[u8]) -> ASN1Result<(i64, i64)> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|reader| {
            let tbs = reader.next().read_der()?;
            skip(reader.next())?; // signatureAlgorithm
            skip(reader.next())?; // signature
            tbs_validity(&tbs)
        })
    })
}

fn tbs_validity(tbs: &[u8]) -> ASN1Result<(i64, i64)> {
    yasna::parse_der(tbs, |reader| {
        reader.read_sequence(|reader| {
            // version, serialNumber, signature, issuer
            for _ in 0..4 {
                skip(reader.next())?;
            }
            let validity = reader
                .next()
                .read_sequence(|reader| Ok((seconds(reader.next())?, seconds(reader.next())?)))?;
            // subject, subjectPublicKeyInfo, and what may follow.
            skip(reader.next())?;
            skip(reader.next())?;
            while reader.read_optional(skip)?.is_some() {}
            Ok(validity)
        })
    })
}

fn skip(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_der().map(drop)
}

fn seconds(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    const UTC_TIME: Tag = yasna::tags::TAG_UTCTIME;
    const GENERALIZED_TIME: Tag = yasna::tags::TAG_GENERALIZEDTIME;
    let time: OffsetDateTime = match reader.lookahead_tag()? {
        UTC_TIME => *reader.read_utctime()?.datetime(),
        GENERALIZED_TIME => *reader.read_generalized_time()?.datetime(),
        _ => return Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    };
    Ok(time.unix_timestamp())
}
