//! Clocks that are wrong: the collector's jumps by years under it, or stands still with all of it as in a suspend; a host's jumps in its events.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Collector, Place};
use crate::story::{Acknowledged, Story, deliver, runtime};

/// The library that answers what time it is, from the package `faketime`.
fn library() -> Option<PathBuf> {
    let of_machines = fs::read_dir("/usr/lib").ok()?;
    let libraries = of_machines.filter_map(|machine| {
        let library = machine.ok()?.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    libraries.min()
}

pub(crate) fn lacks() -> Option<String> {
    let missing = library().is_none();
    missing.then(|| "no faketime here (Debian package faketime)".to_owned())
}

/// A clock that is as far off as its file says.
struct Clock {
    library: OsString,
    file: PathBuf,
}

impl Clock {
    fn at(place: &Place) -> Self {
        let clock = Self {
            library: library().expect("looked for before").into(),
            file: place.file("clock"),
        };
        clock.is_off("+0");
        clock
    }

    /// As libfaketime reads it: `+10y`, `-8h`.
    fn is_off(&self, by: &str) {
        fs::write(&self.file, by).unwrap();
    }

    fn start(&self, place: &Place) -> Collector {
        Collector::start_as(place, |command: &mut Command| {
            command.env("LD_PRELOAD", &self.library);
            command.env("FAKETIME_TIMESTAMP_FILE", &self.file);
            command.env("FAKETIME_NO_CACHE", "1");
            // Only the wall clock jumps.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command.env("DONT_FAKE_MONOTONIC", "1");
        })
    }
}

/// Ten years ahead, twenty back, then killed and started with a clock that is behind all it has written.
pub(crate) fn jumps_by_years() {
    let story = Story::of(40, 200);
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let clock = Clock::at(&place);
    let runtime = runtime();
    let deliver = |collector: &Collector, batches| {
        let part = story.until(batches);
        let delivered = runtime.block_on(deliver(&part, &collector.address, &acknowledged));
        delivered.unwrap();
    };
    let collector = clock.start(&place);
    deliver(&collector, 10);
    let years = |collector: &Collector| {
        let said = collector.said();
        let mut years: Vec<i32> = (said.lines())
            .filter_map(|line| line.get(..4)?.parse().ok())
            .collect();
        years.dedup();
        years
    };
    let [now] = years(&collector)[..] else {
        panic!("{}", collector.said())
    };
    clock.is_off("+10y");
    deliver(&collector, 20);
    clock.is_off("-10y");
    deliver(&collector, 30);
    let seen = years(&collector);
    assert!(seen.contains(&(now + 10)) || seen.contains(&(now + 9)));
    assert!(seen.iter().any(|year| *year < now - 8), "{seen:?}");
    collector.kill();
    let collector = clock.start(&place);
    deliver(&collector, 40);
    collector.stop();
    story.check(&place, &acknowledged);
}

/// The machine sleeps eight hours in the middle of it all.
pub(crate) fn sleeps() {
    let story = Story::of(60, 1_000);
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let clock = Clock::at(&place);
    let collector = clock.start(&place);
    runtime().block_on(async {
        let asleep = async {
            for hours in ["+8h", "+16h", "+24h"] {
                tokio::time::sleep(Duration::from_millis(50)).await;
                collector.signal("STOP");
                clock.is_off(hours);
                tokio::time::sleep(Duration::from_millis(300)).await;
                collector.signal("CONT");
            }
        };
        let (delivered, ()) =
            tokio::join!(deliver(&story, &collector.address, &acknowledged), asleep);
        delivered.unwrap();
    });
    collector.stop();
    story.check(&place, &acknowledged);
}

/// Events of one host that lie ten years ahead and behind change nothing for another, nor for what comes after a restart.
pub(crate) fn of_a_host_jumps() {
    let story = Story::with_jumps(24);
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    for batches in [6, 12, 18, 24] {
        let part = story.until(batches);
        let collector = Collector::start(&place);
        let delivered = runtime().block_on(deliver(&part, &collector.address, &acknowledged));
        delivered.unwrap();
        collector.kill();
    }
    Collector::start(&place).stop();
    story.check(&place, &acknowledged);
}
