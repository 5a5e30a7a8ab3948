//! `cargo xtask vm`: boots a Debian kernel in an emulated machine, runs a static test binary there and brings the
//! results back.
//!
//! Kernel packages are fetched with apt and kept in the cache directory; the initramfs is built here from the host's
//! own tools. A machine that does not say how its tests ended counts as failed, and the end of its console is shown.
//!
//! **Invariant:** nothing is installed or changed on the host outside the cache and the target directory.

mod apt;
mod binary;
mod boot;
mod cpio;
mod initramfs;
mod kernel;
mod package;
mod results;
mod share;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use self::binary::Kind;
pub(crate) use self::binary::build_here;
use self::boot::{Ended, Machine};
use self::initramfs::{Init, TEST_BINARY, Tree};
pub(crate) use self::package::{Program, Programs};
use self::results::Results;
pub(crate) use self::results::TestResult;
use self::share::Share;
use crate::step::{human, own_file, say, target_dir};
use crate::table::Table;

/// Modules every machine loads: network tests want interfaces that are no loopback.
const MODULES: &[&str] = &["veth", "dummy"];

/// Modules that are loaded where the kernel has them: what some ways of access go through.
const FURTHER_MODULES: &[&str] = &[
    "loop",
    "overlay",
    "tls",
    "gcm",
    "ctr",
    "ghash_generic",
    "vsock_loopback",
    // What sctp's checksums ask the kernel for by name, which no list of dependencies tells.
    "crc32c_generic",
    "sctp",
];

/// Modules of a machine that has the host's files, and what scenarios want beside.
const VISIT_MODULES: &[&str] = &["virtio_pci", "fuse", "virtiofs", "overlay"];
const VISIT_FURTHER: &[&str] = &[
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
    "nls_iso8859_1",
];

/// Modules of a machine with a disk.
const DISK_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "xfs"];

/// What makes the disk's file system: XFS has direct reads, and files that share blocks.
const DISK_MAKER: Programs = Programs {
    package: "xfsprogs",
    names: &["mkfs.xfs"],
};

/// Bytes of the disk, which takes up only what is written to it.
const DISK_BYTES: u64 = 1 << 30;

/// The test target that is run unless another is named.
const KERNEL_TESTS: &str = "kernel";

/// How many lines of the console a failure shows.
const CONSOLE_LINES: usize = 40;

/// Runs the kernel tests in a virtual machine.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Kernel to boot: a series (5.10, 6.1, 6.1-rt, 6.12, 7) or the name of a Debian package
    #[arg(long, value_name = "SERIES|PACKAGE")]
    kernel: String,
    /// Hook backend the sensor is to use
    #[arg(long, value_parser = ["lsm", "fentry", "tracepoint"])]
    backend: String,
    /// Further kernel arguments; they come last and so win
    #[arg(
        long,
        value_name = "KERNEL_ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// Memory of the machine
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u32,
    /// Seconds after which the machine is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    limit: u64,
    /// Test target of the sensor that is run
    #[arg(long, value_name = "NAME", default_value = KERNEL_TESTS)]
    test: String,
    /// Run this static binary instead; it must print what a Rust test harness prints
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Put a further program of this host into the machine
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// Keep the initramfs when done, and say where it is
    #[arg(long)]
    keep: bool,
    /// Have the machine's clock count instructions; it then has one CPU
    #[arg(long)]
    counted: bool,
    /// Give the machine a disk, and have the tests' files lie on it
    #[arg(long)]
    disk: bool,
    /// Write the results as a JSON array too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Programs of packages that this host need not have
    #[arg(skip)]
    programs: &'static [Programs],
    /// Run this command of the workshop in the machine, which has the host's files for reading
    #[arg(skip)]
    visit: bool,
    /// Arguments of the test binary, for example the name of one test
    #[arg(last = true, value_name = "TEST ARGS")]
    harness: Vec<String>,
}

