//! The compiler and the linker for kernel programs.
//!
//! Needed is a Rust toolchain that carries the sources of its library (`core` is built for the BPF target), and
//! bpf-linker with an LLVM no older than that compiler's. The build of the sensor picks the toolchain in the order
//! `toolchain` does here.
//!
//! **Invariant:** a toolchain without the library's sources is never chosen.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{Missing, What, apt};
use crate::step::{Step, capture, cargo, find_program};

/// The name under which a toolchain is linked in rustup for the build of kernel programs.
pub(super) const LINKED_NAME: &str = "chartwatch-bpf";
/// Names a toolchain to use instead of any other.
const OVERRIDE: &str = "CHARTWATCH_BPF_TOOLCHAIN";
/// The bpf-linker that this workspace is tested with.
pub(super) const LINKER_VERSION: &str = "0.13.0";
/// The oldest compiler that builds the workspace (`rust-version`).
const OLDEST: Version = Version(1, 95);
const DEBIAN_COMPILER: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];

/// A toolchain that can build kernel programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Its name in rustup; absent where there is no rustup and the compiler on the path is used.
    pub(crate) name: Option<String>,
    /// Where it lies.
    pub(crate) sysroot: String,
    rust: Version,
    llvm: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Toolchain {
    /// Runs a program of this toolchain.
    pub(crate) fn command(&self, program: &str) -> Command {
        command_of(self.name.as_deref(), program)
    }

    /// Looks at the toolchain of this name; `None` when it is not there, too old, or lacks the library's sources.
    fn look(name: Option<&str>) -> Option<Self> {
        let sysroot = capture(command_of(name, "rustc").args(["--print", "sysroot"])).ok()?;
        let verbose = capture(command_of(name, "rustc").arg("-vV")).ok()?;
        let sysroot = sysroot.trim().to_owned();
        let (rust, llvm) = versions(&verbose)?;
        let has_source = Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core")
            .is_dir();
        (has_source && rust >= OLDEST).then(|| Self {
            name: name.map(str::to_owned),
            sysroot,
            rust,
            llvm,
        })
    }
}

/// The toolchain that the build of kernel programs takes: the one the environment names, the linked one, the active one.
///
/// # Errors
/// When the environment names one that cannot be used.
pub(crate) fn toolchain() -> Result<Option<Toolchain>> {
    if let Ok(name) = env::var(OVERRIDE) {
        let Some(found) = Toolchain::look(Some(&name)) else {
            bail!(
                "{OVERRIDE} names the toolchain {name:?}, which rustup does not have, lacks the component rust-src, or is \
                 older than {OLDEST}"
            );
        };
        return Ok(Some(found));
    }
    if find_program("rustup").is_none() {
        return Ok(Toolchain::look(None));
    }
    Ok(Toolchain::look(Some(LINKED_NAME)).or_else(|| Toolchain::look(active()?.as_str().into())))
}

/// What is missing to build kernel programs.
pub(super) fn missing() -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    let llvm = if let Some(found) = toolchain()? {
        found.llvm
    } else if let Some(found) = any_other() {
        let what = What::Link {
            sysroot: found.sysroot,
        };
        missing.push(Missing {
            what,
            why: "it has the library's sources, so it can build kernel programs",
        });
        found.llvm
    } else {
        debian_compiler(&mut missing)?
    };
    if linker_llvm().is_none_or(|linker| linker < llvm) {
        linker(llvm.0, &mut missing);
    }
    Ok(missing)
}

/// Any toolchain of rustup that would do, though it is neither the linked nor the active one.
fn any_other() -> Option<Toolchain> {
    let list = capture(Command::new("rustup").args(["toolchain", "list"])).ok()?;
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find_map(|name| Toolchain::look(Some(name)))
}

/// Debian's own compiler, where the archive has one that is new enough; its LLVM.
fn debian_compiler(missing: &mut Vec<Missing>) -> Result<Version> {
    let installed = Path::new("/usr/bin/rustc").exists()
        && Path::new("/usr/lib/rustlib/src/rust/library/core").exists();
    if !installed {
        let help = "install the sources of the active toolchain's library (`rustup component add rust-src`) and run again";
        if !apt::is_debian() {
            bail!("no Rust toolchain here can build kernel programs; {help}");
        }
        apt::refresh_if_missing()?;
        if !apt::offers(DEBIAN_COMPILER[0])? {
            bail!(
                "no Rust toolchain here can build kernel programs, and this Debian has no package rustc-web; {help}"
            );
        }
        let why = "compiles the kernel programs: it comes with its library's sources";
        missing.extend(DEBIAN_COMPILER.map(|name| Missing::package(name, why)));
    }
    if find_program("rustup").is_some() {
        let what = What::Link {
            sysroot: "/usr".into(),
        };
        missing.push(Missing {
            what,
            why: "lets the build of the sensor find Debian's compiler",
        });
    }
    Ok(DEBIAN_LLVM)
}

