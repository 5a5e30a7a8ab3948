//! `cargo xtask restart`: kills or restarts a daemon while real processes read records, and checks that the collector's
//! log holds every access exactly once.
//!
//! Collector: killed with `SIGKILL` at moments drawn from a seed and started again, at once or after a while in which
//! the sensor waits and queues. Sensor: stopped with `SIGTERM` between two rounds of reading and started again.
//!
//! **Invariant:** what must be in the log is known from the files read and the programs that read them, not from what
//! the daemons say; whatever ends the command, both daemons are ended and the directory is removed.

mod books;
mod readers;
mod scene;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use self::books::{Books, Counters, Expected};
use self::readers::{Amounts, Readers, Reads};
use self::scene::{POLL, Scene};
use crate::records::Random;
use crate::setup::{self, Need};
use crate::step::say;
use crate::table::Table;
use crate::up::Stop;
use crate::up::service::Service;

/// Longest wait between the sensor's return and the next kill, in runs of the readers.
const RUNS_UNTIL_KILL_MAX: u64 = 150;
/// How long the collector stays away when it does: the sensor fails several times, waits longer each time and queues.
const AWAY: Duration = Duration::from_secs(2);
/// Runs of the readers after the last kill, and in each round beside a restart of the sensor.
const RUNS_PER_ROUND: u64 = 150;
/// Lives of the sensor when it is the one that is restarted.
const LIVES: usize = 2;

/// Kills or restarts a daemon under load.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Which daemon
    #[arg(value_enum)]
    daemon: Daemon,
    /// How often the collector is killed
    #[arg(long, value_name = "N", default_value_t = 5)]
    kills: u64,
    /// Another seed kills at other moments and reads other records
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Write the rows of the table as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Daemon {
    /// Killed again and again
    Collector,
    /// Stopped once, and started again
    Sensor,
}

/// What one of the two came to.
struct Outcome {
    reads: Reads,
    expected: Expected,
    /// The last words of each life of the sensor.
    counters: Vec<Counters>,
}

/// Runs the command.
///
/// # Errors
/// No privilege, a daemon that does not work, or a log that is not what happened.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("loading kernel programs needs root: run it as root");
    }
    let stop = Stop::on_signals()?;
    setup::ensure(args.yes, &[Need::Compiler, Need::Bpf])?;
    let mut scene = Scene::prepare(args.seed, &stop)?;
    let outcome = match args.daemon {
        Daemon::Collector => collector(&mut scene, args)?,
        Daemon::Sensor => sensor(&mut scene, args)?,
    };
    let books = Books::read(&scene.events()?)?;
    table(args, &outcome, &books).report(args.json.as_deref())?;
    let mut differences = books.differences(&outcome.reads, &outcome.expected);
    differences.extend(books::complaints(
        &outcome.counters,
        &outcome.expected,
        &books,
    ));
    if !differences.is_empty() {
        bail!(
            "the log is not what happened:\n  {}",
            differences.join("\n  ")
        );
    }
    say("checked: every access is in the log exactly once, numbers are dense, nothing was lost");
    Ok(())
}