/// What one machine brought back.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The Debian package that was booted.
    pub(crate) package: String,
    /// One entry per test that began, in their order.
    pub(crate) tests: Vec<TestResult>,
    /// What is wrong beyond failed tests: no result, a hang, a panic of the kernel. Ends with the console's tail.
    pub(crate) problem: Option<String>,
    /// Everything the tests printed.
    pub(crate) output: String,
    /// It said that it was ready: now and then an emulated CPU loses a timer while the kernel starts, and nothing goes on.
    pub(crate) came_up: bool,
    /// From the start of the emulator to its end.
    pub(crate) elapsed: Duration,
}

/// Runs the command.
///
/// # Errors
/// The machine could not be prepared or started, or a test in it failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let outcome = boot_and_test(args)?;
    table(std::slice::from_ref(&outcome)).report(args.json.as_deref())?;
    say(format!(
        "{} ran for {}",
        outcome.package,
        human(outcome.elapsed)
    ));
    outcome.check()
}

/// Runs the tests of a test target of the sensor on a kernel with a backend; `harness` are arguments for the harness, as
/// which tests to run.
///
/// # Errors
/// The machine could not be prepared or started. Failed tests are in the outcome.
pub(crate) fn run_tests(
    test: &str,
    kernel: &str,
    backend: &str,
    harness: &[&str],
) -> Result<Outcome> {
    boot_and_test(&Args {
        harness: harness.iter().map(|&one| one.to_owned()).collect(),
        ..Args::plain(test, kernel, backend)
    })
}

/// Runs a bench target of the sensor in a machine whose clock counts instructions; addresses are the same at every boot.
///
/// # Errors
/// The machine could not be prepared or started, or the binary failed in it.
pub(crate) fn run_counted(
    bench: &str,
    kernel: &str,
    backend: &str,
    programs: &'static [Programs],
    arguments: Vec<String>,
) -> Result<Outcome> {
    let outcome = boot_and_test(&Args {
        append: "norandmaps nokaslr".to_owned(),
        // The archive and what it is unpacked to are in memory at once.
        memory: if programs.is_empty() { 1024 } else { 3072 },
        limit: 3600,
        programs,
        binary: Some(binary::build(Kind::Bench, bench)?),
        counted: true,
        disk: false,
        harness: arguments,
        ..Args::plain(bench, kernel, backend)
    })?;
    match outcome.problem {
        Some(problem) => bail!("{}: {problem}", outcome.package),
        None => Ok(outcome),
    }
}

/// Runs a command of this workshop on a kernel, in a machine that has the host's files for reading and memory over them: what is
/// installed here is there. `line` is told each line that it prints.
///
/// # Errors
/// The machine could not be prepared or started, or did not end as it should.
pub(crate) fn visit(
    kernel: &str,
    backend: &str,
    limit: Duration,
    command: Vec<String>,
    line: &mut dyn FnMut(&str),
) -> Result<()> {
    let args = Args {
        visit: true,
        memory: 4096,
        limit: limit.as_secs(),
        binary: Some(own_file()?),
        disk: false,
        harness: command,
        ..Args::plain("visit", kernel, backend)
    };
    let outcome = boot(&args, line)?;
    match outcome.problem {
        Some(problem) => bail!("{}: {problem}", outcome.package),
        None => Ok(()),
    }
}

/// A program of a Debian package that this host need not have, to be run here.
///
/// # Errors
/// It could not be fetched.
pub(crate) fn program(package: &'static str, name: &'static str) -> Result<Program> {
    Program::of(package, name, &kernel::cache_directory()?)
}

impl Args {
    /// A test target on a machine as it is unless something else is asked for. All but the kernel tests get a disk: on it
    /// are ways to reach files that memory does not have.
    fn plain(test: &str, kernel: &str, backend: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            backend: backend.to_owned(),
            test: test.to_owned(),
            append: String::new(),
            memory: 1024,
            limit: 900,
            binary: None,
            tools: Vec::new(),
            keep: false,
            counted: false,
            disk: test != KERNEL_TESTS,
            json: None,
            programs: &[],
            visit: false,
            harness: Vec::new(),
        }
    }
}

