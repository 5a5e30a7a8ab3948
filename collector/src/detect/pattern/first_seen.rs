//! *First seen* (R6): the destination is a network to which no such program has sent, on any host, while it held records.
//!
//! No pattern of its own but what *direct* and *chain* know of a destination, as *listed* is: what `[detect.first_seen]` says is enough
//! for an alert then, if more was sent than received. What is usual is learned by the fleet (see `baseline`): a place is new for a day,
//! and after it was not seen for 28. Until the fleet has been heard of for `learning_days` nothing is new.
//!
//! False positives: updates and web pages, which receive far more than they send; new machines of the hospital, which are approved.
//!
//! ATT&CK: none of its own; that a place is new is why, and not how.

use super::About;
use crate::config::{DetectConfig, DirectConfig, LessConfig};
use crate::detect::alert::Alert;
use crate::detect::baseline::DAYS;
use crate::detect::host::Sending;

pub(super) const ABOUT: About = About {
    rule: "R6",
    name: "first_seen",
    catches: "records go to a network to which no such program had sent, on any host, while it held records",
    alert: "thresholds of `direct` and `chain`",
    thresholds: |config| less("first_seen", &config.first_seen),
    techniques: &[],
    quiet: "more must be sent than received; nothing is new in the first `learning_days`",
};

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
    otherwise.lowered(&config.first_seen)
}

/// Thresholds below a table of `[detect]`, as they are told.
pub(super) fn less(table: &str, less: &LessConfig) -> Vec<(&'static str, String)> {
    let (read, sent) = match table {
        "tunnel" => ("tunnel.read_bytes_min", "tunnel.sent_bytes_min"),
        "raw" => ("raw.read_bytes_min", "raw.sent_bytes_min"),
        _ => ("first_seen.read_bytes_min", "first_seen.sent_bytes_min"),
    };
    vec![
        (read, less.read_bytes_min.to_string()),
        (sent, less.sent_bytes_min.to_string()),
    ]
}

/// Says in an alert that the place is new.
pub(super) fn tell(alert: &mut Alert, is_new: bool) {
    if is_new {
        alert.severity.reasons.push(format!(
            "No program like this had sent to that network within {DAYS} days, on any computer that is watched, while it held records."
        ));
    }
}
