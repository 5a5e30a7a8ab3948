//! Scenarios in an emulated machine with another kernel: the same command runs there, on this host's files, and tells its rows.
//!
//! **Invariant:** a scenario that the machine did not come to is an error and never skipped.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::scenario::Scenario;
use super::score::{Outcome, Row};
use crate::step::say;
use crate::{up, vm};

/// What begins a line that is a row.
const ROW: &str = "row ";
/// The machine is so many times slower, for what may take its time.
pub(super) const PATIENCE: u32 = 8;
/// How long an alert may take there.
pub(super) const WAIT: Duration = Duration::from_secs(20);
/// Longest time for the machine to come up, and for each scenario.
const BOOT: Duration = Duration::from_mins(3);
const EACH: Duration = Duration::from_mins(5);

/// Runs the scenarios on a kernel.
///
/// # Errors
/// The machine did not end as it should; the rows are those it has told, and an error for each other.
pub(super) fn play(
    kernel: &str,
    backend: &str,
    scenarios: &[Scenario],
    programs: &up::Programs,
) -> (Vec<Row>, Result<()>) {
    let folder = programs
        .sensor
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let mut command = vec!["eval".to_owned(), "--inside".to_owned()];
    command.push(folder.display().to_string());
    command.extend([
        "--backend".to_owned(),
        backend.to_owned(),
        "--scenarios".to_owned(),
    ]);
    command.extend(scenarios.iter().map(|one| one.folder.display().to_string()));
    // A machine without a backend of its own choice has what all of them want.
    let of_machine = if backend == "auto" { "lsm" } else { backend };
    let limit = BOOT + EACH * u32::try_from(scenarios.len()).unwrap_or(u32::MAX);
    let mut rows: Vec<Row> = Vec::new();
    let ended = vm::visit(kernel, of_machine, limit, command, &mut |line| {
        let row = line.strip_prefix(ROW);
        match row.map(serde_json::from_str::<Row>) {
            Some(Ok(row)) => {
                say(row.told(rows.len() + 1, scenarios.len()));
                rows.push(row);
            }
            Some(Err(error)) => say(format!("a row of the machine cannot be read: {error}")),
            None => {}
        }
    });
    let told = |one: &&Scenario| rows.iter().any(|row| row.scenario == one.name);
    let missing: Vec<Row> = scenarios
        .iter()
        .filter(|one| !told(one))
        .map(|one| {
            let note = "the machine did not come to it".to_owned();
            Row::without(one, Outcome::Error, note)
        })
        .collect();
    rows.extend(missing);
    (rows, ended)
}

/// Tells a row to the host.
///
/// # Errors
/// The line to the host is gone.
pub(super) fn tell(row: &Row) -> Result<()> {
    use std::io::Write as _;
    let line = serde_json::to_string(row).context("failed to write a row")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ROW}{line}")
        .and_then(|()| out.flush())
        .context("failed to tell a row")
}
