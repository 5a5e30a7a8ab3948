//! Installs what this machine lacks to build, test and demonstrate Chartwatch.
//!
//! On Debian everything comes from Debian's packages and crates.io; elsewhere the packages are named and the person
//! installs them. What will be installed, and why, is printed before anything is changed.
//!
//! **Invariant:** nothing is installed without consent: a yes at the terminal, `--yes`, or `CI=true`.

mod apt;
mod bpf;
mod tools;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step::{Step, find_program, say};

pub(crate) use bpf::toolchain as bpf_toolchain;

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Install without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure(args.yes, Need::ALL)?;
    say("everything is there");
    Ok(())
}

/// Something a command of the workshop needs on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A C compiler, for the database the collector embeds.
    Compiler,
    /// A C++ compiler, for libFuzzer.
    Cxx,
    /// A compiler with its library's sources and the linker for kernel programs.
    Bpf,
    /// The emulator the virtual machines run in.
    Qemu,
    /// A statically linked busybox, for the images of virtual machines.
    Busybox,
    /// `dpkg-deb`, which unpacks kernel packages.
    Dpkg,
    /// `ip`, for the network namespace of the demonstration.
    Iproute,
    /// `curl`, the demonstration's thief.
    Curl,
    /// `rsyslogd`, against which the syslog sink is tested.
    Rsyslog,
    /// `strace`, which kills the collector at its writes.
    Strace,
    /// `faketime`, under which clocks jump.
    Faketime,
    /// `systemd-analyze`, which checks the units.
    Systemd,
    /// `cargo-deny`, for licences, bans and sources.
    Deny,
    /// `cargo-machete`, for unused dependencies.
    Machete,
}

impl Need {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Compiler,
        Self::Cxx,
        Self::Bpf,
        Self::Qemu,
        Self::Busybox,
        Self::Dpkg,
        Self::Iproute,
        Self::Curl,
        Self::Rsyslog,
        Self::Strace,
        Self::Faketime,
        Self::Systemd,
        Self::Deny,
        Self::Machete,
    ];

    /// What is missing to meet this need; empty when it is met.
    fn missing(self) -> Result<Vec<Missing>> {
        let program = |name: &str, package: &'static str, why: &'static str| {
            let found = find_program(name).is_some();
            if found {
                Vec::new()
            } else {
                vec![Missing::package(package, why)]
            }
        };
        Ok(match self {
            Self::Compiler => program(
                "cc",
                "gcc",
                "compiles the database that the collector embeds",
            ),
            Self::Cxx => program("c++", "g++", "compiles the fuzzer of the fuzz targets"),
            Self::Bpf => bpf::missing()?,
            Self::Qemu => program(
                "qemu-system-x86_64",
                "qemu-system-x86",
                "runs the test kernels",
            ),
            Self::Busybox if tools::has_static_busybox() => Vec::new(),
            Self::Busybox => vec![Missing::package(
                "busybox-static",
                "fills the images of test kernels",
            )],
            Self::Dpkg => program("dpkg-deb", "dpkg", "unpacks the packages of test kernels"),
            Self::Iproute => program(
                "ip",
                "iproute2",
                "makes the network namespace of the demonstration",
            ),
            Self::Curl => program("curl", "curl", "plays the thief in the demonstration"),
            Self::Rsyslog => program(
                "rsyslogd",
                "rsyslog",
                "receives alerts in the test of the syslog sink",
            ),
            Self::Strace => program("strace", "strace", "kills the collector at its writes"),
            Self::Faketime => program("faketime", "faketime", "moves clocks in tests"),
            Self::Systemd => program("systemd-analyze", "systemd", "checks the service units"),
            Self::Deny => tools::DENY.missing(),
            Self::Machete => tools::MACHETE.missing(),
        })
    }
}

/// One thing to install, with the reason a person is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    what: What,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A Debian package.
    Package(String),
    /// A program built by cargo.
    Crate(tools::Tool),
    /// bpf-linker, built against the LLVM of this major version.
    Linker { llvm: u32 },
    /// A toolchain to be linked in rustup under the name the build looks for.
    Link { sysroot: String },
}

impl Missing {
    fn package(name: impl Into<String>, why: &'static str) -> Self {
        Self {
            what: What::Package(name.into()),
            why,
        }
    }

    /// What it is, for people; `None` for a package, of which many share a line.
    fn describe(&self) -> Option<String> {
        match &self.what {
            What::Package(_) => None,
            What::Crate(tool) => Some(format!(
                "cargo install {}@{}: {}",
                tool.name, tool.version, self.why
            )),
            What::Linker { llvm } => {
                let version = bpf::LINKER_VERSION;
                Some(format!(
                    "cargo install bpf-linker@{version} with LLVM {llvm}: {}",
                    self.why
                ))
            }
            What::Link { sysroot } => {
                let name = bpf::LINKED_NAME;
                Some(format!(
                    "rustup toolchain link {name} {sysroot}: {}",
                    self.why
                ))
            }
        }
    }
}

