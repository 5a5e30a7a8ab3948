//! Debian packages that machines boot with or run programs of: fetched, unpacked, and kept.
//!
//! **Invariant:** a package's directory appears whole or not at all; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::step::say;

/// Programs of a package that this host need not have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programs {
    /// The Debian package.
    pub(crate) package: &'static str,
    /// The programs in it that are wanted.
    pub(crate) names: &'static [&'static str],
}

/// Where programs lie in a package.
const PROGRAMS: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin"];
/// Where libraries do.
const LIBRARIES: &[&str] = &[
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/llvm-14/lib",
];

impl Programs {
    /// Fetches the package and what of its dependencies this host lacks, unless they are kept; gives their tree.
    ///
    /// # Errors
    /// A package could not be fetched.
    pub(crate) fn tree(&self, cache: &Path, note: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let source = apt::Source::Host;
        let parts = || source.missing(self.package);
        unpacked(self.package, parts, &source, cache, note)
    }
}

/// A program of a package, to be run on this host with the libraries that came with it.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    libraries: String,
}

impl Program {
    /// Fetches the package unless it is kept, and finds the program.
    ///
    /// # Errors
    /// It could not be fetched, or has no such program.
    pub(super) fn of(package: &'static str, name: &'static str, cache: &Path) -> Result<Self> {
        let names: &'static [&'static str] = &[];
        let tree = Programs { package, names }.tree(cache, &mut |text| say(text))?;
        Ok(Self {
            path: program(&tree, name)?,
            libraries: library_path(&tree),
        })
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// A program in the tree of a package.
///
/// # Errors
/// It is not there.
pub(super) fn program(tree: &Path, name: &str) -> Result<PathBuf> {
    PROGRAMS
        .iter()
        .map(|directory| tree.join(directory).join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no {name} in {}", tree.display()))
}

/// Where libraries are looked for before the host's own, as `LD_LIBRARY_PATH` wants it.
pub(super) fn library_path(tree: &Path) -> String {
    let directories: Vec<String> = LIBRARIES
        .iter()
        .map(|directory| tree.join(directory).display().to_string())
        .collect();
    directories.join(":")
}

/// Fetches the parts of a package and unpacks them into one tree, unless it is there; gives its directory.
///
/// # Errors
/// A part could not be fetched, unpacked or kept.
pub(super) fn unpacked(
    package: &str,
    parts: impl FnOnce() -> Result<Vec<String>>,
    source: &apt::Source,
    cache: &Path,
    note: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let packages = cache.join("packages");
    let directory = packages.join(package);
    if directory.is_dir() {
        return Ok(directory);
    }
    fs::create_dir_all(&packages)
        .with_context(|| format!("failed to create {}", packages.display()))?;
    let work = tempfile::Builder::new().prefix(".fetch-").tempdir_in(cache);
    let work =
        work.with_context(|| format!("failed to make a directory in {}", cache.display()))?;
    let tree = work.path().join("tree");
    for (number, part) in parts()?.into_iter().enumerate() {
        note(&format!("fetching {part}"));
        let place = work.path().join(number.to_string());
        fs::create_dir(&place).context("failed to make a directory")?;
        unpack(&source.download(&part, &place)?, &tree)?;
    }
    match fs::rename(&tree, &directory) {
        // Another run may have put it there meanwhile.
        Err(_) if directory.is_dir() => Ok(directory),
        result => result
            .map(|()| directory)
            .with_context(|| format!("failed to keep {package}")),
    }
}

fn unpack(archive: &Path, tree: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    let output = command
        .arg("-x")
        .arg(archive)
        .arg(tree)
        .output()
        .context("failed to run dpkg-deb")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!(
            "dpkg-deb could not unpack {}: {}",
            archive.display(),
            reason.trim()
        );
    }
    Ok(())
}
