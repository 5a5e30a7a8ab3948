//! Asks apt for packages: the host's own sources, or for kernels the host's release does not carry, a private list.
//!
//! **Invariant:** nothing is installed and nothing under `/etc/apt` or `/var/lib/apt` is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Debian's archive and the key it is signed with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Series that Debian 12 does not have, and the lines that do: (series, archive, suite).
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("5.10", "http://deb.debian.org/debian", "bullseye"),
    ("7", "http://deb.debian.org/debian", "trixie-backports"),
];

/// Where packages come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// What the host's apt knows.
    Host,
    /// A source list of our own, with its own state in the directory.
    Private {
        /// Holds `sources.list`, `lists` and `cache`.
        directory: PathBuf,
    },
}

impl Source {
    /// The source for a kernel of this version, or of a series.
    ///
    /// # Errors
    /// The private source could not be set up.
    pub(crate) fn of(version: &str, cache: &Path) -> Result<Self> {
        let belongs = |series: &str| {
            version
                .strip_prefix(series)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        };
        let Some((series, archive, suite)) = ELSEWHERE.iter().find(|(series, ..)| belongs(series))
        else {
            return Ok(Self::Host);
        };
        let directory = cache.join("apt").join(series);
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))
                .with_context(|| format!("failed to create {}", directory.display()))?;
        }
        let line = format!("deb [arch=amd64 signed-by={KEYRING}] {archive} {suite} main\n");
        fs::write(directory.join("sources.list"), line)
            .context("failed to write a private source list")?;
        let source = Self::Private { directory };
        source.update()?;
        Ok(source)
    }

    /// Names of packages that may be kernels to boot.
    ///
    /// # Errors
    /// apt-cache could not be run or failed.
    pub(crate) fn kernels(&self) -> Result<Vec<String>> {
        let pattern = "^linux-(image|binary)-[0-9].*-(cloud|rt)-amd64";
        let mut command = self.command("apt-cache");
        let output = command.args(["search", "--names-only", pattern]).output();
        let output = output.context("failed to run apt-cache")?;
        if !output.status.success() {
            bail!(
                "apt-cache search failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    /// The package and what of its dependencies the host lacks.
    ///
    /// # Errors
    /// apt-get could not be run, or knows no such package.
    pub(crate) fn missing(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-get");
        let output = command
            .args([
                "install",
                "--simulate",
                "--reinstall",
                "--no-install-recommends",
                package,
            ])
            .env("LC_ALL", "C")
            .output()
            .context("failed to run apt-get")?;
        if !output.status.success() {
            bail!(
                "apt-get install --simulate {package} failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(to_install(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Fetches a package into `directory`; gives the file.
    ///
    /// # Errors
    /// apt-get could not be run or failed, for example without a network.
    pub(crate) fn download(&self, package: &str, directory: &Path) -> Result<PathBuf> {
        let mut command = self.command("apt-get");
        // The directory is ours alone, so the sandbox user could not write there.
        let output = command
            .args(["-q", "-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(directory)
            .output()
            .context("failed to run apt-get")?;
        if !output.status.success() {
            bail!(
                "apt-get download {package} failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        fs::read_dir(directory)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download {package} gave no package"))
    }

    /// Reads the private list's index; without a network an index from before is used.
    fn update(&self) -> Result<()> {
        let output = self
            .command("apt-get")
            .args(["-q", "update"])
            .output()
            .context("failed to run apt-get")?;
        let Self::Private { directory } = self else {
            return Ok(());
        };
        let has_index = fs::read_dir(directory.join("lists"))?.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        });
        if !output.status.success() && !has_index {
            bail!(
                "apt-get update failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Self::Private { directory } = self {
            let list = directory.join("sources.list");
            for (key, value) in [
                ("Dir::Etc::sourcelist", list.as_path()),
                ("Dir::Etc::sourceparts", Path::new("/dev/null")),
                ("Dir::State::lists", &directory.join("lists")),
                ("Dir::Cache", &directory.join("cache")),
            ] {
                command.arg("-o").arg(format!("{key}={}", value.display()));
            }
            command.args(["-o", "APT::Sandbox::User=root"]);
        }
        command
    }
}

/// Packages that a simulation says it would install.
fn to_install(said: &str) -> Vec<String> {
    said.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_names_what_it_would_install() {
        let said = "Reading package lists...\nInst libwrap0 (7.6.q-32 Debian:12.15/oldstable [amd64])\n\
            Inst auditd (1:3.0.9-1 Debian:12.15/oldstable [amd64])\nConf libwrap0 (7.6.q-32)\n";
        assert_eq!(to_install(said), ["libwrap0", "auditd"]);
    }
}