/// One line for each thing, packages with the same reason on one.
fn describe(missing: &[Missing]) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for item in missing {
        let Some(name) = package_name(item) else {
            continue;
        };
        match by_reason.iter_mut().find(|(why, _)| *why == item.why) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((item.why, vec![name])),
        }
    }
    let packages = by_reason
        .into_iter()
        .map(|(why, names)| format!("Debian: {}: {why}", names.join(" ")));
    packages
        .chain(missing.iter().filter_map(Missing::describe))
        .collect()
}

/// Sees to it that all of `needs` are met: installs what is missing after consent (`yes`, `CI=true`, or a yes at the
/// terminal).
///
/// # Errors
/// When consent is missing, the machine is no Debian (the packages are named), or an installation fails.
pub(crate) fn ensure(yes: bool, needs: &[Need]) -> Result<()> {
    let missing = collect(needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    say("This machine lacks:");
    for line in describe(&missing) {
        say(format!("  {line}"));
    }
    consent(yes)?;
    let packages: BTreeSet<&str> = missing.iter().filter_map(package_name).collect();
    apt::install(&packages)?;
    for item in &missing {
        install(&item.what)?;
    }
    let left = collect(needs)?;
    if !left.is_empty() {
        bail!(
            "still missing after the installation: {}",
            describe(&left).join("; ")
        );
    }
    Ok(())
}

/// Sees to it that those of these Debian packages that are to be had are installed, after consent; gives those that are
/// not to be had.
///
/// # Errors
/// When consent is missing, or the installation fails.
pub(crate) fn packages(yes: bool, names: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let missing: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !apt::is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(BTreeSet::new());
    }
    if !apt::is_debian() {
        return Ok(missing.into_iter().map(str::to_owned).collect());
    }
    apt::refresh_if_missing()?;
    let mut wanted = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for name in missing {
        if apt::offers(name)? {
            wanted.insert(name);
        } else {
            unknown.insert(name.to_owned());
        }
    }
    if !wanted.is_empty() {
        let list: Vec<&str> = wanted.iter().copied().collect();
        say("The scenarios need Debian packages that this machine lacks:");
        say(format!("  {}", list.join(" ")));
        consent(yes)?;
        apt::install(&wanted)?;
    }
    Ok(unknown)
}

fn collect(needs: &[Need]) -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    for need in needs {
        for item in need.missing()? {
            if !missing.contains(&item) {
                missing.push(item);
            }
        }
    }
    Ok(missing)
}

fn package_name(item: &Missing) -> Option<&str> {
    match &item.what {
        What::Package(name) => Some(name),
        What::Crate(_) | What::Linker { .. } | What::Link { .. } => None,
    }
}

fn install(what: &What) -> Result<()> {
    match what {
        // All packages are installed together, before the rest.
        What::Package(_) => Ok(()),
        What::Crate(tool) => tool.install(),
        What::Linker { llvm } => bpf::install_linker(*llvm),
        What::Link { sysroot } => {
            let mut rustup = Command::new("rustup");
            rustup.args(["toolchain", "link", bpf::LINKED_NAME, sysroot]);
            Step::new("linking the toolchain for kernel programs", rustup)
                .run()
                .map(drop)
        }
    }
}

/// Whether this run is one of a machine that nobody watches.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn consent(yes: bool) -> Result<()> {
    if yes || in_ci() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "something is missing and nobody is there to ask; run again with --yes to have it installed"
        );
    }
    let mut err = std::io::stderr().lock();
    err.write_all(b"Install it now? [y/N] ")
        .and_then(|()| err.flush())
        .context("failed to ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("failed to read the answer")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("not installed, as asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_thing_is_described_with_its_reason() {
        let missing = |what, why| Missing { what, why };
        let all = [
            missing(What::Package("llvm-22-dev".into()), "builds the linker"),
            missing(What::Crate(tools::DENY), "checks"),
            missing(What::Package("curl".into()), "steals"),
            missing(What::Package("g++".into()), "builds the linker"),
            missing(What::Linker { llvm: 22 }, "links"),
            missing(
                What::Link {
                    sysroot: "/usr".into(),
                },
                "finds",
            ),
        ];
        let expect = [
            "Debian: llvm-22-dev g++: builds the linker".to_owned(),
            "Debian: curl: steals".to_owned(),
            format!("cargo install cargo-deny@{}: checks", tools::DENY.version),
            format!(
                "cargo install bpf-linker@{} with LLVM 22: links",
                bpf::LINKER_VERSION
            ),
            "rustup toolchain link chartwatch-bpf /usr: finds".to_owned(),
        ];
        assert_eq!(describe(&all), expect);
    }

    #[test]
    fn all_needs_are_distinct() {
        let distinct: BTreeSet<Need> = Need::ALL.iter().copied().collect();
        assert_eq!(distinct.len(), Need::ALL.len());
    }
}
