//! What is old and comes after what is new: the same alert in the end. Each epoch of a sensor says who its processes are before it
//! refers to them, and what went ahead says that older events are to come.

use std::collections::BTreeMap;

use super::chain::{JOB, ends, file, gets, job, program, sends, takes, writes};
use super::*;
use crate::config::BulkConfig;
use crate::detect::limits;

const DAY: u64 = 86_400;

/// An hour later somebody else sends something.
fn later() -> Vec<Event> {
    vec![sent_by(3_600, 99_000, |flow| {
        flow.id = 78;
        flow.process = SHELL;
        flow.opened_ns = at(3_599);
    })]
}

/// All orders of some blocks.
fn orders(blocks: &[Vec<Event>]) -> Vec<Vec<Vec<Event>>> {
    if blocks.is_empty() {
        return vec![Vec::new()];
    }
    (0..blocks.len())
        .flat_map(|first| {
            let mut rest = blocks.to_vec();
            let first = rest.remove(first);
            let with = move |mut order: Vec<Vec<Event>>| {
                order.insert(0, first.clone());
                order
            };
            orders(&rest).into_iter().map(with)
        })
        .collect()
}

/// What only says when it was told is left out; names are those of the records that came first.
fn in_the_end(alert: &Alert) -> Alert {
    let mut names = alert.names.clone();
    names.sort_by(|a, b| a.text.cmp(&b.text));
    Alert {
        names,
        revision: 0,
        raised_ns: 0,
        revised_ns: 0,
        ..alert.clone()
    }
}

/// The last revision of each alert, by id.
fn in_the_end_of(blocks: &[Block]) -> BTreeMap<uuid::Uuid, Alert> {
    let config = DetectConfig {
        bulk: BulkConfig {
            records_min: 0,
            ..BulkConfig::default()
        },
        ..config()
    };
    let mut detector = Detector::new(config);
    let alerts = blocks.iter().flat_map(|block| detector.block(block));
    alerts.map(|alert| (alert.id, in_the_end(&alert))).collect()
}

/// What went ahead.
fn ahead(events: Vec<Event>) -> Block {
    Block {
        older_to_come: true,
        ..block(events)
    }
}

#[test]
fn the_order_in_which_blocks_come_does_not_change_what_an_alert_says_in_the_end() {
    let blocks = [
        [family(), vec![read(2, 1, 100_000)]].concat(),
        [family(), vec![read(3, 2, 50_000)]].concat(),
        [family(), vec![sent(4, 150_300, true)]].concat(),
        later(),
    ];
    let mut ends = Vec::new();
    for order in orders(&blocks) {
        let alerts = detect(config(), &order);
        let last = alerts.last().unwrap();
        assert!(alerts.iter().all(|alert| alert.id == last.id));
        ends.push(in_the_end(last));
    }
    assert_eq!(ends.len(), 24);
    for (n, end) in ends.iter().enumerate() {
        assert_eq!(*end, ends[0], "order {n}");
    }
}

/// An archive is made and its maker ends; an hour later another program sends it. More than a week after that so much goes on that
/// everything of then is forgotten, and somebody else takes records away.
fn old_and_new() -> [Vec<Event>; 3] {
    let archive = || file(5, "/home/anna/.x.zip");
    let made = job(vec![
        program(1, 1000, JOB, "/usr/bin/zip"),
        takes(2, 1000, 1, 2_000_000),
        writes(2, 1000, archive(), 2_120_000),
        ends(3, 1000, JOB, "/usr/bin/zip"),
    ]);
    let sent = job(vec![
        program(3_600, 1001, JOB, "/usr/bin/curl"),
        gets(3_600, 1001, archive(), 2_120_000),
        sends(3_601, 1001, 2_060_000),
    ]);
    let now = 9 * DAY;
    let busy = (0..limits::SWEEP_EVERY).map(|_| program(now, 700, JOB, "/bin/other"));
    let taken = [
        program(now, 2000, JOB, "/usr/bin/scp"),
        takes(now + 1, 2000, 7, 2_000_000),
        sends(now + 2, 2000, 2_060_000),
    ];
    let mut live = job(busy.chain(taken).collect());
    // Who the others are is said anew.
    for event in &mut live {
        event.at_ns = event.at_ns.max(at(now));
    }
    [made, sent, live]
}

#[test]
fn what_is_old_and_comes_behind_what_is_live_gives_the_alerts_of_an_undisturbed_run() {
    let [made, sent, live] = old_and_new();
    let undisturbed = in_the_end_of(&[
        block(made.clone()),
        block(sent.clone()),
        block(live.clone()),
    ]);
    let mut patterns: Vec<_> = undisturbed.values().map(|alert| alert.pattern).collect();
    patterns.sort_unstable();
    assert_eq!(patterns, ["chain", "direct"]);
    let (old, now) = ([block(made), block(sent)], ahead(live.clone()));
    for place in 0..=2 {
        let mut blocks = old.to_vec();
        blocks.insert(place, now.clone());
        let alerts = in_the_end_of(&blocks);
        assert!(alerts.keys().eq(undisturbed.keys()), "live at {place}");
        // What nobody has heard of before the live part is not usual when that is judged.
        if place > 0 {
            assert_eq!(alerts, undisturbed, "live at {place}");
        }
    }
    // That this is so is because of what it says.
    let [made, sent] = old;
    let silent = in_the_end_of(&[made, block(live), sent]);
    assert_ne!(silent, undisturbed);
}

#[test]
fn a_program_that_is_told_of_late_is_no_newer_for_that() {
    let was = |second, executable: &str| {
        let mut event = process(THIEF, Some(SHELL), executable);
        event.at_ns = at(second);
        event
    };
    let old = vec![was(1, "/tmp/other"), read(2, 1, 99_000)];
    let new = vec![was(3, "/usr/bin/curl"), sent(4, 99_000, true)];
    let [old, new] = [old, new].map(|own| [&family()[..2], &own].concat());
    let undisturbed = in_the_end_of(&[block(old.clone()), block(new.clone())]);
    let alert = undisturbed.values().next().unwrap();
    let process = alert.chain[0].process.as_ref().unwrap();
    assert_eq!(process.executable, "/usr/bin/curl");
    assert_eq!(alert.chain[0].earlier, ["/tmp/other"]);
    assert_eq!(in_the_end_of(&[ahead(new), block(old)]), undisturbed);
}

#[test]
fn a_backlog_that_never_comes_lets_no_memory_grow_without_end() {
    let mut detector = Detector::new(config());
    let count = 2 * limits::PROCESSES as u32;
    for pid in 0..count {
        let events = vec![program(u64::from(pid), 10_000 + pid, JOB, "/bin/other")];
        detector.block(&ahead(events));
    }
    let host = &detector.hosts["ws-12"][0];
    assert_eq!(host.settled_ns(), 0);
    let (known, gone) = (host.processes_known() as u64, host.forgotten().processes);
    assert!(known <= limits::PROCESSES as u64, "{known}");
    assert_eq!(
        known + gone,
        u64::from(count),
        "what is forgotten is counted"
    );
}
