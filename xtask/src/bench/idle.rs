//! `cargo xtask bench idle`: what the sensor takes of this machine while nothing happens: CPU, memory, and how long it takes
//! to be ready.
//!
//! The instructions of an idle second are a row of `bench overhead`.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::daemons::Place;
use crate::readme;
use crate::step::{root, say};
use crate::table::Table;

/// Where results are kept, relative to the root.
const RESULTS: &str = "sensor-user/benches/results/idle.json";
/// After its start the sensor has things to settle.
const SETTLE: Duration = Duration::from_secs(5);

/// What may be taken at most: hundredths of a CPU, megabytes, seconds.
const CPU_MAX: f64 = 0.1;
const MEMORY_MAX: f64 = 40.0;
const READY_MAX: f64 = 1.0;

/// Arguments of `cargo xtask bench idle`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How long it is looked at
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Hook backend the sensor uses
    #[arg(long, value_parser = ["auto", "lsm", "fentry", "tracepoint"], default_value = "auto")]
    backend: String,
    /// Keep the result in the repository, and show it in the README
    #[arg(long)]
    write: bool,
    /// Fail when a target does not hold
    #[arg(long)]
    check: bool,
}

/// What was found; megabytes are millions of bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Found {
    backend: String,
    kernel: String,
    cpu_percent: f64,
    memory_mb: f64,
    memory_peak_mb: f64,
    ready_s: f64,
}

/// Runs the command.
///
/// # Errors
/// The sensor could not be started, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut place = Place::new(&args.backend)?;
    let found = look(&mut place, Duration::from_secs(args.seconds))?;
    place.end()?;
    say(format!(
        "{} on {}, {} s of doing nothing:",
        found.backend, found.kernel, args.seconds
    ));
    for verdict in verdicts(&found) {
        say(format!("{}: {}", verdict.what, verdict.said()));
    }
    if args.write {
        table(&found).write_json(&root().join(RESULTS))?;
        readme::write()?;
    }
    let missed = verdicts(&found).iter().filter(|v| !v.holds()).count();
    ensure!(!args.check || missed == 0, "{missed} targets do not hold");
    Ok(())
}

fn look(place: &mut Place, time: Duration) -> Result<Found> {
    let sensor = place.start_sensor()?;
    thread::sleep(SETTLE);
    let (before, begin) = (sensor.cpu()?, Instant::now());
    thread::sleep(time);
    let cpu = sensor.cpu()?.saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
    let megabytes = |key| Ok::<_, anyhow::Error>(sensor.memory(key)? as f64 * 1024.0 / 1e6);
    let found = Found {
        backend: sensor.backend()?,
        kernel: series(),
        cpu_percent: rounded(cpu * 100.0, 1000.0),
        memory_mb: rounded(megabytes("VmRSS")?, 10.0),
        memory_peak_mb: rounded(megabytes("VmHWM")?, 10.0),
        ready_s: rounded(sensor.ready.as_secs_f64(), 100.0),
    };
    place.go_on()?;
    sensor.stop()?;
    Ok(found)
}

/// `6.12` of `6.12.5-amd64`.
pub(super) fn series() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

pub(super) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// A target, and what was found.
struct Verdict {
    what: &'static str,
    unit: &'static str,
    found: f64,
    most: f64,
}

impl Verdict {
    fn holds(&self) -> bool {
        self.found <= self.most
    }

    fn said(&self) -> String {
        let sign = if self.holds() { "≤" } else { ">" };
        format!("{} {sign} {} {}", self.found, self.most, self.unit)
    }
}

fn verdicts(found: &Found) -> [Verdict; 4] {
    let of = |what, unit, found, most| Verdict {
        what,
        unit,
        found,
        most,
    };
    [
        of("CPU while idle", "% of one CPU", found.cpu_percent, CPU_MAX),
        of("memory", "MB", found.memory_mb, MEMORY_MAX),
        of("memory at most", "MB", found.memory_peak_mb, MEMORY_MAX),
        of("ready after its start", "s", found.ready_s, READY_MAX),
    ]
}

fn table(found: &Found) -> Table {
    let mut table = Table::new(&[
        "backend",
        "kernel",
        "cpu_percent",
        "memory_mb",
        "memory_peak_mb",
        "ready_s",
    ]);
    table.push([
        json!(found.backend),
        json!(found.kernel),
        json!(found.cpu_percent),
        json!(found.memory_mb),
        json!(found.memory_peak_mb),
        json!(found.ready_s),
    ]);
    table
}

/// The README's table of the committed result.
///
/// # Errors
/// The result cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    let all: Vec<Found> = super::kept(&root.join(RESULTS))?;
    let found = all.first().context("no result of bench idle is kept")?;
    Ok(page(found))
}

fn page(found: &Found) -> String {
    let mut text = format!(
        "| the sensor, idle ({}, {}) | found | target | |\n|---|--:|--:|---|\n",
        found.kernel, found.backend
    );
    for verdict in verdicts(found) {
        let _ok = writeln!(
            text,
            "| {} | {} {} | {} | {} |",
            verdict.what,
            verdict.found,
            verdict.unit,
            verdict.most,
            if verdict.holds() {
                "holds"
            } else {
                "**missed**"
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_judged() {
        let found = Found {
            backend: "lsm".into(),
            kernel: "6.12".into(),
            cpu_percent: 0.1,
            memory_mb: 39.9,
            memory_peak_mb: 40.1,
            ready_s: 0.5,
        };
        let text = page(&found);
        assert!(
            text.contains("| CPU while idle | 0.1 % of one CPU | 0.1 | holds |"),
            "{text}"
        );
        assert!(
            text.contains("| memory at most | 40.1 MB | 40 | **missed** |"),
            "{text}"
        );
    }
}
