//! A sensor's first certificate, for a token that is spent with it, and the later ones, for the one before. With the first goes the
//! hospital's key for names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::privacy::Key;
use proto::sensor::v1::enrollment_server::{Enrollment, EnrollmentServer};
use proto::sensor::v1::{EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use time::OffsetDateTime;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::caller;
use crate::audit::{Action, AuditError, Desk, Entry, Who};
use crate::fleet::FleetHandle;
use crate::identity::{
    Authorities, Book, IdentityError, RequestError, RequestedKey, analyst_of, token_mark,
};

/// Largest request taken off the wire: a certificate request and a secret.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The service, one for all strangers.
#[derive(Debug, Clone)]
pub struct Enroll {
    inner: Arc<Inner>,
    fleet: Option<FleetHandle>,
}

#[derive(Debug)]
struct Inner {
    authorities: watch::Receiver<Arc<Authorities>>,
    book: Mutex<Book>,
    valid: Duration,
    key: Option<Key>,
    audit: Desk,
}

/// Why nobody was certified.
#[derive(Debug, thiserror::Error)]
enum EnrollError {
    #[error(
        "the token is unknown, was used, or has expired; make a new one with `chartwatch-collector token`"
    )]
    Token,
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Enroll {
    /// A service that certifies for so long.
    pub fn new(
        authorities: watch::Receiver<Arc<Authorities>>,
        book: Book,
        valid: Duration,
        key: Option<Key>,
        audit: Desk,
    ) -> Self {
        let book = Mutex::new(book);
        let inner = Arc::new(Inner {
            authorities,
            book,
            valid,
            key,
            audit,
        });
        Self { inner, fleet: None }
    }

    /// The same, which tells of those it does not certify.
    #[must_use]
    pub fn telling(self, fleet: FleetHandle) -> Self {
        let fleet = Some(fleet);
        Self { fleet, ..self }
    }

    /// Whose certificates count, from now on.
    pub(crate) fn authorities(&self) -> watch::Receiver<Arc<Authorities>> {
        self.inner.authorities.clone()
    }

    /// Certifies the key of a request for a sensor, or an analyst's subject, whose certificate was let in.
    pub(crate) fn renew(
        &self,
        sensor: &str,
        who: Who,
        request: &RenewRequest,
    ) -> Result<RenewReply, Status> {
        // Before anything else: a revocation that comes meanwhile is then later, and holds for the new one too.
        let now = OffsetDateTime::now_utc();
        let renewed = RequestedKey::read(&request.request)
            .map_err(EnrollError::from)
            .and_then(|key| {
                self.inner
                    .sign(sensor, &key, now, request.takes_authorities)
            });
        let reply = renewed.map_err(|error| {
            tracing::warn!(sensor = %sensor.escape_debug(), %error, "a certificate was not renewed");
            let entry = Entry::new(Action::CertificateRefused).by(who.clone());
            let entry = entry.about(sensor).with("reason", &error.to_string());
            self.inner.audit.repeated(entry);
            error.status()
        })?;
        tracing::info!(sensor = %sensor.escape_debug(), "certificate renewed");
        // It lets in nobody who was not in: a disk that is full must not lock out sensors, so this does not wait for it.
        let entry = Entry::new(Action::CertificateRenewed).by(who).about(sensor);
        self.inner.audit.note(entry);
        Ok(RenewReply {
            chain: reply.chain,
            authority: reply.authority,
            authorities: reply.authorities,
        })
    }

    /// The service as tonic's router wants it, with its size limit set.
    pub(crate) fn into_server(self) -> EnrollmentServer<Self> {
        EnrollmentServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Enrollment for Enroll {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollReply>, Status> {
        let end = caller(&request);
        let who = end.who();
        let (inner, request, by) = (self.inner.clone(), request.into_inner(), who.clone());
        let certified = tokio::task::spawn_blocking(move || inner.certify(&request, by)).await;
        let certified = certified.map_err(|_| Status::internal("enrolment ended with a panic"))?;
        certified.map(Response::new).map_err(|error| {
            tracing::warn!(address = end.address(), %error, "a sensor was not enrolled");
            if let (Some(fleet), Some(kind)) = (&self.fleet, error.kind()) {
                fleet.refused(&end.address(), "", kind);
            }
            let entry = Entry::new(Action::TokenRefused).by(who);
            self.inner
                .audit
                .repeated(entry.with("reason", &error.to_string()));
            error.status()
        })
    }
}

impl Inner {
    fn certify(&self, request: &EnrollRequest, who: Who) -> Result<EnrollReply, EnrollError> {
        // What cannot be certified, or not be said in the audit log, costs no token.
        let key = RequestedKey::read(&request.request)?;
        self.audit.ready()?;
        let now = OffsetDateTime::now_utc();
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let sensor = book
            .spend(&request.secret, now.unix_timestamp())?
            .ok_or(EnrollError::Token)?;
        drop(book);
        let analyst = analyst_of(&sensor);
        let mut reply = self.sign(&sensor, &key, now, request.takes_authorities)?;
        // An analyst has names turned back here, with a reason, and gets no key for it.
        if let (Some(key), None) = (&self.key, analyst) {
            reply.token_key = key.bytes().to_vec();
        }
        let entry = Entry::new(Action::CertificateIssued).by(who).about(&sensor);
        self.audit
            .must(&entry.with("token", &token_mark(&request.secret)))?;
        tracing::info!(sensor = %sensor.escape_debug(), "enrolled");
        Ok(reply)
    }

    fn sign(
        &self,
        sensor: &str,
        key: &RequestedKey,
        now: OffsetDateTime,
        takes_authorities: bool,
    ) -> Result<EnrollReply, EnrollError> {
        let valid = time::Duration::seconds(self.valid.as_secs() as i64);
        let authorities = self.authorities.borrow().clone();
        // Who believes one authority only would not know the collector any more under the next one, and is told apart by this.
        let authority = if takes_authorities {
            authorities.newest()
        } else {
            authorities.current()
        };
        let certificate = match analyst_of(sensor) {
            Some(analyst) => authority.analyst(analyst, key, now, valid)?,
            None => authority.sensor(sensor, key, now, valid)?,
        };
        let all = authorities.certificates().into_iter();
        Ok(EnrollReply {
            chain: vec![certificate.to_vec()],
            authority: authorities.current().certificate().to_vec(),
            authorities: all.map(|authority| authority.to_vec()).collect(),
            // Only who enrols gets it: whoever renews has it.
            token_key: Vec::new(),
        })
    }
}

impl EnrollError {
    /// Under what it is counted; `None` when the fault is this side's.
    fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Token => Some("its token is unknown, used or expired"),
            Self::Request(_) => Some("its certificate request cannot be used"),
            Self::Identity(_) | Self::Audit(_) => None,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Token => Status::permission_denied(self.to_string()),
            Self::Request(_) => Status::invalid_argument(self.to_string()),
            // Of no use to a stranger; the log has it.
            Self::Identity(_) | Self::Audit(_) => {
                Status::unavailable("the collector could not certify; its log says why")
            }
        }
    }
}
