//! Feeds while the collector runs: they are read again, and what is new in them is looked for in the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::{decode, horizon_ns};
use crate::alerts::Raised;
use crate::analyst;
use crate::config::{Config, Shared};
use crate::detect::{Alert, Detector};
use crate::intel::{FeedConfig, Status};
use crate::log::{LogError, LogReader};
use crate::replay::Reading;
use crate::text;

/// What the collector works with, for whoever reads it again while it runs.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// The configuration that was read last; held while the feeds are read, so that one reads them at a time.
    pub(super) config: Arc<Mutex<Config>>,
    pub(super) detect: Shared,
    /// Where alerts go; a search in the log holds nothing up when all others have gone.
    pub(super) raised: mpsc::WeakSender<Raised>,
}

impl Current {
    /// Where the collector keeps its data.
    pub(super) fn data_dir(&self) -> PathBuf {
        let current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        current.data_dir.clone()
    }

    /// The feeds that there are now.
    pub(super) fn feeds(&self) -> Vec<FeedConfig> {
        let current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        current.feeds.clone()
    }

    /// What analysts' commands work with; the feeds' state is read anew when it is asked for.
    pub(super) fn now(self) -> analyst::Now {
        Arc::new(move |wants_feeds| {
            let detect = self.detect.get();
            let feeds = if wants_feeds {
                let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
                let mut config = config.clone();
                config.read_feeds(&detect.intel)
            } else {
                Vec::new()
            };
            ((*detect).clone(), feeds)
        })
    }

    /// Reads the feeds again, with a new configuration if there is one, and looks for what is new in them in the log. Returns when
    /// detection works with them, with what feeds there are now.
    pub(super) fn read_feeds(&self, new: Option<Config>) -> Vec<FeedConfig> {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = new {
            *current = as_it_runs(new, &current);
        }
        let before = self.detect.get();
        tell(&current.read_feeds(&before.intel));
        let listed_anew = current.detect.intel != before.intel;
        self.detect.set(Arc::new(current.detect.clone()));
        if !listed_anew {
            return current.feeds.clone();
        }
        let (config, raised) = (current.clone(), self.raised.clone());
        let hunting = std::thread::Builder::new().name("hunt".into());
        if let Err(error) = hunting.spawn(move || hunt(&config, &raised)) {
            tracing::error!(%error, "what is new in the feeds is not looked for in the log");
        }
        current.feeds.clone()
    }
}

/// A new configuration with what a running collector cannot change.
fn as_it_runs(mut new: Config, running: &Config) -> Config {
    let fixed = |config: &Config| {
        let sinks = (config.file_sink.clone(), config.syslog_sink.clone());
        let link = (
            (config.analysts, config.listen),
            config.tls.clone(),
            config.token_key.clone(),
        );
        (link, config.data_dir.clone(), sinks)
    };
    if fixed(&new) != fixed(running) {
        tracing::warn!(
            "listen, tls, privacy, analyst, data_dir or a sink is another in the configuration: that counts after a restart"
        );
    }
    new.keep_data_dir(running.data_dir.clone());
    new.listen = running.listen;
    new.analysts = running.analysts;
    new.tls.clone_from(&running.tls);
    new.token_key.clone_from(&running.token_key);
    new.file_sink.clone_from(&running.file_sink);
    new.syslog_sink.clone_from(&running.syslog_sink);
    new
}

/// Runs the log through detection with new feeds and raises, as it stands at the end, what is listed now.
fn hunt(config: &Config, raised: &mpsc::WeakSender<Raised>) {
    let found = hunted(config);
    let alerts: Vec<Alert> = match found {
        Ok(found) => found.into_values().collect(),
        Err(error) => {
            tracing::error!(%error, "what is new in the feeds could not be looked for in the log");
            return;
        }
    };
    tracing::info!(
        alerts = alerts.len(),
        "the log was looked through for what the feeds list now"
    );
    let Some(raised) = raised.upgrade().filter(|_| !alerts.is_empty()) else {
        return;
    };
    if raised.blocking_send(Raised::Alerts(alerts)).is_err() {
        tracing::warn!("the collector stops; the next start finds what was found in the log");
    }
}

/// The newest revisions of alerts about listed destinations, by id.
fn hunted(config: &Config) -> Result<BTreeMap<String, Alert>, LogError> {
    let reader = LogReader::open(&config.data_dir)?;
    let from = reader.first_pos_since(reader.newest_ns()?.saturating_sub(horizon_ns(config)))?;
    let mut detector = Detector::new(config.detect.clone());
    let mut found = BTreeMap::new();
    let mut reading = Reading::new(reader, from, decode)?;
    while let Some(page) = reading.page()? {
        let alerts = page.iter().flat_map(|block| detector.block(block));
        let listed = alerts.filter(|alert| alert.known.is_listed());
        found.extend(listed.map(|alert| (alert.id.to_string(), alert)));
    }
    Ok(found)
}

/// Says how the feeds are.
pub(super) fn tell(states: &[Status]) {
    for state in states {
        let feed = text::clean(&state.feed);
        let version = text::clean(&state.version);
        tracing::info!(
            feed,
            version,
            indicators = state.indicators,
            "feed of threat intelligence"
        );
        if let Some(problem) = &state.problem {
            tracing::error!(
                feed,
                problem = text::clean(problem),
                "the feed cannot be read; what was read of it before counts"
            );
        }
        if state.skipped > 0 {
            let first = state.examples.first().map(|example| text::clean(example));
            tracing::warn!(
                feed,
                left_out = state.skipped,
                first,
                "entries of the feed cannot be used; `chartwatch intel` names some"
            );
        }
    }
}
