//! `cargo xtask bench overhead`: added guest instructions per operation, in a machine whose clock counts instructions.
//!
//! The figures come from `sensor-user/benches/overhead`. They count neither cache misses nor waiting for other CPUs, and
//! repeat within a few instructions, so they are compared as differences to "nothing loaded", never as percentages.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;

use super::rows::{self, Added};
use super::{page, targets};
use crate::readme;
use crate::step::{human, root, say};
use crate::table::Table;
use crate::vm::{self, Programs};

/// The sensor's bench target.
const BENCH: &str = "overhead";
/// Where results are kept, relative to the root.
const RESULTS: &str = "sensor-user/benches/results/overhead.json";
/// Everything else is compared to it.
const BASE: &str = "nothing";
/// In the order they are measured.
const SETTINGS: [&str; 8] = [
    BASE, "floor", "outside", "inside", "tainted", "fanotify", "bpftrace", "auditd",
];
/// Programs that some of them need in the machine.
const PROGRAMS: &[Programs] = &[
    Programs {
        package: "auditd",
        names: &["auditd", "auditctl"],
    },
    Programs {
        package: "bpftrace",
        names: &["bpftrace"],
    },
];
/// Those that are no sensor.
const PEERS: [&str; 3] = ["fanotify", "bpftrace", "auditd"];
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
    /// What runs meanwhile; may be repeated (all unless given, the peers with lsm only). "nothing" is always measured: the others are added to it
    #[arg(long, value_parser = SETTINGS)]
    setting: Vec<String>,
    /// Write the rows as a JSON array: op, setting, backend, kernel, instructions (of "nothing" those of the operation
    /// itself, otherwise those added to it), own (what the watcher's own process spends on each)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the results in the repository, and show them in the README
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
    for kernel in super::or(&args.kernel, &KERNELS) {
        for backend in super::or(&args.backend, &BACKENDS) {
            let added = machine(&kernel, &backend, settings(&args.setting, &backend))?;
            for op in rows::operations(&added) {
                let verdicts = targets::verdicts(&added, &op);
                let missing = verdicts.iter().filter(|verdict| !verdict.holds());
                missed.extend(missing.map(|v| format!("{kernel} {backend}: {op}: {}", v.said())));
            }
            if args.write {
                let kept = rows::merge(super::kept(&root().join(RESULTS))?, added.clone());
                for_programs(&kept).write_json(&root().join(RESULTS))?;
                readme::write()?;
            }
            all.extend(added);
        }
    }
    if let Some(path) = &args.json {
        for_programs(&all).write_json(path)?;
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

fn machine(kernel: &str, backend: &str, settings: Vec<String>) -> Result<Vec<Added>> {
    let outcome = vm::run_counted(BENCH, kernel, backend, PROGRAMS, settings)?;
    let added = rows::added(&rows::parse(&outcome.output)?, BASE, kernel, backend)?;
    say(format!(
        "{}, {backend}, after {}: instructions per operation; of \"nothing\" those of the operation, else those added to it; \
         \"own\" is what the sensor's process spends beside it, and is in the figures of the peers",
        outcome.package,
        human(outcome.elapsed)
    ));
    for_people(&added).report(None)?;
    Ok(added)
}

/// The README's tables of the committed results.
///
/// # Errors
/// The results cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    Ok(page::section(&super::kept(&root.join(RESULTS))?))
}

/// The settings that are measured; peers do not depend on the backend, so with the first of them.
fn settings(given: &[String], backend: &str) -> Vec<String> {
    let wanted = |name: &&str| {
        *name == BASE
            || given.iter().any(|g| g == name)
            || given.is_empty() && (backend == BACKENDS[0] || !PEERS.contains(name))
    };
    let wanted = SETTINGS.iter().filter(|name| wanted(name));
    wanted.map(|name| (*name).to_owned()).collect()
}

fn for_programs(rows: &[Added]) -> Table {
    let columns = ["op", "setting", "backend", "kernel", "instructions", "own"];
    let mut table = Table::new(&columns);
    for row in rows {
        table.push([
            json!(row.op),
            json!(row.setting),
            json!(row.backend),
            json!(row.kernel),
            json!(row.instructions),
            json!(row.own),
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
        "own",
        "inside",
        "own (inside)",
        "tainted",
        "fanotify",
        "bpftrace",
        "auditd",
    ]);
    for op in rows::operations(rows) {
        let added = |setting| json!(rows::instructions(rows, &op, setting));
        let own = |setting| json!(rows::find(rows, &op, setting).and_then(|row| row.own));
        let peer = |setting| json!(rows::with_own(rows, &op, setting));
        table.push([
            json!(op),
            added(BASE),
            added("floor"),
            added("outside"),
            own("outside"),
            added("inside"),
            own("inside"),
            added("tainted"),
            peer("fanotify"),
            peer("bpftrace"),
            peer("auditd"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_always_measured_and_comes_first() {
        assert_eq!(settings(&[], "lsm"), SETTINGS);
        assert_eq!(settings(&[], "fentry"), SETTINGS[..5]);
        let given = ["auditd", "floor"].map(str::to_owned);
        assert_eq!(settings(&given, "fentry"), ["nothing", "floor", "auditd"]);
    }

    #[test]
    fn the_work_of_a_peers_process_is_in_its_figure() {
        let row = |setting: &str, instructions, own| Added {
            op: "stat".into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: "6.1".into(),
            instructions,
            own,
        };
        let rows = [row(BASE, 7000, None), row("auditd", 200, Some(50))];
        let mut text = Vec::new();
        for_people(&rows).print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("250") && text.contains("7000"), "{text}");
    }
}
