//! `cargo xtask bench graph`: what an edge of a host's graph costs the collector, in time and memory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::readme;
use crate::step::{Step, capture, cargo, root};
use crate::table::Table;

/// Where results are kept, relative to the root.
const RESULTS: &str = "collector/benches/results/graph.json";

/// Most of a metric, in its own unit.
const TARGETS: [(&str, f64); 2] = [("time_per_edge", 5.0), ("memory", 500.0)];

/// Arguments of `cargo xtask bench graph`.
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
    fn target(&self) -> Option<f64> {
        let target = TARGETS.iter().find(|(metric, _)| *metric == self.metric);
        target.map(|(_, most)| *most)
    }

    fn holds(&self) -> bool {
        self.target().is_none_or(|most| self.value <= most)
    }
}

/// Runs the command.
///
/// # Errors
/// The program that measures could not be built or fails, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    let example = [
        "--release",
        "--locked",
        "--package",
        "collector",
        "--example",
        "graph",
    ];
    let mut build = cargo();
    build.arg("build").args(example);
    Step::new("building what measures the graph", build).run()?;
    let mut measure = cargo();
    measure.args(["run", "--quiet"]).args(example);
    let figures: Vec<Figure> = serde_json::from_str(&capture(&mut measure)?)
        .context("failed to understand what the example `graph` printed")?;
    let table = table(&figures);
    table.report(args.json.as_deref())?;
    if args.write {
        table.write_json(&root().join(RESULTS))?;
        readme::write()?;
    }
    let missed = figures.iter().filter(|figure| !figure.holds()).count();
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

/// The README's table of the committed result.
///
/// # Errors
/// The result cannot be read.
pub(crate) fn section(root: &Path) -> Result<String> {
    Ok(page(&super::kept::<Figure>(&root.join(RESULTS))?))
}

fn page(figures: &[Figure]) -> String {
    let mut text = "| a host's graph | found | target | |\n|---|--:|--:|---|\n".to_owned();
    for figure in figures {
        let target = figure.target();
        let _ok = writeln!(
            text,
            "| {} | {} {} | {} | {} |",
            figure.metric.replace('_', " "),
            figure.value,
            figure.unit,
            target.map_or_else(String::new, |most| most.to_string()),
            match (target, figure.holds()) {
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
        let text = page(&[
            figure("time_per_edge", 5.1),
            figure("memory", 500.0),
            figure("edges", 9.0),
        ]);
        assert!(
            text.contains("| time per edge | 5.1 us | 5 | **missed** |"),
            "{text}"
        );
        assert!(text.contains("| memory | 500 us | 500 | holds |"), "{text}");
        assert!(text.contains("| edges | 9 us |  |  |"), "{text}");
    }
}
