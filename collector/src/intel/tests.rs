//! Feeds from files: what is read of them, what is left out and why, and what is looked up.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{FeedConfig, Intel, Kind, Known, Side, Status};

const NOW_NS: u64 = 1_773_630_000 * 1_000_000_000;

fn config(place: &Path, name: &str, kind: Kind, text: &[u8]) -> FeedConfig {
    let path = place.join(name);
    fs::write(&path, text).unwrap();
    FeedConfig {
        name: name.into(),
        kind,
        path,
        pull: None,
        label: "c2".into(),
        confidence: Some(80),
        lasts: None,
        stale: None,
    }
}

fn load(feeds: &[FeedConfig]) -> (Intel, Vec<Status>) {
    Intel::load(feeds, &Intel::default())
}

fn out(intel: &Intel, address: &str, name: Option<&str>) -> Known {
    intel.look_up(address.parse().unwrap(), name, Side::Outbound, NOW_NS)
}

fn labels(known: &Known) -> Vec<&str> {
    known.hits.iter().map(|hit| &*hit.label).collect()
}

#[test]
fn an_id_that_a_feed_made_up_is_cut_and_moves_no_cursor() {
    let place = tempfile::tempdir().unwrap();
    let long = "x".repeat(10_000);
    let text = format!(
        r#"{{"objects": [{{"type": "indicator", "id": "i\u001b[2J{long}", "pattern": "[x]"}},
           {{"type": "indicator", "id": "j", "pattern": "[ipv4-addr:value = '203.0.113.9']"}}]}}"#
    );
    let (_, states) = load(&[config(place.path(), "stix", Kind::Stix, text.as_bytes())]);
    let said = &states[1].examples[0];
    assert!(
        said.starts_with("i\\u{1b}[2Jxx") && said.len() < 300,
        "{said}"
    );
}

#[test]
fn a_list_is_read_and_bad_lines_are_named() {
    let place = tempfile::tempdir().unwrap();
    let text = b"# block list\n203.0.113.9\n198.51.100.0/24\nevil.example\nnonsense\n0.0.0.0/0\n\xff\xfe\n";
    let (intel, states) = load(&[config(place.path(), "list", Kind::List, text)]);
    let state = &states[1];
    assert_eq!((state.indicators, state.skipped), (3, 3));
    assert_eq!(
        state.examples[0],
        "line 5: \"nonsense\": a name of one label"
    );
    assert!(state.examples[1].contains("wider than /8"));
    assert_eq!(labels(&out(&intel, "203.0.113.9", None)), ["c2"]);
    assert_eq!(labels(&out(&intel, "::ffff:203.0.113.9", None)), ["c2"]);
    assert_eq!(labels(&out(&intel, "198.51.100.77", None)), ["c2"]);
    assert_eq!(
        labels(&out(&intel, "192.0.2.1", Some("www.Evil.example."))),
        ["c2"]
    );
    assert!(labels(&out(&intel, "192.0.2.1", Some("notevil.example"))).is_empty());
    let hit = &out(&intel, "203.0.113.9", None).hits[0];
    assert_eq!(
        (hit.value.as_str(), &*hit.feed, hit.confidence),
        ("203.0.113.9", "list", Some(80))
    );
}

#[test]
fn the_authorities_of_tor_are_always_known_outbound() {
    let (intel, states) = load(&[]);
    assert_eq!(
        (states[0].kind, states[0].feed.as_str()),
        ("built-in", "tor-authorities")
    );
    assert_eq!(labels(&out(&intel, "128.31.0.39", None)), ["tor-authority"]);
    let inbound = intel.look_up("128.31.0.39".parse().unwrap(), None, Side::Inbound, NOW_NS);
    assert!(inbound.hits.is_empty());
}

#[test]
fn relays_count_both_ways_and_exits_inbound() {
    let place = tempfile::tempdir().unwrap();
    let text = br#"{"version": "8.0", "relays_published": "2026-11-27 10:00:00", "relays": [
        {"nickname": "a", "or_addresses": ["203.0.113.1:9001", "[2001:db8::1]:9001"], "exit_addresses": ["203.0.113.2"]},
        {"or_addresses": ["bad"]}], "bridges": []}"#;
    let (intel, states) = load(&[config(place.path(), "relays", Kind::Onionoo, text)]);
    assert_eq!(states[1].version, "2026-11-27 10:00:00");
    assert_eq!((states[1].indicators, states[1].skipped), (3, 1));
    assert_eq!(labels(&out(&intel, "203.0.113.1", None)), ["tor-relay"]);
    assert_eq!(labels(&out(&intel, "2001:db8::1", None)), ["tor-relay"]);
    assert!(
        out(&intel, "203.0.113.2", None).hits.is_empty(),
        "an exit is not connected to"
    );
    let inbound = intel.look_up("203.0.113.2".parse().unwrap(), None, Side::Inbound, NOW_NS);
    assert_eq!(labels(&inbound), ["tor-exit"]);
}