/// Kills the collector while records are read.
fn collector(scene: &mut Scene<'_>, args: &Args) -> Result<Outcome> {
    let mut running = scene.start_collector()?;
    let sensor = scene.start_sensor()?;
    let readers = Readers::of(&scene.store, args.seed)?;
    let (runs, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let (killed, reads) = thread::scope(|scope| {
        let reader = scope.spawn(|| readers.read(&runs, &|| enough.load(Ordering::Relaxed)));
        let alive = || !reader.is_finished();
        let killed = kill_again_and_again(scene, &mut running, args, &runs, &alive);
        enough.store(true, Ordering::Relaxed);
        (killed, reader.join())
    });
    let reads = reads.map_err(|_| anyhow::anyhow!("the readers panicked"))??;
    killed?;
    let counters = scene::stop_sensor(sensor)?;
    running.stop()?;
    Ok(Outcome {
        reads,
        expected: Expected {
            epochs: 1,
            welcomes: args.kills + 1,
        },
        counters: vec![counters],
    })
}

/// Each time: waits until the sensor is back, lets some runs of the readers go by, kills, and starts again.
fn kill_again_and_again(
    scene: &mut Scene<'_>,
    running: &mut Service,
    args: &Args,
    runs: &AtomicU64,
    alive: &dyn Fn() -> bool,
) -> Result<()> {
    let mut random = Random::of(&[args.seed, args.kills]);
    for number in 1..=args.kills {
        scene.wait_connected(running, 1)?;
        wait_runs(scene, runs, random.between(0, RUNS_UNTIL_KILL_MAX), alive)?;
        let away = if random.between(0, 1) == 0 {
            Duration::ZERO
        } else {
            AWAY
        };
        running.kill()?;
        say(format!(
            "kill {number} of {} after {} runs, away for {} s",
            args.kills,
            runs.load(Ordering::Relaxed),
            away.as_secs()
        ));
        thread::sleep(away);
        *running = scene.start_collector()?;
    }
    scene.wait_connected(running, 1)?;
    wait_runs(scene, runs, RUNS_PER_ROUND, alive)
}

/// Waits until the readers have run so many times more.
fn wait_runs(
    scene: &Scene<'_>,
    runs: &AtomicU64,
    more: u64,
    alive: &dyn Fn() -> bool,
) -> Result<()> {
    let until = runs.load(Ordering::Relaxed) + more;
    while runs.load(Ordering::Relaxed) < until {
        scene.go_on()?;
        if !alive() {
            bail!("the readers ended too early");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Restarts the sensor between two rounds of reading. What is read while it is down is not seen by anybody.
fn sensor(scene: &mut Scene<'_>, args: &Args) -> Result<Outcome> {
    let collector = scene.start_collector()?;
    let mut reads = Reads::default();
    let mut counters = Vec::new();
    for life in 0..LIVES {
        let sensor = scene.start_sensor()?;
        scene.wait_connected(&collector, life + 1)?;
        reads.add(&round(scene, &[args.seed, life as u64])?);
        counters.push(scene::stop_sensor(sensor)?);
        // Nobody watches now, so nothing of this may be in the log.
        let unseen = round(scene, &[args.seed, life as u64, 1])?;
        say(format!(
            "sensor stopped; {} runs of the readers went by unseen",
            unseen.runs
        ));
    }
    collector.stop()?;
    Ok(Outcome {
        reads,
        expected: Expected {
            epochs: LIVES,
            welcomes: LIVES as u64,
        },
        counters,
    })
}

fn round(scene: &Scene<'_>, seed: &[u64]) -> Result<Reads> {
    let seed = Random::of(seed).next();
    let runs = AtomicU64::new(0);
    let readers = Readers::of(&scene.store, seed)?;
    let reads = readers.read(&runs, &|| {
        runs.load(Ordering::Relaxed) >= RUNS_PER_ROUND || scene.go_on().is_err()
    });
    scene.go_on()?;
    reads.context("failed to read records")
}

/// What happened, in the words of each who has an account of it.
fn table(args: &Args, outcome: &Outcome, books: &Books) -> Table {
    let mut table = Table::new(&[
        "account",
        "restarts",
        "runs",
        "records",
        "opens",
        "bytes_read",
        "events",
        "epochs",
        "resent",
        "welcomes",
    ]);
    let restarts = match args.daemon {
        Daemon::Collector => args.kills,
        Daemon::Sensor => LIVES as u64 - 1,
    };
    let mut row = |account: &str, figures: [Option<u64>; 9]| {
        table.push(std::iter::once(json!(account)).chain(figures.map(|figure| json!(figure))));
    };
    let amounts = |records: usize, sum: Amounts| {
        [Some(records as u64), Some(sum.opens), Some(sum.bytes_read)]
    };
    let reads = &outcome.reads;
    let [records, opens, bytes] = amounts(reads.records.len(), reads.sum());
    let runs = Some(reads.runs);
    row(
        "what was done",
        [
            Some(restarts),
            runs,
            records,
            opens,
            bytes,
            None,
            None,
            None,
            None,
        ],
    );
    let said = |name| Some(books::total(&outcome.counters, name));
    let (accepted, lives) = (said("queue_accepted"), outcome.counters.len() as u64);
    let (resent, welcomes) = (said("batches_resent"), said("link_welcomes"));
    row(
        "the sensor",
        [
            None,
            None,
            None,
            None,
            None,
            accepted,
            Some(lives),
            resent,
            welcomes,
        ],
    );
    let [records, opens, bytes] = amounts(books.records.len(), books.sum());
    let (events, epochs) = (Some(books.events()), Some(books.epochs.len() as u64));
    row(
        "the collector's log",
        [
            None, None, records, opens, bytes, events, epochs, None, None,
        ],
    );
    table
}
