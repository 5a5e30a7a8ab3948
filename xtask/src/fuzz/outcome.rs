//! Reads what libFuzzer prints: how much ran, what was found, and what broke.
//!
//! **Invariant:** a broken target is told by the input that libFuzzer kept, not by words of its own.

use std::path::PathBuf;
use std::time::Duration;

/// What a target came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Inputs that ran.
    pub(crate) runs: u64,
    /// Inputs that led on a path that none did before, in this run.
    pub(crate) new_paths: u64,
    /// Places in the code that were reached.
    pub(crate) places: u64,
    /// The input that broke it, if one did.
    pub(crate) crash: Option<Crash>,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

/// An input that breaks a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Where it lies.
    pub(crate) input: PathBuf,
    /// What happened, in a line or two.
    pub(crate) said: String,
}

impl Outcome {
    /// Reads a log.
    pub(crate) fn read(log: &str, elapsed: Duration) -> Self {
        let status = log.lines().filter_map(status).next_back();
        let (seen, places) = status.unwrap_or_default();
        Self {
            runs: stat(log, "number_of_executed_units").unwrap_or(seen),
            new_paths: stat(log, "new_units_added").unwrap_or(0),
            places,
            crash: crash(log),
            elapsed,
        }
    }
}

/// `stat::NAME:   12`.
fn stat(log: &str, name: &str) -> Option<u64> {
    let prefix = format!("stat::{name}:");
    let line = log.lines().find_map(|line| line.strip_prefix(&prefix))?;
    line.trim().parse().ok()
}

/// Runs and places of `#4096 pulse cov: 120 ft: ...`.
fn status(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    let runs = words.next()?.parse().ok()?;
    let mut places = words.skip_while(|word| *word != "cov:").skip(1);
    Some((runs, places.next()?.parse().ok()?))
}

fn crash(log: &str) -> Option<Crash> {
    const KEPT: &str = "Test unit written to ";
    let (_, rest) = log.split_once(KEPT)?;
    Some(Crash {
        input: rest.lines().next()?.trim().into(),
        said: said(log),
    })
}

/// A panic with its message, else the first error that the run names.
fn said(log: &str) -> String {
    let mut lines = log.lines();
    if let Some(place) = lines.find(|line| line.contains("panicked at ")) {
        let message = lines.next().unwrap_or_default();
        return format!("{} {message}", place.trim());
    }
    let error = log.lines().find(|line| line.contains("ERROR: "));
    let text = error.map_or("it ended, and did not say why", |line| line.trim());
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELAPSED: Duration = Duration::from_secs(5);

    #[test]
    fn a_quiet_run_is_read() {
        let log = "INFO: seed corpus: files: 3\n#4\tINITED cov: 120 ft: 130 corp: 3/9b exec/s: 0 rss: 40Mb\n\
                   #9000\tDONE   cov: 125 ft: 140 corp: 7/50b\nDone 9000 runs in 5 second(s)\n\
                   stat::number_of_executed_units: 9000\nstat::new_units_added:          4\n";
        let expect = Outcome {
            runs: 9000,
            new_paths: 4,
            places: 125,
            crash: None,
            elapsed: ELAPSED,
        };
        assert_eq!(Outcome::read(log, ELAPSED), expect);
    }

    #[test]
    fn a_panic_is_told_with_its_input() {
        let log = "#2\tINITED cov: 5 ft: 5\n\nthread '<unnamed>' (1) panicked at src/a.rs:7:9:\nindex out of bounds\n\
                   ==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/t/'; Test unit written to /t/crash-12\n";
        let crash = Outcome::read(log, ELAPSED).crash.unwrap();
        assert_eq!(crash.input, PathBuf::from("/t/crash-12"));
        assert!(
            crash.said.ends_with("src/a.rs:7:9: index out of bounds"),
            "{}",
            crash.said
        );
    }

    #[test]
    fn what_takes_too_long_is_told_too() {
        let log = "==7== ERROR: libFuzzer: timeout after 20 seconds\nTest unit written to /t/timeout-12\n";
        let outcome = Outcome::read(log, ELAPSED);
        assert!(outcome.crash.unwrap().said.contains("timeout after 20"));
        assert_eq!((outcome.runs, outcome.places), (0, 0));
    }

    #[test]
    fn a_log_that_says_nothing_ran_nothing() {
        assert_eq!(Outcome::read("", ELAPSED).runs, 0);
    }
}
