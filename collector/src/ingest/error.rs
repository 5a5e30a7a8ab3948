//! Why a stream is ended, and the gRPC code the sensor is told.

use tonic::{Code, Status};

use super::WireError;
use crate::identity::PeerError;
use crate::log::{AppendError, LogError};

/// A stream that ends. Nothing of the message that caused it has been kept.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The first message was not Hello, or none came in time.
    #[error("the stream must begin with Hello")]
    NoHello,
    /// Hello came twice.
    #[error("Hello came a second time")]
    SecondHello,
    /// A message breaks the rules of the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The sensor sends more than it was granted.
    #[error("the batch has {bytes} bytes of events, and {left} are left of this sensor's credit")]
    Credit {
        /// Bytes of its events before they were encoded.
        bytes: u64,
        /// Bytes the sensor may send.
        left: u64,
    },
    /// The batch does not fit what the log holds.
    #[error(transparent)]
    Append(AppendError),
    /// The log cannot be used at the moment.
    #[error(transparent)]
    Log(LogError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Stream(Status),
    /// The other end has shown no certificate.
    #[error("a client certificate is needed; enrol this sensor")]
    NoCertificate,
    /// The certificate does not say whose it is.
    #[error(transparent)]
    Certificate(PeerError),
    /// The certificate is no longer valid.
    #[error("the certificate has expired; enrol this sensor again")]
    Expired,
    /// An administrator has revoked the certificate.
    #[error("the certificate was revoked; enrol this sensor again if that is right")]
    Revoked,
    /// The authority that signed the certificate was changed for another.
    #[error(
        "the certificate is of an authority that was changed for another; enrol this sensor again"
    )]
    Retired,
    /// A sensor speaks for another one.
    #[error(
        "the certificate is for sensor {certified:?}, and Hello says {claimed:?}: a sensor may only speak for itself"
    )]
    OtherName {
        /// What Hello says.
        claimed: String,
        /// What the certificate says.
        certified: String,
    },
    /// The collector is being stopped.
    #[error("the collector is stopping")]
    Stopped,
}

impl Refusal {
    /// Whether it was refused for who is at the other end.
    pub fn is_about_identity(&self) -> bool {
        matches!(
            self,
            Self::NoCertificate
                | Self::Certificate(_)
                | Self::Expired
                | Self::Revoked
                | Self::Retired
                | Self::OtherName { .. }
        )
    }

    /// Under what it is counted, without what others can write into it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NoCertificate => "shows no certificate",
            Self::Certificate(_) => "its certificate names no sensor",
            Self::Expired => "its certificate has expired",
            Self::Revoked => "its certificate was revoked",
            Self::Retired => "its certificate is of the authority before",
            Self::OtherName { .. } => "speaks for another sensor",
            Self::NoHello
            | Self::SecondHello
            | Self::Wire(_)
            | Self::Credit { .. }
            | Self::Append(_)
            | Self::Log(_)
            | Self::Stream(_)
            | Self::Stopped => "breaks the protocol",
        }
    }

    /// What the sensor is told. `Unavailable` means: try again; the others need somebody to look.
    pub fn status(&self) -> Status {
        let code = match self {
            Self::NoHello | Self::SecondHello => Code::FailedPrecondition,
            Self::Wire(WireError::Check { .. }) => Code::DataLoss,
            Self::Wire(_) => Code::InvalidArgument,
            Self::Credit { .. } => Code::ResourceExhausted,
            Self::NoCertificate
            | Self::Certificate(_)
            | Self::Expired
            | Self::Revoked
            | Self::Retired => Code::Unauthenticated,
            Self::OtherName { .. } => Code::PermissionDenied,
            Self::Append(AppendError::Overlap { .. }) => Code::AlreadyExists,
            Self::Append(AppendError::Hole { .. }) => Code::OutOfRange,
            Self::Append(AppendError::Log(_)) | Self::Log(_) | Self::Stopped => Code::Unavailable,
            Self::Stream(status) => status.code(),
        };
        Status::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_can_be_tried_again_is_unavailable() {
        let cases = [
            (Refusal::NoHello, Code::FailedPrecondition),
            (Refusal::SecondHello, Code::FailedPrecondition),
            (
                Refusal::Wire(WireError::PayloadSize { bytes: 9 }),
                Code::InvalidArgument,
            ),
            (
                Refusal::Wire(WireError::Check { found: 1, said: 2 }),
                Code::DataLoss,
            ),
            (
                Refusal::Append(AppendError::Overlap {
                    first: 1,
                    last: 2,
                    mark: 2,
                }),
                Code::AlreadyExists,
            ),
            (
                Refusal::Append(AppendError::Hole {
                    first: 9,
                    expected: 3,
                }),
                Code::OutOfRange,
            ),
            (Refusal::Log(LogError::Ended), Code::Unavailable),
            (
                Refusal::Credit { bytes: 2, left: 1 },
                Code::ResourceExhausted,
            ),
            (Refusal::NoCertificate, Code::Unauthenticated),
            (Refusal::Expired, Code::Unauthenticated),
            (Refusal::Revoked, Code::Unauthenticated),
            (Refusal::Retired, Code::Unauthenticated),
            (
                Refusal::OtherName {
                    claimed: "a".into(),
                    certified: "b".into(),
                },
                Code::PermissionDenied,
            ),
            (Refusal::Stopped, Code::Unavailable),
        ];
        for (refusal, code) in cases {
            let status = refusal.status();
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), refusal.to_string());
        }
    }
}
