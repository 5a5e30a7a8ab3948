//! What events are worth when not all can be kept, and the stores they name.
//!
//! The path of an alert is made of who processes are, what they handed on and what they sent: little, and without any of it
//! the rest says nothing. What they did with records is its amounts, and most of what a host sends. That a process ended, or
//! looked at a record and no more, changes no amount.

use std::sync::Arc;

use super::TOGETHER;
use crate::event::EdgeKind;
use crate::report::{Body, NamedAccess, Report};
use crate::spool::Class;

/// The reports of a tick as they are packed: together when they are few; else the best first, and each part in the order of
/// its time. So who a process is comes before what it did, and that it ended after. What went over sockets within the host comes behind
/// what was read: of whom nothing is known that it had from others, it is taken for a service, which had all of it before.
pub(super) fn parts(reports: &[Report]) -> Vec<Vec<&Report>> {
    if reports.len() <= TOGETHER {
        return vec![reports.iter().collect()];
    }
    let mut parts = vec![Vec::new(); 4];
    for report in reports {
        let part = match class(&report.body) {
            Class::Evidence if is_over_socket(&report.body) => 2,
            Class::Evidence => 0,
            Class::Reads => 1,
            Class::Rest => 3,
        };
        parts[part].push(report);
    }
    parts
}

/// What an event is worth.
pub(super) fn class(body: &Body) -> Class {
    match body {
        Body::Process(process) if process.said_before && process.exited_boot_ns.is_some() => {
            Class::Rest
        }
        Body::Access(access) if !did(access) => Class::Rest,
        Body::Access(_) => Class::Reads,
        Body::Process(_) | Body::Flow(_) | Body::Edge(_) | Body::Tamper(_) | Body::Gap(_) => {
            Class::Evidence
        }
    }
}

/// Whether it is what went over a socket within the host.
fn is_over_socket(body: &Body) -> bool {
    matches!(body, Body::Edge(named) if matches!(named.edge.kind, EdgeKind::UnixSocket | EdgeKind::Loopback))
}

/// Whether it did more with a record than to open or list it.
fn did(named: &NamedAccess) -> bool {
    let access = &named.access;
    [
        access.bytes_read,
        access.bytes_mapped,
        access.bytes_written,
        access.changes,
        access.deletions,
    ]
    .iter()
    .any(|amount| *amount > 0)
}

/// The stores that it names.
pub(super) fn stores(body: &Body) -> &[Arc<str>] {
    match body {
        Body::Access(named) => std::slice::from_ref(&named.store),
        Body::Edge(named) => &named.stores,
        Body::Process(_) | Body::Flow(_) | Body::Tamper(_) | Body::Gap(_) => &[],
    }
}