/// All tests of some machines as one table: test, kernel, backend, result, seconds, detail.
pub(crate) fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new(&["test", "kernel", "backend", "result", "seconds", "detail"]);
    for test in outcomes.iter().flat_map(|outcome| &outcome.tests) {
        let seconds = (test.seconds * 10.0).round() / 10.0;
        let first = test
            .detail
            .lines()
            .next()
            .map_or(Value::Null, |line| json!(line));
        table.push([
            json!(test.test),
            json!(test.kernel),
            json!(test.backend),
            json!(test.result),
            json!(seconds),
            first,
        ]);
    }
    table
}

impl Outcome {
    /// Fails when a test failed, when none ran, or when the machine did not end as it should.
    ///
    /// # Errors
    /// Says which tests failed and why.
    pub(crate) fn check(&self) -> Result<()> {
        let failed: Vec<&TestResult> = self
            .tests
            .iter()
            .filter(|test| test.result == "failed")
            .collect();
        for test in &failed {
            say(format!(
                "---- {} ({}, {}) ----\n{}\n",
                test.test, test.kernel, test.backend, test.detail
            ));
        }
        if let Some(problem) = self.broken() {
            bail!(problem);
        }
        if !failed.is_empty() {
            bail!(
                "{} of {} tests failed on {}",
                failed.len(),
                self.tests.len(),
                self.package
            );
        }
        Ok(())
    }

    /// What is wrong with the run as a whole: the machine did not end as it should, or no test ran.
    pub(crate) fn broken(&self) -> Option<String> {
        let ran = |test: &TestResult| test.result != "skipped";
        match &self.problem {
            Some(problem) => Some(format!("{}: {problem}", self.package)),
            None if !self.tests.iter().any(ran) => Some(format!("no test ran on {}", self.package)),
            None => None,
        }
    }
}

fn boot_and_test(args: &Args) -> Result<Outcome> {
    boot(args, &mut |_| {})
}

fn boot(args: &Args, line: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let cache = kernel::cache_directory()?;
    let name = format!("vm {} {}", args.kernel, args.backend);
    let mut note = |text: &str| say(format!("{name}: {text}"));
    let kernel = kernel::find(&args.kernel, &cache, &mut note)?;
    let busybox = kernel::busybox(&cache, &mut note)?;
    let binary = args
        .binary
        .clone()
        .map_or_else(|| binary::build(Kind::Test, &args.test), Ok)?;
    let logs = target_dir().join("xtask/logs");
    fs::create_dir_all(&logs).with_context(|| format!("failed to create {}", logs.display()))?;
    let stem = format!("vm-{}-{}-{}", args.test, args.kernel, args.backend);
    let initramfs = tempfile::Builder::new()
        .prefix(&stem)
        .suffix(".cpio")
        .tempfile_in(&logs)?;
    let mut tree = pack(args, &kernel, &busybox, &binary)?;
    for programs in args.programs {
        tree.packaged(programs, &programs.tree(&cache, &mut note)?)?;
    }
    tree.write(initramfs.path())?;
    let disk = if args.disk {
        Some(disk(&cache, &logs, &mut note)?)
    } else {
        None
    };
    let machine = Machine {
        disk: disk.as_ref().map(|file| file.path().to_owned()),
        share: args.visit.then(Share::of_host).transpose()?,
        image: kernel.image.clone(),
        initramfs: initramfs.path().to_owned(),
        append: command_line(&args.backend, &args.append),
        memory_mb: args.memory,
        console: logs.join(format!("{stem}.console")),
        limit: Duration::from_secs(args.limit),
        counted: args.counted,
    };
    say(format!("{name}: booting {}", kernel.package));
    let log = logs.join(format!("{stem}.results"));
    let mut outcome = watch(args, &machine, kernel.package.clone(), (&name, &log), line);
    let failed = match &outcome {
        Ok(outcome) if !outcome.came_up => Some("it did not come up"),
        Ok(_) if has_slipped(&machine.console)? => {
            Some("the emulator ran an instruction that the kernel was replacing")
        }
        Ok(_) | Err(_) => None,
    };
    if let Some(why) = failed.filter(|_| !args.visit) {
        say(format!("{name}: {why}; booting again"));
        outcome = watch(args, &machine, kernel.package, (&name, &log), line);
    }
    if args.keep {
        let kept = initramfs.keep().context("failed to keep the initramfs")?.1;
        say(format!("{name}: the initramfs is {}", kept.display()));
    }
    outcome
}

