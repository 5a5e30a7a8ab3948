//! What the sensor says to the service manager and to its own log while it runs.
//!
//! **Invariant:** the watchdog is fed only while every stage with a pulse beats; a sensor that hangs is restarted.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::health::Pulse;
use crate::metrics::Metrics;

/// Longest wait for the first attempt to connect before the sensor calls itself ready.
const READY_AFTER: Duration = Duration::from_secs(1);
/// Time between two looks at the counters.
const LOG_EVERY: Duration = Duration::from_mins(1);
/// Time between two looks at the pulses when the service manager does not ask for any.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Shortest time between two looks: a stage beats at least once a second.
const LOOK_MIN: Duration = Duration::from_secs(2);

/// The pulses to watch.
pub(crate) struct Service {
    pulses: Vec<(&'static str, Pulse)>,
    first_attempt: Arc<Notify>,
}

impl Service {
    pub(crate) fn new(pulses: Vec<(&'static str, Pulse)>, first_attempt: Arc<Notify>) -> Self {
        Self {
            pulses,
            first_attempt,
        }
    }

    pub(crate) fn start(self, tasks: &mut JoinSet<()>, metrics: Arc<Metrics>) {
        tasks.spawn(ready(self.first_attempt));
        tasks.spawn(watchdog(self.pulses));
        tasks.spawn(log(metrics));
    }

    /// The last state of the counters.
    pub(crate) fn farewell(metrics: &Metrics) {
        tracing::info!(counters = %shown(&metrics.snapshot()), "stopped");
    }
}

async fn ready(first_attempt: Arc<Notify>) {
    // A collector that does not answer at all must not hold the host's start up.
    if tokio::time::timeout(READY_AFTER, first_attempt.notified())
        .await
        .is_err()
    {
        tracing::info!("the collector has not answered yet, the host is watched all the same");
    }
    tell(&[NotifyState::Ready]);
}

async fn watchdog(pulses: Vec<(&'static str, Pulse)>) {
    let asked = sd_notify::watchdog_enabled();
    // Half the time the service manager grants, as sd_watchdog_enabled(3) advises.
    let mut look = interval(asked.map_or(LOOK_EVERY, |granted| (granted / 2).max(LOOK_MIN)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.tick().await;
    let mut before = vec![None; pulses.len()];
    loop {
        let silent = silent(&pulses, &mut before);
        if silent.is_empty() && asked.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
        for stage in silent {
            tracing::error!(stage, "a stage hangs: the host may not be watched");
        }
        look.tick().await;
    }
}

/// The stages that have not beaten since the last look.
fn silent(pulses: &[(&'static str, Pulse)], before: &mut [Option<u64>]) -> Vec<&'static str> {
    let looks = pulses.iter().zip(before);
    looks
        .filter_map(|((stage, pulse), before)| {
            (before.replace(pulse.beats()) == Some(pulse.beats())).then_some(*stage)
        })
        .collect()
}

async fn log(metrics: Arc<Metrics>) {
    let mut tick = interval(LOG_EVERY);
    let mut before = metrics.snapshot();
    loop {
        tick.tick().await;
        let now = metrics.snapshot();
        if now != before {
            tracing::info!(counters = %shown(&now), "counters since the start");
        }
        before = now;
    }
}

/// Counters that are not zero.
fn shown(snapshot: &[(&'static str, u64)]) -> String {
    let counted = snapshot.iter().filter(|(_, n)| *n > 0);
    counted
        .map(|(name, n)| format!("{name}={n}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_silent_when_it_has_not_beaten_since_the_last_look() {
        let (a, b) = (Pulse::new(), Pulse::new());
        let pulses = [("a", a.clone()), ("b", b.clone())];
        let mut before = [None, None];
        assert!(
            silent(&pulses, &mut before).is_empty(),
            "the first look has nothing to compare with"
        );
        a.beat();
        assert_eq!(silent(&pulses, &mut before), ["b"]);
        b.beat();
        assert_eq!(silent(&pulses, &mut before), ["a"]);
    }

    #[test]
    fn counters_at_zero_are_not_shown() {
        assert_eq!(shown(&[("a", 0), ("b", 2), ("c", 1)]), "b=2 c=1");
    }
}
