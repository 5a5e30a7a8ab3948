//! What the collector itself puts into the log: conflicts, so that detection finds them there, live and replayed.
//!
//! **Invariant:** a note is made of what was delivered alone, without the collector's clock: the same conflict gives the same bytes,
//! by which the log knows that it has it.

use proto::prost::Message as _;
use proto::sensor::v1 as wire;

use super::convert;
use crate::event::{Block, Conflict, ConflictKind, Origin};
use crate::log::{Batch, Epoch, Note};

/// Other events came under numbers that the log holds.
pub fn overlap(batch: &Batch, block: &Block) -> Option<Note> {
    let conflict = Conflict {
        kind: ConflictKind::Overlap,
        epoch: batch.epoch,
        first_seq: batch.first_seq,
        last_seq: batch.last_seq,
        other: batch.content.to_vec(),
    };
    note(&block.origin, newest(block), &conflict)
}

/// Two starts of a sensor deliver at the same time, of which one has just sent this block; what makes it the same is the two.
pub(super) fn two_places(block: &Block, [epoch, other]: [Epoch; 2]) -> Option<Note> {
    let conflict = Conflict {
        kind: ConflictKind::TwoPlaces,
        epoch,
        first_seq: 0,
        last_seq: 0,
        other: other.to_vec(),
    };
    let note = note(&block.origin, newest(block), &conflict)?;
    Some(Note {
        about: [&epoch[..], &other].concat(),
        ..note
    })
}

/// When the newest event of a block happened, by the host's wall clock and its boot clock.
fn newest(block: &Block) -> (u64, u64) {
    let newest = block.events.iter().max_by_key(|event| event.at_ns);
    newest.map_or((0, 0), |event| (event.at_ns, event.boot_ns))
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
        older_to_come: false,
    };
    let payload = payload.encode_to_vec();
    // As it will be read back.
    let block = convert::own(&origin.sensor, &payload).ok()?;
    Some(Note {
        block,
        about: payload.clone(),
        payload,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::sync::mpsc;

    use super::*;
    use crate::event::{Event, What};
    use crate::log::{self, LogStore, Logged};

    fn block(at_ns: u64) -> Block {
        let origin = Origin {
            sensor: "ws-12".into(),
            boot_id: "boot".into(),
            host: "ws-12.ward".into(),
        };
        let what = What::Conflict(Conflict {
            kind: ConflictKind::Unknown,
            epoch: [1; 16],
            first_seq: 0,
            last_seq: 0,
            other: Vec::new(),
        });
        Block {
            origin,
            events: vec![Event {
                at_ns,
                boot_ns: 7,
                what,
            }],
            unknown: 0,
            older_to_come: false,
            missing_before: 0,
            pos: 0,
        }
    }

    #[tokio::test]
    async fn two_places_are_said_once_whichever_of_them_is_met_and_when() {
        let dir = tempfile::tempdir().unwrap();
        let (next, mut logged) = mpsc::channel(8);
        let store = LogStore::open(dir.path()).unwrap();
        let (log, thread) = log::spawn(store, overlap, next).unwrap();
        let follow = log.clone();
        let followed = tokio::task::spawn_blocking(move || follow.follow()).await;
        assert_eq!(followed.unwrap().unwrap(), 0);
        let two = [[3; 16], [5; 16]];
        for at_ns in [100, 200] {
            log.note(two_places(&block(at_ns), two).unwrap())
                .await
                .unwrap();
        }
        log.close().await;
        let Some(Logged::Block(found)) = logged.recv().await else {
            panic!("a block")
        };
        assert_eq!((found.pos, found.events[0].at_ns), (1, 100));
        let What::Conflict(conflict) = &found.events[0].what else {
            panic!("{found:?}")
        };
        assert_eq!(
            (conflict.kind, conflict.epoch, &*conflict.other),
            (ConflictKind::TwoPlaces, [3; 16], &[5; 16][..])
        );
        assert!(logged.recv().await.is_none(), "it is there once");
        thread.join().unwrap();
    }
}