/// True when the kernel died of a breakpoint of its own: it puts one where it replaces an instruction, and an emulated CPU
/// may still run into it when the kernel has taken it back and told all CPUs. Real ones do not.
fn has_slipped(console: &Path) -> Result<bool> {
    let bytes =
        fs::read(console).with_context(|| format!("failed to read {}", console.display()))?;
    Ok(String::from_utf8_lossy(&bytes).contains("Oops: int3"))
}

/// A disk with an empty file system.
fn disk(cache: &Path, logs: &Path, note: &mut dyn FnMut(&str)) -> Result<NamedTempFile> {
    let tree = DISK_MAKER.tree(cache, note)?;
    let file = tempfile::Builder::new()
        .prefix("vm-disk-")
        .tempfile_in(logs)?;
    file.as_file().set_len(DISK_BYTES)?;
    let mut command = Command::new(package::program(&tree, "mkfs.xfs")?);
    let output = command
        .arg("-q")
        .arg(file.path())
        .env("LD_LIBRARY_PATH", package::library_path(&tree))
        .output()
        .context("failed to run mkfs.xfs")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("mkfs.xfs failed: {}", reason.trim());
    }
    Ok(file)
}

/// Everything the machine boots with.
fn pack(args: &Args, kernel: &kernel::Kernel, busybox: &Path, binary: &Path) -> Result<Tree> {
    let mut tree = Tree::with_tools(busybox, &args.tools)?;
    let wanted = match (args.disk, args.visit) {
        (true, _) => [MODULES, DISK_MODULES].concat(),
        (_, true) => [MODULES, VISIT_MODULES].concat(),
        _ => MODULES.to_vec(),
    };
    let further = if args.visit { VISIT_FURTHER } else { &[] };
    let modules = kernel.modules(&wanted, &[FURTHER_MODULES, further].concat())?;
    let names: Vec<String> = modules.iter().map(|(name, _)| name.clone()).collect();
    for (name, content) in modules {
        tree.file(&format!("/usr/lib/modules/{name}.ko"), content);
    }
    let mut program = TEST_BINARY.to_owned();
    if args.visit {
        program = binary.display().to_string();
    } else {
        let content =
            fs::read(binary).with_context(|| format!("failed to read {}", binary.display()))?;
        tree.file(TEST_BINARY, content);
    }
    let environment = [
        ("CHARTWATCH_BACKEND", args.backend.as_str()),
        ("RUST_BACKTRACE", "1"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()));
    // One test at a time: they share the kernel, and the time of each is measured between two lines.
    let mut arguments: Vec<String> = ["--test-threads=1", "--color=never"]
        .map(str::to_owned)
        .to_vec();
    if args.visit {
        arguments.clear();
    }
    arguments.extend(args.harness.iter().cloned());
    let init = Init {
        modules: &names,
        disk: args.disk,
        visit: args.visit,
        environment: &environment,
        program: &program,
        arguments: &arguments,
    };
    tree.file("/init", init.script().into_bytes());
    Ok(tree)
}

