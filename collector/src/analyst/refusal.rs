//! Why an analyst is refused, and as what that travels.

use tonic::Status;

use super::limits::TooMuch;
use super::wire;
use crate::identity::{Role, Roles};

/// Why a command is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "a client certificate is needed: `chartwatch enroll` gets one with a token of `chartwatch-collector token --analyst`"
    )]
    NoCertificate,
    #[error("{0}")]
    Certificate(String),
    #[error(
        "the certificate has expired; ask an administrator for a new token, then `chartwatch enroll --replace --token-file FILE`"
    )]
    Expired,
    #[error(
        "the certificate is of an authority that counts no more; ask an administrator for a new token, then `chartwatch enroll --replace --token-file FILE`"
    )]
    Retired,
    #[error("certificates of analysts are not renewed here: the hospital's authority makes them")]
    NotRenewed,
    #[error(
        "the certificate was revoked; ask the administrator for a new token if that is not right"
    )]
    Revoked,
    #[error(
        "this needs the role {needs}, and {name} has {roles}; an administrator gives roles with `chartwatch-collector roles --analyst {name}`"
    )]
    Role {
        name: String,
        needs: Role,
        roles: Roles,
    },
    #[error(
        "{0} cannot change what {0} may: ask another administrator, or do it on the collector's machine with `chartwatch-collector`"
    )]
    Oneself(String),
    #[error(transparent)]
    Arguments(#[from] wire::OutOfBounds),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("the answer was taken too slowly; what was printed is a part of it")]
    Slow,
    #[error(
        "nothing is carried out while the audit log cannot be written to; the collector's log says why"
    )]
    Audit,
    #[error("the collector could not look roles up; its log says why")]
    Book,
}

impl Refused {
    /// As the analyst is told.
    pub(super) fn status(&self) -> Status {
        let text = self.to_string();
        match self {
            Self::NoCertificate
            | Self::Certificate(_)
            | Self::Expired
            | Self::Retired
            | Self::Revoked => Status::unauthenticated(text),
            Self::Role { .. } | Self::Oneself(_) => Status::permission_denied(text),
            Self::NotRenewed | Self::Arguments(wire::OutOfBounds::Unknown) => {
                Status::unimplemented(text)
            }
            Self::Arguments(wire::OutOfBounds::Argument(_)) => Status::invalid_argument(text),
            Self::TooMuch(_) | Self::Slow => Status::resource_exhausted(text),
            Self::Audit | Self::Book => Status::unavailable(text),
        }
    }
}
