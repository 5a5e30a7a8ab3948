//! The HTTP client of one pull: who asks, who vouches for the server, and how much and how long at most.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::error::PullError;
use super::{Login, PullConfig};
use crate::intel::feed::BYTES_MAX;

/// How long a feed may take in all.
const FEED_TIME: Duration = Duration::from_hours(1);
/// How long it may take to find a server, and to connect to it.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How long may pass without a byte, before the answer or in it.
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes that are taken at once.
const CHUNK: usize = 32 << 10;
/// Most bytes of a password's file.
const PASSWORD_MAX: u64 = 4_096;
/// Most bytes of a file of certificates.
const CERTIFICATES_MAX: u64 = 4 << 20;
/// Characters of a redirect that are shown.
const SHOWN_MAX: usize = 200;

/// What a server said by which it knows again what it gave (RFC 9110, 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Marks {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// Asks for all that is needed of one feed.
pub(super) struct Client<'a> {
    agent: Agent,
    authorization: Option<HeaderValue>,
    until: Instant,
    is_over: &'a dyn Fn() -> bool,
}

/// An answer whose body has not come yet.
pub(super) struct Answer<'a> {
    client: &'a Client<'a>,
    response: Response<Body>,
}

/// What is left of the bytes of a feed.
#[derive(Debug)]
pub(super) struct Allowance(pub(super) u64);

impl Allowance {
    /// For a whole feed.
    pub(super) fn of_a_feed() -> Self {
        Self(BYTES_MAX)
    }

    /// Takes so many.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), PullError> {
        self.0 = self.0.checked_sub(bytes).ok_or(PullError::Large)?;
        Ok(())
    }
}

impl<'a> Client<'a> {
    /// For one pull of a feed; the time it may take begins now.
    pub(super) fn new(pull: &PullConfig, is_over: &'a dyn Fn() -> bool) -> Result<Self, PullError> {
        let authorization = pull.login.as_ref().map(authorization).transpose()?;
        let tls = TlsConfig::builder()
            .root_certs(roots(pull.ca_file.as_deref())?)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("chartwatch/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT_TIME))
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        // A proxy has another loopback.
        if pull.url.parse().is_ok_and(|uri| is_loopback(&uri)) {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            authorization,
            until: Instant::now() + FEED_TIME,
            is_over,
        })
    }

    /// Asks for what is at a URL; `None` when it is still what the marks are of.
    pub(super) fn get(
        &'a self,
        url: &str,
        accept: &str,
        known: &Marks,
    ) -> Result<Option<Answer<'a>>, PullError> {
        let left = self.goes_on()?;
        let mut request = self.agent.get(url).header(header::ACCEPT, accept);
        for (name, value) in [
            (header::IF_NONE_MATCH, &known.etag),
            (header::IF_MODIFIED_SINCE, &known.last_modified),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.config().timeout_global(Some(left)).build();
        let response = request
            .call()
            .map_err(|error| PullError::Ask(Box::new(error)))?;
        let is_known = known.etag.is_some() || known.last_modified.is_some();
        match response.status().as_u16() {
            200 => Ok(Some(Answer {
                client: self,
                response,
            })),
            304 if is_known => Ok(None),
            300..=399 if response.headers().contains_key(header::LOCATION) => {
                let place = text_of(response.headers(), &header::LOCATION).unwrap_or_default();
                Err(PullError::Redirect(place.chars().take(SHOWN_MAX).collect()))
            }
            status => Err(PullError::Status { status }),
        }
    }

    /// How much time is left; an error when none is, or the collector stops.
    fn goes_on(&self) -> Result<Duration, PullError> {
        if (self.is_over)() {
            return Err(PullError::Stopped);
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PullError::Late);
        }
        Ok(left)
    }
}

impl Answer<'_> {
    /// By which the server will know it again.
    pub(super) fn marks(&self) -> Marks {
        let headers = self.response.headers();
        Marks {
            etag: text_of(headers, &header::ETAG),
            last_modified: text_of(headers, &header::LAST_MODIFIED),
        }
    }

    /// A header, if it is there and text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<String> {
        text_of(self.response.headers(), name)
    }

    /// True when the server says that it is a page for people.
    pub(super) fn is_page(&self) -> bool {
        let mime = self.response.body().mime_type();
        mime.is_some_and(|mime| mime.eq_ignore_ascii_case("text/html"))
    }

    /// Gives the body piece by piece; an error when it does not come whole, or is more than is allowed.
    pub(super) fn each(
        self,
        allowed: &mut Allowance,
        mut take: impl FnMut(&[u8]) -> Result<(), PullError>,
    ) -> Result<(), PullError> {
        // What the server says beforehand need not be fetched to be refused.
        let announced = self.response.body().content_length().unwrap_or(0);
        if announced > allowed.0 {
            return Err(PullError::Large);
        }
        let mut reader = self.response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            self.client.goes_on()?;
            let length = reader.read(&mut chunk).map_err(PullError::Broken)?;
            if length == 0 {
                return Ok(());
            }
            allowed.take(length as u64)?;
            take(&chunk[..length])?;
        }
    }

    /// The body, whole.
    pub(super) fn bytes(self, allowed: &mut Allowance) -> Result<Vec<u8>, PullError> {
        let mut bytes = Vec::new();
        self.each(allowed, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// True when a URL leads to this host.
pub fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = uri.host() else {
        return false;
    };
    let bare = host.trim_matches(['[', ']']);
    let address = bare
        .parse()
        .map(|address: std::net::IpAddr| address.is_loopback());
    address.unwrap_or(host.eq_ignore_ascii_case("localhost"))
}

/// The header that says who asks (RFC 7617, 2).
fn authorization(login: &Login) -> Result<HeaderValue, PullError> {
    let password = password(&login.password_file).map_err(|reason| PullError::Password {
        path: login.password_file.clone(),
        reason,
    })?;
    let pair = BASE64.encode(format!("{}:{password}", login.user));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))
        .map_err(|error| PullError::Ask(Box::new(ureq::Error::Http(error.into()))))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a password, or says why it is refused; the line break behind it is not part of it.
fn password(path: &Path) -> Result<String, String> {
    // A pipe would hold up whoever opens it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| format!("cannot be read: {error}"))?;
    let about = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("is no regular file".into());
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o7777;
        return Err(format!(
            "has mode {mode:04o}, so others may get at it; use 0600"
        ));
    }
    let mut text = String::new();
    file.take(PASSWORD_MAX)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(char::is_control) {
        return Err("is empty, or has a control character or a second line".into());
    }
    Ok(password.to_owned())
}

/// Who may vouch for the server: those of the file, else those whom the system trusts.
fn roots(ca_file: Option<&Path>) -> Result<RootCerts, PullError> {
    let Some(path) = ca_file else {
        // What cannot be read of them is missing; if it is all, no server is trusted, and the error says so.
        let found = rustls_native_certs::load_native_certs().certs;
        let own = |der: &rustls::pki_types::CertificateDer<'_>| {
            Certificate::from_der(der.as_ref()).to_owned()
        };
        return Ok(RootCerts::from(found.iter().map(own).collect::<Vec<_>>()));
    };
    let refused = |what: String| PullError::Certificates(format!("{}: {what}", path.display()));
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CERTIFICATES_MAX).read_to_end(&mut pem))
        .map_err(|error| refused(format!("cannot be read: {error}")))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item.map_err(|error| refused(error.to_string()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err(refused("has something else than certificates".into())),
        }
    }
    if found.is_empty() {
        return Err(refused("has no certificate".into()));
    }
    Ok(RootCerts::from(found))
}
