//! What the collector itself puts into the log: conflicts, so that detection finds them there, live and replayed.
//!
//! **Invariant:** a note is made of what was delivered alone, without the collector's clock: the same conflict gives the same bytes,
//! by which the log knows that it has it.

use proto::prost::Message as _;
use proto::sensor::v1 as wire;

use super::convert;
use crate::event::{Block, Conflict, ConflictKind, Origin};
use crate::log::{Batch, Note};

/// Other events came under numbers that the log holds.
pub fn overlap(batch: &Batch, block: &Block) -> Option<Note> {
    let newest = block.events.iter().max_by_key(|event| event.at_ns);
    let (at_ns, boot_ns) = newest.map_or((0, 0), |event| (event.at_ns, event.boot_ns));
    let conflict = Conflict {
        kind: ConflictKind::Overlap,
        epoch: batch.epoch,
        first_seq: batch.first_seq,
        last_seq: batch.last_seq,
        other: batch.content.to_vec(),
    };
    note(&block.origin, (at_ns, boot_ns), &conflict)
}

/// A note about a host; `None` for an origin that cannot be written, which no checked block has.
fn note(origin: &Origin, (at_ns, boot_ns): (u64, u64), conflict: &Conflict) -> Option<Note> {
    let kind = match conflict.kind {
        ConflictKind::Overlap => wire::ConflictKind::Overlap,
        ConflictKind::TwoPlaces => wire::ConflictKind::TwoPlaces,
        ConflictKind::Unknown => wire::ConflictKind::Unspecified,
    };
    let body = wire::Conflict {
        kind: kind.into(),
        epoch: conflict.epoch.to_vec(),
        first_seq: conflict.first_seq,
        last_seq: conflict.last_seq,
        other: conflict.other.clone(),
    };
    let payload = wire::EventBlock {
        host: origin.host.to_string(),
        boot_id: origin.boot_id.to_string(),
        events: vec![wire::Event {
            time_unix_ns: at_ns,
            time_boot_ns: boot_ns,
            body: Some(wire::event::Body::Conflict(body)),
        }],
    };
    let payload = payload.encode_to_vec();
    // As it will be read back.
    let block = convert::own(&origin.sensor, &payload).ok()?;
    Some(Note { block, payload })
}
