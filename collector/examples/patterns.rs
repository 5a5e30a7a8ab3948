//! Prints the patterns as the README's table: what each catches, its thresholds as they are without a configuration, the techniques it names,
//! and what keeps it quiet.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use collector::config::DetectConfig;
use collector::detect::PATTERNS;

fn main() -> Result<()> {
    let config = DetectConfig::default();
    let mut out = std::io::stdout().lock();
    let head = "| | pattern | catches | seen as | thresholds below `[detect]` | ATT&CK | what keeps it quiet |\n|---|---|---|---|---|---|---|";
    writeln!(out, "{head}").context("failed to write")?;
    for about in PATTERNS {
        let thresholds = (about.thresholds)(&config);
        let thresholds = thresholds
            .iter()
            .map(|(key, value)| format!("`{key}` {value}"));
        let techniques: Vec<&str> = about.techniques.iter().map(|one| one.id).collect();
        writeln!(
            out,
            "| {} | `{}` | {} | {} | {} | {} | {} |",
            about.rule,
            about.name,
            about.catches,
            about.alert,
            thresholds.collect::<Vec<_>>().join(", "),
            techniques.join(", "),
            about.quiet,
        )
        .context("failed to write")?;
    }
    Ok(())
}
