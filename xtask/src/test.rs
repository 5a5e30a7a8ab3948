//! Runs every test this machine can run, group by group, and says of each group what ran, what failed and what did not
//! run and why.
//!
//! **Invariant:** a failing group does not keep the next from running; a group that cannot run is counted as skipped with
//! its reason; the last line on standard output is `N passed, N failed, N skipped`.

mod groups;
mod harness;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::setup::{self, Need};
use crate::step::{human, say};
use crate::table::Table;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Also run what takes long: the other pairs of kernel and backend, the coverage matrix in machines, more crashes
    #[arg(long)]
    long: bool,
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Run only the groups whose names contain this
    #[arg(long, value_name = "TEXT")]
    group: Option<String>,
    /// Write the rows of the table as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The table said what failed; nothing needs to be printed after its closing line.
#[derive(Debug)]
pub(crate) struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("some tests failed, as reported")
    }
}

impl std::error::Error for Reported {}

/// What one group came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    why: Vec<String>,
}

impl Tally {
    fn skipped(why: impl Into<String>) -> Self {
        Self {
            skipped: 1,
            why: vec![why.into()],
            ..Self::default()
        }
    }

    fn passed() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// A group whose own running broke.
    fn broken(error: &anyhow::Error) -> Self {
        say(format!("{error:#}"));
        Self {
            failed: 1,
            ..Self::default()
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(args.yes, Need::ALL)?;
    let mut table = Table::new(&["group", "ran", "failed", "skipped", "seconds", "why"]);
    let mut sum = Tally::default();
    for group in groups::all(args.long) {
        if args
            .group
            .as_ref()
            .is_some_and(|wanted| !group.name.contains(wanted.as_str()))
        {
            continue;
        }
        say(format!("== {}", group.name));
        let begin = Instant::now();
        let tally = (group.run)().unwrap_or_else(|error| Tally::broken(&error));
        say(format!(
            "== {}: {} after {}",
            group.name,
            in_words(&tally),
            human(begin.elapsed())
        ));
        table.push(row(&group.name, &tally, begin.elapsed().as_secs_f64()));
        sum.passed += tally.passed;
        sum.failed += tally.failed;
        sum.skipped += tally.skipped;
    }
    table.report(args.json.as_deref())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", in_words(&sum))
        .and_then(|()| out.flush())
        .context("failed to print the sum")?;
    // Nothing run is nothing proven.
    if sum.failed > 0 || sum.passed == 0 {
        Err(Reported.into())
    } else {
        Ok(())
    }
}

fn row(name: &str, tally: &Tally, seconds: f64) -> [Value; 6] {
    let why = if tally.why.is_empty() {
        Value::Null
    } else {
        json!(tally.why.join("; "))
    };
    let seconds = (seconds * 10.0).round() / 10.0;
    [
        json!(name),
        json!(tally.passed + tally.failed),
        json!(tally.failed),
        json!(tally.skipped),
        json!(seconds),
        why,
    ]
}

fn in_words(tally: &Tally) -> String {
    format!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_has_its_form() {
        let tally = Tally {
            passed: 12,
            failed: 0,
            skipped: 3,
            why: Vec::new(),
        };
        assert_eq!(in_words(&tally), "12 passed, 0 failed, 3 skipped");
    }

    #[test]
    fn a_row_counts_failed_tests_as_run_and_gives_reasons() {
        let tally = Tally {
            passed: 2,
            failed: 1,
            skipped: 1,
            why: vec!["needs root".into()],
        };
        let expect = [
            json!("g"),
            json!(3),
            json!(1),
            json!(1),
            json!(1.3),
            json!("needs root"),
        ];
        assert_eq!(row("g", &tally, 1.26), expect);
    }
}
