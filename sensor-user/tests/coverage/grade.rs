//! Holds what came up against what was done.

use sensor_user::event::{Access, CarrierKind, Direction, Edge, EdgeKind, End, Flow, RecordId};

use crate::scene::Done;
use crate::watch::{Sum, Watch};
use crate::way::{Expect, LEN, Road};

/// How well a way is seen; the better, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// Nothing came up.
    No,
    /// It came up with no bytes or with others.
    NoBytes,
    /// It came up with exactly the bytes that moved.
    Yes,
}

impl Seen {
    /// As it stands in results.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::NoBytes => "no-bytes",
            Self::Yes => "yes",
        }
    }
}

/// What all expectations together come to: the worst of them, and what came up instead.
pub(crate) fn grade(watch: &Watch, done: &Done, expect: &[Expect]) -> (Seen, String) {
    let mut worst = (Seen::Yes, String::new());
    for expectation in expect {
        let seen = judge(watch, done, *expectation);
        if seen.0 < worst.0 {
            worst = seen;
        }
    }
    worst
}

fn judge(watch: &Watch, done: &Done, expect: Expect) -> (Seen, String) {
    let nothing = Sum::default();
    let amounts = |read, mapped, written| Sum {
        read,
        mapped,
        written,
        ..nothing
    };
    match expect {
        Expect::Read(bytes) => exactly(watch, done, &amounts(bytes, 0, 0)),
        Expect::Mapped(bytes) => exactly(watch, done, &amounts(0, bytes, 0)),
        Expect::Written(bytes) => exactly(watch, done, &amounts(0, 0, bytes)),
        Expect::Whole => {
            let sum = sum(watch, done);
            let enough = sum.read.max(sum.mapped) >= LEN as u64;
            level(sum.records > 0, enough, || format!("{sum:?}"))
        }
        Expect::Changed => {
            let sum = sum(watch, done);
            level(sum.records > 0, sum.changes > 0, || format!("{sum:?}"))
        }
        Expect::Deleted => {
            let sum = sum(watch, done);
            level(sum.records > 0, sum.deletions > 0, || format!("{sum:?}"))
        }
        Expect::Listed => {
            let listings: u64 = accesses(watch, done).map(|access| access.listings).sum();
            let nothing_else = sum(watch, done)
                == Sum {
                    records: 1,
                    ..nothing
                };
            level(listings > 0, nothing_else, || {
                format!("{listings} listings")
            })
        }
        Expect::DeletedMany(times) => {
            let deletions = watch.accesses(done.pid).map(|a| a.deletions).sum::<u64>();
            level(deletions > 0, deletions == times, || {
                format!("{deletions} deletions instead of {times}")
            })
        }
        Expect::Sent(protocol) => {
            let back = u64::from(protocol == 6);
            to_peer(watch, done, |flow| {
                (flow.protocol, flow.bytes_out, flow.bytes_in) == (protocol, done.received, back)
            })
        }
        Expect::Named(name) => to_peer(watch, done, |flow| {
            flow.name.as_ref().is_some_and(|known| known.name == name)
        }),
        Expect::Served => served(watch, done),
        Expect::Holder => {
            let known = !watch.flows(done.pid).is_empty();
            level(known, known, || "its flow did not come up".to_owned())
        }
        Expect::Got(by, bytes) => {
            let edges = || watch.edges_to(done.pid).filter(|edge| road(edge) == by);
            let got: u64 = edges().map(|edge| edge.bytes).sum();
            level(edges().next().is_some(), got == bytes, || {
                format!("{got} bytes of {bytes} by {by:?}")
            })
        }
        Expect::AnySent(bytes) => {
            let flows = watch.flows(done.pid);
            let exact = flows.iter().any(|flow| flow.bytes_out == bytes);
            level(!flows.is_empty(), exact, || format!("{flows:?}"))
        }
    }
}

fn road(edge: &Edge) -> Road {
    match (edge.kind, edge.from) {
        (EdgeKind::MemoryCall | EdgeKind::Ptrace | EdgeKind::ProcMem, _) => Road::Memory,
        (EdgeKind::UnixSocket, _) => Road::Unix,
        (EdgeKind::Loopback, _) => Road::Loopback,
        (EdgeKind::Terminal, _) => Road::Terminal,
        (EdgeKind::Map, _) => Road::Map,
        (EdgeKind::Read | EdgeKind::Write, End::Carrier(CarrierKind::Pipe, _)) => Road::Pipe,
        (EdgeKind::Read | EdgeKind::Write, _) => Road::File,
    }
}

fn level(any: bool, exact: bool, told: impl FnOnce() -> String) -> (Seen, String) {
    match (any, exact) {
        (_, true) => (Seen::Yes, String::new()),
        (true, false) => (Seen::NoBytes, told()),
        (false, false) => (Seen::No, told()),
    }
}

/// What the process did with this very record, piece by piece.
fn accesses<'a>(watch: &'a Watch, done: &Done) -> impl Iterator<Item = &'a Access> {
    let (device, inode) = done.file;
    // The kernel's own number, as RecordId has it.
    let device = rustix::fs::major(device) << 20 | rustix::fs::minor(device);
    let is_it = move |record: RecordId| record.device == device && record.inode == inode;
    watch
        .accesses(done.pid)
        .filter(move |access| is_it(access.record))
}

/// The same, added up.
fn sum(watch: &Watch, done: &Done) -> Sum {
    let mut sum = Sum::default();
    for access in accesses(watch, done) {
        sum.records = 1;
        sum.opens += access.opens;
        sum.read += access.bytes_read;
        sum.mapped += access.bytes_mapped;
        sum.written += access.bytes_written;
        sum.changes += access.changes;
        sum.deletions += access.deletions;
    }
    sum
}

/// How often it was opened, and by whom, is not what is asked here: the amounts are.
fn exactly(watch: &Watch, done: &Done, expected: &Sum) -> (Seen, String) {
    let found = sum(watch, done);
    let same = (found.read, found.mapped, found.written)
        == (expected.read, expected.mapped, expected.written);
    level(found.records > 0, found.records > 0 && same, || {
        format!(
            "read {}, mapped {}, written {} instead of {}, {}, {}",
            found.read,
            found.mapped,
            found.written,
            expected.read,
            expected.mapped,
            expected.written
        )
    })
}

/// Flows to the peer: there is to be one, and all of it right.
fn to_peer(watch: &Watch, done: &Done, right: impl Fn(&Flow) -> bool) -> (Seen, String) {
    let mut flows = watch.flows(done.pid);
    flows.retain(|flow| Some(flow.remote) == done.peer);
    let exact = matches!(flows.as_slice(), [flow] if right(flow));
    level(!flows.is_empty(), exact, || {
        let amounts: Vec<(u64, u64)> = flows.iter().map(|f| (f.bytes_out, f.bytes_in)).collect();
        format!("bytes out and in {amounts:?}; {} came", done.received)
    })
}

fn served(watch: &Watch, done: &Done) -> (Seen, String) {
    let mut flows = watch.flows(done.pid);
    flows.retain(|flow| flow.local.port() == done.port);
    let exact = matches!(flows.as_slice(), [flow] if flow.direction == Direction::Accepted
        && (flow.bytes_out, flow.bytes_in) == (done.received, 3));
    level(!flows.is_empty(), exact, || {
        format!("{flows:?}; {} came", done.received)
    })
}
