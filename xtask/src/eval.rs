//! `cargo xtask eval`: runs scenarios of theft and of everyday work live, with the real tools, and says what is found.
//!
//! A scenario is a folder (`collector/corpus/`, or anywhere): what it is in `scenario.toml`, what is done in `run.sh`.
//! Each gets a store of synthetic records, a collector and a sensor of its own, and two network namespaces: one plays
//! the outside world, one the hospital's archive and backup.
//!
//! **Invariant:** a script that fails is an error of its scenario and never a miss; whatever ends a scenario, the processes,
//! namespaces and users it brought are gone afterwards, and nothing else is touched.

mod judge;
mod machine;
mod merge;
mod recording;
mod scenario;
mod score;
mod stage;
mod user;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::recording::Recorder;
use self::scenario::Scenario;
use self::score::{Outcome, Row};
use self::stage::Stage;
use crate::setup::{self, Need};
use crate::step::{root, say, tree};
use crate::test::Reported;
use crate::up::{self, Programs, Stop};

/// The scenarios of the repository, relative to its root.
const CORPUS: &str = "collector/corpus";

const EXAMPLES: &str = "\
Examples:
  cargo xtask eval                                     the whole corpus, on this machine's kernel
  cargo xtask eval --only curl --keep /tmp/eval        scenarios whose names contain \"curl\"; keep their logs and alerts
  cargo xtask eval --scenarios ~/mine --json rows.json another folder, or a folder of folders
  cargo xtask eval --kernel 6.1 --backend lsm          in an emulated machine with another kernel
  cargo xtask eval --replay                            what was recorded of the corpus, in seconds

How to write a scenario is in the README, \"Trying it against thefts and everyday work\".";

/// Runs scenarios and says what is found.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A scenario, or a folder of scenarios; may be given several times [default: collector/corpus]
    #[arg(long, value_name = "DIR", num_args = 1..)]
    scenarios: Vec<PathBuf>,
    /// Only scenarios whose names contain this; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Hook backend the sensor uses
    #[arg(long, value_parser = ["auto", "lsm", "fentry", "tracepoint"], default_value = "auto")]
    backend: String,
    /// Run in an emulated machine with this kernel, on this host's files: a series (6.1, 6.12, 7) or a Debian package
    /// [default: here]
    #[arg(long, value_name = "SERIES|PACKAGE", conflicts_with_all = ["keep", "record", "replay"])]
    kernel: Option<String>,
    /// Run in that machine, with the programs of this directory
    #[arg(long, value_name = "DIR", hide = true)]
    inside: Option<PathBuf>,
    /// How long after its end a theft may take to be found, and work must stay quiet, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    wait: u64,
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Write the rows as a JSON array: one for each scenario, and a last one, `all`, with recall and precision
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep what each scenario leaves (logs, alerts, the collector's event log) in a folder of its name below this one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Keep the event log of what comes out as it should as the scenario's recording, in the folder `recording` beside it
    #[arg(long, conflicts_with = "replay")]
    record: bool,
    /// Judge the recordings of the scenarios in the place of running them: seconds, and neither root nor packages are needed
    #[arg(long, conflicts_with_all = ["keep", "yes"])]
    replay: bool,
    /// Fail unless every theft is found and nothing else is
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
///
/// # Errors
/// No privilege, a scenario that cannot be read or whose script fails, or a daemon that does not work; with `--strict` also
/// a theft that is missed and an alert that is false.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut scenarios = scenarios(args)?;
    if args.replay {
        return replay(&scenarios, args);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("kernel programs and network namespaces need root: run it as root");
    }
    if let Some(folder) = &args.inside {
        let programs = Programs::below(folder);
        return live(args, &scenarios, &BTreeSet::new(), &programs).map(drop);
    }
    setup::ensure(args.yes, &[Need::Compiler, Need::Bpf, Need::Iproute])?;
    if args.kernel.is_some() {
        setup::ensure(args.yes, &[Need::Qemu, Need::Busybox, Need::Dpkg])?;
    }
    let wanted: BTreeSet<String> = scenarios
        .iter()
        .flat_map(|scenario| scenario.packages.iter().cloned())
        .collect();
    let unknown = setup::packages(args.yes, &wanted)?;
    let programs = up::build()?;
    let (rows, ended) = match &args.kernel {
        Some(kernel) => {
            scenarios.retain(|scenario| lacking(scenario, &unknown).is_none());
            machine::play(kernel, &args.backend, &scenarios, &programs)
        }
        None => (live(args, &scenarios, &unknown, &programs)?, Ok(())),
    };
    score::report(&rows, args.json.as_deref())?;
    ended?;
    if rows.iter().any(|row| is_wrong(row, args.strict)) {
        return Err(Reported.into());
    }
    Ok(())
}

