//! When an analyst should renew a certificate, and the new one: as of sensors, in good time, and early when the collector's authority is changed.

use proto::analyst::v1::{RenewReply, RenewRequest};
use proto::sensor::v1 as sensor;
use rustls::pki_types::CertificateDer;
use tonic::Status;

use super::refusal::Refused;
use crate::audit::Who;
use crate::identity::{AnalystCertificate, analyst_subject};
use crate::ingest::{Enroll, in_time};

/// Fingerprint of the collector's own authority that has signed a certificate; `None` where it is the hospital's that does.
pub(super) fn signer(
    renewal: Option<&Enroll>,
    certificate: &CertificateDer<'_>,
) -> Result<Option<String>, Refused> {
    let Some(renewal) = renewal else {
        return Ok(None);
    };
    let authorities = renewal.authorities().borrow().clone();
    // A connection may be open for longer than the authority counts that it began with.
    authorities
        .signer(certificate)
        .map(Some)
        .ok_or(Refused::Retired)
}

/// Seconds until a certificate is to be renewed; `None` where it cannot be.
pub(super) fn due(renewal: Option<&Enroll>, certificate: &AnalystCertificate) -> Option<u64> {
    let authorities = renewal?.authorities().borrow().clone();
    if authorities.is_before_change(certificate.not_before) {
        return Some(0);
    }
    Some(in_time(certificate.not_before, certificate.not_after))
}

/// Certifies another key for an analyst.
pub(super) fn renew(
    renewal: &Enroll,
    certificate: &AnalystCertificate,
    who: Who,
    asked: RenewRequest,
) -> Result<RenewReply, Status> {
    let asked = sensor::RenewRequest {
        request: asked.request,
        // Who can ask for this believes all that it is told to believe.
        takes_authorities: true,
    };
    let renewed = renewal.renew(&analyst_subject(&certificate.name), who, &asked)?;
    Ok(RenewReply {
        chain: renewed.chain,
        authorities: renewed.authorities,
    })
}
