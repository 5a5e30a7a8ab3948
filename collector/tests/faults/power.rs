//! The power goes at a write, and what was not synced is lost, wholly or in part.

use std::time::Duration;

use crate::daemon::{Collector, Place, Start};
use crate::disk::Disk;
use crate::disk::model::{Cut, Dice};
use crate::story::{Acknowledged, Story, deliver, runtime};
use crate::{is_long, spread, telling};

/// Cuts in a short run, and in a long one.
const CUTS: u64 = 30;
const CUTS_LONG: u64 = 2_000;

/// How a run on a disk ended.
enum End {
    Done,
    NoPower,
}

/// Starts a collector on the disk and delivers until all is delivered or the power is gone.
fn run(disk: &Disk, place: &Place, story: &Story, acknowledged: &Acknowledged) -> End {
    let collector = match Collector::begin(place, |_| {}, || !disk.has_power()) {
        Start::Ready(collector) => collector,
        Start::Overtaken => return End::NoPower,
        Start::Ended(status, said) => {
            assert!(!disk.has_power(), "it ended with {status}:\n{said}");
            assert!(!status.success() && !said.is_empty(), "{status}: {said}");
            return End::NoPower;
        }
    };
    let delivered = runtime().block_on(async {
        tokio::select! {
            delivered = deliver(story, &collector.address, acknowledged) => delivered,
            () = gone(disk) => Err("no power".to_owned()),
        }
    });
    if disk.has_power() {
        delivered.unwrap();
        // The stop writes too.
        collector.stop_unless(|| !disk.has_power());
        if disk.has_power() {
            return End::Done;
        }
    } else {
        collector.kill();
    }
    End::NoPower
}

async fn gone(disk: &Disk) {
    while disk.has_power() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Time for what must not be done any more.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// One life of a collector's disk: power cuts at these steps, each counted from the start after the one before.
fn life(story: &Story, cuts: &[(u64, Cut)], more: &str) -> u64 {
    let mut disk = Disk::new();
    let place = Place::at(disk.path().join("data"), more);
    let acknowledged = Acknowledged::default();
    for (step, cut) in cuts {
        disk.cut_at(*step);
        match run(&disk, &place, story, &acknowledged) {
            End::NoPower => disk.power_on(*cut),
            End::Done => break,
        }
    }
    disk.cut_at(u64::MAX);
    assert!(matches!(
        run(&disk, &place, story, &acknowledged),
        End::Done
    ));
    let copy = disk.copy();
    let copied = Place::at(copy.path().join("data"), more);
    story.check(&copied, &acknowledged);
    disk.steps()
}

/// Cuts spread over all steps of a run, one in two of them followed by another while the collector comes up again.
fn cuts(story: &Story, more: &str) {
    let steps = life(story, &[], more);
    let count = if is_long() { CUTS_LONG } else { CUTS };
    for (number, step) in (0..).zip(spread(steps, count)) {
        let cut = |seed| match number % 2 {
            0 => Cut::Some(seed),
            _ => Cut::All,
        };
        let again = Dice(number).below(60) as u64 + 1;
        let all = [(step, cut(number)), (again, cut(number + 1_000_000))];
        let these = if number % 4 < 2 { &all[..] } else { &all[..1] };
        telling(
            || format!("after power cuts {these:?} of {steps} steps"),
            || life(story, these, more),
        );
    }
}

pub(crate) fn at_small_writes() {
    cuts(&Story::of(8, 0), "tls = \"off\"\n");
}

/// So much that the log is folded into the database on the way.
pub(crate) fn at_checkpoints() {
    cuts(&Story::of(120, 8_000), "tls = \"off\"\n");
}

/// The first start, with an authority of its own: cut at every step of it and of the token made after it.
pub(crate) fn at_the_first_start() {
    let mut step = 0;
    let mut was_made = false;
    while !was_made {
        // Each one while keys are made.
        step += if is_long() || step < 40 { 1 } else { 5 };
        for cut in [Cut::All, Cut::Some(step)] {
            was_made = telling(
                || format!("after a power cut at step {step}: {cut:?}"),
                || first_start(step, cut),
            );
        }
    }
    assert!(step > 50, "{step} steps");
}

/// Answers whether all was done before the power went. What was said to be done is there afterwards.
fn first_start(step: u64, cut: Cut) -> bool {
    let mut disk = Disk::new();
    let place = Place::at(disk.path().join("var/lib/collector"), "");
    let pki = |disk: &Disk| (disk.copy(), "var/lib/collector/pki");
    let authority = |(copy, pki): &(tempfile::TempDir, &str)| {
        std::fs::read(copy.path().join(pki).join("ca.pem")).unwrap()
    };
    disk.cut_at(step);
    let mut made = (None, 0);
    if let Start::Ready(collector) = Collector::begin(&place, |_| {}, || !disk.has_power()) {
        made.0 = Some(authority(&pki(&disk)));
        made.1 = i64::from(place.token());
        collector.kill();
    }
    let all = disk.has_power();
    disk.power_on(cut);
    Collector::start(&place).kill();
    let after = pki(&disk);
    if let Some(before) = made.0 {
        assert_eq!(authority(&after), before);
    }
    let book = rusqlite::Connection::open(after.0.path().join(after.1).join("book.db")).unwrap();
    let tokens: i64 = book
        .query_row("SELECT count(*) FROM token", [], |row| row.get(0))
        .unwrap();
    assert!(tokens >= made.1, "a token that was printed is gone");
    all
}