/// Runs the scenarios here.
fn live(
    args: &Args,
    scenarios: &[Scenario],
    unknown: &BTreeSet<String>,
    programs: &Programs,
) -> Result<Vec<Row>> {
    let recorder = args.record.then(Recorder::build).transpose()?;
    let stop = Stop::on_signals()?;
    tree::adopt_orphans()?;
    let inside = args.inside.is_some();
    let stage = Stage {
        programs,
        backend: &args.backend,
        wait: if inside {
            machine::WAIT
        } else {
            Duration::from_secs(args.wait)
        },
        patience: if inside { machine::PATIENCE } else { 1 },
        keep: args.keep.as_deref(),
        recorder: recorder.as_ref(),
        stop: &stop,
    };
    let mut rows = Vec::new();
    let count = scenarios.len();
    for (index, scenario) in scenarios.iter().enumerate() {
        if stop.is_asked() {
            bail!("stopped after {index} of {count} scenarios");
        }
        let row = one(&stage, scenario, unknown);
        if inside {
            machine::tell(&row)?;
        }
        say(row.told(index + 1, count));
        rows.push(row);
    }
    Ok(rows)
}

/// What of a scenario's packages is not to be had, if anything.
fn lacking(scenario: &Scenario, unknown: &BTreeSet<String>) -> Option<String> {
    let lacking: Vec<&str> = scenario
        .packages
        .iter()
        .filter(|name| unknown.contains(*name))
        .map(String::as_str)
        .collect();
    (!lacking.is_empty()).then(|| lacking.join(", "))
}

/// Judges the recordings; a scenario without one is skipped.
fn replay(scenarios: &[Scenario], args: &Args) -> Result<()> {
    let recorder = Recorder::build()?;
    let rows: Vec<Row> = scenarios
        .iter()
        .map(|scenario| match recorder.replay(scenario) {
            Ok(Some(replayed)) => replayed.row(scenario),
            Ok(None) => Row::without(scenario, Outcome::Skipped, "no recording".to_owned()),
            Err(error) => Row::without(scenario, Outcome::Error, format!("{error:#}")),
        })
        .collect();
    score::report(&rows, args.json.as_deref())?;
    if rows.iter().any(|row| is_wrong(row, true)) {
        return Err(Reported.into());
    }
    Ok(())
}

/// What a run fails for.
fn is_wrong(row: &Row, strict: bool) -> bool {
    match row.outcome {
        Outcome::Error => true,
        Outcome::Missed | Outcome::FalseAlert => strict,
        Outcome::Found | Outcome::Quiet | Outcome::Skipped => false,
    }
}

/// What a recording of the repository came to.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// As when it was recorded.
    AsBefore,
    /// What is not as it was, or why it cannot be judged.
    Wrong(String),
    /// The scenario has none.
    Missing,
}

/// The recordings of the repository, by the scenarios' names.
///
/// # Errors
/// The corpus cannot be read, or what reads recordings cannot be built.
pub(crate) fn recorded() -> Result<Vec<(String, Recorded)>> {
    let recorder = Recorder::build()?;
    let scenarios = below(&[root().join(CORPUS)], &[])?;
    let judged = |scenario: &Scenario| match recorder.replay(scenario) {
        Ok(Some(replayed)) => replayed.wrong.map_or(Recorded::AsBefore, Recorded::Wrong),
        Ok(None) => Recorded::Missing,
        Err(error) => Recorded::Wrong(format!("{error:#}")),
    };
    Ok(scenarios
        .iter()
        .map(|one| (one.name.clone(), judged(one)))
        .collect())
}

/// What is to be run, sorted by name; names are distinct.
fn scenarios(args: &Args) -> Result<Vec<Scenario>> {
    if args.scenarios.is_empty() {
        below(&[root().join(CORPUS)], &args.only)
    } else {
        below(&args.scenarios, &args.only)
    }
}

fn below(places: &[PathBuf], only: &[String]) -> Result<Vec<Scenario>> {
    let mut found = Vec::new();
    for place in places {
        found.extend(scenario::below(place)?);
    }
    found.retain(|scenario| {
        only.is_empty()
            || only
                .iter()
                .any(|text| scenario.name.contains(text.as_str()))
    });
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some([first, second]) = found.array_windows().find(|[a, b]| a.name == b.name) {
        bail!(
            "{} and {} have the same name, {:?}; give one of them another",
            first.file().display(),
            second.file().display(),
            first.name
        );
    }
    if found.is_empty() {
        bail!(
            "no scenario is there whose name contains what --only says, or none at all; a scenario is a folder with scenario.toml and run.sh"
        );
    }
    Ok(found)
}

/// Runs one scenario; whatever goes wrong with it is part of its row.
fn one(stage: &Stage<'_>, scenario: &Scenario, unknown: &BTreeSet<String>) -> Row {
    if let Some(lacking) = lacking(scenario, unknown) {
        let note = format!("no Debian package {lacking} to be had here");
        return Row::without(scenario, Outcome::Skipped, note);
    }
    let begin = std::time::Instant::now();
    let played = stage
        .play(scenario)
        .with_context(|| format!("{} failed", scenario.name));
    let mut row = match played {
        Ok(row) => match scenario.not_with(&row.backend) {
            Some(note) => Row::without(scenario, Outcome::Skipped, note),
            None => row,
        },
        Err(error) => Row::without(scenario, Outcome::Error, format!("{error:#}")),
    };
    row.took = begin.elapsed();
    row
}
