//! `cargo xtask coverage`: goes every way to reach records and to send them away, on the kernels and with the backends asked
//! for, and says which of them the sensor sees: a matrix *way × backend × kernel*.
//!
//! The ways are tests of the sensor (`sensor-user/tests/coverage`), which print a line for each; those of a virtual machine
//! come back with its output.
//!
//! **Invariant:** the README's table is made of the committed results alone, and those of what tests printed; nobody writes
//! either by hand.

mod cells;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::cells::Cell;
use crate::step::{Step, cargo, root, say};
use crate::table::Table;
use crate::{readme, vm};

/// The sensor's test target.
const TESTS: &str = "coverage";
/// Where results are kept, relative to the root.
const RESULTS: &str = "sensor-user/tests/coverage/results.json";
const KERNELS: [&str; 2] = ["6.1", "6.12"];
const BACKENDS: [&str; 2] = ["lsm", "fentry"];
/// The backend that works on every kernel that is not ours to choose.
const NATIVE_BACKEND: &str = "tracepoint";
const LIMIT: Duration = Duration::from_mins(20);

/// Arguments of `cargo xtask coverage`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Kernel of a virtual machine, as for `vm`; may be repeated (6.1 and 6.12 unless given)
    #[arg(long, value_name = "SERIES|PACKAGE")]
    kernel: Vec<String>,
    /// Hook backend; may be repeated (lsm and fentry unless given; natively tracepoint)
    #[arg(long, value_parser = ["lsm", "fentry", "tracepoint"])]
    backend: Vec<String>,
    /// On this machine's own kernel; without `--kernel`, there only
    #[arg(long)]
    native: bool,
    /// Write the cells as a JSON array: way, backend, kernel, seen, reason
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the results in the repository, and show them in the README
    #[arg(long)]
    write: bool,
}

/// Runs the command.
///
/// # Errors
/// A machine could not be started, an act failed, or a way is seen worse than the committed results say.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cells = Vec::new();
    let mut problems = Vec::new();
    if args.native {
        let backends = or(&args.backend, &[NATIVE_BACKEND]);
        for backend in backends {
            native(&backend, &mut cells, &mut problems)?;
        }
    }
    let default_kernels: &[&str] = if args.native { &[] } else { &KERNELS };
    for kernel in or(&args.kernel, default_kernels) {
        for backend in or(&args.backend, &BACKENDS) {
            machine(&kernel, &backend, &mut cells, &mut problems)?;
        }
    }
    table(&cells).report(None)?;
    if let Some(path) = &args.json {
        // A way that cannot be gone somewhere has no cell there.
        let real: Vec<Cell> = cells
            .iter()
            .filter(|cell| cell.seen != cells::NOT_HERE)
            .cloned()
            .collect();
        table(&real).write_json(path)?;
    }
    if args.write {
        keep(cells)?;
    }
    for problem in &problems {
        say(problem);
    }
    ensure!(
        problems.is_empty(),
        "{} runs of the coverage tests had failures",
        problems.len()
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

fn native(backend: &str, cells: &mut Vec<Cell>, problems: &mut Vec<String>) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--locked", "--package", "sensor-user", "--test"]);
    command.args([TESTS, "--", "--test-threads=1", "--color=never"]);
    command.env("CHARTWATCH_BACKEND", backend);
    let done = Step::new(format!("coverage native {backend}"), command)
        .limit(LIMIT)
        .run_any()?;
    let output =
        fs::read(&done.log).with_context(|| format!("failed to read {}", done.log.display()))?;
    let found = cells::parse(&String::from_utf8_lossy(&output));
    if !done.status.success() {
        problems.push(format!(
            "native {backend}: the tests ended with {}; see {}",
            done.status,
            done.log.display()
        ));
    }
    ensure!(
        !found.is_empty(),
        "no way was gone on this machine; see {}",
        done.log.display()
    );
    cells.extend(found);
    Ok(())
}

fn machine(
    kernel: &str,
    backend: &str,
    cells: &mut Vec<Cell>,
    problems: &mut Vec<String>,
) -> Result<()> {
    let outcome = vm::run_tests(TESTS, kernel, backend, &[])?;
    // The lines come last: a machine that broke down has none.
    cells.extend(cells::parse(&outcome.output));
    if let Err(error) = outcome.check() {
        problems.push(format!("{kernel} {backend}: {error:#}"));
    }
    Ok(())
}

fn table(cells: &[Cell]) -> Table {
    let mut table = Table::new(&["way", "backend", "kernel", "seen", "reason"]);
    for cell in cells {
        let reason = match cell.reason.as_str() {
            "" => Value::Null,
            reason => json!(reason),
        };
        table.push([
            json!(cell.way),
            json!(cell.backend),
            json!(cell.kernel),
            json!(cell.seen),
            reason,
        ]);
    }
    table
}

/// Puts new results in the place of those of the same kernels and backends, and both into the README.
fn keep(new: Vec<Cell>) -> Result<()> {
    let path = root().join(RESULTS);
    let kept = cells::merge(cells::read(&path)?, new);
    table(&kept).write_json(&path)?;
    readme::write()
}

/// The README's table of the committed results.
///
/// # Errors
/// The results cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    Ok(page::section(&cells::read(&root.join(RESULTS))?))
}
