//! The sensor's disk spool on a disk whose power can be cut: what was committed is delivered, once the power is back, in order and
//! without holes; and where it is too small, what is not delivered is told, and each event is one or the other.
//!
//! The spool is used by children of this program, as the sensor uses it, and by the sensor itself (`whole.rs`); the disk is the one of
//! the collector's tests.
//! `CHARTWATCH_LONG=1` makes thousands of cuts of what is dozens otherwise. All of it is in a mount namespace of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(
    dead_code,
    reason = "shared with the tests of the collector, which use more of it"
)]
#[path = "../../../collector/tests/faults/disk.rs"]
mod disk;
mod enrol;
#[allow(
    dead_code,
    reason = "shared with the tests of the pipeline, which use more of it"
)]
#[path = "../pipeline/real.rs"]
mod real;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use disk::Disk;
use disk::model::{Cut, Dice};
use libtest_mimic::{Arguments, Trial};
use sensor_user::metrics::Metrics;
use sensor_user::spool::{self, About, Block, Class, Spool, Writer};

/// Set once this program is in a namespace of its own.
const APART: &str = "CHARTWATCH_FAULTS_APART";
/// Set when this program is to play a sensor, delivering or not: the spool's directory, and the first mark it may use.
const PLACE: &str = "CHARTWATCH_FAULTS_PLACE";
const FIRST: &str = "CHARTWATCH_FAULTS_FIRST";
/// Set when the spool is to be too small for what it is given.
const SMALL: &str = "CHARTWATCH_FAULTS_SMALL";
/// Batches that a sensor writes before it ends by itself.
const BATCHES: u64 = 60;
/// Lives of a disk in a short run and in a long one, and the power cuts in each.
const LIVES: u64 = 12;
const LIVES_LONG: u64 = 1_000;
const CUTS: u64 = 4;
/// No child takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    if let Some(place) = std::env::var_os(PLACE) {
        let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
        play(&PathBuf::from(place), first);
        return ExitCode::SUCCESS;
    }
    let apart = std::env::var_os(APART).is_some();
    if rustix::process::geteuid().is_root() && !apart {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private"]);
        again.arg(std::env::current_exe().unwrap());
        let error = again
            .args(std::env::args_os().skip(1))
            .env(APART, "1")
            .exec();
        panic!("unshare cannot be run: {error}");
    }
    let lacks = disk::lacks();
    let whole_lacks = lacks.clone().or(whole::lacks().map(str::to_owned));
    let trials = vec![
        needs(
            lacks.as_deref(),
            "power cuts take nothing from the spool that was committed",
            || lives(false),
        ),
        needs(
            lacks.as_deref(),
            "power cuts while there is too much: all is delivered or told, and holes are no damage",
            || lives(true),
        ),
        needs(
            whole_lacks.as_deref(),
            "power cuts while a sensor enrols leave what was there or all of the new",
            enrol::power_goes_at_each_step,
        ),
        needs(
            whole_lacks.as_deref(),
            "both programs die in turns: each read is in the log once, or the sensor's end is told",
            whole::both_die_in_turns,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that is skipped, and says so, where something is missing.
fn needs(missing: Option<&str>, name: &str, test: fn()) -> Trial {
    let run = move || {
        test();
        Ok(())
    };
    let trial = Trial::test(name, run).with_ignored_flag(missing.is_some());
    match missing {
        None => trial,
        Some(missing) => trial.with_kind(format!("skipped: {missing}")),
    }
}

fn lives(small: bool) {
    let long = std::env::var_os("CHARTWATCH_LONG").is_some();
    let mut lost = 0;
    for seed in 0..if long { LIVES_LONG } else { LIVES } {
        let lived = std::panic::catch_unwind(|| life(seed, small));
        lost += lived.unwrap_or_else(|why| {
            eprintln!("in life {seed}");
            std::panic::resume_unwind(why);
        });
    }
    assert_eq!(lost > 0, small, "{lost} events were given up");
}

/// A spool on a disk, with marks from `first` on: says what is committed and what is delivered. With a `first` of 0 it offers nothing
/// and delivers all there is.
fn play(place: &Path, first: u64) {
    let small = std::env::var_os(SMALL).is_some();
    let (spool, writer) = open(place, small);
    let mut out = std::io::stdout();
    let mut say = |line: String| {
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut said = 0;
    let last = if first == 0 { 0 } else { first + BATCHES };
    for mark in first.max(1)..last {
        while !offer(&spool, mark, 8 + (mark as usize * 397) % 6_000) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let committed = spool.committed();
        if committed > said {
            said = committed;
            say(format!("committed {}", first + said - 1));
        }
        std::thread::sleep(Duration::from_micros(300));
        // A little of it is delivered meanwhile; not where each event is to be delivered or told, and none both.
        if mark % 7 == 0 && !small {
            runtime.block_on(deliver(&spool, 1, &mut say));
        }
    }
    if first == 0 {
        for loss in spool.take_losses() {
            if let Some(what) = loss.what {
                let (count, last) = (loss.count, what.numbers.1);
                say(format!("lost {} {count} {last}", what.epoch));
            }
        }
        runtime.block_on(deliver(&spool, usize::MAX, &mut say));
        spool.close();
        writer.finish();
        say("all".to_owned());
    }
    // Else it is as if it were killed.
}

fn open(place: &Path, small: bool) -> (Arc<Spool>, Writer) {
    let disk = spool::Disk {
        directory: place.join("var/spool"),
        bytes_max: if small { 100_000 } else { 1 << 30 },
        age_max: Duration::from_hours(1),
        keep: Duration::from_millis(1),
        commit_every: Duration::from_millis(1),
        retry_every: Duration::from_millis(20),
    };
    Spool::on_disk(1_000_000, 8 << 20, disk, Arc::new(Metrics::default())).unwrap()
}

fn offer(spool: &Spool, mark: u64, bytes: usize) -> bool {
    let mut payload = mark.to_le_bytes().to_vec();
    payload.resize(bytes, 7);
    let class = match mark % 3 {
        0 => Class::Evidence,
        1 => Class::Reads,
        _ => Class::Rest,
    };
    let block = Block {
        events: 1,
        stands_for: 0,
        about: About {
            class,
            ..About::default()
        },
        encoding: spool::Encoding::Plain,
        payload,
    };
    spool.offer(block).is_ok()
}

/// Delivers up to so many batches, as the link does: says it, and only then takes it as persisted.
async fn deliver(spool: &Arc<Spool>, most: usize, say: &mut impl FnMut(String)) {
    let mut count = 0;
    while count < most && spool.depth().events > 0 {
        let (epoch, first) = spool.turn();
        let mut sent = first - 1;
        while count < most && spool.depth().events > 0 {
            let Some(batch) = spool.after(epoch, sent).await else {
                break;
            };
            if batch.follows > sent {
                say(format!("hole {epoch} {}", batch.first_seq));
            }
            sent = batch.last_seq;
            count += 1;
            let mark = u64::from_le_bytes(batch.payload[..8].try_into().unwrap());
            say(format!("got {epoch} {} {mark}", batch.first_seq));
            spool.persisted(epoch, sent).unwrap();
        }
    }
}

/// What children have said.
#[derive(Debug, Default)]
struct Heard {
    /// Marks of each epoch by their number.
    got: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Of each sensor that was started: its first mark and the last that it said to be committed.
    committed: Vec<(u64, u64)>,
    /// What was given up of each epoch, and its last number.
    lost: BTreeMap<String, (u64, u64)>,
    is_all: bool,
}

impl Heard {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        match words[..] {
            ["committed", mark] => self.committed.last_mut().unwrap().1 = number(mark),
            ["got", epoch, seq, mark] => {
                let of = self.got.entry(epoch.to_owned()).or_default();
                let before = of.insert(number(seq), number(mark));
                assert!(before.is_none_or(|before| before == number(mark)), "{line}");
            }
            ["lost", epoch, count, last] => {
                let of = self.lost.entry(epoch.to_owned()).or_default();
                *of = (of.0 + number(count), of.1.max(number(last)));
            }
            ["all"] => self.is_all = true,
            _ => panic!("{line}"),
        }
    }

    /// Of each epoch each number was delivered or counted as lost, up to the last of either.
    fn check_books(&self) {
        assert!(self.is_all, "the last one did not end");
        let epochs = self.got.keys().chain(self.lost.keys());
        let epochs: BTreeSet<&String> = epochs.collect();
        for epoch in epochs {
            let got = self.got.get(epoch);
            let (lost, last_lost) = self.lost.get(epoch).copied().unwrap_or_default();
            let last_got = got.and_then(|got| got.keys().next_back().copied());
            let came = got.map_or(0, BTreeMap::len) as u64;
            let last = last_got.unwrap_or(0).max(last_lost);
            assert_eq!(came + lost, last, "{epoch}: {came} came, {lost} are told");
        }
        // What was committed is among them, so of each sensor as many as it said at least.
        let all: u64 = self.got.values().map(|got| got.len() as u64).sum();
        let lost: u64 = self.lost.values().map(|(lost, _)| lost).sum();
        let committed = self.committed.iter().map(|(first, last)| last + 1 - first);
        assert!(all + lost >= committed.sum(), "{self:?}");
    }

    /// Every mark that was committed came, and each epoch came without holes and in order.
    fn check(&self) {
        assert!(self.is_all, "the last one did not end");
        let mut came = Vec::new();
        for (epoch, marks) in &self.got {
            let first = *marks.values().next().unwrap();
            let dense: BTreeMap<u64, u64> = (marks.keys())
                .zip(first..)
                .map(|(seq, mark)| (*seq, mark))
                .collect();
            assert_eq!(*marks, dense, "{epoch}");
            let numbers: Vec<u64> = marks.keys().copied().collect();
            assert_eq!(
                numbers,
                (1..=marks.len() as u64).collect::<Vec<_>>(),
                "{epoch}"
            );
            came.extend(marks.values().copied());
        }
        for (first, last) in &self.committed {
            for mark in *first..=*last {
                assert!(came.contains(&mark), "{mark} was committed and never came");
            }
        }
    }
}

/// Sensors that lose power one after the other, and one that delivers what they left; answers how many events they gave up.
fn life(seed: u64, small: bool) -> u64 {
    let mut disk = Disk::new();
    let mut dice = Dice(seed);
    let mut heard = Heard::default();
    for number in 0..CUTS {
        disk.cut_at(1 + dice.below(if number == 0 { 60 } else { 300 }) as u64);
        let first = 1 + number * 1_000;
        heard.committed.push((first, first - 1));
        run(&disk, first, small, &mut heard);
        disk.cut_now();
        disk.power_on(match dice.below(2) {
            0 => Cut::All,
            _ => Cut::Some(seed * CUTS + number),
        });
    }
    // Power goes once more while what was left is delivered.
    disk.cut_at(1 + dice.below(100) as u64);
    run(&disk, 0, small, &mut heard);
    disk.cut_now();
    disk.power_on(Cut::Some(seed));
    heard.is_all = false;
    // The same is told again by whoever comes, until somebody says that it is told.
    heard.lost.clear();
    run(&disk, 0, small, &mut heard);
    if small {
        heard.check_books();
    } else {
        heard.check();
    }
    heard.lost.values().map(|(lost, _)| lost).sum()
}

/// Runs a sensor until it ends or the power is gone.
fn run(disk: &Disk, first: u64, small: bool, heard: &mut Heard) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if small {
        command.env(SMALL, "1");
    }
    let mut child = command
        .env(PLACE, disk.path())
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || said.lines().collect::<Result<Vec<_>, _>>().unwrap());
    wait(&mut child, disk);
    for line in reader.join().unwrap() {
        heard.take(&line);
    }
}

fn wait(child: &mut Child, disk: &Disk) {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() && disk.has_power() {
        assert!(began.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    if child.try_wait().unwrap().is_none() {
        // Time for what must not be done any more.
        std::thread::sleep(Duration::from_millis(30));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
