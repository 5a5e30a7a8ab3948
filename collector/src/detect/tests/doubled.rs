//! What was delivered twice in a sensor's name.

use super::*;
use crate::detect::Level;
use crate::event::{Conflict, ConflictKind};

fn conflict(second: u64, kind: ConflictKind, epoch: u8, first_seq: u64) -> Event {
    let conflict = Conflict {
        kind,
        epoch: [epoch; 16],
        first_seq,
        last_seq: first_seq + 4,
        other: vec![second as u8; 32],
    };
    event(at(second), What::Conflict(conflict))
}

#[test]
fn a_conflict_is_an_alert_for_its_epoch_and_kind_that_grows_as_they_double() {
    let overlap = |second| vec![conflict(second, ConflictKind::Overlap, 7, second)];
    let blocks = [
        overlap(1),
        overlap(2),
        overlap(3),
        overlap(4),
        vec![conflict(5, ConflictKind::Overlap, 8, 1)],
        vec![conflict(6, ConflictKind::TwoPlaces, 7, 0)],
    ];
    let found = detect(config(), &blocks);
    let told: Vec<_> = found
        .iter()
        .map(|alert| (alert.revision, alert.last_ns, alert.severity.level))
        .collect();
    assert_eq!(
        told,
        [
            (1, at(1), Level::High),
            (2, at(2), Level::High),
            (3, at(4), Level::High),
            (1, at(5), Level::High),
            (1, at(6), Level::High),
        ]
    );
    assert!(found[0].id == found[1].id && found[0].id == found[2].id);
    assert!(found[0].id != found[3].id && found[0].id != found[4].id);
    assert!(found[3].id != found[4].id);
    let (story, two) = (&found[2].story, &found[4].story);
    assert!(
        story.contains("events 1 to 5 a second time") && story.contains("4 such cases"),
        "{story}"
    );
    assert!(two.contains("Two machines delivered"), "{two}");
}
