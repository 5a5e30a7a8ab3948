//! *Stale feed*: a feed of threat intelligence was neither pulled nor carried here for longer than it may be.
//!
//! It is about the collector and not about a host: what is listed since is not known, and *listed* is blind for it. Raised once for each time a feed
//! grows old; that it is fresh again shows in `chartwatch intel`. Who looks at the clock is the pipeline, detection has none.
//!
//! False positives: a feed that is no more: take it out of the configuration; one that comes seldom: set its `stale_days`, or 0 for never.
//!
//! ATT&CK: none; nobody has done anything.

use super::About;
use crate::config::DetectConfig;
use crate::detect::alert::{self, Alert, Confidence, Figures, Level, Path, Severity};
use crate::event::Origin;
use crate::intel::Known;
use crate::text;

/// Short name of the pattern.
const NAME: &str = "stale_feed";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 1;
/// In the place of the sensor.
const COLLECTOR: &str = "collector";

pub(super) const ABOUT: About = About {
    rule: "",
    name: NAME,
    catches: "a feed of threat intelligence was not brought up to date for too long",
    alert: "its own, about the collector",
    thresholds: |_: &DetectConfig| {
        vec![(
            "`stale_days` of `[[intel]]`",
            "7 pulled, 30 carried".to_owned(),
        )]
    },
    techniques: &[],
    quiet: "`stale_days` of the feed, 0 for never",
};

/// A feed that is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleFeed {
    /// The feed.
    pub feed: String,
    /// It is pulled by the collector.
    pub is_pulled: bool,
    /// When it was last good, nanoseconds since the Unix epoch; `None`: never.
    pub fresh_ns: Option<u64>,
    /// Days that it may be old.
    pub days: u64,
}

/// The alert about it, on a collector's host at a moment in nanoseconds since the Unix epoch.
pub fn stale_feed(stale: &StaleFeed, host: &str, at_ns: u64) -> Alert {
    let feed = text::clean(&stale.feed);
    let since = match stale.fresh_ns {
        Some(fresh_ns) => format!("since {}", text::time(fresh_ns)),
        None => "so far".to_owned(),
    };
    let (how, step) = if stale.is_pulled {
        (
            "could not be pulled",
            "See with `chartwatch intel` what was wrong the last time, and whether the collector reaches the server.",
        )
    } else {
        (
            "was not carried here anew",
            "Carry a newer file to the collector, and have it read with `systemctl reload chartwatch-collector`.",
        )
    };
    let fresh = stale.fresh_ns.map_or_else(String::new, |ns| ns.to_string());
    Alert {
        id: alert::id_of(NAME, COLLECTOR, &[&stale.feed, &fresh]),
        revision: 1,
        pattern: NAME,
        pattern_version: VERSION,
        settled: true,
        raised_ns: at_ns,
        revised_ns: at_ns,
        first_ns: stale.fresh_ns.unwrap_or(at_ns),
        last_ns: at_ns,
        origin: Origin {
            sensor: COLLECTOR.into(),
            boot_id: String::new().into(),
            host: host.into(),
        },
        severity: Severity {
            level: Level::Medium,
            confidence: Confidence::High,
            reasons: vec![format!(
                "It may be {} old; records that go to what was listed since are found only as any others.",
                text::count(stale.days, "day")
            )],
        },
        store: String::new(),
        figures: Figures::default(),
        bytes_received: 0,
        flows: 0,
        at_least: Vec::new(),
        names: Vec::new(),
        chain: Vec::new(),
        path: Path::default(),
        destination: None,
        destination_name: None,
        attempts: Vec::new(),
        techniques: Vec::new(),
        gaps: Vec::new(),
        measured_by: "`stale_days` of the feed".to_owned(),
        known: Known::default(),
        almost: Vec::new(),
        story: format!(
            "The feed of threat intelligence \"{feed}\" {how} {since}. What it would have listed since then is not known to the collector on {}.",
            text::clean(host)
        ),
        next_steps: vec![
            step.to_owned(),
            "If the feed is no more, take it out of the configuration; if it comes seldom, set its stale_days.".to_owned(),
        ],
    }
}
