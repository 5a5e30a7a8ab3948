//! Every gate that needs no privilege: formatting, clippy, tidy, generated code, dependencies.
//!
//! **Invariant:** all gates run even when one fails; a gate that cannot run on this machine is a skip with its reason,
//! never a silent pass.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::setup::{self, Need, bpf_toolchain};
use crate::step::{Step, cargo, say, target_dir};
use crate::{codegen, tidy};

/// How long a try to fetch the advisory database may take.
const FETCH_LIMIT: Duration = Duration::from_mins(1);

/// Arguments of `cargo xtask lint`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Install missing tools without asking
    #[arg(long)]
    yes: bool,
}

/// What became of one gate.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// How it ended.
    pub(crate) verdict: Verdict,
}

/// How a gate ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// What it checks holds.
    Passed,
    /// It does not hold, or the check itself broke.
    Failed(anyhow::Error),
    /// It cannot be checked here, for this reason.
    Skipped(String),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(
        args.yes,
        &[Need::Compiler, Need::Bpf, Need::Deny, Need::Machete],
    )?;
    let gates = gates();
    let mut failed = Vec::new();
    for gate in &gates {
        match &gate.verdict {
            Verdict::Passed => say(format!("{}: passed", gate.name)),
            Verdict::Skipped(why) => say(format!("{}: skipped: {why}", gate.name)),
            Verdict::Failed(error) => {
                say(format!("{}: FAILED: {error:#}", gate.name));
                failed.push(gate.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} gates failed: {}",
            failed.len(),
            gates.len(),
            failed.join(", ")
        );
    }
    Ok(())
}

/// Runs all gates, quick ones first. Their tools must be there (`setup::ensure`).
pub(crate) fn gates() -> Vec<Gate> {
    let gate = |name, verdict| Gate { name, verdict };
    vec![
        gate("fmt", verdict(fmt())),
        gate("tidy", verdict(tidy::check())),
        gate(
            "codegen",
            verdict(codegen::run(&codegen::Args { check: true })),
        ),
        gate("clippy", verdict(clippy())),
        gate("kernel programs: compiler", kernel_warnings()),
        gate("kernel programs: clippy", kernel_clippy()),
        gate("cargo-deny", verdict(deny())),
        gate("advisories", advisories()),
        gate("cargo-machete", verdict(machete())),
    ]
}

fn verdict(result: Result<()>) -> Verdict {
    match result {
        Ok(()) => Verdict::Passed,
        Err(error) => Verdict::Failed(error),
    }
}

fn fmt() -> Result<()> {
    let mut command = cargo();
    command.args(["fmt", "--all", "--", "--check", "-l"]);
    Step::new("lint fmt", command).run()?;
    // A workspace of its own.
    let mut command = cargo();
    command.args(["fmt", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--", "--check", "-l"]);
    Step::new("lint fmt of the fuzz targets", command)
        .run()
        .map(drop)
}

fn clippy() -> Result<()> {
    let mut command = cargo();
    command.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]);
    Step::new("lint clippy", command).run().map(drop)
}

/// The kernel programs with the compiler's own warnings denied; aya-build only prints them.
fn kernel_warnings() -> Verdict {
    verdict(kernel_check("check", "lint kernel programs"))
}

fn kernel_clippy() -> Verdict {
    let toolchain = match bpf_toolchain() {
        Ok(Some(toolchain)) => toolchain,
        Ok(None) => return Verdict::Skipped("no toolchain for kernel programs".into()),
        Err(error) => return Verdict::Failed(error),
    };
    let has_clippy = toolchain.command("cargo-clippy").arg("--version").output();
    if !has_clippy.is_ok_and(|output| output.status.success()) {
        let name = toolchain.name.as_deref().unwrap_or("on the path");
        let place = &toolchain.sysroot;
        return Verdict::Skipped(format!(
            "the toolchain {name} ({place}) has no clippy; tidy checks unsafe code by its text"
        ));
    }
    verdict(kernel_check("clippy", "lint clippy of kernel programs"))
}

/// Checks the programs for their own target as the build does, in a target directory of their own.
fn kernel_check(subcommand: &str, title: &str) -> Result<()> {
    let Some(toolchain) = bpf_toolchain()? else {
        bail!("there is no toolchain for kernel programs")
    };
    let mut command = toolchain.command("cargo");
    command.current_dir(crate::step::root());
    command.args([
        subcommand,
        "--locked",
        "--package",
        "sensor-ebpf",
        "--bins",
        "--lib",
    ]);
    command.args([
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
        "--target-dir",
    ]);
    command.arg(target_dir().join("xtask").join(format!("bpf-{subcommand}")));
    let flags = "--cfg=bpf_target_arch=\"x86_64\"\u{1f}-Dwarnings";
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    for inherited in [
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(inherited);
    }
    Step::new(title, command).run().map(drop)
}

/// cargo-deny reads the graph itself, for the platforms its configuration names.
fn cargo_deny(arguments: &[&str]) -> std::process::Command {
    let mut command = cargo();
    command
        .args(["deny", "--locked", "--config", "xtask/deny.toml"])
        .args(arguments);
    command
}

fn deny() -> Result<()> {
    let arguments = ["check", "licenses", "bans", "sources"];
    Step::new("lint cargo-deny", cargo_deny(&arguments))
        .run()
        .map(drop)
}

fn advisories() -> Verdict {
    let fetch = cargo_deny(&["fetch", "db"]);
    let fetched = Step::new("lint fetching advisories", fetch)
        .limit(FETCH_LIMIT)
        .run();
    if fetched.is_err() {
        return Verdict::Skipped("the advisory database cannot be fetched from here".into());
    }
    let check = cargo_deny(&["check", "--disable-fetch", "advisories"]);
    verdict(Step::new("lint advisories", check).run().map(drop))
}

fn machete() -> Result<()> {
    let mut command = cargo();
    command.arg("machete");
    Step::new("lint cargo-machete", command).run().map(drop)
}
