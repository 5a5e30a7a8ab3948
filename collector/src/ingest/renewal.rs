//! When a sensor should renew its certificate: in good time, and early while the collector's authority is being changed.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::{Enroll, Ingest, Refusal, now_s};
use crate::fleet;
use crate::identity::{Authorities, SensorCertificate};

/// An early renewal waits so long at least: until a change has been seen everywhere.
const EARLY_S: u64 = 3;
/// Early renewals in a second, of all sensors together: each is two signatures and a new connection.
const EARLY_PER_S: u64 = 20;

/// Seconds until a certificate is to be renewed; `None` where it cannot be.
pub(super) fn due(ingest: &Ingest, certificate: Option<&SensorCertificate>) -> Option<u64> {
    let (renewal, certificate) = (ingest.renewal.as_ref()?, certificate?);
    let in_time = in_time(certificate.not_before, certificate.not_after);
    let authorities = renewal.authorities().borrow().clone();
    if !authorities.is_before_change(certificate.not_before) {
        return Some(in_time);
    }
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let turns = ingest.counts.streams_open() / EARLY_PER_S + 1;
    Some(in_time.min(EARLY_S + (random & 0xffff) % turns))
}

/// Seconds until two thirds of a certificate's life are over.
pub(crate) fn in_time(not_before: i64, not_after: i64) -> u64 {
    let life = not_after.saturating_sub(not_before);
    let due = not_before.saturating_add(life / 3 * 2);
    u64::try_from(due.saturating_sub(now_s())).unwrap_or(0)
}

/// Whether the authority that signed a certificate still counts.
pub(super) fn counts(
    renewal: Option<&Enroll>,
    certificate: Option<&SensorCertificate>,
) -> Result<(), Refusal> {
    let (Some(renewal), Some(certificate)) = (renewal, certificate) else {
        return Ok(());
    };
    let signer = certificate.authority.as_deref().unwrap_or_default();
    if renewal.authorities().borrow().believes(signer) {
        Ok(())
    } else {
        Err(Refusal::Retired)
    }
}

/// What the list of sensors keeps of a certificate.
pub(super) fn seen(certificate: &SensorCertificate) -> fleet::Certificate {
    fleet::Certificate {
        from_s: certificate.not_before,
        until_s: certificate.not_after,
        authority: certificate.authority.clone().unwrap_or_default(),
    }
}

/// Tells that the authority was changed.
pub(super) struct Changes(Option<watch::Receiver<Arc<Authorities>>>);

impl Changes {
    /// What comes after what was seen so far.
    pub(super) fn of(ingest: &Ingest) -> Self {
        let told = ingest.renewal.as_ref().map(Enroll::authorities);
        Self(told.map(|mut told| {
            told.mark_unchanged();
            told
        }))
    }

    /// Waits for the next; for ever, when there will be none.
    pub(super) async fn next(&mut self) {
        let told = match &mut self.0 {
            Some(told) => told.changed().await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    }
}
