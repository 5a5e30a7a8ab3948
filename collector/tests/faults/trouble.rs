//! Disks that fail or are full: it is said, nothing is acknowledged that is not durable, and it goes on when the disk works again.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuser::Errno;
use tokio::time::Instant;

use crate::daemon::{Collector, PATIENCE, Place, Start, until};
use crate::disk::model::Cut;
use crate::disk::{Disk, Fault, Kind};
use crate::story::{Acknowledged, Story, deliver, runtime};
use crate::telling;

/// Room for a beginning: more than the tables take, less than the story.
const ROOM: u64 = 2 << 20;
const TLS_OFF: &str = "tls = \"off\"\n";

/// How the collector says that a log cannot be folded into its database.
const FOLD: &str = "cannot be folded into it";

/// What fails, of which file, and how the collector calls it.
const FAULTS: [(&str, Kind, Errno, &str); 10] = [
    ("log.db-wal", Kind::Sync, Errno::EIO, "log.db"),
    ("log.db-wal", Kind::Write, Errno::EIO, "log.db"),
    ("log.db-wal", Kind::Write, Errno::ENOSPC, "log.db"),
    ("log.db", Kind::Write, Errno::EIO, FOLD),
    ("log.db", Kind::Sync, Errno::EIO, FOLD),
    ("alerts.db-wal", Kind::Sync, Errno::EIO, "alerts.db"),
    ("alerts.db-wal", Kind::Write, Errno::ENOSPC, "alerts.db"),
    ("fleet.db-wal", Kind::Write, Errno::EIO, "list of sensors"),
    (
        "fleet.db-wal",
        Kind::Write,
        Errno::ENOSPC,
        "list of sensors",
    ),
    ("baseline.json.new", Kind::Sync, Errno::EIO, "baseline.json"),
];

