//! Files on what leads out of the host: a stick, an image that is mounted, another machine.

use super::{THIEF, at, config, detect, event, family, read};
use crate::config::{ApprovedWay, DetectConfig, Media};
use crate::detect::Alert;
use crate::event::{Carrier, CarrierKey, CarrierKind, Edge, EdgeKind, End, Event, Medium, What};

const STICK: u32 = 8 << 20 | 0x11;

fn writes(second: u64, medium: Medium, inode: u64, path: &str, bytes: u64) -> Event {
    let carrier = Carrier {
        key: CarrierKey {
            kind: CarrierKind::File,
            device: STICK,
            inode,
            generation: 0,
        },
        path: path.into(),
        medium,
    };
    let edge = Edge {
        from: End::Process(THIEF),
        to: End::Carrier(carrier),
        kind: EdgeKind::Write,
        stores: Vec::new(),
        times: 0,
        bytes,
        first_ns: at(second),
        last_ns: at(second),
    };
    event(at(second), What::Edge(edge))
}

fn copy(medium: Medium) -> Vec<Event> {
    let files = [
        read(2, 1, 70_000),
        writes(3, medium, 1, "/media/backup/night/a", 70_000),
        read(4, 2, 30_000),
        writes(5, medium, 2, "/media/backup/night/deep/b", 30_000),
    ];
    [family(), files.to_vec()].concat()
}

fn one(config: DetectConfig, events: Vec<Event>) -> Alert {
    let mut found = detect(config, &[events]);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn records_on_a_stick_an_image_or_another_machine_are_an_alert() {
    for (medium, technique, said) in [
        (
            Medium::Removable,
            "T1052.001",
            "a disk that can be taken out (device 8:17)",
        ),
        (
            Medium::Image,
            "T1052.001",
            "a file that is mounted as a disk",
        ),
        (Medium::Network, "T1048", "another machine"),
    ] {
        let alert = one(config(), copy(medium));
        assert_eq!(
            (alert.figures.records, alert.figures.bytes_sent),
            (2, 100_000)
        );
        assert!(
            alert.techniques.iter().any(|found| found.id == technique),
            "{medium:?}"
        );
        assert!(alert.story.contains(said), "{}", alert.story);
        assert!(
            alert
                .next_steps
                .iter()
                .any(|step| step.contains("device 8:17"))
        );
    }
    assert!(detect(config(), &[copy(Medium::Fixed)]).is_empty());
}

#[test]
fn what_was_no_record_may_be_written_anywhere() {
    let other = [
        family(),
        vec![
            read(2, 1, 900),
            writes(3, Medium::Removable, 1, "/media/x", 900_000),
        ],
    ];
    assert!(detect(config(), &[other.concat()]).is_empty());
}

#[test]
fn media_are_configured() {
    let only = |media: &[Medium]| DetectConfig {
        media: Media(media.to_vec()),
        ..config()
    };
    assert!(detect(only(&[Medium::Image]), &[copy(Medium::Network)]).is_empty());
    assert_eq!(
        detect(only(&[Medium::Image]), &[copy(Medium::Image)]).len(),
        1
    );
}

#[test]
fn files_below_a_directory_of_a_medium_are_approved_and_no_others() {
    let approved = |destination: &str| {
        let way = ApprovedWay {
            name: "backup disk".into(),
            store: "pacs".into(),
            executable: "/usr/bin/curl".into(),
            reader: None,
            user: "anna".into(),
            destination: destination.parse().unwrap(),
            schedule: None,
            bytes_max: None,
        };
        let config = DetectConfig {
            approved: vec![way],
            ..config()
        };
        detect(config, &[copy(Medium::Removable)]).is_empty()
    };
    assert!(approved("removable"));
    assert!(approved("removable:/media/backup"));
    assert!(approved("removable:/media/backup/night/"));
    assert!(
        !approved("removable:/media/backup/night/deep"),
        "one file lies above it"
    );
    assert!(!approved("removable:/media/back"));
    assert!(!approved("image:/media/backup"));
    assert!(!approved("0.0.0.0/0"));
}
