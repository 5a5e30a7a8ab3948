//! `cargo xtask bench fleet`: what a hospital's sensors ask of one collector.
//!
//! The example `fleet` of the collector simulates them; see there for what is measured, and how.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::collector::{self, Subject, Target};
use crate::step::target_dir;
use crate::up::Stop;

/// How often it is looked whether the measurement has ended.
const POLL: Duration = Duration::from_millis(100);

/// All sensors of a hospital.
const FLEET: Subject = Subject {
    example: "fleet",
    title: "a hospital's sensors",
    targets: &[
        ("idle_memory", Target::Most(1_000.0)),
        ("full_events", Target::Least(200_000.0)),
        ("half_persisted_p99", Target::Most(250.0)),
        ("restart_all_back", Target::Most(30.0)),
        ("restart_with_log_all_back", Target::Most(30.0)),
    ],
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench fleet --sensors 100 --seconds 5        a quick look
  cargo xtask bench fleet --json /tmp/fleet.json           10,000 sensors, about four minutes
  cargo xtask bench fleet --write                          the same, kept in the repository and shown in the README

Sensors and collector share this machine: what the simulation takes is missing at the collector. Each needs a file for every
sensor (`ulimit -n`), which is raised as far as that is allowed. Figures of a machine with other work are worth little:
machine_load_before says how much there was.";

/// Arguments of `cargo xtask bench fleet`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Sensors that are simulated
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=99_999))]
    sensors: u64,
    /// How long each load is looked at
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Events of a batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    events: u64,
    #[command(flatten)]
    results: collector::Args,
}

/// Runs the command.
///
/// # Errors
/// The programs could not be built, the measurement failed, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = collector::build(&FLEET, &["--bin", "chartwatch-collector"])?;
    // Beside the programs and not in /tmp, which may be memory: what is measured waits for a disk.
    let directory = tempfile::Builder::new()
        .prefix("bench-fleet-")
        .tempdir_in(target_dir())
        .context("failed to make a directory for the collector's data")?;
    let mut measure = Command::new(program);
    for (name, value) in [
        ("--sensors", args.sensors),
        ("--seconds", args.seconds),
        ("--events", args.events),
    ] {
        measure.args([name, &value.to_string()]);
    }
    measure
        .arg("--collector")
        .arg(target_dir().join("release/chartwatch-collector"))
        .arg("--directory")
        .arg(directory.path());
    let printed = watched(&mut measure)?;
    collector::report(&FLEET, &printed, &args.results)
}

/// Runs a program that says on standard error how far it is; gives what it prints. It ends when this program does, however that
/// ends: its standard input is closed then.
fn watched(measure: &mut Command) -> Result<String> {
    let stop = Stop::on_signals()?;
    let mut child = measure
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start what measures")?;
    let mut open = child.stdin.take();
    // What it prints at its end is less than a pipe holds.
    let status = loop {
        if let Some(status) = child.try_wait().context("failed to wait for a child")? {
            break status;
        }
        if stop.is_asked() {
            drop(open.take());
        }
        thread::sleep(POLL);
    };
    ensure!(!stop.is_asked(), "stopped");
    ensure!(status.success(), "what measures ended with {status}");
    let mut printed = String::new();
    let mut out = child.stdout.take().context("no output to read")?;
    out.read_to_string(&mut printed)
        .context("failed to read what was measured")?;
    Ok(printed)
}

/// The README's table of the committed result.
///
/// # Errors
/// The result cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    collector::section(&FLEET, root)
}
