//! How much detection remembers of one host. What goes over is forgotten, the least telling first, and counted.

/// Boots of one sensor's host: the current one, and the one before for events that come late.
pub(super) const BOOTS_PER_SENSOR: usize = 2;
/// Processes of one boot. The longest untouched ones go first, those that have exited before those that run.
pub(super) const PROCESSES: usize = 16_384;
/// Processes forgotten at a time, so that the search for them is rare.
pub(super) const PROCESSES_FORGOTTEN_AT_ONCE: usize = PROCESSES / 8;
/// Records told apart in one boot, all processes together. Those of the processes that exited first go first, and only how many they were
/// is kept; where that makes no room, further ones are counted as "at least".
pub(super) const RECORDS: usize = 1_000_000;
/// What part of the records is let go at a time, so that the search for them is rare.
pub(super) const RECORDS_LET_GO: usize = 8;
/// Records of which it is known who read them last. The longest known ones go first.
pub(super) const LATEST_READ: usize = 4_096;
/// Sessions and services of one boot, by store, in which programs took records away. Those without an alert go first, then those longest
/// quiet.
pub(super) const TOGETHER: usize = 1_024;
/// Destinations of one process. The one with the fewest bytes goes first.
pub(super) const DESTINATIONS_PER_PROCESS: usize = 1_024;
/// Flows of one process to one destination. The oldest closed one goes first; its bytes stay counted.
pub(super) const FLOWS_PER_DESTINATION: usize = 4_096;
/// Moments a sum of bytes is kept for; above that, neighbours are merged.
pub(super) const MOMENTS_PER_LEDGER: usize = 256;
/// Bytes of a connection that a server says of itself, with its certificates, and in answer, that it is done.
pub(super) const SAID_BYTES: u64 = 8_192;
/// Conflicts of one boot that are told apart, by epoch and kind.
pub(super) const CONFLICTS: usize = 64;
/// Gaps of one boot.
pub(super) const GAPS: usize = 256;
/// Names shown of the records of an alert.
pub(super) const NAMES_SHOWN: usize = 5;
/// Programs a process ran before its present one that are kept.
pub(super) const EARLIER_PROGRAMS: usize = 8;
/// Length of a chain of processes.
pub(super) const CHAIN: usize = 64;
/// Gaps shown in an alert.
pub(super) const GAPS_SHOWN: usize = 16;
/// Events between two rounds of letting go what exited processes did.
pub(super) const SWEEP_EVERY: u64 = 65_536;
/// How long after a process exited its sums are kept for late events, nanoseconds; those of a lineage for the window.
pub(super) const LATE_NS: u64 = 600 * 1_000_000_000;
/// Steps between processes and carriers of one boot, and how many of these there are. What carries or has nothing goes first,
/// then what was longest unused; an eighth at a time, so that the search is rare. A step and what it leads to take 500 bytes.
pub(super) const STEPS: usize = 1_048_576;
/// Moments the bytes of a step are kept for; above that, neighbours are merged.
pub(super) const MOMENTS_PER_STEP: usize = 8;
/// Sources one process or carrier can have records from. The one with the fewest bytes goes first.
pub(super) const SHARES_PER_NODE: usize = 4_096;
/// Steps of a path.
pub(super) const PATH: usize = 64;
/// Steps shown in an alert, all its paths together.
pub(super) const STEPS_SHOWN: usize = 64;
/// Names DNS was asked for by one process at one place; further ones are not told apart.
pub(super) const NAMES_ASKED: usize = 4_096;
/// Lineages of one boot that something was sent by, counted by store and destination. Those without an alert go first.
pub(super) const LINEAGES: usize = 16_384;
/// Bytes that a step of a graph takes with what it leads to, a process with its arguments, a record that is told apart, a flow or a place
/// that was sent to, and a lineage that something was sent by. Measured, rounded up.
pub(super) const STEP_BYTES: u64 = 500;
pub(super) const PROCESS_BYTES: u64 = 1_500;
pub(super) const RECORD_BYTES: u64 = 64;
pub(super) const ACT_BYTES: u64 = 600;
pub(super) const LINEAGE_BYTES: u64 = 500;
/// Events between two times that a host is weighed, at least.
pub(super) const WEIGHED_EVERY: u64 = 256;
/// A host that takes less bytes is left what it has, whatever all take together.
pub(super) const HOST_BYTES_LEAST: u64 = 64 << 10;

const _: () = assert!(MOMENTS_PER_STEP >= 2 && PATH <= STEPS_SHOWN);
const _: () = assert!(PROCESSES_FORGOTTEN_AT_ONCE > 0 && PROCESSES_FORGOTTEN_AT_ONCE < PROCESSES);
const _: () = assert!(MOMENTS_PER_LEDGER >= 2 && CHAIN >= 2);
