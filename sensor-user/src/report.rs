//! What leaves the host: events with everything the kernel did not know, and with names in the form they may be sent.
//!
//! **Invariant:** no name of a record is in here but in the form that [`crate::privacy`] gave it, and nothing here knows
//! the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Offset;
use crate::event::{Access, Edge, Flow, Gap, Medium, ProcessKey, Tamper};
use crate::privacy::NameForm;

/// Asks that processes be sent again, because what was said of them is lost: numbers the rounds of sending.
#[derive(Debug, Clone)]
pub struct Resend(Arc<AtomicU64>);

impl Default for Resend {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }
}

impl Resend {
    /// Begins a new round and answers its number.
    pub fn ask(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The round in force; the first is 1.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One tick's reports, in the order of their time.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Round of sending in which they were made, see [`Resend`].
    pub round: u64,
    /// The wall clock at that tick.
    pub offset: Offset,
    /// The reports.
    pub reports: Vec<Report>,
}

/// One thing to tell the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it happened, nanoseconds of the boot clock.
    pub boot_ns: u64,
    /// What it is.
    pub body: Body,
}

/// The kinds of things to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Who a process is. Comes before the first report that refers to it, after its ancestors.
    Process(Box<Process>),
    /// What a process did with a record.
    Access(NamedAccess),
    /// A conversation over the network.
    Flow(Flow),
    /// What a process gave to another.
    Edge(NamedEdge),
    /// Something was tried on the sensor.
    Tamper(Tamper),
    /// A known loss.
    Gap(Gap),
}

/// Who a process is, as far as the sensor knows at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process.
    pub key: ProcessKey,
    /// The process that started it, where that is known.
    pub parent: Option<ProcessKey>,
    /// What it runs, and for whom.
    pub image: Arc<Image>,
    /// Who it belongs to.
    pub owner: Owner,
    /// Name of the user, empty when the host has none for it.
    pub user: Arc<str>,
    /// Name of the login user, empty when unknown.
    pub login_user: Arc<str>,
    /// Where it belongs.
    pub scope: Arc<Scope>,
    /// Bytes of arguments and environment it was given when it became this program; 0 when it goes on as a copy of its parent.
    pub given_bytes: u64,
    /// When it exited, boot clock; none while it runs.
    pub exited_boot_ns: Option<u64>,
    /// True when it was said before in this round of sending: what is new is its end, or another program.
    pub said_before: bool,
}

/// What a process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Path of the executable. Relative only when the process was gone before it could be asked and was started by a
    /// relative name; empty when nothing is known.
    pub executable: String,
    /// Arguments, the first being the program's own name.
    pub arguments: Vec<String>,
    /// True when there were more or longer ones than are kept.
    pub truncated: bool,
}

/// Who a process belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Real user id.
    pub uid: u32,
    /// User who logged in at the root of the session; none when nobody did.
    pub login_uid: Option<u32>,
    /// Audit session; none when there is none.
    pub session: Option<u32>,
}

/// Where a process belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// systemd unit, empty outside systemd.
    pub unit: String,
    /// Container id, empty outside containers.
    pub container: String,
}

/// An access, with the names of store and record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAccess {
    /// The access.
    pub access: Access,
    /// Name of the store.
    pub store: Arc<str>,
    /// Name of the record below the store, if it was seen.
    pub name: Option<(String, NameForm)>,
}

/// An edge, with the names of what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEdge {
    /// The edge.
    pub edge: Edge,
    /// Names of the stores that its beginning holds records of.
    pub stores: Vec<Arc<str>>,
    /// Where the carrier lies that is one of its ends; empty when there is none, and when that is not known.
    pub carrier: String,
    /// On what it lies.
    pub medium: Medium,
}
