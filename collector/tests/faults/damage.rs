//! Files of the collector that are cut short, overwritten or gone, and a data directory from an older backup.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Collector, Place, Start};
use crate::disk::model::Dice;
use crate::story::{Acknowledged, Story, deliver, runtime};
use crate::{is_long, telling};

const TLS_OFF: &str = "tls = \"off\"\n";
/// Damages of each file in a short run and in a long one.
const ROUNDS: u64 = 4;
const ROUNDS_LONG: u64 = 300;
/// Files of a data directory.
const FILES: [&str; 7] = [
    "log.db",
    "log.db-wal",
    "alerts.db",
    "alerts.db-wal",
    "fleet.db",
    "fleet.db-wal",
    "baseline.json",
];

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// It ends after so many thousandths.
    Short(usize),
    /// A page, at so many thousandths, holds something else.
    Page(usize),
    /// One bit of its first page.
    Bit(usize),
    Empty,
    Gone,
}

impl Damage {
    fn throw(dice: &mut Dice) -> Self {
        match dice.below(5) {
            0 => Self::Short(dice.below(1000)),
            1 => Self::Page(dice.below(1000)),
            2 => Self::Bit(dice.below(100 * 8)),
            3 => Self::Empty,
            _ => Self::Gone,
        }
    }

    fn to(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            Self::Short(part) => bytes.truncate(bytes.len() * part / 1000),
            Self::Page(part) => {
                let page = bytes.len() / 4096 * part / 1000;
                let end = bytes.len().min((page + 1) * 4096);
                bytes[page * 4096..end].fill(0xa5);
            }
            Self::Bit(bit) => {
                let at = bit / 8 % bytes.len();
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Empty => bytes.clear(),
            Self::Gone => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Delivers the whole story, or that part of its batches, and stops.
fn run(place: &Place, story: &Story, acknowledged: &Acknowledged) {
    let collector = Collector::start(place);
    let delivered = runtime().block_on(deliver(story, &collector.address, acknowledged));
    delivered.unwrap();
    collector.stop();
}

/// Whatever is damaged: it is said which file and left as it is, or what was lost comes again from the sensors.
pub(crate) fn is_said_or_made_good() {
    let story = Story::of(80, 8_000);
    let whole = Place::new();
    run(&whole, &story, &Acknowledged::default());
    for seed in 0..if is_long() { ROUNDS_LONG } else { ROUNDS } {
        for (number, file) in (0..).zip(FILES) {
            let damage = Damage::throw(&mut Dice(seed * 100 + number));
            telling(
                || format!("{file}: {damage:?}"),
                || {
                    let starts = damaged(&story, &whole.data, file, damage);
                    assert!(starts || !file.starts_with("fleet"), "what fills again");
                },
            );
        }
    }
    for file in ["log.db", "alerts.db"] {
        for damage in [Damage::Empty, Damage::Gone] {
            telling(
                || format!("{file}: {damage:?}"),
                || assert!(!damaged(&story, &whole.data, file, damage), "it starts"),
            );
        }
    }
}

/// The list of sensors fills again, so one that is damaged keeps nobody from starting: it is set aside, which is said.
pub(crate) fn a_list_of_sensors_is_set_aside() {
    let story = Story::of(4, 50);
    let whole = Place::new();
    run(&whole, &story, &Acknowledged::default());
    for round in 0..2 {
        // What is in the log would otherwise make the database whole again.
        fs::remove_file(whole.data.join("fleet.db-wal")).unwrap();
        fs::write(whole.data.join("fleet.db"), vec![b'x'; 9_000]).unwrap();
        let collector = Collector::start(&whole);
        let said = collector.said();
        assert!(
            said.contains("the list of sensors cannot be used and is set aside"),
            "{said}"
        );
        let acknowledged = Acknowledged::default();
        runtime()
            .block_on(deliver(&story, &collector.address, &acknowledged))
            .unwrap();
        collector.stop();
        let aside = ["fleet.db.aside", "fleet.db.aside.1"][round];
        assert_eq!(fs::read(whole.data.join(aside)).unwrap(), vec![b'x'; 9_000]);
    }
    let collector = Collector::start(&whole);
    assert!(!collector.said().contains("set aside"));
    collector.stop();
}

/// Answers whether the collector started.
fn damaged(story: &Story, whole: &Path, file: &str, damage: Damage) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    copy(whole, &data);
    damage.to(&data.join(file));
    let read_all = || {
        let names = ["log.db", "log.db-wal", "alerts.db", "alerts.db-wal"];
        names.map(|name| fs::read(data.join(name)).ok())
    };
    let before = read_all();
    let place = Place::at(data.clone(), TLS_OFF);
    let collector = match Collector::begin(&place, |_| {}, || false) {
        Start::Ready(collector) => collector,
        Start::Ended(status, said) => {
            assert!(matches!(status.code(), Some(1 | 64)), "{status}: {said}");
            let database = file.trim_end_matches("-wal");
            assert!(said.contains(database), "which file? {said}");
            assert!(before == read_all(), "files were changed: {said}");
            return false;
        }
        Start::Overtaken => unreachable!("nothing was waited for"),
    };
    let acknowledged = Acknowledged::default();
    let delivered = runtime().block_on(deliver(story, &collector.address, &acknowledged));
    delivered.unwrap();
    let left_out = collector.said().contains("cannot be read and is left out");
    collector.stop();
    if left_out {
        assert!(file.starts_with("log.db"), "nothing else was damaged");
    } else {
        story.check(&place, &acknowledged);
    }
    true
}

/// What the sensors still hold is offered again and leads to the alerts it would have led to; what they no longer hold is a gap.
pub(crate) fn an_older_backup() {
    let story = Story::of(40, 500);
    for keeps_all in [true, false] {
        let (place, acknowledged) = (Place::new(), Acknowledged::default());
        let (half, backup) = (story.until(20), place.file("backup"));
        run(&place, &half, &acknowledged);
        copy(&place.data, &backup);
        let held = acknowledged.all();
        run(&place, &story, &acknowledged);
        fs::remove_dir_all(&place.data).unwrap();
        copy(&backup, &place.data);
        acknowledged.take_back(held.clone());
        if keeps_all {
            run(&place, &story, &acknowledged);
            story.check(&place, &acknowledged);
            continue;
        }
        // Four batches of each sensor are gone everywhere.
        let gone = story.until(24).ends();
        acknowledged.give_up(gone.clone());
        run(&place, &story, &acknowledged);
        let holes = (gone.into_iter())
            .map(|(sensor, last)| (sensor.clone(), (held[&sensor] + 1, last)))
            .collect();
        story.check_log(&place.data, &acknowledged, &holes);
    }
}
