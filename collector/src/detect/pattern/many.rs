//! *Many*: many records were read, perhaps of each only a little, as the head of it that has the name.
//!
//! No pattern of its own: where at least `records_min` distinct records of a store were read, what `[detect.many]` says is enough for
//! *direct* and *chain*, if more was sent than received.
//!
//! False positives: programs that look at the head of each file and report about it, indexers and thumbnailers among them. Approve the way.
//!
//! ATT&CK: none of its own; how many records there were is why, and not how.

use super::About;
use crate::config::{DetectConfig, DirectConfig};

pub(super) const ABOUT: About = About {
    rule: "",
    name: "many",
    catches: "many records were read, of each perhaps only its head, and something is sent",
    alert: "thresholds of `direct` and `chain`",
    thresholds: |config| {
        let many = &config.many;
        vec![
            ("many.records_min", many.records_min.to_string()),
            ("many.read_bytes_min", many.less.read_bytes_min.to_string()),
            ("many.sent_bytes_min", many.less.sent_bytes_min.to_string()),
        ]
    },
    techniques: &[],
    quiet: "more must be sent than received, and a share of what was read",
};

/// The thresholds that hold where so many records were read, of those that would otherwise; `gives` when more was sent than received.
pub(super) fn thresholds(
    config: &DetectConfig,
    records: u64,
    gives: bool,
    otherwise: DirectConfig,
) -> DirectConfig {
    let many = &config.many;
    if many.records_min == 0 || records < many.records_min || !gives {
        return otherwise;
    }
    otherwise.lowered(&many.less)
}
