//! What events are worth when not all can be kept, and the stores they name.
//!
//! The path of an alert is made of who processes are, what they handed on and what they sent: little, and without any of it
//! the rest says nothing. What they did with records is its amounts, and most of what a host sends. That a process ended, or
//! looked at a record and no more, changes no amount.

use std::sync::Arc;

use super::TOGETHER;
use crate::report::{Body, NamedAccess, Report};
use crate::spool::Class;

/// The reports of a tick as they are packed: together when they are few; else the best first, and each part in the order of
/// its time. So who a process is comes before what it did, and that it ended after.
pub(super) fn parts(reports: &[Report]) -> Vec<Vec<&Report>> {
    if reports.len() <= TOGETHER {
        return vec![reports.iter().collect()];
    }
    let of = |class| {
        let part = reports.iter();
        part.filter(move |report| self::class(&report.body) == class)
            .collect()
    };
    Class::ALL.into_iter().rev().map(of).collect()
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
