//! `cargo xtask fuzz`: builds the targets of `fuzz/` with libFuzzer, feeds each for a while, and says what it came to.
//!
//! What is found that leads on new paths is kept below `target/fuzz/corpus`, so the next run begins where this one ended. An input that
//! breaks a target is kept below `target/fuzz/artifacts`, and belongs into `fuzz/seeds` with the repair.
//!
//! **Invariant:** the seeds in the repository are read and never changed; a target that ran nothing has not passed.

mod build;
mod outcome;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::build::Built;
pub(crate) use self::outcome::Outcome;
use crate::setup::{self, Need};
use crate::step::{Step, cargo, root, say, target_dir};
use crate::table::Table;
use crate::test::Reported;

/// Longest input, bytes: longer ones take time and show nothing that shorter ones do not.
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// Most memory for a single thing, MB: 4,096 times the longest input.
const ALLOCATION_MB_MAX: usize = 64;
/// Most memory for a target, MB.
const MEMORY_MB_MAX: usize = 2_048;
/// Seconds that one input may take, on a machine that does other things too.
const INPUT_S_MAX: u64 = 20;
/// What a target may take beside its time: to begin, to read what was found before, and to end.
const BESIDE: Duration = Duration::from_mins(5);

/// Feeds the fuzz targets.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Run the target on this input once, and show what it says
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Write the rows of the table as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The build fails, a target cannot be run, or an input broke one.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(args.yes, &[Need::Compiler, Need::Cxx, Need::Bpf])?;
    let chosen = chosen(args.target.as_deref())?;
    let built = build::build(args.target.as_deref())?;
    if let Some(input) = &args.input {
        return once(&built, &chosen, input);
    }
    let mut table = Table::new(&[
        "target",
        "runs",
        "new paths",
        "places",
        "crashes",
        "seconds",
    ]);
    let mut crashed = Vec::new();
    for target in chosen {
        let corpus = kept("corpus", &target)?;
        let outcome = feed(&built, &target, &corpus, args.seconds)?;
        table.push(row(&target, &outcome));
        if let Some(crash) = outcome.crash {
            crashed.push(told(&target, &crash));
        }
    }
    table.report(args.json.as_deref())?;
    crashed.iter().for_each(say);
    if crashed.is_empty() {
        Ok(())
    } else {
        Err(Reported.into())
    }
}

/// Feeds each target its seeds and what comes of them in a few seconds, and keeps nothing but what breaks one.
///
/// # Errors
/// When the build fails or a target cannot be run.
pub(crate) fn briefly(seconds: u64) -> Result<Vec<(String, Outcome)>> {
    let built = build::build(None)?;
    let all = targets()?.into_iter();
    all.map(|target| {
        let scratch = tempfile::tempdir().context("failed to make a temporary directory")?;
        let outcome = feed(&built, &target, scratch.path(), seconds)?;
        Ok((target, outcome))
    })
    .collect()
}

/// The test that runs every seed through its target. Built in the workspace's own directory.
pub(crate) fn seeds() -> Command {
    let mut command = cargo();
    command.args(["test", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--no-fail-fast", "--lib", "--target-dir"]);
    command.arg(target_dir());
    command
}

/// How a crash is told: what happened, where the input lies, and how to run it again.
pub(crate) fn told(target: &str, crash: &outcome::Crash) -> String {
    let input = crash.input.display();
    let again = format!("cargo xtask fuzz --target {target} --input {input}");
    format!(
        "{target}: {}\n  input: {input}\n  again: {again}",
        crash.said
    )
}

/// The targets by name: the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let dir = root().join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.context("failed to read a directory")?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort_unstable();
    ensure!(
        !names.is_empty(),
        "there are no targets in {}",
        dir.display()
    );
    Ok(names)
}

fn chosen(wanted: Option<&str>) -> Result<Vec<String>> {
    let all = targets()?;
    match wanted {
        None => Ok(all),
        Some(name) if all.iter().any(|target| target == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no target {name:?}; there are: {}", all.join(", ")),
    }
}

/// A directory of the target's own that outlives the run.
fn kept(what: &str, target: &str) -> Result<PathBuf> {
    let dir = target_dir().join("fuzz").join(what).join(target);
    fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    Ok(dir)
}

/// Runs a target on its seeds, on what is in `corpus`, and then on what it makes of them.
fn feed(built: &Built, target: &str, corpus: &Path, seconds: u64) -> Result<Outcome> {
    let seeds = root().join("fuzz/seeds").join(target);
    let artifacts = kept("artifacts", target)?;
    let mut command = bounded(built, target);
    command
        .arg(corpus)
        .arg(&seeds)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1");
    let done = Step::new(format!("fuzz {target}"), command)
        .limit(Duration::from_secs(seconds) + BESIDE)
        .run_any()?;
    let log = &done.log;
    let bytes = fs::read(log).with_context(|| format!("failed to read {}", log.display()))?;
    let outcome = Outcome::read(&String::from_utf8_lossy(&bytes), done.elapsed);
    let is_clean = done.status.success() && outcome.runs > 0;
    ensure!(
        is_clean || outcome.crash.is_some(),
        "{target} ended with {} after {} runs{}",
        done.status,
        outcome.runs,
        crate::step::tail_of(log)
    );
    Ok(outcome)
}

/// The target with its bounds.
fn bounded(built: &Built, target: &str) -> Command {
    let mut command = Command::new(built.program(target));
    command
        .arg(format!("-timeout={INPUT_S_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MB_MAX}"))
        .env("RUST_BACKTRACE", "1");
    command
}

/// One input, at the terminal.
fn once(built: &Built, chosen: &[String], input: &Path) -> Result<()> {
    let target = chosen.first().context("no target was chosen")?;
    ensure!(input.is_file(), "{} is no file", input.display());
    let status = bounded(built, target)
        .arg(input)
        .status()
        .with_context(|| format!("failed to start {target}"))?;
    ensure!(status.success(), "{target} ended with {status}");
    Ok(())
}

fn row(target: &str, outcome: &Outcome) -> [Value; 6] {
    [
        json!(target),
        json!(outcome.runs),
        json!(outcome.new_paths),
        json!(outcome.places),
        json!(u8::from(outcome.crash.is_some())),
        json!(outcome.elapsed.as_secs()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_is_part_of_the_build() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            let seeds = root().join("fuzz/seeds").join(&target);
            assert!(
                fs::read_dir(&seeds).is_ok_and(|dir| dir.count() > 0),
                "{target}"
            );
            assert!(
                manifest.contains(&format!("name = {target:?}\n")),
                "{target}"
            );
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_named() {
        let error = chosen(Some("nothing")).unwrap_err().to_string();
        assert!(
            error.contains("\"nothing\"") && error.contains("record"),
            "{error}"
        );
    }
}
