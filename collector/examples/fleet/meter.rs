//! What the sensors count, all together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The counters of a group of sensors.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    connected: AtomicU64,
    made: AtomicU64,
    bytes: AtomicU64,
    bytes_sent: AtomicU64,
    persisted: AtomicU64,
    batches: AtomicU64,
    /// Of each batch that was acknowledged on the connection it was sent on: from when it was due, microseconds.
    times_us: Mutex<Vec<u32>>,
    /// Why connections ended or were not had.
    failures: Mutex<BTreeMap<String, u64>>,
}

/// A connection that the collector has welcomed; when it is dropped it has ended.
pub(crate) struct Connected(Arc<Meter>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    pub(crate) fn connected(of: &Arc<Self>) -> Connected {
        of.connected.fetch_add(1, Ordering::Relaxed);
        Connected(of.clone())
    }

    pub(crate) fn made(&self, events: u64, bytes: u64, sent: u64) {
        self.made.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes_sent.fetch_add(sent, Ordering::Relaxed);
    }

    pub(crate) fn persisted(&self, events: u64, after: Option<Duration>) {
        self.persisted.fetch_add(events, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        if let Some(after) = after {
            let us = u32::try_from(after.as_micros()).unwrap_or(u32::MAX);
            locked(&self.times_us).push(us);
        }
    }

    pub(crate) fn failed(&self, error: String) {
        *locked(&self.failures).entry(error).or_default() += 1;
    }

    /// Sensors that are connected and welcomed.
    pub(crate) fn connections(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Events that were made and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        // In this order: what is acknowledged meanwhile was made before.
        let persisted = self.events_persisted();
        self.made.load(Ordering::Relaxed) - persisted
    }

    pub(crate) fn events_persisted(&self) -> u64 {
        self.persisted.load(Ordering::Relaxed)
    }

    pub(crate) fn batches_persisted(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Bytes of an event on average, as it is and as it travels.
    pub(crate) fn bytes_per_event(&self) -> [f64; 2] {
        let made = self.made.load(Ordering::Relaxed).max(1) as f64;
        [&self.bytes, &self.bytes_sent].map(|bytes| bytes.load(Ordering::Relaxed) as f64 / made)
    }

    /// The times since this was last asked, sorted.
    pub(crate) fn take_times(&self) -> Vec<u32> {
        let mut times = std::mem::take(&mut *locked(&self.times_us));
        times.sort_unstable();
        times
    }

    /// Why connections ended or were not had since this was last asked, and how often.
    pub(crate) fn take_failures(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *locked(&self.failures))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time below which a share of sorted ones lies, milliseconds.
pub(crate) fn quantile_ms(sorted_us: &[u32], share: f64) -> f64 {
    let last = sorted_us.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    sorted_us.get(index).copied().map_or(0.0, f64::from) / 1e3
}