#[test]
fn a_warning_list_takes_the_weight_out_of_an_indicator() {
    let place = tempfile::tempdir().unwrap();
    let cloud =
        br#"{"name": "Large cloud", "version": 20260301, "type": "cidr", "description": "x",
        "matching_attributes": ["ip-dst"], "list": ["203.0.113.0/24"]}"#;
    let (intel, states) = load(&[
        config(
            place.path(),
            "list",
            Kind::List,
            b"203.0.113.9\n192.0.2.9\n",
        ),
        config(place.path(), "cloud", Kind::Warnings, cloud),
    ]);
    assert_eq!(states[2].version, "Large cloud 20260301");
    let both = out(&intel, "203.0.113.9", None);
    assert_eq!(
        (both.is_listed(), both.known_as.as_slice()),
        (false, ["cloud".to_owned()].as_slice())
    );
    assert!(out(&intel, "192.0.2.9", None).is_listed());
    assert!(!out(&intel, "203.0.113.10", None).is_listed());
}

#[test]
fn a_warning_list_about_the_address_takes_nothing_from_the_name() {
    let place = tempfile::tempdir().unwrap();
    let cloud = br#"{"name": "cloud", "version": 1, "type": "cidr", "list": ["203.0.113.0/24"]}"#;
    let list = b"203.0.113.9\nevil.example\n";
    let (intel, _) = load(&[
        config(place.path(), "list", Kind::List, list),
        config(place.path(), "cloud", Kind::Warnings, cloud),
    ]);
    let known = out(&intel, "203.0.113.9", Some("www.evil.example"));
    let counts: Vec<_> = known
        .hits
        .iter()
        .map(|hit| (hit.value.as_str(), hit.counts))
        .collect();
    assert_eq!(counts, [("203.0.113.9", false), ("www.evil.example", true)]);
    assert!(known.is_listed());
}

#[test]
fn a_warning_list_of_strings_has_no_names_below_them() {
    let place = tempfile::tempdir().unwrap();
    let listed = |kind: &str| {
        let warnings =
            format!(r#"{{"name": "x", "version": 1, "type": "{kind}", "list": ["evil.example"]}}"#);
        let (intel, _) = load(&[
            config(place.path(), "list", Kind::List, b"evil.example\n"),
            config(
                place.path(),
                "warnings",
                Kind::Warnings,
                warnings.as_bytes(),
            ),
        ]);
        ["evil.example", "www.evil.example"]
            .map(|name| out(&intel, "192.0.2.1", Some(name)).is_listed())
    };
    assert_eq!(listed("string"), [false, true]);
    assert_eq!(listed("hostname"), [false, false]);
}

#[test]
fn a_url_lists_its_host_and_none_below() {
    let place = tempfile::tempdir().unwrap();
    let list = b"http://files.example/a.zip\n";
    let (intel, _) = load(&[config(place.path(), "list", Kind::List, list)]);
    assert!(out(&intel, "192.0.2.1", Some("files.example")).is_listed());
    assert!(!out(&intel, "192.0.2.1", Some("www.files.example")).is_listed());
}

#[test]
fn of_what_is_listed_twice_neither_hides_the_other() {
    let place = tempfile::tempdir().unwrap();
    let object = |id: &str, until: &str| {
        format!(
            r#"{{"type": "indicator", "id": "{id}", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '203.0.113.9']",
                "valid_from": "2020-01-01T00:00:00Z", "valid_until": "{until}"}}"#
        )
    };
    let [valid, expired] = [
        object("indicator--1", "9999-12-31T23:59:59Z"),
        object("indicator--2", "2021-01-01T00:00:00Z"),
    ];
    for both in [format!("{valid}, {expired}"), format!("{expired}, {valid}")] {
        let bundle = format!(r#"{{"type": "bundle", "objects": [{both}]}}"#);
        let (intel, states) = load(&[config(place.path(), "stix", Kind::Stix, bundle.as_bytes())]);
        assert!(out(&intel, "203.0.113.9", None).is_listed(), "{states:?}");
        assert_eq!((states[1].indicators, states[1].skipped), (1, 0));
    }
    // A relay's own address is another one's exit address, before it and after it.
    for relays in [
        r#"{"or_addresses": ["203.0.113.1:9001"]}, {"exit_addresses": ["203.0.113.1"]}"#,
        r#"{"exit_addresses": ["203.0.113.1"]}, {"or_addresses": ["203.0.113.1:9001"]}"#,
    ] {
        let text = format!(r#"{{"relays": [{relays}]}}"#);
        let (intel, _) = load(&[config(
            place.path(),
            "relays",
            Kind::Onionoo,
            text.as_bytes(),
        )]);
        assert!(out(&intel, "203.0.113.1", None).is_listed());
    }
}

#[test]
fn of_a_stix_object_the_version_that_was_modified_last_counts() {
    let place = tempfile::tempdir().unwrap();
    let object = |modified: &str, revoked: bool| {
        format!(
            r#"{{"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '203.0.113.9']",
                "modified": "{modified}", "revoked": {revoked}}}"#
        )
    };
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    for (objects, listed) in [
        ([object(new, true), object(old, false)], false),
        ([object(old, false), object(new, true)], false),
        ([object(old, true), object(new, false)], true),
    ] {
        let bundle = format!(r#"{{"objects": [{}]}}"#, objects.join(", "));
        let (intel, _) = load(&[config(place.path(), "stix", Kind::Stix, bundle.as_bytes())]);
        assert_eq!(out(&intel, "203.0.113.9", None).is_listed(), listed);
    }
}

