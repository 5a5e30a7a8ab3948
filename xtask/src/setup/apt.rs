//! Debian's packages: the lists, what they offer, and installing.
//!
//! **Invariant:** only names from the workshop's own tables, and those of scenarios, which are checked to be names,
//! reach apt; nothing is removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{Step, capture, find_program};

/// Whether this machine installs with apt.
pub(super) fn is_debian() -> bool {
    find_program("apt-get").is_some() && Path::new("/etc/debian_version").exists()
}

/// Fetches the package lists when there are none yet.
pub(super) fn refresh_if_missing() -> Result<()> {
    let has_lists = fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    });
    if has_lists { Ok(()) } else { refresh() }
}

/// Fetches the package lists anew.
///
/// # Errors
/// When apt-get is not there, may not be run, or fails.
fn refresh() -> Result<()> {
    let mut update = root("apt-get")?;
    update.args(["update", "-q"]);
    Step::new("fetching the package lists", update)
        .run()
        .map(drop)
}

/// Whether this package is installed.
pub(super) fn is_installed(package: &str) -> bool {
    let asked = capture(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]));
    asked.is_ok_and(|status| status == "installed")
}

/// Whether the lists offer this package.
pub(super) fn offers(package: &str) -> Result<bool> {
    let text = capture(Command::new("apt-cache").args(["policy", package]))?;
    Ok(has_candidate(&text))
}

/// Reads the answer of `apt-cache policy`; an unknown package gives none.
fn has_candidate(policy: &str) -> bool {
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"));
    candidate.is_some_and(|version| version.trim() != "(none)")
}

/// Installs these packages; does nothing when there are none.
///
/// # Errors
/// Names the packages when this is no Debian; else when apt-get fails, also with fresh lists.
pub(super) fn install(packages: &BTreeSet<&str>) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !is_debian() {
        let names: Vec<&str> = packages.iter().copied().collect();
        bail!(
            "this machine does not install with apt; install what these Debian packages hold with its own package \
             manager and run again: {}",
            names.join(" ")
        );
    }
    refresh_if_missing()?;
    let title = format!("installing {} Debian packages", packages.len());
    let first = Step::new(&title, install_command(packages)?).run();
    if first.is_ok() {
        return Ok(());
    }
    // Old lists name versions that the archive no longer has; fresh ones decide.
    refresh()?;
    Step::new(title, install_command(packages)?).run().map(drop)
}

fn install_command(packages: &BTreeSet<&str>) -> Result<Command> {
    let mut command = root("apt-get")?;
    command
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages);
    Ok(command)
}

/// A command that runs as root: directly, or through sudo, which asks for the password here if somebody is there to
/// give it, and not while the command runs.
///
/// # Errors
/// When we are not root and there is no sudo, or sudo refuses.
fn root(program: &str) -> Result<Command> {
    let settings = "DEBIAN_FRONTEND=noninteractive";
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("env");
        command.args([settings, program]);
        return Ok(command);
    }
    if find_program("sudo").is_none() {
        bail!("{program} needs root, and there is no sudo; run this command as root");
    }
    if std::io::stdin().is_terminal() {
        let asked = Command::new("sudo")
            .arg("-v")
            .status()
            .context("failed to start sudo")?;
        ensure!(asked.success(), "sudo was not given what it asked for");
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "env", settings, program]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_a_version() {
        let cases = [
            ("curl:\n  Installed: (none)\n  Candidate: 7.88.1-10\n", true),
            ("curl:\n  Installed: (none)\n  Candidate: (none)\n", false),
            ("", false),
        ];
        for (policy, expect) in cases {
            assert_eq!(has_candidate(policy), expect, "{policy}");
        }
    }
}
