//! What the collector works with: events of hosts, owned, checked, and free of wire and disk formats.
//!
//! **Invariant:** nothing here knows the protocol, SQLite or JSON. Strings that came from a host may hold anything a
//! program on that host chose: whoever prints them escapes them.

mod access;
mod conflict;
mod edge;
mod flow;
mod gap;
mod process;
mod tamper;

use std::sync::Arc;

pub use access::{Access, NameForm, RecordId, RecordName};
pub use conflict::{Conflict, ConflictKind};
pub use edge::{Carrier, CarrierKey, CarrierKind, Edge, EdgeKind, End, Medium};
pub use flow::{Direction, Flow, FlowName, NameSource, PAST_IP};
pub use gap::{Gap, GapReason};
pub use process::{Process, ProcessKey};
pub use tamper::{Tamper, TamperFile, TamperKind};

/// Where events come from: one boot of one host, told by one sensor. Process ids and flow ids are unique within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The sensor's own name, unique in the hospital.
    pub sensor: Arc<str>,
    /// Boot id of the host.
    pub boot_id: Arc<str>,
    /// Name of the host, as `uname -n` gives it.
    pub host: Arc<str>,
}

/// The events of one batch, in the order the sensor numbered them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where they come from.
    pub origin: Origin,
    /// The events; kinds this version does not know are left out and counted in `unknown`.
    pub events: Vec<Event>,
    /// Events of a kind this version does not know.
    pub unknown: u64,
    /// Older events of the host come after it: it went ahead of what its sensor still had to deliver.
    pub older_to_come: bool,
    /// Sequence numbers missing directly before this block in the log: events this log never got.
    pub missing_before: u64,
    /// Its place in the log; 0 as long as it is in none.
    pub pos: i64,
}

impl Block {
    /// First and last wall-clock time in the block, nanoseconds since the Unix epoch; `None` without known events.
    pub fn span(&self) -> Option<(u64, u64)> {
        let times = self.events.iter().map(|event| event.at_ns);
        Some((times.clone().min()?, times.max()?))
    }
}

/// One thing that happened on a host, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// By the host's wall clock, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// On the host's boot clock (`CLOCK_BOOTTIME`), nanoseconds.
    pub boot_ns: u64,
    /// What happened.
    pub what: What,
}

/// The kinds of things that happen. Matches on this have no `_` arm: a new kind must be thought of everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Who a process is, or what has changed about it.
    Process(Process),
    /// A process touched a record.
    Access(Access),
    /// A process talked to somebody.
    Flow(Flow),
    /// A process gave something to another, or to what lies between them.
    Edge(Edge),
    /// Somebody tried something on the sensor.
    Tamper(Tamper),
    /// Something was lost.
    Gap(Gap),
    /// What was delivered in the sensor's name cannot all be of that sensor.
    Conflict(Conflict),
}
