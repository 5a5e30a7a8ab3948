//! A known loss, as a sensor tells it.

use proto::limits::LIST_MAX;
use proto::sensor::v1 as wire;

use super::{WireError, at_most, bounded, long, short};
use crate::event::{Gap, GapReason};

/// Stores that are named of those that a loss concerns.
const STORES_SHOWN: usize = 8;

pub(super) fn gap(raw: wire::Gap) -> Result<Gap, WireError> {
    Ok(Gap {
        reason: match wire::GapReason::try_from(raw.reason) {
            Ok(wire::GapReason::RingFull) => GapReason::RingFull,
            Ok(wire::GapReason::MapFull) => GapReason::MapFull,
            Ok(wire::GapReason::HookFailed) => GapReason::HookFailed,
            Ok(wire::GapReason::Decode) => GapReason::Decode,
            Ok(wire::GapReason::QueueFull) => GapReason::QueueFull,
            Ok(wire::GapReason::Restart) => GapReason::Restart,
            Ok(wire::GapReason::Blind) => GapReason::Blind,
            Ok(wire::GapReason::Skipped) => GapReason::Skipped,
            Ok(wire::GapReason::Unspecified) | Err(_) => GapReason::Unknown,
        },
        count: raw.count,
        from_ns: bounded("gap.from_unix_ns", raw.from_unix_ns)?,
        to_ns: bounded("gap.to_unix_ns", raw.to_unix_ns)?,
        detail: detail(raw)?,
    })
}

/// What was lost, for a person: what the sensor says, and of what its disk spool gave up which kind, of which stores and under which
/// numbers.
fn detail(raw: wire::Gap) -> Result<String, WireError> {
    at_most("gap.stores", raw.stores.len(), LIST_MAX)?;
    at_most("gap.epoch", raw.epoch.len(), 16)?;
    let kind = match wire::EventClass::try_from(raw.lost) {
        Ok(wire::EventClass::Rest) => "ends of processes, and openings and listings of records",
        Ok(wire::EventClass::Reads) => "what processes did with records",
        Ok(wire::EventClass::Evidence) => {
            "processes, flows, hand-overs between processes, attempts on the sensor, gaps"
        }
        Ok(wire::EventClass::Unspecified) | Err(_) => "",
    };
    let stores = raw.stores.into_iter();
    let stores = stores.map(|name| short("gap.stores", name));
    let stores = stores.collect::<Result<Vec<_>, _>>()?;
    let shown = &stores[..stores.len().min(STORES_SHOWN)];
    let mut parts = vec![long("gap.detail", raw.detail)?];
    if !kind.is_empty() {
        parts.push(format!("what went: {kind}"));
    }
    if !shown.is_empty() {
        parts.push(format!("stores: {}", shown.join(", ")));
    }
    if stores.len() > shown.len() {
        parts.push(format!("and {} more", stores.len() - shown.len()));
    }
    if let Ok(epoch) = uuid::Uuid::from_slice(&raw.epoch) {
        let (first, last) = (raw.first_seq, raw.last_seq);
        parts.push(format!("numbers {first} to {last} of epoch {epoch}"));
    }
    Ok(parts.join("; "))
}
