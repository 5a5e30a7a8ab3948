//! A sensor's first certificate, for a token that is spent with it, and the later ones, for the one before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::sensor::v1::enrollment_server::{Enrollment, EnrollmentServer};
use proto::sensor::v1::{EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use crate::identity::{Authority, Book, IdentityError, RequestError, RequestedKey};

/// Largest request taken off the wire: a certificate request and a secret.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The service, one for all strangers.
#[derive(Debug, Clone)]
pub struct Enroll(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Arc<Authority>,
    book: Mutex<Book>,
    valid: Duration,
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
}

impl Enroll {
    /// A service that certifies for so long.
    pub fn new(authority: Arc<Authority>, book: Book, valid: Duration) -> Self {
        let book = Mutex::new(book);
        Self(Arc::new(Inner {
            authority,
            book,
            valid,
        }))
    }

    /// Certifies the key of a request for a sensor whose certificate was let in.
    pub(super) fn renew(&self, sensor: &str, request: &RenewRequest) -> Result<RenewReply, Status> {
        // Before anything else: a revocation that comes meanwhile is then later, and holds for the new one too.
        let now = OffsetDateTime::now_utc();
        let renewed = RequestedKey::read(&request.request)
            .map_err(EnrollError::from)
            .and_then(|key| self.0.sign(sensor, &key, now));
        let reply = renewed.map_err(|error| {
            tracing::warn!(sensor = %sensor.escape_debug(), %error, "a certificate was not renewed");
            error.status()
        })?;
        tracing::info!(sensor = %sensor.escape_debug(), "certificate renewed");
        Ok(RenewReply {
            chain: reply.chain,
            authority: reply.authority,
        })
    }

    /// The service as tonic's router wants it, with its size limit set.
    pub(super) fn into_server(self) -> EnrollmentServer<Self> {
        EnrollmentServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Enrollment for Enroll {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollReply>, Status> {
        let (inner, request) = (self.0.clone(), request.into_inner());
        let certified = tokio::task::spawn_blocking(move || inner.certify(&request)).await;
        let certified = certified.map_err(|_| Status::internal("enrolment ended with a panic"))?;
        certified.map(Response::new).map_err(|error| {
            tracing::warn!(%error, "a sensor was not enrolled");
            error.status()
        })
    }
}

impl Inner {
    fn certify(&self, request: &EnrollRequest) -> Result<EnrollReply, EnrollError> {
        // A request that cannot be used costs no token.
        let key = RequestedKey::read(&request.request)?;
        let now = OffsetDateTime::now_utc();
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let sensor = book
            .spend(&request.secret, now.unix_timestamp())?
            .ok_or(EnrollError::Token)?;
        drop(book);
        let reply = self.sign(&sensor, &key, now)?;
        tracing::info!(sensor = %sensor.escape_debug(), "sensor enrolled");
        Ok(reply)
    }

    fn sign(
        &self,
        sensor: &str,
        key: &RequestedKey,
        now: OffsetDateTime,
    ) -> Result<EnrollReply, EnrollError> {
        let valid = time::Duration::seconds(self.valid.as_secs() as i64);
        let certificate = self.authority.sensor(sensor, key, now, valid)?;
        Ok(EnrollReply {
            chain: vec![certificate.to_vec()],
            authority: self.authority.certificate().to_vec(),
        })
    }
}

impl EnrollError {
    fn status(&self) -> Status {
        match self {
            Self::Token => Status::permission_denied(self.to_string()),
            Self::Request(_) => Status::invalid_argument(self.to_string()),
            // Of no use to a stranger; the log has it.
            Self::Identity(_) => {
                Status::unavailable("the collector could not certify; its log says why")
            }
        }
    }
}
