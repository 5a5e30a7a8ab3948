//! Known losses.

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The kernel's ring buffer was full.
    RingFull,
    /// A map of the kernel programs was full.
    MapFull,
    /// The kernel programs could not read what they needed.
    HookFailed,
    /// The sensor could not decode what the kernel gave it.
    Decode,
    /// The sensor's queue was full while the collector was away.
    QueueFull,
    /// The sensor did not see what it did itself to test itself.
    Blind,
    /// The kernel left out a program because it was running on that CPU already.
    Skipped,
}

/// A known loss, between two moments of the boot clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many events are missing at least; 0 when that is not known.
    pub count: u64,
    /// The loss lies after this moment.
    pub from_boot_ns: u64,
    /// The loss lies before this moment.
    pub to_boot_ns: u64,
    /// What was lost, for a person: the hook, the map or the queue.
    pub detail: String,
}
