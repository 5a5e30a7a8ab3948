//! `cargo xtask bench graph` and `intel`: what an edge of a host's graph, and what a million indicators, cost the collector in time
//! and memory. Each is measured by an example of the collector of that name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::readme;
use crate::step::{Step, capture, cargo, root};
use crate::table::Table;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    /// Name of the example that measures it.
    example: &'static str,
    /// What the table is about.
    title: &'static str,
    /// Most of a metric, in its own unit.
    targets: &'static [(&'static str, f64)],
}

/// A host's graph.
pub(crate) const GRAPH: Subject = Subject {
    example: "graph",
    title: "a host's graph",
    targets: &[("time_per_edge", 5.0), ("memory", 500.0)],
};
/// Threat intelligence.
pub(crate) const INTEL: Subject = Subject {
    example: "intel",
    title: "threat intelligence",
    targets: &[("time_per_lookup", 1.0), ("memory", 200.0)],
};

impl Subject {
    /// Where results are kept, relative to the root.
    fn results(&self) -> PathBuf {
        Path::new("collector/benches/results").join(format!("{}.json", self.example))
    }
}

/// Arguments of both.
#[derive(clap::Args, Debug)]
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

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Figure {
    metric: String,
    value: f64,
    unit: String,
}

impl Figure {
    fn target(&self, subject: &Subject) -> Option<f64> {
        let mut targets = subject.targets.iter();
        let target = targets.find(|(metric, _)| *metric == self.metric);
        target.map(|(_, most)| *most)
    }

    fn holds(&self, subject: &Subject) -> bool {
        self.target(subject).is_none_or(|most| self.value <= most)
    }
}

/// Runs the command.
///
/// # Errors
/// The program that measures could not be built or fails, or with `--check` a target does not hold.
pub(crate) fn run(subject: &Subject, args: &Args) -> Result<()> {
    let example = [
        "--release",
        "--locked",
        "--package",
        "collector",
        "--example",
        subject.example,
    ];
    let mut build = cargo();
    build.arg("build").args(example);
    Step::new(format!("building what measures {}", subject.title), build).run()?;
    let mut measure = cargo();
    measure.args(["run", "--quiet"]).args(example);
    let figures: Vec<Figure> = serde_json::from_str(&capture(&mut measure)?)
        .context("failed to understand what the example printed")?;
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

fn section(subject: &Subject, root: &Path) -> Result<String> {
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
            target.map_or_else(String::new, |most| most.to_string()),
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
