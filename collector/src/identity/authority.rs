//! The collector's own certificate authority: ECDSA on P-256, made once, kept in two files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use time::{Duration, OffsetDateTime};

use super::{IdentityError, directory, files, token};

/// Name of the files of the authority that the collector's certificate is of.
pub(super) const CURRENT: &str = "ca";

/// Name of the authority in its certificate. Never another one: certificates name it as their issuer.
const NAME: &str = "Chartwatch collector CA";
/// How long the authority lasts: longer than the machines that trust it.
const AUTHORITY_DAYS: i64 = 3_650;
/// How long the collector's certificate lasts; it is made anew daily.
const SERVER_DAYS: i64 = 30;
/// A sensor's clock may be behind by so much and still find the collector's certificate valid.
const CLOCK_SLACK: Duration = Duration::HOUR;

/// The authority, with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    file: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the authority of a data directory, or makes it when there is none at all.
    ///
    /// # Errors
    ///
    /// A file cannot be read or made, the key is open to others, only one of the two files is there, or one is not what it must
    /// be. Nothing is written over.
    pub fn open_or_make(data_dir: &Path) -> Result<Self, IdentityError> {
        let directory = directory(data_dir);
        if let Some(authority) = Self::open(data_dir)? {
            return Ok(authority);
        }
        files::make_private_directory(&directory)?;
        let made = Self::make(&directory, CURRENT)?;
        tracing::info!(directory = %directory.display(), "made a certificate authority; keep a copy of its key where only administrators get at it");
        Ok(made)
    }

    /// Makes an authority in two files of a name, the certificate last: it is there once the certificate is. A key that is there
    /// already, from an attempt that was cut off, is gone on with.
    pub(super) fn make(directory: &Path, name: &str) -> Result<Self, IdentityError> {
        let [key_file, file] = files_of(directory, name);
        let found = files::read_private(&key_file)?;
        let key = match &found {
            Some(key) => KeyPair::from_pem(key).map_err(|e| form(&key_file, e.to_string()))?,
            None => KeyPair::generate()?,
        };
        let certificate = params()?.self_signed(&key)?;
        let (secret, public) = (key.serialize_pem(), certificate.pem());
        let (secret_name, public_name) = (format!("{name}.key"), format!("{name}.pem"));
        let both = [
            (secret_name.as_str(), secret.as_str(), 0o600),
            (public_name.as_str(), public.as_str(), 0o644),
        ];
        files::create(directory, if found.is_some() { &both[1..] } else { &both })?;
        Self::from_parts(key, certificate.der().clone(), file)
    }

    /// Reads the authority of a data directory; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::open_or_make`].
    pub fn open(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        Self::read(&directory(data_dir), CURRENT)
    }

    /// Reads the two files of a name; an attempt to make them that was cut off in between is brought to its end.
    pub(super) fn read(directory: &Path, name: &str) -> Result<Option<Self>, IdentityError> {
        files::finish(directory, &[&format!("{name}.key"), &format!("{name}.pem")])?;
        let [key_file, file] = files_of(directory, name);
        match (files::read_private(&key_file)?, files::read(&file)?) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(half(file, key_file)),
            (None, Some(_)) => Err(half(key_file, file)),
            (Some(key), Some(certificate)) => {
                let key =
                    KeyPair::from_pem(&key).map_err(|error| form(&key_file, error.to_string()))?;
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
                    .map_err(|error| form(&file, error.to_string()))?;
                Self::from_parts(key, certificate, file).map(Some)
            }
        }
    }

    fn from_parts(
        key: KeyPair,
        certificate: CertificateDer<'static>,
        file: PathBuf,
    ) -> Result<Self, IdentityError> {
        let parsed = webpki::EndEntityCert::try_from(&certificate)
            .map_err(|error| form(&file, error.to_string()))?;
        if parsed.subject_public_key_info().as_ref() != key.subject_public_key_info() {
            return Err(form(
                &file,
                "is not the certificate of the key beside it".to_owned(),
            ));
        }
        Ok(Self {
            issuer: Issuer::new(params()?, key),
            certificate,
            file,
        })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the certificate, as hexadecimal digits: by it tokens name the authority.
    pub fn fingerprint(&self) -> String {
        token::hex(digest(&SHA256, &self.certificate).as_ref())
    }

    /// First second of the authority's own validity, since the Unix epoch.
    pub(super) fn made_s(&self) -> Result<i64, IdentityError> {
        let said = super::peer::validity(&self.certificate);
        let (from, _) = said.map_err(|error| form(&self.file, error.to_string()))?;
        Ok(from + CLOCK_SLACK.whole_seconds())
    }

    /// Whether this authority, and no other that calls itself so, has signed a certificate of a sensor that is valid now.
    pub(super) fn has_signed(&self, certificate: &CertificateDer<'_>) -> bool {
        let verified = || {
            let anchor = webpki::anchor_from_trusted_cert(&self.certificate).ok()?;
            let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
            parsed
                .verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    &[anchor],
                    &[],
                    UnixTime::now(),
                    webpki::KeyUsage::client_auth(),
                    None,
                    None,
                )
                .ok()
                .map(drop)
        };
        verified().is_some()
    }

    /// File of the authority's certificate.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A new key and certificate for the collector, under these names and addresses.
    pub(super) fn server(
        &self,
        names: &[String],
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
        let key = KeyPair::generate()?;
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = named("Chartwatch collector");
        params.not_before = now - CLOCK_SLACK;
        params.not_after = now + Duration::days(SERVER_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((
            vec![certificate.der().clone(), self.certificate.clone()],
            key.into(),
        ))
    }

    /// A certificate for a sensor's key, valid from `now` on. The name stands in it as a DNS name and as the common name.
    ///
    /// # Errors
    ///
    /// The name is no DNS name (RFC 5280, 4.2.1.6).
    pub fn sensor(
        &self,
        name: &str,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
        valid: Duration,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let san = SanType::DnsName(name.try_into()?);
        self.client(name, san, key, now, valid)
    }

    /// A certificate for an analyst's key, valid from `now` on. The name stands in it as a URI and as the common name.
    ///
    /// # Errors
    ///
    /// The name is not one that can stand in a URI (RFC 5280, 4.2.1.6).
    pub fn analyst(
        &self,
        name: &str,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
        valid: Duration,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let san = SanType::URI(super::analyst::certified(name).as_str().try_into()?);
        self.client(name, san, key, now, valid)
    }

    fn client(
        &self,
        name: &str,
        san: SanType,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
        valid: Duration,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.subject_alt_names = vec![san];
        params.not_before = now;
        params.not_after = now + valid;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

/// Files of an authority: key and certificate.
pub(super) fn files_of(directory: &Path, name: &str) -> [PathBuf; 2] {
    ["key", "pem"].map(|kind| directory.join(format!("{name}.{kind}")))
}

/// Whether a certificate is of the key in another file.
pub(super) fn belong_together(key_file: &Path, file: &Path) -> Result<bool, IdentityError> {
    let (Some(key), Some(certificate)) = (files::read_private(key_file)?, files::read(file)?)
    else {
        return Ok(false);
    };
    let key = KeyPair::from_pem(&key).map_err(|error| form(key_file, error.to_string()))?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|error| form(file, error.to_string()))?;
    Ok(Authority::from_parts(key, certificate, file.to_owned()).is_ok())
}

/// What the authority's certificate says of itself.
fn params() -> Result<CertificateParams, IdentityError> {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(NAME);
    params.not_before = now - CLOCK_SLACK;
    params.not_after = now + Duration::days(AUTHORITY_DAYS);
    // It signs what talks, and no other authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn half(missing: PathBuf, there: PathBuf) -> IdentityError {
    IdentityError::Half { missing, there }
}

fn form(file: &Path, reason: String) -> IdentityError {
    IdentityError::Form {
        file: file.to_owned(),
        reason,
        remedy: "put the file back from a backup",
    }
}
