//! *Listed* (R9): the destination is one that threat intelligence knows.
//!
//! No pattern of its own but what *direct* and *chain* know of a destination: so little as `[detect.listed]` says is enough for
//! an alert then, and it is critical. A warning list that has the same address or name too (a large cloud, a public resolver), or a feed
//! that is less sure than it should be, takes that away again: what is known is shown, and the usual thresholds hold. What is sent on an approved way stays approved.
//!
//! False positives come from feeds that list what many use; warning lists, and the feed's own end of life, are for these.
//!
//! ATT&CK: T1090.003 (Multi-hop Proxy) when it is a relay or authority of Tor.

use super::About;
use crate::config::{DetectConfig, DirectConfig};
use crate::detect::alert::{Alert, Destination, Level, Technique};
use crate::detect::host::Sending;
use crate::event::Direction;
use crate::intel::{Hit, Known, Side};

pub(super) const ABOUT: About = About {
    rule: "R9",
    name: "listed",
    catches: "records go to a relay of Tor, or to what else threat intelligence lists",
    alert: "thresholds of `direct` and `chain`, and critical",
    thresholds: |config| {
        let listed = config.listed;
        vec![
            ("listed.read_bytes_min", listed.read_bytes_min.to_string()),
            ("listed.sent_bytes_min", listed.sent_bytes_min.to_string()),
            ("listed.confidence_min", listed.confidence_min.to_string()),
        ]
    },
    techniques: &[MULTI_HOP],
    quiet: "without records it is nothing; warning lists and unsure feeds take its weight",
};

const TOR: &str = "tor-";
const MULTI_HOP: Technique = Technique {
    id: "T1090.003",
    name: "Proxy: Multi-hop Proxy",
    tactic_id: "TA0011",
    tactic: "Command and Control",
};

/// What is known of where something was sent, when it was last sent.
pub(super) fn look_up(config: &DetectConfig, to: &Destination, sending: &Sending) -> Known {
    if to.disk.is_some() {
        return Known::default();
    }
    let side = match to.direction {
        Direction::Accepted => Side::Inbound,
        _ => Side::Outbound,
    };
    let name = sending.name.as_ref().map(|name| name.name.as_str());
    let mut known = config
        .intel
        .look_up(to.address, name, side, sending.last_ns);
    known.only_surer(config.listed.confidence_min);
    known
}

/// The thresholds that hold for a destination.
pub(super) fn thresholds(config: &DetectConfig, known: &Known) -> DirectConfig {
    if !known.is_listed() {
        return config.direct;
    }
    let listed = config.listed;
    DirectConfig {
        read_bytes_min: listed.read_bytes_min.min(config.direct.read_bytes_min),
        sent_bytes_min: listed.sent_bytes_min.min(config.direct.sent_bytes_min),
        sent_share_min: 0.0,
        window: config.direct.window,
    }
}

/// Says in an alert what is known.
pub(super) fn tell(alert: &mut Alert, known: Known) {
    if known.is_listed() {
        alert.severity.level = Level::Critical;
        let hits = || known.hits.iter().filter(|hit| hit.counts);
        alert.severity.reasons.extend(hits().map(reason));
        let tor = hits().any(|hit| hit.label.starts_with(TOR));
        if tor && !alert.techniques.contains(&MULTI_HOP) {
            alert.techniques.push(MULTI_HOP);
        }
    } else if !known.hits.is_empty() {
        alert.severity.reasons.push(without_weight(&known));
    }
    alert.known = known;
}

fn without_weight(known: &Known) -> String {
    let why = if known.known_as.is_empty() {
        "the feeds are less sure of it than `confidence_min` of [detect.listed]".to_owned()
    } else {
        format!(
            "so many use it that this says little: it is on {}",
            known.known_as.join(", ")
        )
    };
    format!("Threat intelligence lists the destination, but {why}.")
}

fn reason(hit: &Hit) -> String {
    let sure = hit.confidence.map_or_else(String::new, |percent| {
        format!(", with a confidence of {percent} of 100")
    });
    format!(
        "Threat intelligence knows the destination {} as {} (feed {}, {}){sure}.",
        hit.value, hit.label, hit.feed, hit.version
    )
}
