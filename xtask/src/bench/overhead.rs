//! `cargo xtask bench overhead`: added guest instructions per operation, in a machine whose clock counts instructions.
//!
//! The figures come from `sensor-user/benches/overhead`. They count neither cache misses nor waiting for other CPUs, and
//! repeat within a few instructions, so they are compared as differences to "nothing loaded", never as percentages.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::json;

use super::rows::{self, Added};
use super::{page, targets};
use crate::step::{human, say};
use crate::table::Table;
use crate::vm;

/// The sensor's bench target.
const BENCH: &str = "overhead";
/// Everything else is compared to it.
const BASE: &str = "nothing";
const SETTINGS: [&str; 5] = [BASE, "floor", "outside", "inside", "tainted"];
const KERNELS: [&str; 1] = ["6.1"];
const BACKENDS: [&str; 1] = ["lsm"];

/// Arguments of `cargo xtask bench overhead`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Kernel of the machine, as for `vm`; may be repeated (6.1 unless given)
    #[arg(long, value_name = "SERIES|PACKAGE")]
    kernel: Vec<String>,
    /// Hook backend; may be repeated (lsm unless given)
    #[arg(long, value_parser = ["lsm", "fentry", "tracepoint"])]
    backend: Vec<String>,
    /// What runs meanwhile; may be repeated (all unless given). "nothing" is always measured: the others are added to it
    #[arg(long, value_parser = SETTINGS)]
    setting: Vec<String>,
    /// Write the rows as a JSON array: op, setting, backend, kernel, instructions (of "nothing" those of the operation
    /// itself, otherwise those added to it), sensor (what the sensor's own process spends on each)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the figures in the README
    #[arg(long)]
    write: bool,
    /// Fail when a target does not hold
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// A machine could not be prepared or started, the measurement failed in it, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut all = Vec::new();
    let mut missed = Vec::new();
    for kernel in or(&args.kernel, &KERNELS) {
        for backend in or(&args.backend, &BACKENDS) {
            let settings = settings(&args.setting);
            let outcome = vm::run_counted(BENCH, &kernel, &backend, settings)?;
            let added = rows::added(&rows::parse(&outcome.output)?, BASE, &kernel, &backend)?;
            say(format!(
                "{}, {backend}, after {}: instructions per operation; of \"nothing\" those of the operation, else those added to it; \
                 \"own\" is what the sensor's process spends beside it",
                outcome.package,
                human(outcome.elapsed)
            ));
            for_people(&added).report(None)?;
            for miss in targets::missed(&added) {
                missed.push(format!("{kernel} {backend}: {miss}"));
            }
            all.extend(added);
        }
    }
    if let Some(path) = &args.json {
        for_programs(&all).write_json(path)?;
    }
    if args.write {
        page::write(&all)?;
    }
    for miss in &missed {
        say(miss);
    }
    ensure!(
        !args.check || missed.is_empty(),
        "{} targets do not hold",
        missed.len()
    );
    Ok(())
}

fn or(given: &[String], default: &[&str]) -> Vec<String> {
    if given.is_empty() {
        default.iter().map(|text| (*text).to_owned()).collect()
    } else {
        given.to_vec()
    }
}

fn settings(given: &[String]) -> Vec<String> {
    let wanted = |name: &&str| *name == BASE || given.is_empty() || given.iter().any(|g| g == name);
    let wanted = SETTINGS.iter().filter(|name| wanted(name));
    wanted.map(|name| (*name).to_owned()).collect()
}

fn for_programs(rows: &[Added]) -> Table {
    let columns = [
        "op",
        "setting",
        "backend",
        "kernel",
        "instructions",
        "sensor",
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        table.push([
            json!(row.op),
            json!(row.setting),
            json!(row.backend),
            json!(row.kernel),
            json!(row.instructions),
            json!(row.sensor),
        ]);
    }
    table
}

/// Operations as rows, settings as columns.
fn for_people(rows: &[Added]) -> Table {
    let mut table = Table::new(&[
        "operation",
        "nothing",
        "floor",
        "outside",
        "outside/floor",
        "own",
        "inside",
        "own (inside)",
        "tainted",
    ]);
    for op in rows::operations(rows) {
        let added = |setting| rows::instructions(rows, &op, setting);
        let own = |setting| json!(rows::find(rows, &op, setting).and_then(|row| row.sensor));
        let ratio = rows::ratio(added("outside"), added("floor"));
        table.push([
            json!(op),
            json!(added(BASE)),
            json!(added("floor")),
            json!(added("outside")),
            json!(ratio),
            own("outside"),
            json!(added("inside")),
            own("inside"),
            json!(added("tainted")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_always_measured_and_comes_first() {
        assert_eq!(settings(&[]), SETTINGS);
        let given = ["inside", "floor"].map(str::to_owned);
        assert_eq!(settings(&given), ["nothing", "floor", "inside"]);
    }

    #[test]
    fn ratios_are_of_outside_and_floor() {
        let row = |setting: &str, instructions| Added {
            op: "stat".into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: "6.1".into(),
            instructions,
            sensor: None,
        };
        let rows = [row(BASE, 7000), row("floor", 200), row("outside", 250)];
        let mut text = Vec::new();
        for_people(&rows).print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("1.3"), "{text}");
        assert!(text.contains("7000"), "{text}");
    }
}