#[test]
fn a_pipe_or_an_empty_file_is_no_feed_and_what_was_read_before_counts() {
    let place = tempfile::tempdir().unwrap();
    let feed = config(place.path(), "list", Kind::List, b"203.0.113.9\n");
    let (before, _) = load(std::slice::from_ref(&feed));
    let again = || {
        let (after, states) = Intel::load(std::slice::from_ref(&feed), &before);
        assert!(out(&after, "203.0.113.9", None).is_listed());
        states[1].problem.clone().unwrap()
    };
    fs::write(&feed.path, "\n").unwrap();
    assert!(again().contains("an empty file"));
    fs::remove_file(&feed.path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &feed.path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(again().contains("no regular file"));
}

#[test]
fn a_name_is_explained_without_an_address() {
    let place = tempfile::tempdir().unwrap();
    let list = b"0.0.0.0/8\nevil.example\n";
    let (intel, states) = load(&[config(place.path(), "list", Kind::List, list)]);
    assert_eq!(states[1].skipped, 1);
    assert!(intel.explain("evil.example", NOW_NS).unwrap().is_listed());
    assert!(!intel.explain("good.example", NOW_NS).unwrap().is_listed());
    assert!(intel.explain("203.0.113.0/24", NOW_NS).is_err());
}

#[test]
fn entries_end_by_the_time_of_the_events() {
    let place = tempfile::tempdir().unwrap();
    let lasting = FeedConfig {
        lasts: Some(Duration::from_hours(24)),
        stale: None,
        ..config(place.path(), "list", Kind::List, b"203.0.113.9\n")
    };
    let (intel, states) = load(&[lasting]);
    let written_ns = states[1].written_s.unwrap() * 1_000_000_000;
    let at = |seconds: u64| {
        let at_ns = written_ns + seconds * 1_000_000_000;
        intel
            .look_up("203.0.113.9".parse().unwrap(), None, Side::Outbound, at_ns)
            .is_listed()
    };
    assert!(at(86_399));
    assert!(!at(86_400));
}

#[test]
fn a_feed_that_breaks_counts_as_it_was_before() {
    let place = tempfile::tempdir().unwrap();
    let feed = config(place.path(), "list", Kind::List, b"203.0.113.9\n");
    let (before, _) = load(std::slice::from_ref(&feed));
    fs::remove_file(&feed.path).unwrap();
    let (after, states) = Intel::load(std::slice::from_ref(&feed), &before);
    assert!(out(&after, "203.0.113.9", None).is_listed());
    assert!(
        states[1]
            .problem
            .as_ref()
            .unwrap()
            .contains("cannot be read")
    );
    let (never, _) = load(&[feed]);
    assert!(!out(&never, "203.0.113.9", None).is_listed());
}

#[test]
fn what_is_of_another_kind_is_refused_whole() {
    let place = tempfile::tempdir().unwrap();
    let refused = |kind, text: &[u8]| {
        let (_, states) = load(&[config(place.path(), "feed", kind, text)]);
        states[1].problem.clone().unwrap()
    };
    assert!(refused(Kind::List, b"{\"objects\": []}\n").contains("another kind"));
    assert!(refused(Kind::Onionoo, b"203.0.113.9\n").contains("not what its kind says"));
    let regex = br#"{"name": "x", "version": 1, "type": "regex", "list": []}"#;
    assert!(refused(Kind::Warnings, regex).contains("cidr, hostname and string"));
}

#[test]
fn a_bundle_of_stix_is_read_with_its_times_and_labels() {
    let place = tempfile::tempdir().unwrap();
    let text = br#"{"type": "bundle", "id": "bundle--1", "objects": [
        {"type": "identity", "id": "identity--1"},
        {"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "confidence": 95, "indicator_types": ["malicious-activity"],
         "pattern": "[ipv4-addr:value = '203.0.113.9']", "valid_from": "2026-03-01T00:00:00Z", "valid_until": "2026-04-01T00:00:00.5Z"},
        {"type": "indicator", "id": "indicator--2", "pattern_type": "stix", "revoked": true,
         "pattern": "[ipv4-addr:value = '203.0.113.10']", "valid_from": "2026-03-01T00:00:00Z"},
        {"type": "indicator", "id": "indicator--3", "pattern_type": "yara", "pattern": "rule x {}"}]}"#;
    let (intel, states) = load(&[config(place.path(), "agency", Kind::Stix, text)]);
    assert_eq!((states[1].indicators, states[1].skipped), (1, 1));
    assert!(
        states[1].examples[0].starts_with("indicator--3: "),
        "{:?}",
        states[1].examples
    );
    let hit = &out(&intel, "203.0.113.9", None).hits[0];
    assert_eq!(
        (&*hit.label, hit.confidence),
        ("malicious-activity", Some(95))
    );
    assert!(out(&intel, "203.0.113.10", None).hits.is_empty(), "revoked");
    let at = |text: &str| {
        let at_ns = crate::text::parse_rfc3339(text).unwrap();
        intel
            .look_up("203.0.113.9".parse().unwrap(), None, Side::Outbound, at_ns)
            .is_listed()
    };
    assert!(!at("2026-02-28T23:59:59Z"));
    assert!(at("2026-03-31T23:59:59Z"));
    assert!(!at("2026-04-01T00:00:00Z"));
}

