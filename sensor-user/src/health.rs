//! How the sensor is: what its source says of itself, and the signs of life the watchdog looks for.
//!
//! **Invariant:** nothing here knows the kernel, the protocol or the service manager.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a source says of itself, as often as it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Hook backend in use: `lsm`, `fentry`, `tracepoint`; another source gives its own name.
    pub backend: String,
    /// Why this one: what was tried before it and how that ended. For a person.
    pub backend_reason: String,
    /// Kernel release, as `uname -r` gives it.
    pub kernel: String,
    /// The books of each hook since the source started, in a fixed order.
    pub hooks: Vec<HookCount>,
    /// Events the source knows to be lost since it started, all reasons together. Each was also reported as a gap.
    pub lost_events: u64,
    /// What became of the source's latest test of itself.
    pub canary: Canary,
}

/// What became of a source's tests of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Canary {
    /// Whether the latest one that has ended came up; `None` before the first.
    pub seen: Option<bool>,
    /// When one last came up, boot clock; 0 before the first.
    pub seen_boot_ns: u64,
}

/// The books of one hook: `seen = reported + summed + ignored + failed + dropped`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookCount {
    /// Name of the hook.
    pub hook: String,
    /// Times it ran.
    pub seen: u64,
    /// Ended in an event of its own.
    pub reported: u64,
    /// Added to a sum.
    pub summed: u64,
    /// Had nothing to do with a record.
    pub ignored: u64,
    /// Could not read what it needed.
    pub failed: u64,
    /// Had something to say and no room to say it.
    pub dropped: u64,
}

/// A stage's sign of life: the stage beats on every turn of its loop, also when it has nothing to do, at least once
/// a second. Clones beat the same heart.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A heart that has not beaten yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One turn of the stage's loop is done.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats so far.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
