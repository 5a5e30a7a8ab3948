//! What detection knows when the collector starts, from what was kept and from the log, and how it is kept while it runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{StartError, horizon_ns};
use crate::alerts::{AlertStore, Raised, Then};
use crate::audit::{Action, Desk, Entry};
use crate::checkpoint;
use crate::config::{Config, Shared};
use crate::detect::baseline::Baseline;
use crate::detect::{Detector, recall};
use crate::log::LogReader;
use crate::text;

/// After so many days without use an approved way is named; work of once a month is not.
const UNUSED_DAYS: u32 = 35;

/// A detector with what was learned before, which has not seen anything of the log yet, and where it has to begin: at the horizon, or
/// earlier if nothing has been learned from there on, or if an alert is missing that is about what was before.
pub(super) fn detector(
    config: &Config,
    detect: Shared,
    log_id: uuid::Uuid,
    store: &AlertStore,
    audit: &Desk,
) -> Result<(Detector, i64), StartError> {
    let reader = LogReader::open(&config.data_dir)?;
    let last_pos = reader.last_pos()?;
    let kept = checkpoint::open(&config.data_dir, log_id, last_pos, |aside, reason| {
        let entry = Entry::new(Action::SetAside).about(&aside.to_string_lossy());
        audit.note(entry.with("reason", reason));
    })?;
    if kept.is_none() && last_pos == 0 {
        // From here on all of the log has been looked at, or is after a crash, however old its events are.
        checkpoint::save(&config.data_dir, log_id, (&Baseline::default(), 0))?;
    }
    let kept_up_to = kept.as_ref().map(|kept| kept.pos);
    let mut learned = kept.unwrap_or_default();
    tell_unused(config, &mut learned.baseline);
    let missing = recall::recall(&mut learned.baseline, |telling| store.recall(telling))?;
    let horizon_ns = horizon_ns(config);
    let mut from_ns = reader.newest_ns()?.saturating_sub(horizon_ns);
    if let Some(since_ns) = missing.since_ns {
        tracing::warn!(
            alerts = missing.alerts,
            since = text::time(since_ns),
            "alerts that were raised are not among those that are stored; they are raised again, as far as the log goes back"
        );
        // Who the processes are was told before.
        from_ns = from_ns.min(since_ns.saturating_sub(horizon_ns));
    }
    let mut from = reader.first_pos_since(from_ns)?;
    // Without anything learned, the horizon is where learning begins.
    if let Some(pos) = kept_up_to {
        from = from.min(pos + 1);
    }
    let detector = Detector::following(detect).knowing(learned.baseline, learned.pos);
    Ok((detector, from))
}

/// Names approved ways that nobody has used for as long as is remembered: an exception that is not needed only hides something.
fn tell_unused(config: &Config, baseline: &mut Baseline) {
    for way in &config.detect.approved {
        baseline.know_way(&way.name);
        if baseline.is_unused(&way.name, UNUSED_DAYS) {
            tracing::warn!(
                way = text::clean(&way.name),
                "this approved way was not used for {UNUSED_DAYS} days; remove it if the work is no more"
            );
        }
    }
}

/// Keeps what detection has learned.
pub(super) struct Books {
    data_dir: PathBuf,
    log_id: uuid::Uuid,
    /// Place in the log up to which it is kept, and when it was.
    kept: (i64, Instant),
}

impl Books {
    pub(super) fn open(data_dir: &Path, log_id: uuid::Uuid) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            log_id,
            kept: (0, Instant::now()),
        }
    }

    /// Has it kept, unless it was a short while ago. What was learned knows which alerts were raised, so they have to be stored before:
    /// it goes the way they go. A failure costs a longer start, and is said.
    pub(super) fn keep(&mut self, detector: &Detector, for_at_least: Duration) -> Option<Raised> {
        let (baseline, pos) = detector.learned();
        if pos == self.kept.0 || self.kept.1.elapsed() < for_at_least {
            return None;
        }
        self.kept = (pos, Instant::now());
        let (data_dir, log_id, baseline) = (self.data_dir.clone(), self.log_id, baseline.clone());
        Some(Raised::Then(Then(Box::new(move || {
            if let Err(error) = checkpoint::save(&data_dir, log_id, (&baseline, pos)) {
                tracing::error!(%error, "what was learned could not be kept; a restart learns it again from the log");
            }
        }))))
    }
}
