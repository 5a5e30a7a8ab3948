//! *First seen*: the destination is a network to which no such program has sent, on any host, while it held records.
//!
//! No pattern of its own but what *direct* and *chain* know of a destination, as *listed* is: what `[detect.first_seen]` says is enough
//! for an alert then, if more was sent than received. What is usual is learned by the fleet (see `baseline`): a place is new for a day,
//! and after it was not seen for 28. Until the fleet has been heard of for `learning_days` nothing is new.
//!
//! False positives: updates and web pages, which receive far more than they send; new machines of the hospital, which are approved.

use crate::config::{DetectConfig, DirectConfig};
use crate::detect::alert::Alert;
use crate::detect::baseline::DAYS;
use crate::detect::host::Sending;

/// True when something is sent to a new place.
pub(super) fn is_new(sending: &Sending) -> bool {
    sending.new_place && sending.gives()
}

/// The thresholds that hold, of those that would otherwise.
pub(super) fn thresholds(
    config: &DetectConfig,
    is_new: bool,
    otherwise: DirectConfig,
) -> DirectConfig {
    if !is_new {
        return otherwise;
    }
    let first = config.first_seen;
    DirectConfig {
        read_bytes_min: first.read_bytes_min.min(otherwise.read_bytes_min),
        sent_bytes_min: first.sent_bytes_min.min(otherwise.sent_bytes_min),
        ..otherwise
    }
}

/// Says in an alert that the place is new.
pub(super) fn tell(alert: &mut Alert, is_new: bool) {
    if is_new {
        alert.severity.reasons.push(format!(
            "No program like this had sent to that network within {DAYS} days, on any computer that is watched, while it held records."
        ));
    }
}
