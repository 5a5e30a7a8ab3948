//! `cargo xtask bench workloads`: what watching adds to work as a whole, in a machine whose clock counts instructions.
//!
//! Each figure holds everything that was done from the beginning of the work until all was quiet: the work, the programs in
//! the kernel, and the sensor's own process.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use super::rows::{self, Added};
use crate::readme;
use crate::step::{human, root, say};
use crate::table::Table;
use crate::vm::{self, Programs};

/// The sensor's bench target, and what makes it do this.
const BENCH: &str = "overhead";
const WHOLE: &str = "--workloads";
/// Where results are kept, relative to the root.
const RESULTS: &str = "sensor-user/benches/results/workloads.json";
const BASE: &str = "nothing";
const SETTINGS: [&str; 4] = [BASE, "floor", "outside", "inside"];
const PROGRAMS: &[Programs] = &[
    Programs {
        package: "git",
        names: &["git"],
    },
    Programs {
        package: "grep",
        names: &["grep"],
    },
    Programs {
        package: "sqlite3",
        names: &["sqlite3"],
    },
    Programs {
        package: "tcc",
        names: &["tcc"],
    },
];
/// The sensor may add so many hundredths.
const PERCENT_MAX: f64 = 3.0;

/// Arguments of `cargo xtask bench workloads`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Kernel of the machine, as for `vm`; may be repeated (6.1 and 6.12 unless given)
    #[arg(long, value_name = "SERIES|PACKAGE")]
    kernel: Vec<String>,
    /// Hook backend; may be repeated (lsm and fentry unless given)
    #[arg(long, value_parser = ["lsm", "fentry", "tracepoint"])]
    backend: Vec<String>,
    /// Keep the results in the repository, and show them in the README
    #[arg(long)]
    write: bool,
    /// Fail when the sensor adds more than it may
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// A machine could not be prepared or started, the measurement failed in it, or with `--check` the target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut all = Vec::new();
    for kernel in super::or(&args.kernel, &["6.1", "6.12"]) {
        for backend in super::or(&args.backend, &["lsm", "fentry"]) {
            let added = machine(&kernel, &backend)?;
            if args.write {
                let kept = rows::merge(super::kept(&root().join(RESULTS))?, added.clone());
                for_programs(&kept).write_json(&root().join(RESULTS))?;
                readme::write()?;
            }
            all.extend(added);
        }
    }
    let missed = all.iter().filter(|row| !holds(&all, row)).count();
    ensure!(
        !args.check || missed == 0,
        "{missed} times more than {PERCENT_MAX} % were added"
    );
    Ok(())
}

fn machine(kernel: &str, backend: &str) -> Result<Vec<Added>> {
    let arguments = [&[WHOLE], SETTINGS.as_slice()].concat();
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    let outcome = vm::run_counted(BENCH, kernel, backend, PROGRAMS, arguments)?;
    let added = rows::added(&rows::parse(&outcome.output)?, BASE, kernel, backend)?;
    say(format!(
        "{}, {backend}, after {}: instructions of the work, and what is added to them",
        outcome.package,
        human(outcome.elapsed)
    ));
    for_programs(&added).report(None)?;
    Ok(added)
}

/// Hundredths that are added.
fn percent(all: &[Added], row: &Added) -> Option<f64> {
    let of_it = |base: &&Added| {
        base.op == row.op
            && base.setting == BASE
            && base.kernel == row.kernel
            && base.backend == row.backend
    };
    let base = all.iter().find(of_it)?;
    (row.setting != BASE).then(|| {
        let percent = row.instructions as f64 * 100.0 / base.instructions as f64;
        (percent * 100.0).round() / 100.0
    })
}

fn holds(all: &[Added], row: &Added) -> bool {
    let is_sensor = ["outside", "inside"].contains(&row.setting.as_str());
    !is_sensor || percent(all, row).is_none_or(|percent| percent <= PERCENT_MAX)
}

fn for_programs(rows: &[Added]) -> Table {
    let columns = [
        "op",
        "setting",
        "backend",
        "kernel",
        "instructions",
        "percent",
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        table.push([
            json!(row.op),
            json!(row.setting),
            json!(row.backend),
            json!(row.kernel),
            json!(row.instructions),
            json!(percent(rows, row)),
        ]);
    }
    table
}

/// The README's table of the committed results.
///
/// # Errors
/// The results cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    Ok(page(&super::kept(&root.join(RESULTS))?))
}

fn page(all: &[Added]) -> String {
    let mut text =
        "| work | kernel, backend | instructions | floor | outside | inside | target |\n\
                    |---|---|--:|--:|--:|--:|---|\n"
            .to_owned();
    for machine in rows::machines(all) {
        let rows = rows::of_machine(all, &machine);
        for op in rows::operations(&rows) {
            let base = rows::instructions(&rows, &op, BASE).unwrap_or_default();
            let added = |setting| {
                let row = rows::find(&rows, &op, setting);
                let percent = row.and_then(|row| percent(&rows, row));
                percent.map_or_else(String::new, |percent| format!("{percent:+.2} %"))
            };
            let missed: Vec<&str> = rows
                .iter()
                .filter(|row| row.op == op && !holds(&rows, row))
                .map(|row| row.setting.as_str())
                .collect();
            let _ok = writeln!(
                text,
                "| {op} | {}, {} | {} | {} | {} | {} | {} |",
                machine.0,
                machine.1,
                rows::grouped(base),
                added("floor"),
                added("outside"),
                added("inside"),
                if missed.is_empty() {
                    "holds".to_owned()
                } else {
                    format!("**missed** {}", missed.join(" and "))
                },
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_three_hundredths_is_too_much() {
        let row = |setting: &str, instructions| Added {
            op: "tar".into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: "6.1".into(),
            instructions,
            own: None,
        };
        let rows = |inside| {
            let floor = row("floor", 900);
            [
                row(BASE, 10_000),
                floor,
                row("outside", 300),
                row("inside", inside),
            ]
        };
        let good = page(&rows(300));
        assert!(
            good.contains("| tar | 6.1, lsm | 10,000 | +9.00 % | +3.00 % | +3.00 % | holds |"),
            "{good}"
        );
        assert!(page(&rows(301)).contains("+3.01 % | **missed** inside |"));
    }
}
