//! `cargo xtask bench graph`, `intel` and `fleet`: what an edge of a host's graph, a million indicators, and a hospital's sensors cost
//! the collector. Each is measured by an example of the collector of that name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::readme;
use crate::step::{Step, capture, cargo, root, target_dir};
use crate::table::Table;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// Name of the example that measures it.
    pub(super) example: &'static str,
    /// What the table is about.
    pub(super) title: &'static str,
    /// What a metric should be, in its own unit.
    pub(super) targets: &'static [(&'static str, Target)],
}

/// Between what a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Most(f64),
    Least(f64),
}

/// A host's graph.
pub(crate) const GRAPH: Subject = Subject {
    example: "graph",
    title: "a host's graph",
    targets: &[
        ("time_per_edge", Target::Most(5.0)),
        ("memory", Target::Most(500.0)),
    ],
};
/// Threat intelligence.
pub(crate) const INTEL: Subject = Subject {
    example: "intel",
    title: "threat intelligence",
    targets: &[
        ("time_per_lookup", Target::Most(1.0)),
        ("memory", Target::Most(200.0)),
    ],
};

impl Subject {
    /// Where results are kept, relative to the root.
    fn results(&self) -> PathBuf {
        Path::new("collector/benches/results").join(format!("{}.json", self.example))
    }
}

/// Arguments of all.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub(crate) struct Args {
    /// Write the rows there as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the result in the repository, and show it in the README
    #[arg(long)]
    write: bool,
    /// Fail when a target does not hold
    #[arg(long)]
    check: bool,
}

impl Target {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Most(most) => value <= most,
            Self::Least(least) => value >= least,
        }
    }

    fn said(self) -> String {
        match self {
            Self::Most(most) => most.to_string(),
            Self::Least(least) => format!("at least {least}"),
        }
    }
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Figure {
    metric: String,
    value: f64,
    unit: String,
}

impl Figure {
    fn target(&self, subject: &Subject) -> Option<Target> {
        let mut targets = subject.targets.iter();
        let target = targets.find(|(metric, _)| *metric == self.metric);
        target.map(|(_, target)| *target)
    }

    fn holds(&self, subject: &Subject) -> bool {
        self.target(subject)
            .is_none_or(|target| target.holds(self.value))
    }
}

/// Runs the command.
///
/// # Errors
/// The program that measures could not be built or fails, or with `--check` a target does not hold.
pub(crate) fn run(subject: &Subject, args: &Args) -> Result<()> {
    let program = build(subject, &[])?;
    report(subject, &capture(&mut Command::new(program))?, args)
}

/// Builds what measures, and other programs of the collector beside it.
pub(super) fn build(subject: &Subject, more: &[&str]) -> Result<PathBuf> {
    let mut build = cargo();
    build
        .args(["build", "--release", "--locked", "--package", "collector"])
        .args(["--example", subject.example])
        .args(more);
    Step::new(format!("building what measures {}", subject.title), build).run()?;
    let examples = target_dir().join("release/examples");
    Ok(examples.join(subject.example))
}

/// Shows and keeps what the program that measures has printed.
pub(super) fn report(subject: &Subject, printed: &str, args: &Args) -> Result<()> {
    let figures: Vec<Figure> =
        serde_json::from_str(printed).context("failed to understand what the example printed")?;
    let table = table(&figures);
    table.report(args.json.as_deref())?;
    if args.write {
        table.write_json(&root().join(subject.results()))?;
        readme::write()?;
    }
    let missed = figures
        .iter()
        .filter(|figure| !figure.holds(subject))
        .count();
    ensure!(!args.check || missed == 0, "{missed} targets do not hold");
    Ok(())
}

fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new(&["metric", "value", "unit"]);
    for figure in figures {
        table.push([
            json!(figure.metric),
            json!(figure.value),
            json!(figure.unit),
        ]);
    }
    table
}

/// The README's table of the committed result about a host's graph.
///
/// # Errors
/// The result cannot be read.
pub(crate) fn graph_section(root: &Path) -> Result<String> {
    section(&GRAPH, root)
}

/// The same about threat intelligence.
///
/// # Errors
/// The result cannot be read.
pub(crate) fn intel_section(root: &Path) -> Result<String> {
    section(&INTEL, root)
}

pub(super) fn section(subject: &Subject, root: &Path) -> Result<String> {
    let figures = super::kept::<Figure>(&root.join(subject.results()))?;
    Ok(page(subject, &figures))
}

fn page(subject: &Subject, figures: &[Figure]) -> String {
    let mut text = format!(
        "| {} | found | target | |\n|---|--:|--:|---|\n",
        subject.title
    );
    for figure in figures {
        let target = figure.target(subject);
        let _ok = writeln!(
            text,
            "| {} | {} {} | {} | {} |",
            figure.metric.replace('_', " "),
            figure.value,
            figure.unit,
            target.map_or_else(String::new, Target::said),
            match (target, figure.holds(subject)) {
                (None, _) => "",
                (Some(_), true) => "holds",
                (Some(_), false) => "**missed**",
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
        let figure = |metric: &str, value| Figure {
            metric: metric.into(),
            value,
            unit: "us".into(),
        };
        let text = page(
            &GRAPH,
            &[
                figure("time_per_edge", 5.1),
                figure("memory", 500.0),
                figure("edges", 9.0),
            ],
        );
        assert!(
            text.contains("| time per edge | 5.1 us | 5 | **missed** |"),
            "{text}"
        );
        assert!(text.contains("| memory | 500 us | 500 | holds |"), "{text}");
        assert!(text.contains("| edges | 9 us |  |  |"), "{text}");
    }
}
