//! The groups of tests, in the order they run: quick and telling ones first.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Tally;
use super::harness;
use crate::eval::{self, Recorded};
use crate::lint::{self, Verdict};
use crate::step::{Done, Step, capture, cargo, own_program, say, tail_of};
use crate::{fuzz, install, vm};

/// No group's single command may hang for ever.
const LIMIT: Duration = Duration::from_mins(20);
/// Thousands of rounds are let run for longer.
const LIMIT_LONG: Duration = Duration::from_hours(4);
/// The test targets that need root and a kernel, run by their own groups.
const KERNEL_TESTS: &str = "kernel";
const COVERAGE_TESTS: &str = "coverage";
const STORM_TESTS: &str = "storms";
/// The test targets of faults: minutes, or hours in a long run.
const FAULT_TESTS: &str = "faults";
/// Kernels and backends of every run, at a good minute each; `tracepoint` runs on this machine's own kernel too.
const MACHINES: [(&str, &str); 6] = [
    ("6.1", "lsm"),
    ("6.1", "fentry"),
    ("6.1", "tracepoint"),
    ("6.12", "lsm"),
    ("6.12", "fentry"),
    ("6.12", "tracepoint"),
];
/// The other pairs, in a long run, among them kernels that preempt everything, and so leave out runs of programs, which the
/// tests then want to be told.
const MACHINES_LONG: [(&str, &str); 9] = [
    ("5.10", "lsm"),
    ("5.10", "fentry"),
    ("5.10", "tracepoint"),
    ("6.1-rt", "lsm"),
    ("6.1-rt", "fentry"),
    ("6.1-rt", "tracepoint"),
    ("7", "lsm"),
    ("7", "fentry"),
    ("7", "tracepoint"),
];
/// Where storms are raised, beside this machine: one of each backend.
const STORMS: [(&str, &str); 2] = [("6.1", "lsm"), ("6.12", "fentry")];

/// Judges the recordings of the corpus.
fn corpus() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut without = 0;
    for (name, recorded) in eval::recorded()? {
        match recorded {
            Recorded::AsBefore => tally.passed += 1,
            Recorded::Wrong(wrong) => tally.fail(name, wrong),
            Recorded::Missing => without += 1,
        }
    }
    if without > 0 {
        tally.skipped += without;
        tally.why.push(format!("{without} scenarios have no recording; make it with `cargo xtask eval --record --only NAME`"));
    }
    Ok(tally)
}

/// How often the collector is killed, and how often in a long run.
const KILLS: &str = "5";
const KILLS_LONG: &str = "40";

/// How long each fuzz target is fed in a long run, seconds.
const FUZZ_S: u64 = 5;

/// Some tests under one name.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) run: Box<dyn Fn() -> Result<Tally>>,
}

/// All groups.
pub(super) fn all(long: bool) -> Vec<Group> {
    let group = |name: &str, run: fn() -> Result<Tally>| Group {
        name: name.into(),
        run: Box::new(run),
    };
    let mut groups = vec![
        group("lint", || Ok(gates())),
        group("unit and integration", workspace),
        group("corpus replayed", corpus),
        group("fuzz", fuzz_seeds),
        group("install and units", install_and_units),
        Group {
            name: "faults".into(),
            run: Box::new(move || faults(long)),
        },
        group("kernel native tracepoint", || native(KERNEL_TESTS)),
        group("coverage native tracepoint", || native(COVERAGE_TESTS)),
        group("storms native tracepoint", || native(STORM_TESTS)),
    ];
    let more: &[(&str, &str)] = if long { &MACHINES_LONG } else { &[] };
    groups.extend(MACHINES.iter().chain(more).map(|&(kernel, backend)| Group {
        name: format!("kernel {kernel} {backend}"),
        run: Box::new(move || machine(KERNEL_TESTS, kernel, backend)),
    }));
    let covered = MACHINES.iter().chain(more).filter(|_| long);
    groups.extend(covered.map(|&(kernel, backend)| Group {
        name: format!("coverage {kernel} {backend}"),
        run: Box::new(move || machine(COVERAGE_TESTS, kernel, backend)),
    }));
    groups.extend(STORMS.iter().map(|&(kernel, backend)| Group {
        name: format!("storms {kernel} {backend}"),
        run: Box::new(move || machine(STORM_TESTS, kernel, backend)),
    }));
    if long {
        groups.push(group("fuzz for a while", fuzzed));
    }
    groups.push(group("end to end", end_to_end));
    let kills = if long { KILLS_LONG } else { KILLS };
    groups.push(Group {
        name: "end to end: collector killed".into(),
        run: Box::new(move || restarts("collector", &["--kills", kills])),
    });
    groups.push(Group {
        name: "end to end: sensor restarted".into(),
        run: Box::new(|| restarts("sensor", &[])),
    });
    groups
}