#[test]
fn a_directory_of_misp_is_read_whole() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("misp");
    fs::create_dir(&directory).unwrap();
    let id = "5a54c0f1-7f4c-4f2b-9b1e-0a1b2c3d4e5f";
    let manifest = format!(r#"{{"{id}": {{"info": "x"}}, "../../etc/passwd": {{}}}}"#);
    fs::write(directory.join("manifest.json"), manifest).unwrap();
    let event = r#"{"Event": {"uuid": "u", "Attribute": [
        {"type": "ip-dst", "value": "203.0.113.9", "to_ids": true},
        {"type": "ip-dst|port", "value": "203.0.113.11|443", "to_ids": true},
        {"type": "ip-dst", "value": "203.0.113.10", "to_ids": false},
        {"type": "sha256", "value": "aa", "to_ids": true}],
        "Object": [{"Attribute": [{"type": "domain|ip", "value": "evil.example|203.0.113.12", "to_ids": true}]}]}}"#;
    fs::write(directory.join(format!("{id}.json")), event).unwrap();
    let feed = FeedConfig {
        path: directory.clone(),
        ..config(place.path(), "unused", Kind::Misp, b"")
    };
    let (intel, states) = load(std::slice::from_ref(&feed));
    assert_eq!(
        (states[1].indicators, states[1].skipped),
        (4, 2),
        "{states:?}"
    );
    assert!(out(&intel, "203.0.113.11", None).is_listed());
    assert!(out(&intel, "192.0.2.1", Some("evil.example")).is_listed());
    assert!(
        !out(&intel, "203.0.113.10", None).is_listed(),
        "not for detection"
    );
    fs::write(directory.join(format!("{id}.json")), "{").unwrap();
    let (_, states) = Intel::load(&[feed], &intel);
    assert!(states[1].problem.is_some());
    assert_eq!(states[1].indicators, 4, "as it was before");
}

/// Every cut and every changed byte of a feed is read or refused, and nothing else happens.
#[test]
fn garbled_feeds_do_no_harm() {
    let place = tempfile::tempdir().unwrap();
    let texts: [(Kind, &[u8]); 5] = [
        (Kind::Stix, br#"{"objects":[{"type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.9']"}]}"#),
        (Kind::Misp, br#"{"Event":{"Attribute":[{"type":"domain|ip","value":"a.example|203.0.113.9","to_ids":true}]}}"#),
        (
            Kind::List,
            b"203.0.113.9:443 # x\nhxxp://evil[.]example/a\n[2001:db8::1]:80\n",
        ),
        (
            Kind::Warnings,
            br#"{"name":"x","version":1,"type":"cidr","list":["203.0.113.0/24"]}"#,
        ),
        (
            Kind::Onionoo,
            br#"{"relays_published":"y","relays":[{"or_addresses":["[2001:db8::1]:9001"]}]}"#,
        ),
    ];
    for (kind, text) in texts {
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 0x55;
            for bytes in [&text[..at], &changed] {
                let (_, states) = load(&[config(place.path(), "feed", kind, bytes)]);
                assert!(states[1].examples.len() <= 10);
            }
        }
    }
}