/// The LLVM of Debian 12's rustc-web 1.96, needed before it is installed; `ensure` looks at the real one afterwards.
const DEBIAN_LLVM: Version = Version(22, 1);

fn linker(llvm: u32, missing: &mut Vec<Missing>) {
    let why = "builds bpf-linker";
    let packages = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    let common = [
        "libzstd-dev",
        "zlib1g-dev",
        "libxml2-dev",
        "pkg-config",
        "g++",
    ]
    .map(str::to_owned);
    missing.extend(
        packages
            .into_iter()
            .chain(common)
            .map(|name| Missing::package(name, why)),
    );
    missing.push(Missing {
        what: What::Linker { llvm },
        why: "links the kernel programs (about two minutes)",
    });
}

/// Builds bpf-linker against Debian's LLVM of this major version.
pub(super) fn install_linker(llvm: u32) -> Result<()> {
    let mut command = cargo();
    command.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"));
    let version = format!("bpf-linker@{LINKER_VERSION}");
    let feature = format!("llvm-{llvm}");
    command.args([
        "install",
        "--force",
        &version,
        "--no-default-features",
        "--features",
        &feature,
    ]);
    Step::new("building bpf-linker", command).run().map(drop)
}

/// The LLVM of the bpf-linker on the path. One that carries its LLVM inside does not say which; the newest that this
/// version can carry is assumed then, and the link itself tells.
fn linker_llvm() -> Option<Version> {
    let program = find_program("bpf-linker")?;
    let bytes = std::fs::read(program).ok()?;
    Some(shared_llvm(&bytes).unwrap_or(Version(u32::MAX, 0)))
}

/// Finds the name of LLVM's shared library (`libLLVM.so.22.1`) in a program.
fn shared_llvm(program: &[u8]) -> Option<Version> {
    const NAME: &[u8] = b"libLLVM.so.";
    let at = program
        .windows(NAME.len())
        .position(|window| window == NAME)?
        + NAME.len();
    let rest = program.get(at..)?;
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')
        .unwrap_or(rest.len());
    parse_version(std::str::from_utf8(rest.get(..end)?).ok()?)
}

fn active() -> Option<String> {
    let text = capture(Command::new("rustup").args(["show", "active-toolchain"])).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

fn command_of(name: Option<&str>, program: &str) -> Command {
    let Some(name) = name else {
        return Command::new(program);
    };
    let mut command = Command::new("rustup");
    command.args(["run", name, program]);
    command
}

/// Release and LLVM from the output of `rustc -vV`.
fn versions(verbose: &str) -> Option<(Version, Version)> {
    let value = |key: &str| verbose.lines().find_map(|line| line.strip_prefix(key));
    Some((
        parse_version(value("release:")?.trim())?,
        parse_version(value("LLVM version:")?.trim())?,
    ))
}

/// Major and minor of `22.1.8`, `1.97.0-nightly` or `22.1`.
fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text.split(['.', '-']);
    Some(Version(
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_compiler() {
        let verbose =
            "rustc 1.97.0-nightly (e50 2026)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(versions(verbose), Some((Version(1, 97), Version(22, 1))));
        assert_eq!(versions("release: 1.97.0\n"), None);
        assert_eq!(parse_version("LLVM"), None);
    }

    #[test]
    fn the_linkers_llvm_is_the_library_it_names() {
        assert_eq!(
            shared_llvm(b"\0\0libLLVM.so.22.1\0libc.so.6\0"),
            Some(Version(22, 1))
        );
        assert_eq!(shared_llvm(b"\0\0libc.so.6\0"), None);
    }

    #[test]
    fn an_older_linker_is_replaced_and_a_newer_one_kept() {
        assert!(Version(21, 9) < Version(22, 1));
        assert!(Version(23, 0) >= Version(22, 1));
    }

    #[test]
    fn a_toolchain_that_is_not_there_is_not_chosen() {
        assert_eq!(Toolchain::look(Some("no-such-toolchain-anywhere")), None);
    }
}
