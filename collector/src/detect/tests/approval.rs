//! Approved ways with hours and with a most of bytes, and what is said of work that is almost approved.

use super::{
    SHELL, THIEF, at, config, detect, event, family, flow, process, read, sent, sent_by, theft,
};
use crate::config::{ApprovedWay, DetectConfig, Schedule};
use crate::event::{Flow, What};

fn way() -> ApprovedWay {
    ApprovedWay {
        name: "nightly".into(),
        store: "pacs".into(),
        executable: "/usr/bin/curl".into(),
        reader: None,
        user: "anna".into(),
        destination: "203.0.113.0/24:443".parse().unwrap(),
        schedule: None,
        bytes_max: None,
    }
}

fn with(way: ApprovedWay) -> DetectConfig {
    DetectConfig {
        approved: vec![way],
        ..config()
    }
}

/// The events begin on Monday the 16th of March 2026, 03:00 UTC.
fn at_hours(days: &[&str], hours: &str) -> ApprovedWay {
    let days: Vec<String> = days.iter().map(|&day| day.to_owned()).collect();
    ApprovedWay {
        schedule: Some(Schedule::read(Some(&days), Some(hours), None).unwrap()),
        ..way()
    }
}

#[test]
fn a_way_with_hours_covers_these_only() {
    let approved = |way| detect(with(way), &[theft()]).is_empty();
    assert!(approved(at_hours(&["mon"], "02:00-04:00")));
    assert!(
        approved(at_hours(&["sun"], "22:00-04:00")),
        "begun on Sunday"
    );
    assert!(!approved(at_hours(&["mon"], "22:00-04:00")));
    assert!(!approved(at_hours(&["tue-sun"], "02:00-04:00")));
    let found = detect(with(at_hours(&["mon"], "22:00-02:00")), &[theft()]);
    let said = "almost the approved way \"nightly\": it is for mon 22:00-02:00 UTC, not mon 03:00";
    assert_eq!(found[0].almost, [said]);
}

#[test]
fn work_that_goes_on_after_its_hours_is_no_longer_approved() {
    let late = [
        family(),
        vec![
            read(2, 1, 99_000),
            sent(3, 50_000, false),
            sent(3_700, 99_000, true),
        ],
    ]
    .concat();
    let approved =
        |hours| detect(with(at_hours(&["mon"], hours)), std::slice::from_ref(&late)).is_empty();
    assert!(approved("02:00-05:00"));
    assert!(!approved("02:00-04:00"));
}

#[test]
fn a_way_with_a_most_of_bytes_covers_so_many_and_not_ten_times_that() {
    let capped = |most| {
        with(ApprovedWay {
            bytes_max: Some(most),
            ..way()
        })
    };
    assert!(detect(capped(1_000_000), &[theft()]).is_empty());
    let found = detect(capped(50_000), &[theft()]);
    assert_eq!(found.len(), 1);
    let said = &found[0].almost[0];
    assert!(said.contains("50.0 kB within 24 h at most"), "{said}");
}

#[test]
fn processes_of_a_way_share_its_most_of_bytes() {
    let one = |pid: u32, second: u64| {
        let key = crate::event::ProcessKey { pid, ..THIEF };
        let mut events = vec![process(key, Some(SHELL), "/usr/bin/curl")];
        for mut other in [
            read(second, u64::from(pid), 80_000),
            sent(second + 1, 80_000, true),
        ] {
            match &mut other.what {
                What::Access(access) => access.process = key,
                What::Flow(flow) => (flow.process, flow.id) = (key, u64::from(pid)),
                _ => {}
            }
            events.push(other);
        }
        events
    };
    let night = [
        [family(), one(2_000, 2)].concat(),
        one(2_001, 10),
        one(2_002, 20),
    ];
    let capped = |most| {
        with(ApprovedWay {
            bytes_max: Some(most),
            ..way()
        })
    };
    assert!(detect(capped(240_000), &night).is_empty());
    assert_eq!(
        detect(capped(239_999), &night).len(),
        1,
        "the last one is over"
    );
}

#[test]
fn what_is_almost_approved_says_which_way_and_why() {
    let said = |way: ApprovedWay| detect(with(way), &[theft()])[0].almost.clone();
    let user = ApprovedWay {
        user: "backup".into(),
        ..way()
    };
    assert_eq!(
        said(user.clone()),
        ["almost the approved way \"nightly\": it is for user backup, not anna"]
    );
    let copy = ApprovedWay {
        executable: "/opt/curl".into(),
        ..way()
    };
    assert_eq!(
        said(copy),
        ["almost the approved way \"nightly\": it is for /opt/curl, not /usr/bin/curl"]
    );
    let two_things = ApprovedWay {
        store: "ehr".into(),
        ..user
    };
    assert!(said(two_things).is_empty(), "two things differ");
}

#[test]
fn bytes_to_another_place_do_not_count() {
    let elsewhere = sent_by(4, 500_000, |flow: &mut Flow| {
        flow.id = 78;
        flow.remote = "10.1.1.1:22".parse().unwrap();
    });
    let events = [
        family(),
        vec![
            read(2, 1, 70_000),
            event(at(3), What::Flow(flow(3, 70_000, true))),
            elsewhere,
        ],
    ]
    .concat();
    let capped = with(ApprovedWay {
        bytes_max: Some(100_000),
        ..way()
    });
    let found = detect(capped, &[events]);
    assert_eq!(
        found.len(),
        1,
        "only the place that is not approved: {found:?}"
    );
    assert_eq!(found[0].destination.as_ref().unwrap().port, 22);
}