fn gates() -> Tally {
    let mut tally = Tally::default();
    for gate in lint::gates() {
        match gate.verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Failed(error) => {
                tally.fail(gate.name, format!("{error:#}"));
            }
            Verdict::Skipped(why) => {
                tally.skipped += 1;
                tally.why.push(format!("{}: {why}", gate.name));
            }
        }
    }
    tally
}

/// All tests of the workspace that need neither privilege nor a kernel of their own.
fn workspace() -> Result<Tally> {
    let mut command = cargo();
    command.args([
        "test",
        "--locked",
        "--workspace",
        "--no-fail-fast",
        "--lib",
        "--bins",
    ]);
    let own_groups = [KERNEL_TESTS, COVERAGE_TESTS, STORM_TESTS, FAULT_TESTS];
    for name in test_targets()?
        .iter()
        .filter(|name| !own_groups.contains(&name.as_str()))
    {
        command.args(["--test", name]);
    }
    let done = Step::new("unit and integration tests", command)
        .limit(LIMIT)
        .run_any()?;
    let mut tally = judge(&done)?;
    let mut command = cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast", "--doc"]);
    let documented = judge(
        &Step::new("examples in the documentation", command)
            .limit(LIMIT)
            .run_any()?,
    )?;
    tally.passed += documented.passed;
    tally.failed += documented.failed;
    tally.skipped += documented.skipped;
    tally.why.extend(documented.why);
    tally.failures.extend(documented.failures);
    Ok(tally)
}

/// Power cuts, kills, failing disks and bad networks; dozens of each, or thousands.
fn faults(long: bool) -> Result<Tally> {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast"]);
    command.args(["--package", "collector", "--package", "sensor-user"]);
    command.args(["--test", FAULT_TESTS]);
    let limit = if long {
        command.env("CHARTWATCH_LONG", "1");
        LIMIT_LONG
    } else {
        LIMIT
    };
    let step = Step::new("faults", command).limit(limit);
    let tally = judge(&step.run_any()?)?;
    ensure!(tally.passed + tally.failed > 0, "no test of faults ran");
    Ok(tally)
}

/// The seeds of the fuzz targets, without a fuzzer, whose build would take longer than all of the tests before it.
fn fuzz_seeds() -> Result<Tally> {
    let step = Step::new("seeds of the fuzz targets", fuzz::seeds());
    let tally = judge(&step.limit(LIMIT).run_any()?)?;
    ensure!(tally.passed + tally.failed > 0, "no seed was run");
    Ok(tally)
}

/// Each fuzz target on its seeds, and on what comes of them in a few seconds.
fn fuzzed() -> Result<Tally> {
    let mut tally = Tally::default();
    for (target, outcome) in fuzz::briefly(FUZZ_S)? {
        match outcome.crash {
            None => tally.passed += 1,
            Some(crash) => tally.fail(&target, fuzz::told(&target, &crash)),
        }
    }
    Ok(tally)
}

