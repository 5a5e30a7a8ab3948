//! What the sensor works with after decoding: owned, checked, and free of kernel layout and wire format.
//!
//! **Invariant:** nothing here knows aya, the border layout or the protocol. Bytes that came from a process or a file
//! system say so in their name (`untrusted_`): they may hold anything.

mod access;
mod edge;
mod flow;
mod gap;
mod proc;
mod tamper;

pub use access::{Access, Name, RecordId, StoreId};
pub use edge::{CarrierKind, Edge, EdgeKind, End, Medium};
pub use flow::{Direction, Flow, FlowName, Heard, NameSource, Naming};
pub use gap::{Gap, GapReason};
pub use proc::{Exec, Exit, Fork, ProcessKey};
pub use tamper::{Part, Tamper, Target};

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds on the host's boot clock (`CLOCK_BOOTTIME`).
    pub boot_ns: u64,
    /// What happened.
    pub what: What,
}

/// The kinds of things that happen. Matches on this have no `_` arm: a new kind must be thought of everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A process started another.
    Fork(Fork),
    /// A process became another program.
    Exec(Exec),
    /// A process ended.
    Exit(Exit),
    /// A record got a name.
    Name(Name),
    /// A process touched a record.
    Access(Access),
    /// A process talked to somebody.
    Flow(Flow),
    /// A process gave something to another, or to what lies between them.
    Edge(Edge),
    /// Somebody tried something on the sensor.
    Tamper(Tamper),
    /// A conversation said a name. Only the source hears it: it goes on as the name of flows.
    Naming(Naming),
    /// Something was lost.
    Gap(Gap),
}
