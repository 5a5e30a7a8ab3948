//! Finds the kernel a name means, among Debian's packages and what is cached, and unpacks it.
//!
//! Packages are fetched with apt, never installed, and kept unpacked outside the source tree: what was fetched once
//! works without a network, and after Debian has dropped it for a newer one.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt;

const PREFIX: &str = "linux-image-";
const SUFFIX: &str = "-cloud-amd64-unsigned";

/// An unpacked kernel package.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Name of the Debian package.
    pub(crate) package: String,
    /// The image to boot.
    pub(crate) image: PathBuf,
    /// `lib/modules/RELEASE` of the package.
    modules: PathBuf,
}

/// Where packages are kept: `chartwatch` in `XDG_CACHE_HOME`, or `~/.cache`.
///
/// # Errors
/// Neither variable says where.
pub(crate) fn cache_directory() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => PathBuf::from(
            std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?,
        )
        .join(".cache"),
    };
    Ok(base.join("chartwatch"))
}

/// Gives the kernel that `name` means: a package, or a series such as `6.1`, of which the newest is taken.
///
/// # Errors
/// No such package in apt or in the cache, or fetching it failed.
pub(crate) fn find(name: &str, cache: &Path, note: &mut dyn FnMut(&str)) -> Result<Kernel> {
    let kept = newest_first(cached(cache)?, name);
    let wanted = match offered(name, cache) {
        Ok((source, package)) => unpacked(&package, &source, cache, note).map(|_| package),
        Err(error) => Err(error),
    };
    match (wanted, kept.first()) {
        (Ok(package), _) => open(&package, cache),
        (Err(error), None) => Err(error),
        (Err(error), Some(old)) => {
            note(&format!("{old} from the cache is used ({error:#})"));
            open(old, cache)
        }
    }
}

/// The newest package apt has for the name, and the source that has it.
fn offered(name: &str, cache: &Path) -> Result<(apt::Source, String)> {
    let source = apt::Source::of(name, cache)?;
    if name.starts_with(PREFIX) {
        return Ok((source, name.to_owned()));
    }
    let newest = newest_first(source.search(name)?, name).into_iter().next();
    let package = newest.with_context(|| {
        format!(
            "apt has no kernel package {PREFIX}{name}.*{SUFFIX}: `apt-get update` may be needed, \
             or give a package's full name"
        )
    })?;
    Ok((source, package))
}