/// The names of the workspace's integration tests.
fn test_targets() -> Result<Vec<String>> {
    let text =
        capture(cargo().args(["metadata", "--locked", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&text).context("failed to read what cargo metadata printed")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut names = Vec::new();
    for target in list(&metadata["packages"])
        .iter()
        .flat_map(|package| list(&package["targets"]))
    {
        if list(&target["kind"]).iter().any(|kind| kind == "test") {
            names.push(
                target["name"]
                    .as_str()
                    .context("a test target has no name")?
                    .to_owned(),
            );
        }
    }
    Ok(names)
}

/// Reads the harnesses' results out of a step's log; a run that failed without naming a failed test failed as a whole.
fn judge(done: &Done) -> Result<Tally> {
    let log = &done.log;
    let bytes = fs::read(log).with_context(|| format!("failed to read {}", log.display()))?;
    let output = String::from_utf8_lossy(&bytes);
    let counts = harness::count(&output);
    let mut tally = Tally {
        passed: counts.passed,
        skipped: counts.skipped,
        why: counts.why,
        ..Tally::default()
    };
    for (name, said) in harness::failures(&output) {
        tally.fail(name, said);
    }
    // A harness may count a failure and not tell it, and something may break before or beside the tests.
    if tally.failed < counts.failed || (tally.failed == 0 && !done.status.success()) {
        let said = format!("it ended with {}{}", done.status, tail_of(log));
        tally.fail("as a whole", said);
        tally.failed = tally.failed.max(counts.failed);
    }
    Ok(tally)
}

/// Tests of a target that needs root, on this machine's own kernel.
fn native(target: &str) -> Result<Tally> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Tally::skipped("loading kernel programs needs root"));
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Ok(Tally::skipped(
            "this kernel does not describe its types (no /sys/kernel/btf/vmlinux)",
        ));
    }
    let run = |title: String, more: &[&str]| {
        let mut command = cargo();
        command.args(["test", "--locked", "--package", "sensor-user"]);
        command.args(["--test", target, "--"]);
        command.args(["--test-threads=1", "--color=never"]);
        command.args(more);
        command.env("CHARTWATCH_BACKEND", "tracepoint");
        judge(&Step::new(title, command).limit(LIMIT).run_any()?)
    };
    let mut tally = run(format!("{target} native tracepoint"), &[])?;
    ensure!(tally.passed + tally.failed > 0, "no {target} test ran");
    tally.again(|name| run(format!("{target} native {name}"), &alone(name)))?;
    Ok(tally)
}

/// How a kernel test is run once more: by itself, but for the one that is about all before it.
fn alone(name: &str) -> Vec<&str> {
    match name {
        "books_balance" => Vec::new(),
        name => vec!["--exact", name],
    }
}

/// The same in a virtual machine.
fn machine(target: &str, kernel: &str, backend: &str) -> Result<Tally> {
    let run = |harness: &[&str]| vm::run_tests(target, kernel, backend, harness);
    let outcome = run(&[])?;
    let mut tally = told_by(&outcome);
    if outcome.broken().is_none() {
        tally.again(|name| Ok(told_by(&run(&alone(name))?)))?;
    }
    Ok(tally)
}

/// What a machine's tests came to.
fn told_by(outcome: &vm::Outcome) -> Tally {
    let mut tally = Tally::default();
    for test in &outcome.tests {
        match test.result {
            "ok" => tally.passed += 1,
            "skipped" => {
                tally.skipped += 1;
                tally.why.push(format!("{}: {}", test.test, test.detail));
            }
            _ => tally.fail(&test.test, &test.detail),
        }
    }
    if let Some(problem) = outcome.broken() {
        tally.fail("the machine", problem);
    }
    tally
}

/// The demonstration: real programs read and send records, and the alert must come.
fn end_to_end() -> Result<Tally> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Tally::skipped(
            "the sensor and the network namespace need root",
        ));
    }
    let own = own_program();
    let mut command = Command::new(own);
    command.args(["up", "--yes", "--demo-theft", "--once"]);
    let done = Step::new("end to end", command).limit(LIMIT).run()?;
    // Everyone who runs the tests sees what an alert looks like.
    let log = &done.log;
    say(fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?);
    Ok(Tally::passed())
}

/// A daemon is killed or restarted under load, and the log must hold every access exactly once.
fn restarts(daemon: &str, more: &[&str]) -> Result<Tally> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Tally::skipped("the sensor needs root"));
    }
    let own = own_program();
    let mut command = Command::new(own);
    command.args(["restart", daemon, "--yes"]).args(more);
    let done = Step::new(format!("restart {daemon}"), command)
        .limit(LIMIT)
        .run()?;
    let log = &done.log;
    say(fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?);
    Ok(Tally::passed())
}

/// Installs into an empty directory and lets systemd judge the units found there.
fn install_and_units() -> Result<Tally> {
    let dir = tempfile::tempdir().context("failed to make a temporary directory")?;
    let release = install::build()?;
    install::into(&release, dir.path(), Path::new("/usr"))?;
    install::check(&release, dir.path())?;
    let mut tally = Tally::passed();
    let units = install::units_for_verification(dir.path())?;
    if units.is_empty() {
        bail!("no unit was installed");
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).args(&units);
    let done = Step::new("systemd-analyze verify", command)
        .limit(LIMIT)
        .run_any()?;
    let log = &done.log;
    let said =
        fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?;
    let about_us: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("chartwatch"))
        .collect();
    if done.status.success() && about_us.is_empty() {
        tally.passed += 1;
    } else {
        let said = format!("it ended with {}:\n{said}", done.status);
        tally.fail("systemd-analyze", said);
    }
    Ok(tally)
}
