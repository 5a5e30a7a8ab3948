//! A span of the log through detection again.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory as _};
use collector::alerts::form::AlertForm;
use collector::config::DetectConfig;
use collector::replay::{self, Span};
use collector::{console, text};

use super::{Cli, rfc3339, say};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Tell alerts from this time on; without it from the beginning of the log.
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    from: Option<u64>,
    /// Look at events up to this time; without it to the end of the log.
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    to: Option<u64>,
    /// Every revision of every alert as a line of JSON, instead of a table of the newest revisions.
    #[arg(long)]
    json: bool,
}

pub(super) fn replay(
    data: &Path,
    detect: DetectConfig,
    args: &ReplayArgs,
    out: &mut impl Write,
) -> Result<(), anyhow::Error> {
    let span = Span {
        from_ns: args.from.unwrap_or(0),
        to_ns: args.to.unwrap_or(u64::MAX),
    };
    if span.from_ns > span.to_ns {
        Cli::command()
            .error(
                clap::error::ErrorKind::ValueValidation,
                "--from is later than --to; no event can be in between",
            )
            .exit();
    }
    let began = Instant::now();
    let mut said = began;
    let mut found: Vec<AlertForm> = Vec::new();
    let done = replay::run(
        data,
        detect,
        span,
        collector::decode,
        |alert| found.push(AlertForm::from(&alert)),
        |progress| {
            if said.elapsed() > Duration::from_secs(1) {
                said = Instant::now();
                let line = format!(
                    "batch {} of {}, {} events",
                    progress.pos,
                    progress.last_pos,
                    text::number(progress.events)
                );
                if std::io::stderr().is_terminal() {
                    rewrite(&line);
                } else {
                    say(&line);
                }
            }
        },
    )?;
    if said > began && std::io::stderr().is_terminal() {
        say("");
    }
    if args.json {
        for alert in &found {
            console::json(out, alert)?;
        }
        return Ok(());
    }
    console::alerts(out, &newest(found), false)?;
    say(&format!(
        "{} in {} looked at in {}",
        text::count(done.events, "event"),
        if done.batches == 1 {
            "1 batch".into()
        } else {
            format!("{} batches", text::number(done.batches))
        },
        text::duration(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    ));
    Ok(())
}

/// The newest revision of each alert, the latest first.
fn newest(found: Vec<AlertForm>) -> Vec<AlertForm> {
    let mut newest: BTreeMap<String, AlertForm> = BTreeMap::new();
    for alert in found {
        newest.insert(alert.id.clone(), alert);
    }
    let mut alerts: Vec<AlertForm> = newest.into_values().collect();
    alerts.sort_by(|a, b| {
        b.revised_ns
            .cmp(&a.revised_ns)
            .then_with(|| a.id.cmp(&b.id))
    });
    alerts
}

/// Writes over the last line of a terminal.
fn rewrite(line: &str) {
    let _closed = write!(std::io::stderr(), "\r\x1b[K{line}").is_err();
}
