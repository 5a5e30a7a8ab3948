//! Known losses.

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapReason {
    /// Not given, or a reason this version does not know.
    Unknown,
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
    /// The sensor was restarted with events not yet delivered.
    Restart,
    /// The sensor did not see what it did itself to test itself.
    Blind,
    /// The kernel left out a program of the sensor because it was running on that CPU already.
    Skipped,
    /// The collector's log skips sequence numbers of the sensor.
    LogHole,
    /// The sensor sent an event that breaks the rules of the protocol.
    Refused,
}

impl GapReason {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::RingFull => "ring-full",
            Self::MapFull => "map-full",
            Self::HookFailed => "hook-failed",
            Self::Decode => "decode",
            Self::QueueFull => "queue-full",
            Self::Restart => "restart",
            Self::Blind => "blind",
            Self::Skipped => "skipped",
            Self::LogHole => "log-hole",
            Self::Refused => "refused",
        }
    }

    /// What happened, for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Unknown => "events were lost, the reason was not given",
            Self::RingFull => "the kernel's event buffer was full",
            Self::MapFull => "a table in the kernel was full",
            Self::HookFailed => "the kernel side could not read what it needed",
            Self::Decode => "the sensor could not read an event from the kernel",
            Self::QueueFull => "the sensor's queue was full while the collector was away",
            Self::Restart => "the sensor was restarted with events not yet delivered",
            Self::Blind => "the sensor did not see what it did itself to test itself",
            Self::Skipped => "the kernel left out a program of the sensor that was running already",
            Self::LogHole => "events of this sensor never reached this log",
            Self::Refused => "the sensor sent an event that breaks the rules of the protocol",
        }
    }
}

/// A known loss, between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many events are missing at least; 0 when that is not known.
    pub count: u64,
    /// The loss lies after this moment, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// The loss lies before this moment, nanoseconds since the Unix epoch.
    pub to_ns: u64,
    /// What was lost, for a person: the hook, the map or the queue.
    pub detail: String,
}
