//! Looks now and then whether a feed of threat intelligence has become too old, and raises an alert of it.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::hostname;
use super::hunt::Current;
use crate::alerts::{AlertError, AlertReader, Raised};
use crate::detect::{Alert, StaleFeed, stale_feed};
use crate::intel::{FeedConfig, Intel};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const SECOND_NS: u64 = 1_000_000_000;

/// Starts the thread that looks; it ends when the collector stops.
pub(super) fn spawn(
    current: Current,
    mut stop_seen: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, std::io::Error> {
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("stale".into())
        .spawn(move || {
            // What was never there gets the time until the second look to come.
            let mut waited = false;
            let mut wait =
                || runtime.block_on(async { timeout(LOOK_EVERY, stop_seen.changed()).await });
            loop {
                raise(&current, waited);
                if wait().is_ok() {
                    return;
                }
                waited = true;
            }
        })
}

fn raise(current: &Current, waited: bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ns = u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
    let intel = current.detect.get().intel.clone();
    let stale = stale(&current.feeds(), &intel, now_ns, waited);
    if stale.is_empty() {
        return;
    }
    let host = hostname();
    let mut alerts: Vec<Alert> = (stale.iter())
        .map(|one| stale_feed(one, &host, now_ns))
        .collect();
    match told(&current.data_dir(), &alerts) {
        Ok(told) => alerts.retain(|alert| !told.contains(&alert.id)),
        Err(error) => {
            tracing::warn!(%error, "whether old feeds were told of already cannot be seen; it is looked again");
            return;
        }
    }
    let Some(raised) = current.raised.upgrade().filter(|_| !alerts.is_empty()) else {
        return;
    };
    if raised.blocking_send(Raised::Alerts(alerts)).is_err() {
        tracing::debug!("the collector stops; the next start looks at the feeds again");
    }
}

/// Those that are stored: a feed is told of once for each time it grows old.
fn told(data_dir: &Path, alerts: &[Alert]) -> Result<Vec<Uuid>, AlertError> {
    let reader = AlertReader::open(data_dir)?;
    let mut told = Vec::new();
    for alert in alerts {
        if !reader.matching(&alert.id.to_string())?.is_empty() {
            told.push(alert.id);
        }
    }
    Ok(told)
}

/// The feeds that are too old; those that were never there only when there was time for them to come.
fn stale(feeds: &[FeedConfig], intel: &Intel, now_ns: u64, waited: bool) -> Vec<StaleFeed> {
    let look = |feed: &FeedConfig| {
        let may = feed.stale?;
        let fresh_ns = intel
            .fresh_s(feed)
            .map(|fresh_s| fresh_s.saturating_mul(SECOND_NS));
        let may_ns = u64::try_from(may.as_nanos()).unwrap_or(u64::MAX);
        let is_stale = match fresh_ns {
            Some(fresh_ns) => now_ns.saturating_sub(fresh_ns) > may_ns,
            None => waited,
        };
        is_stale.then(|| StaleFeed {
            feed: feed.name.clone(),
            is_pulled: feed.pull.is_some(),
            fresh_ns,
            days: may.as_secs() / 86_400,
        })
    };
    feeds.iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_feed_that_is_too_old_and_one_that_never_came_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        std::fs::write(&list, "192.0.2.1\n").unwrap();
        let text = format!(
            "data_dir = \"{}\"\n[[intel]]\nname = \"old\"\npath = \"{}\"\nstale_days = 2\n\
             [[intel]]\nname = \"never\"\nurl = \"https://feeds.example/x\"\n\
             [[intel]]\nname = \"seldom\"\npath = \"{}\"\nstale_days = 0\n",
            dir.path().display(),
            list.display(),
            list.display(),
        );
        let mut config = Config::parse(&text, &list).unwrap();
        config.read_feeds(&Intel::default());
        let intel = config.detect.intel.clone();
        let written = std::fs::metadata(&list).unwrap().modified().unwrap();
        let written_ns = written.duration_since(UNIX_EPOCH).unwrap().as_secs() * SECOND_NS;
        let names = |hours: u64, waited| -> Vec<(String, u64)> {
            let now_ns = written_ns + hours * 3_600 * SECOND_NS;
            let found = stale(&config.feeds, &intel, now_ns, waited);
            found.into_iter().map(|one| (one.feed, one.days)).collect()
        };
        assert_eq!(names(47, false), []);
        assert_eq!(names(49, false), [("old".to_owned(), 2)]);
        assert_eq!(names(1, true), [("never".to_owned(), 7)]);
        let alert = |hours: u64| {
            let now_ns = written_ns + hours * 3_600 * SECOND_NS;
            stale_feed(
                &stale(&config.feeds, &intel, now_ns, false)[0],
                "hub",
                now_ns,
            )
        };
        assert_eq!(
            alert(49).id,
            alert(99).id,
            "one alert as long as it is that old"
        );
        assert!(
            alert(49)
                .story
                .contains("\"old\" was not carried here anew since")
        );
    }
}