/// Delivers until all is, again and again.
fn finish(story: &Story, address: &str, acknowledged: &Acknowledged) {
    runtime().block_on(async {
        let began = Instant::now();
        while let Err(why) = deliver(story, address, acknowledged).await {
            assert!(began.elapsed() < PATIENCE, "never delivered: {why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Delivers, again and again, until something is so.
fn deliver_until(
    story: &Story,
    address: &str,
    acknowledged: &Acknowledged,
    is_so: impl Fn() -> bool,
) {
    let wait = async || {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited in vain");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let retry = async || {
        loop {
            if deliver(story, address, acknowledged).await.is_ok() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    runtime().block_on(async {
        tokio::select! {
            () = wait() => {}
            () = retry() => {}
        }
    });
}

/// A disk that fails, and then works again or loses power.
pub(crate) fn failing() {
    // More than fits into the log that is folded into the database.
    let story = Story::of(160, 8_000);
    for fault in FAULTS {
        for is_cut in [false, true] {
            telling(
                || format!("{fault:?}, then a power cut: {is_cut}"),
                || failing_once(&story, fault, is_cut),
            );
        }
    }
}

fn failing_once(story: &Story, fault: (&'static str, Kind, Errno, &str), is_cut: bool) {
    let (files, kind, error, called) = fault;
    let mut disk = Disk::new();
    let place = Place::at(disk.path().join("data"), TLS_OFF);
    let acknowledged = Acknowledged::default();
    let mut collector = Collector::start(&place);
    let some = story.events() / 8;
    deliver_until(story, &collector.address, &acknowledged, || {
        acknowledged.total() > some
    });
    disk.fails(&[Fault { files, kind, error }]);
    let at_the_end = files.starts_with("baseline");
    if at_the_end {
        // It is written every five minutes and when the collector stops.
        finish(story, &collector.address, &acknowledged);
        collector.stop_unless(|| false);
        assert!(disk.failed() > 0);
        collector = Collector::start(&place);
    } else {
        deliver_until(story, &collector.address, &acknowledged, || {
            disk.failed() > 0
        });
        until("it to be said", || collector.said().contains(called));
    }
    if is_cut {
        disk.cut_now();
        collector.kill();
        disk.power_on(Cut::All);
        disk.fails(&[]);
        collector = Collector::start(&place);
    }
    disk.fails(&[]);
    finish(story, &collector.address, &acknowledged);
    assert!(collector.runs());
    collector.stop();
    // What failed to be written once is not taken to be durable later.
    disk.cut_now();
    disk.power_on(Cut::All);
    let copy = disk.copy();
    let copied = Place::at(copy.path().join("data"), TLS_OFF);
    story.check(&copied, &acknowledged);
}

/// A disk that does not answer any more holds up nobody's stop for ever: it is said while it still does not.
pub(crate) fn dead() {
    let story = Story::of(40, 500);
    let disk = Disk::new();
    let place = Place::at(disk.path().join("data"), TLS_OFF);
    let acknowledged = Acknowledged::default();
    let mut collector = Collector::start(&place);
    deliver_until(&story, &collector.address, &acknowledged, || {
        acknowledged.total() > 0
    });
    disk.stall(true);
    // Something is in hand.
    deliver_until(&story, &collector.address, &acknowledged, || {
        disk.stalled() > 0
    });
    collector.signal("TERM");
    until("it to give up", || {
        collector
            .said()
            .contains("failed to stop in order within 45 s")
    });
    assert!(collector.said().contains("does not answer"));
    // What a process waits for in the kernel it cannot leave.
    disk.stall(false);
    until("it to end", || !collector.runs());
    let collector = Collector::start(&place);
    finish(&story, &collector.address, &acknowledged);
    collector.stop();
    let copy = disk.copy();
    let copied = Place::at(copy.path().join("data"), TLS_OFF);
    story.check(&copied, &acknowledged);
}

/// What is missing for a small disk.
pub(crate) fn lacks() -> Option<String> {
    let needs = ["/dev/loop-control", "/usr/sbin/mkfs.ext4"];
    let missing = needs.into_iter().find(|path| !Path::new(path).exists());
    missing.map(|path| format!("no {path} here"))
}

/// A small disk, an image of ext4 on a loop device, that is full and gets room again.
pub(crate) fn full() {
    let place = tempfile::tempdir().unwrap();
    let (image, path) = (place.path().join("image"), &place.path().join("disk"));
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    let bytes = std::fs::File::create(&image).unwrap();
    bytes.set_len(25 << 20).unwrap();
    std::fs::create_dir(path).unwrap();
    // Without a journal the least of it is the file system's own.
    let made = ["-q", "-F", "-m", "0", "-O", "^has_journal"];
    run(Command::new("/usr/sbin/mkfs.ext4").args(made).arg(&image));
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(path));
    let outcome = std::panic::catch_unwind(|| full_on(path));
    // A collector that a failure left behind may use it still.
    run(Command::new("umount").arg("--lazy").arg(path));
    if let Err(why) = outcome {
        std::panic::resume_unwind(why);
    }
}

/// Writes to a file until there is no room for a byte more, also once what is written has found its place.
fn fill_up(file: &Path) {
    let mut file = std::fs::File::create(file).unwrap();
    let mut before = u64::MAX;
    while file.metadata().unwrap().len() != before {
        before = file.metadata().unwrap().len();
        while file.write_all(&[1; 8_192]).is_ok() {}
        while file.write_all(&[1; 512]).is_ok() {}
        file.sync_all().unwrap();
    }
}

fn full_on(small: &Path) {
    let story = Story::of(120, 8_000);
    let ballast = small.join("ballast");
    let place = Place::at(small.join("data"), TLS_OFF);
    let acknowledged = Acknowledged::default();

    // There is no room at all: not even to begin.
    fill_up(&ballast);
    match Collector::begin(&place, |_| {}, || false) {
        Start::Ended(status, said) => {
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains(&small.display().to_string()), "{said}");
        }
        Start::Ready(_) | Start::Overtaken => panic!("it starts without room"),
    }
    // Room for a beginning, and then none.
    let filled = std::fs::File::options().write(true).open(&ballast).unwrap();
    let bytes = filled.metadata().unwrap().len();
    filled.set_len(bytes - ROOM).unwrap();
    // What is open keeps its room when it is removed.
    drop(filled);
    let mut collector = Collector::start(&place);
    deliver_until(&story, &collector.address, &acknowledged, || {
        collector
            .said()
            .contains("log.db: database or disk is full")
    });
    let before = acknowledged.total();
    assert!(before > 0 && before < story.events());
    // It does not help to start anew, and costs nothing.
    collector.kill();
    match Collector::begin(&place, |_| {}, || false) {
        Start::Ready(again) => {
            deliver_until(&story, &again.address, &acknowledged, || {
                again.said().contains("disk is full")
            });
            collector = again;
        }
        Start::Ended(status, said) => {
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains("disk is full"), "{said}");
            std::fs::remove_file(&ballast).unwrap();
            collector = Collector::start(&place);
        }
        Start::Overtaken => unreachable!("nothing was waited for"),
    }
    if ballast.exists() {
        std::fs::remove_file(&ballast).unwrap();
    }
    finish(&story, &collector.address, &acknowledged);
    assert!(collector.runs());
    collector.stop();
    story.check(&place, &acknowledged);
}
