//! Builds a test or bench target of the sensor as one static binary, beside the ordinary build.
//!
//! The target triple is given although it is the host's: only then do build scripts and macros stay dynamic. The
//! target directory is its own, so that the flags of this build do not throw away the ordinary one. Tests are built to
//! be loaded fast, benches as the sensor is installed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::step::{Step, cargo, target_dir};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const PACKAGE: &str = "sensor-user";

/// Kind of a target, as cargo's option names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Test,
    Bench,
}

/// Builds a target of the sensor; gives the binary.
///
/// # Errors
/// The build failed, or cargo named no binary.
pub(crate) fn build(kind: Kind, target: &str) -> Result<PathBuf> {
    let (option, what) = match kind {
        Kind::Test => ("--test", "tests"),
        Kind::Bench => ("--bench", "measurement"),
    };
    let mut command = cargo();
    command
        .args(["test", "--no-run", "--package", PACKAGE, option, target])
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(target_dir().join("vm"))
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    match kind {
        // What is measured is what is installed.
        Kind::Bench => command.arg("--release"),
        // Emulated instructions are dear, and what is not packed need not be read at boot.
        Kind::Test => command
            .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
            .env("CARGO_PROFILE_TEST_STRIP", "debuginfo"),
    };
    built(
        command,
        target,
        "vm-build.json",
        &format!("the {target} {what}"),
    )
}

/// Builds a bench target of the sensor for this host, as the sensor is installed; gives the binary.
///
/// # Errors
/// The build failed, or cargo named no binary.
pub(crate) fn build_here(target: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.args([
        "test",
        "--no-run",
        "--release",
        "--package",
        PACKAGE,
        "--bench",
        target,
    ]);
    built(
        command,
        target,
        "here-build.json",
        &format!("the {target} measurement for this host"),
    )
}

fn built(mut command: Command, target: &str, log: &str, what: &str) -> Result<PathBuf> {
    let log = target_dir().join("xtask/logs").join(log);
    command.arg("--message-format=json-render-diagnostics");
    Step::new(format!("building {what}"), command)
        .log(&log)
        .run()?;
    let messages = std::fs::read_to_string(&log)
        .with_context(|| format!("failed to read {}", log.display()))?;
    executable(&messages, target)
        .with_context(|| format!("cargo named no test binary `{target}` in {}", log.display()))
}

fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let fits = message["reason"] == "compiler-artifact"
                && message["target"]["name"] == target
                && message["profile"]["test"] == true;
            fits.then(|| message["executable"].as_str().map(PathBuf::from))
                .flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_the_messages() {
        let messages = r#"   Compiling sensor-user v0.1.0
{"reason":"compiler-artifact","target":{"name":"sensor_user"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"name":"kernel"},"profile":{"test":true},"executable":"/t/kernel-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages, "kernel"),
            Some(PathBuf::from("/t/kernel-1"))
        );
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#, "kernel"),
            None
        );
    }
}
