//! Runs every test this machine can run, group by group, and says of each group what ran, what failed and what did not
//! run and why.
//!
//! **Invariant:** a failing group does not keep the next from running; a group that cannot run is counted as skipped with
//! its reason; what failed is told once more below the table; the last line on standard output is `N passed, N failed,
//! N skipped`. A test that needs a kernel and failed is run once more by itself, since a machine that stands still for
//! seconds can fail any of them: if it passes then, it has passed, and is told as flaky.

mod groups;
mod harness;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
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

/// So many failed tests of a group are run once more.
const AGAIN_MAX: usize = 3;

/// What one group came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    why: Vec<String>,
    failures: Vec<Failure>,
    /// Failed, and passed when run once more; counted as passed.
    flaky: Vec<Failure>,
}

/// One test that failed, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    name: String,
    said: String,
}

impl Failure {
    /// Most lines of what was said that are told.
    const LINES_MAX: usize = 30;

    fn told(&self, group: &str, how: &str) -> String {
        let mut lines: Vec<&str> = self.said.lines().collect();
        let more = lines.len().saturating_sub(Self::LINES_MAX);
        lines.truncate(Self::LINES_MAX);
        let cut = if more > 0 {
            format!("\n... and {more} lines more, above")
        } else {
            String::new()
        };
        format!(
            "== {how}: {group}: {}\n{}{cut}",
            self.name,
            lines.join("\n")
        )
    }
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
        let mut tally = Self::default();
        tally.fail("as a whole", format!("{error:#}"));
        tally
    }

    /// One more has failed, and says so at once.
    fn fail(&mut self, name: impl Into<String>, said: impl Into<String>) {
        let (name, said) = (name.into(), said.into());
        say(format!("{name}: FAILED: {said}"));
        self.failed += 1;
        self.failures.push(Failure { name, said });
    }

    /// Runs the failed tests once more, each by itself. Many failures are no accident, and stay what they are.
    fn again(&mut self, run: impl Fn(&str) -> Result<Self>) -> Result<()> {
        if self.failures.len() > AGAIN_MAX || self.failures.len() as u64 != self.failed {
            return Ok(());
        }
        for failure in std::mem::take(&mut self.failures) {
            say(format!("{} failed; once more, by itself", failure.name));
            let second = run(&failure.name)?;
            if second.passed > 0 && second.failed == 0 {
                self.failed -= 1;
                self.passed += 1;
                self.flaky.push(failure);
            } else {
                self.failures.push(failure);
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut groups = groups::all(args.long);
    if let Some(wanted) = &args.group {
        let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
        groups.retain(|group| group.name.contains(wanted.as_str()));
        if groups.is_empty() {
            bail!(
                "no group's name contains {wanted:?}; there are: {}",
                names.join(", ")
            );
        }
    }
    setup::ensure(args.yes, Need::ALL)?;
    let mut table = Table::new(&["group", "ran", "failed", "skipped", "seconds", "why"]);
    let mut sum = Tally::default();
    let mut told = Vec::new();
    for group in groups {
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
        let failed = (tally.failures.iter()).map(|one| one.told(&group.name, "failed"));
        let flaky =
            (tally.flaky.iter()).map(|one| one.told(&group.name, "failed once, then passed"));
        told.extend(failed.chain(flaky));
    }
    table.report(args.json.as_deref())?;
    let mut out = std::io::stdout().lock();
    for text in told {
        writeln!(out, "{text}\n").context("failed to print what failed")?;
    }
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
            ..Tally::default()
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
            ..Tally::default()
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
    fn failed(names: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for name in names {
            tally.fail(*name, "it said why");
        }
        tally
    }

    #[test]
    fn a_test_that_passes_by_itself_has_passed_and_is_flaky() {
        let mut tally = failed(&["shaky", "broken"]);
        tally
            .again(|name| {
                Ok(match name {
                    "shaky" => Tally::passed(),
                    _ => failed(&[name]),
                })
            })
            .expect("the runs came to their ends");
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(tally.failures[0].name, "broken");
        assert_eq!(
            tally.flaky[0].told("g", "failed once"),
            "== failed once: g: shaky\nit said why"
        );
    }

    #[test]
    fn what_did_not_run_the_second_time_or_fails_in_number_stays_failed() {
        let mut tally = failed(&["gone"]);
        tally.again(|_| Ok(Tally::default())).expect("no run");
        assert_eq!((tally.passed, tally.failed), (0, 1));
        let mut tally = failed(&["a", "b", "c", "d"]);
        tally.again(|_| Ok(Tally::passed())).expect("no run");
        assert_eq!((tally.passed, tally.failed), (0, 4));
    }
}
