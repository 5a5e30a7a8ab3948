//! Everything the host room counts about itself, in one place.
//!
//! The books of the kernel hooks are not here but in [`crate::health::Health`]. The counters are logged once a minute
//! when one has changed, and the losses among them go into every heartbeat.
//!
//! **Invariant:** a counter only grows; each has a place that increments it and a test that has seen it do so.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Defines [`Metrics`] so that a counter has its name and its meaning written once.
macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of the host room, since the sensor started.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        impl Metrics {
            /// Name and value of every counter, in the order of their definition.
            #[must_use]
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)+]
            }
        }
    };
}

metrics! {
    /// Events taken from the source.
    events_in,
    /// Reports that enrichment made of them: processes, accesses, flows, gaps.
    reports_out,
    /// Processes in the table that were not known from a fork or the first scan and were looked up in /proc.
    processes_looked_up,
    /// Processes an event referred to that were neither in the table nor in /proc: sent with their id alone.
    processes_unknown,
    /// Processes put out of the full table before their time.
    processes_evicted,
    /// Processes found gone by the comparison with /proc: their exit was never reported.
    exits_missed,
    /// Processes found by the comparison with /proc: their fork was never reported.
    forks_missed,
    /// Names of records put out of the full table; a later access to such a record goes without a name.
    names_evicted,
    /// Accesses sent without the name of the record.
    accesses_unnamed,
    /// Reports refused because the queue was full. Each is in a gap.
    queue_refused,
    /// Gaps sent about a full queue.
    queue_gaps,
    /// Reports taken into the queue.
    queue_accepted,
    /// Commits of the disk spool, each one sync.
    spool_commits,
    /// Times the disk spool could not be opened or written.
    spool_failures,
    /// Events that the disk spool had no more room or time for: lost. Each is in a gap.
    spool_evicted,
    /// Events in a database that was damaged and set aside: lost. Each is in a gap.
    spool_damaged,
    /// Gaps sent about what the disk spool lost.
    spool_gaps,
    /// Batches handed to a connection, those sent again included.
    batches_sent,
    /// Batches sent again after a reconnection.
    batches_resent,
    /// Batches that had to wait for credit of the collector's.
    credit_waits,
    /// Batches of which the collector said that it took them off the connection.
    round_trips,
    /// How long that took from when they were handed to the connection, all together, microseconds.
    round_trip_us,
    /// Connections on which the collector welcomed the sensor.
    link_welcomes,
    /// Attempts and connections that failed.
    link_failures,
    /// Times the sensor sent all processes anew because the collector's log lacks them.
    resend_rounds,
    /// Reports that were still in the queue when the grace period for shutdown ended: lost.
    left_at_shutdown,
}

impl Metrics {
    /// Reports this room lost, all reasons together. What the source lost is in its own health.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue_refused.get()
            + self.left_at_shutdown.get()
            + self.spool_evicted.get()
            + self.spool_damaged.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that counts, but this file.
    const ROOM: [&str; 7] = [
        include_str!("enrich.rs"),
        include_str!("link/client.rs"),
        include_str!("link/pack.rs"),
        include_str!("link/session.rs"),
        include_str!("pipeline.rs"),
        include_str!("service.rs"),
        include_str!("spool/writer.rs"),
    ];

    #[test]
    fn every_counter_has_a_place_that_increments_it() {
        for (name, _) in Metrics::default().snapshot() {
            let one = format!("metrics.{name}.one()");
            let add = format!("metrics.{name}.add(");
            let spread = |text: &str| text.split_whitespace().collect::<String>();
            assert!(
                ROOM.iter()
                    .any(|text| spread(text).contains(&one) || spread(text).contains(&add)),
                "{name} is never incremented"
            );
        }
    }

    #[test]
    fn snapshot_names_every_counter_and_lost_adds_up() {
        let metrics = Metrics::default();
        metrics.queue_refused.add(3);
        metrics.left_at_shutdown.one();
        assert_eq!(metrics.lost(), 4);
        assert!(metrics.snapshot().contains(&("queue_refused", 3)));
        assert_eq!(metrics.snapshot()[0].0, "events_in");
    }
}