/// A static busybox.
///
/// # Errors
/// The package could not be fetched.
pub(crate) fn busybox(cache: &Path, note: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let directory = unpacked("busybox-static", &apt::Source::Host, cache, note)?;
    [
        directory.join("bin/busybox"),
        directory.join("usr/bin/busybox"),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .with_context(|| format!("no busybox in {}", directory.display()))
}

impl Kernel {
    /// The named modules and what they depend on, as (name, content), in the order to load them.
    ///
    /// # Errors
    /// A module is neither in the package nor built in.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        walk(&self.modules.join("kernel"), &mut files)?;
        let builtin = fs::read_to_string(self.modules.join("modules.builtin"))
            .context("failed to read modules.builtin")?;
        let mut loaded = Vec::new();
        for name in names {
            self.module(name, &files, &builtin, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn module(
        &self,
        name: &str,
        files: &[PathBuf],
        builtin: &str,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        if loaded.iter().any(|(known, _)| known == name)
            || builtin
                .lines()
                .any(|line| module_name(Path::new(line)) == name)
        {
            return Ok(());
        }
        let path = files
            .iter()
            .find(|path| module_name(path) == name)
            .with_context(|| format!("{} has no module {name}", self.package))?;
        let content = module_content(path)?;
        for needed in depends(&content) {
            self.module(&needed, files, builtin, loaded)?;
        }
        loaded.push((name.to_owned(), content));
        Ok(())
    }
}

/// Packages of the series `name` among `packages`, the newest first.
fn newest_first(packages: Vec<String>, name: &str) -> Vec<String> {
    let series = format!("{PREFIX}{name}");
    let belongs = |package: &String| {
        package == name
            || package
                .strip_prefix(&series)
                .is_some_and(|rest| rest.starts_with(['.', '+', '-']) && package.ends_with(SUFFIX))
    };
    let mut found: Vec<String> = packages.into_iter().filter(belongs).collect();
    found.sort_by(|a, b| by_version(b, a));
    found
}

/// Compares names in which runs of digits count as numbers.
fn by_version(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(&pieces(b))
}

fn pieces(name: &str) -> Vec<(u64, String)> {
    name.split(['.', '-', '+', '_', '~'])
        .map(|piece| (piece.parse().unwrap_or(0), piece.to_owned()))
        .collect()
}

fn cached(cache: &Path) -> Result<Vec<String>> {
    let directory = cache.join("packages");
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory)
        .with_context(|| format!("failed to list {}", directory.display()))?
    {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn open(package: &str, cache: &Path) -> Result<Kernel> {
    let directory = cache.join("packages").join(package);
    let image = fs::read_dir(directory.join("boot"))
        .with_context(|| format!("{package} has no boot directory"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .with_context(|| format!("{package} has no boot/vmlinuz"))?;
    let library = ["usr/lib/modules", "lib/modules"]
        .into_iter()
        .map(|path| directory.join(path))
        .find(|p| p.is_dir());
    let modules = fs::read_dir(library.with_context(|| format!("{package} has no modules"))?)?
        .next()
        .with_context(|| format!("{package} has no modules"))??
        .path();
    Ok(Kernel {
        package: package.to_owned(),
        image,
        modules,
    })
}

/// Fetches and unpacks a package unless it is there; gives its directory. The directory appears whole or not at all.
fn unpacked(
    package: &str,
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
    note(&format!("fetching {package}"));
    let work = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(cache)
        .context("failed to make a directory")?;
    let archive = source.download(package, work.path())?;
    let tree = work.path().join("tree");
    let unpack = Command::new("dpkg-deb")
        .arg("-x")
        .arg(&archive)
        .arg(&tree)
        .output()
        .context("failed to run dpkg-deb")?;
    if !unpack.status.success() {
        bail!(
            "dpkg-deb could not unpack {package}: {}",
            String::from_utf8_lossy(&unpack.stderr).trim()
        );
    }
    match fs::rename(&tree, &directory) {
        // Another run may have put it there meanwhile.
        Err(_) if directory.is_dir() => Ok(directory),
        result => result
            .map(|()| directory)
            .with_context(|| format!("failed to keep {package}")),
    }
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)
        .with_context(|| format!("failed to list {}", directory.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// `veth` for `.../veth.ko` and `.../veth.ko.xz`; the kernel takes `-` and `_` for the same.
fn module_name(path: &Path) -> String {
    let file = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

fn module_content(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    }
    let output = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("failed to run xz (Debian package xz-utils)")?;
    if !output.status.success() {
        bail!(
            "xz could not unpack {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// Names in the `depends=` entry of a module's information section.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = &module[at + key.len()..];
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_comes_first() {
        let all = [
            "linux-image-6.1.0-9-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.99+deb12-cloud-amd64-unsigned",
            "linux-image-7.2+deb14-cloud-amd64-unsigned",
        ]
        .map(str::to_owned)
        .to_vec();
        let check = |name: &str, expected: &[&str]| {
            let short: Vec<String> = newest_first(all.clone(), name)
                .iter()
                .map(|package| package.replace(PREFIX, "").replace(SUFFIX, ""))
                .collect();
            assert_eq!(short, expected, "{name}");
        };
        check("6.1", &["6.1.0-56", "6.1.0-9"]);
        check("6.12", &["6.12.117+deb12", "6.12.99+deb12"]);
        check("7", &["7.2+deb14"]);
        check("5.10", &[]);
        check("linux-image-6.1.0-9-cloud-amd64-unsigned", &["6.1.0-9"]);
    }

    #[test]
    fn dependencies_are_read_from_a_module() {
        assert_eq!(
            depends(b"ELF..\0license=GPL\0depends=crc16,libcrc32c\0name=ext4\0"),
            ["crc16", "libcrc32c"]
        );
        assert!(depends(b"ELF..\0depends=\0name=veth\0").is_empty());
    }
}
