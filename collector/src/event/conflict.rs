//! What was delivered in a sensor's name and cannot all be of that sensor: said by the collector itself.

/// What does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// Not given, or one this version does not know.
    Unknown,
    /// Other events came under numbers that the log holds already.
    Overlap,
    /// Two starts of the sensor delivered at the same time.
    TwoPlaces,
}

impl ConflictKind {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Overlap => "overlap",
            Self::TwoPlaces => "two-places",
        }
    }
}

/// A conflict. One and the same is told once, however often it is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What.
    pub kind: ConflictKind,
    /// The epoch it is about; of two starts the live epoch that is smaller.
    pub epoch: [u8; 16],
    /// Number of the first event that was refused; 0 where none was.
    pub first_seq: u64,
    /// Number of the last event that was refused; 0 where none was.
    pub last_seq: u64,
    /// SHA-256 of the events that were refused, or the other live epoch; what tells conflicts of an epoch apart.
    pub other: Vec<u8>,
}