/// The kernel's arguments; init locks the kernel down (integrity) unless `append` says how. For
/// fentry `bpf` is left out of the LSM list, as on the hosts where fentry is the choice.
fn command_line(backend: &str, append: &str) -> String {
    let lsm = if backend == "fentry" {
        "lockdown,yama"
    } else {
        "lockdown,yama,bpf"
    };
    format!("console=ttyS0 panic=-1 oops=panic quiet lsm={lsm} {append}")
        .trim_end()
        .to_owned()
}

fn watch(
    args: &Args,
    machine: &Machine,
    package: String,
    (name, log): (&str, &Path),
    line: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let begin = Instant::now();
    let mut results = Results::new(&args.kernel, &args.backend, begin);
    let (mut was_ready, mut told, mut heard) = (false, 0, 0);
    let ended = boot::run(machine, &mut results, &mut |now| {
        if now.is_ready() && !was_ready {
            was_ready = true;
            say(format!("{name}: up after {}", human(begin.elapsed())));
        }
        for test in &now.tests()[told..] {
            say(format!(
                "{name}: {} {} ({:.1} s)",
                test.test, test.result, test.seconds
            ));
        }
        told = now.tests().len();
        now.lines()[heard..].iter().for_each(|one| line(one));
        heard = now.lines().len();
    })?;
    fs::write(log, results.text()).with_context(|| format!("failed to write {}", log.display()))?;
    let problem = problem(&results, &ended, machine)?;
    let reason = problem
        .as_deref()
        .and_then(|text| text.split("; ").next())
        .unwrap_or_default();
    let (came_up, output) = (results.is_ready(), results.text());
    let (tests, _) = results.finish(reason, Instant::now());
    Ok(Outcome {
        package,
        tests,
        problem,
        output,
        came_up,
        elapsed: begin.elapsed(),
    })
}

/// What is wrong with a run as a whole, if anything.
fn problem(results: &Results, ended: &Ended, machine: &Machine) -> Result<Option<String>> {
    let running = results
        .running()
        .map_or_else(String::new, |test| format!(" in test {test}"));
    let what = match (results.exit(), ended) {
        (Some(0), _) => return Ok(None),
        // 101 is what a Rust test harness exits with when tests failed; the tests then tell more.
        (Some(101), _) if results.tests().iter().any(|test| test.result == "failed") => {
            return Ok(None);
        }
        (Some(code), _) => format!("the test binary exited with {code}"),
        (None, Ended::NotUp) => "it did not come up".to_owned(),
        (None, Ended::TimeUp) => format!("no end after {}{running}", human(machine.limit)),
        (None, Ended::Itself) => format!("the machine ended without a result{running}"),
    };
    let console = boot::tail(&machine.console, CONSOLE_LINES)?;
    Ok(Some(format!(
        "{what}; the end of {}:\n{console}",
        machine.console.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(results: &[&'static str]) -> Outcome {
        let test = |result| TestResult {
            test: "t".to_owned(),
            kernel: "6.1".to_owned(),
            backend: "lsm".to_owned(),
            result,
            seconds: 1.25,
            detail: String::new(),
        };
        Outcome {
            package: "linux-image".to_owned(),
            tests: results.iter().copied().map(test).collect(),
            problem: None,
            output: String::new(),
            came_up: true,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn only_a_run_with_passed_tests_is_good() {
        assert!(outcome(&["ok", "skipped"]).check().is_ok());
        assert!(outcome(&["ok", "failed"]).check().is_err());
        assert!(outcome(&["skipped"]).check().is_err());
        assert!(outcome(&[]).check().is_err());
        let hung = Outcome {
            problem: Some("no end".to_owned()),
            ..outcome(&["ok"])
        };
        assert!(hung.check().is_err());
    }

    #[test]
    fn what_is_appended_comes_last() {
        assert!(command_line("lsm", "lsm=yama").ends_with("lsm=lockdown,yama,bpf lsm=yama"));
        assert!(!command_line("fentry", "").contains("bpf"));
    }
}
