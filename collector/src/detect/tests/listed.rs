//! What threat intelligence knows of a destination: how little is enough then, and what an alert says.

use std::path::Path;
use std::sync::Arc;

use super::{THIEF, at, config, detect, event, family, flow, read, sent, theft};
use crate::config::{ApprovedWay, DetectConfig};
use crate::detect::{Alert, Level};
use crate::event::{Direction, FlowName, NameSource, What};
use crate::intel::{FeedConfig, Intel, Kind};

fn feed(place: &Path, name: &str, kind: Kind, text: &str) -> FeedConfig {
    let path = place.join(name);
    std::fs::write(&path, text).unwrap();
    FeedConfig {
        name: name.into(),
        kind,
        path,
        pull: None,
        label: "c2".into(),
        confidence: None,
        lasts: None,
        stale: None,
    }
}

/// A detector's configuration that knows a list and a warning list.
fn knowing(list: &str, warnings: Option<&str>) -> DetectConfig {
    let place = tempfile::tempdir().unwrap();
    let mut feeds = vec![feed(place.path(), "blocklist", Kind::List, list)];
    if let Some(network) = warnings {
        let text =
            format!(r#"{{"name": "cloud", "version": 1, "type": "cidr", "list": ["{network}"]}}"#);
        feeds.push(feed(place.path(), "clouds", Kind::Warnings, &text));
    }
    DetectConfig {
        intel: Arc::new(Intel::load(&feeds, &Intel::default()).0),
        ..config()
    }
}

/// Far below what an alert needs otherwise.
fn little() -> Vec<crate::event::Event> {
    [family(), vec![read(2, 1, 3_000), sent(3, 2_000, true)]].concat()
}

fn one(config: DetectConfig, events: Vec<crate::event::Event>) -> Alert {
    let mut found = detect(config, &[events]);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn little_is_enough_for_a_listed_destination() {
    assert!(detect(knowing("192.0.2.1", None), &[little()]).is_empty());
    let alert = one(knowing("203.0.113.0/24", None), little());
    assert_eq!(alert.severity.level, Level::Critical);
    assert_eq!(&*alert.known.hits[0].feed, "blocklist");
    let said = alert.severity.reasons.join(" ");
    assert!(
        said.contains("knows the destination 203.0.113.9 as c2 (feed blocklist"),
        "{said}"
    );
}

#[test]
fn without_records_a_listed_destination_is_nothing() {
    let nothing_read = [family(), vec![sent(3, 900_000, true)]].concat();
    assert!(detect(knowing("203.0.113.9", None), &[nothing_read]).is_empty());
}

#[test]
fn the_name_of_the_destination_is_looked_up_too() {
    let mut flow = flow(3, 2_000, true);
    flow.name = Some(FlowName {
        source: NameSource::Server,
        name: "cdn.evil.example".into(),
    });
    let events = [
        family(),
        vec![read(2, 1, 3_000), event(at(3), What::Flow(flow))],
    ]
    .concat();
    let alert = one(knowing("evil.example", None), events);
    assert_eq!(alert.known.hits[0].value, "cdn.evil.example");
}

#[test]
fn a_warning_list_brings_the_usual_thresholds_back_and_is_said() {
    let knowing = || knowing("203.0.113.9", Some("203.0.113.0/24"));
    assert!(detect(knowing(), &[little()]).is_empty());
    let alert = one(knowing(), theft());
    assert_eq!(alert.known.known_as, ["clouds"]);
    assert!(
        alert
            .severity
            .reasons
            .iter()
            .any(|reason| reason.contains("says little"))
    );
}

#[test]
fn a_feed_that_is_unsure_has_no_weight_and_that_is_said() {
    let place = tempfile::tempdir().unwrap();
    let unsure = |percent| {
        let feeds = [FeedConfig {
            confidence: Some(percent),
            ..feed(place.path(), "guesses", Kind::List, "203.0.113.9\n")
        }];
        DetectConfig {
            intel: Arc::new(Intel::load(&feeds, &Intel::default()).0),
            ..config()
        }
    };
    assert_eq!(detect(unsure(30), &[little()]).len(), 1);
    assert!(detect(unsure(29), &[little()]).is_empty());
    let reasons = one(unsure(29), theft()).severity.reasons.join(" ");
    assert!(reasons.contains("less sure of it than"), "{reasons}");
}

#[test]
fn an_authority_of_tor_is_known_without_any_feed_and_named_as_a_technique() {
    let mut flow = flow(3, 2_000, true);
    flow.remote = "131.188.40.189:443".parse().unwrap();
    let events = [
        family(),
        vec![read(2, 1, 3_000), event(at(3), What::Flow(flow))],
    ]
    .concat();
    let alert = one(knowing("", None), events);
    assert!(
        alert
            .techniques
            .iter()
            .any(|technique| technique.id == "T1090.003")
    );
}

#[test]
fn an_approved_way_stays_approved() {
    let approved = DetectConfig {
        approved: vec![ApprovedWay {
            name: "usual".into(),
            store: "pacs".into(),
            executable: "/usr/bin/curl".into(),
            reader: None,
            user: "anna".into(),
            destination: "203.0.113.9/32".parse().unwrap(),
            schedule: None,
            bytes_max: None,
        }],
        ..knowing("203.0.113.9", None)
    };
    assert!(detect(approved, &[little()]).is_empty());
}

#[test]
fn who_connects_from_a_listed_address_is_known_as_well() {
    let mut flow = flow(3, 2_000, true);
    flow.direction = Direction::Accepted;
    flow.process = THIEF;
    let events = [
        family(),
        vec![read(2, 1, 3_000), event(at(3), What::Flow(flow))],
    ]
    .concat();
    assert_eq!(
        one(knowing("203.0.113.9", None), events).known.hits.len(),
        1
    );
}
