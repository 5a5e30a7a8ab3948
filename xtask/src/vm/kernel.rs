//! Finds the kernel a name means, among Debian's packages and what is cached.
//!
//! Packages are kept unpacked outside the source tree: what was fetched once works without a network, and after Debian
//! has dropped it for a newer one.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{apt, package};

/// How Debian's packages of a kernel are called: one package, or since Linux 6.16 image and modules apart. The cloud kernels
/// are the smallest; those with real-time preemption are whole.
const FORMS: [Form; 4] = [
    Form::one("-cloud-amd64-unsigned", ""),
    Form::two("-cloud-amd64", ""),
    Form::one("-rt-amd64-unsigned", REAL_TIME),
    Form::two("-rt-amd64", REAL_TIME),
];

/// What follows the series of a kernel with real-time preemption: `6.1-rt`.
const REAL_TIME: &str = "-rt";

/// One way of packing a kernel.
#[derive(Debug)]
struct Form {
    /// What the name of the package with the image begins with.
    prefix: &'static str,
    /// What it ends with.
    suffix: &'static str,
    /// What follows the series in the name by which such a kernel is asked for.
    flavour: &'static str,
    /// What the name of the package with the modules begins with, where that is another one.
    beside: Option<&'static str>,
}

impl Form {
    const fn one(suffix: &'static str, flavour: &'static str) -> Self {
        Self {
            prefix: "linux-image-",
            suffix,
            flavour,
            beside: None,
        }
    }

    const fn two(suffix: &'static str, flavour: &'static str) -> Self {
        Self {
            prefix: "linux-binary-",
            suffix,
            flavour,
            beside: Some("linux-modules-"),
        }
    }

    /// The form of a package's name, and the version in it.
    fn of(package: &str) -> Option<(&'static Self, &str)> {
        let version = |form: &Self| package.strip_prefix(form.prefix)?.strip_suffix(form.suffix);
        FORMS.iter().find_map(|form| Some((form, version(form)?)))
    }
}

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

/// Gives the kernel that `name` means: a package, or a series such as `6.1` or `6.1-rt`, of which the newest is taken.
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
    let version = Form::of(name).map(|(_, version)| version);
    let source = apt::Source::of(version.unwrap_or(name), cache)?;
    if version.is_some() {
        return Ok((source, name.to_owned()));
    }
    let newest = newest_first(source.kernels()?, name).into_iter().next();
    let package = newest.with_context(|| {
        format!(
            "apt has no kernel {name}: `apt-get update` may be needed, or give a package's full name, \
             as linux-image-VERSION-cloud-amd64-unsigned"
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
    /// The named modules and what they depend on, as (name, content), in the order to load them; of `further` those
    /// that there are, and these first: what others ask for by name is among them.
    ///
    /// # Errors
    /// A module among `names` is neither in the package nor built in.
    pub(crate) fn modules(
        &self,
        names: &[&str],
        further: &[&str],
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        walk(&self.modules.join("kernel"), &mut files)?;
        // Not every package lists what is built in; then what is no file is taken for that.
        let list = self.modules.join("modules.builtin");
        let builtin = list
            .is_file()
            .then(|| fs::read_to_string(&list))
            .transpose()
            .with_context(|| format!("failed to read {}", list.display()))?;
        let mut loaded = Vec::new();
        let is_there = |name: &&&str| files.iter().any(|path| module_name(path) == **name);
        for name in further.iter().filter(is_there).chain(names) {
            self.module(name, &files, builtin.as_deref(), &mut loaded)?;
        }
        Ok(loaded)
    }

    fn module(
        &self,
        name: &str,
        files: &[PathBuf],
        builtin: Option<&str>,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        let is_listed =
            |list: &str| (list.lines()).any(|line| module_name(Path::new(line)) == name);
        if loaded.iter().any(|(known, _)| known == name) || builtin.is_some_and(is_listed) {
            return Ok(());
        }
        let found = files.iter().find(|path| module_name(path) == name);
        let Some(path) = found else {
            ensure!(builtin.is_none(), "{} has no module {name}", self.package);
            return Ok(());
        };
        let content = module_content(path)?;
        for needed in depends(&content) {
            self.module(&needed, files, builtin, loaded)?;
        }
        loaded.push((name.to_owned(), content));
        Ok(())
    }
}

/// Packages of the series `name` among `packages`, or the one of that very name, the newest first.
fn newest_first(packages: Vec<String>, name: &str) -> Vec<String> {
    let (series, flavour) = match name.strip_suffix(REAL_TIME) {
        Some(series) => (series, REAL_TIME),
        None => (name, ""),
    };
    let belongs = |package: &String| {
        let form = Form::of(package).filter(|(form, _)| form.flavour == flavour);
        let rest = form.and_then(|(_, version)| version.strip_prefix(series));
        package == name || rest.is_some_and(|rest| rest.starts_with(['.', '+', '-']))
    };
    let version = |package: &str| {
        Form::of(package)
            .map(|(_, version)| version.to_owned())
            .unwrap_or_default()
    };
    let mut found: Vec<String> = packages.into_iter().filter(belongs).collect();
    found.sort_by(|a, b| by_version(&version(b), &version(a)));
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
    let library = ["usr/lib/modules", "lib/modules"].map(|path| directory.join(path));
    let library = library.iter().find(|path| path.is_dir());
    let modules = fs::read_dir(library.with_context(|| format!("{package} has no modules"))?)?
        .next()
        .with_context(|| format!("{package} has no modules"))??
        .path();
    // Newer packages have the image beside the modules.
    let mut places = vec![modules.clone(), directory.join("boot")];
    places.retain(|place| place.is_dir());
    let mut image = None;
    for place in &places {
        for entry in
            fs::read_dir(place).with_context(|| format!("failed to list {}", place.display()))?
        {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("vmlinuz") {
                image = Some(entry.path());
            }
        }
    }
    let image = image.with_context(|| format!("{package} has no vmlinuz"))?;
    Ok(Kernel {
        package: package.to_owned(),
        image,
        modules,
    })
}

/// A kernel's package, unpacked, with the one of its modules where that is another.
fn unpacked(
    package: &str,
    source: &apt::Source,
    cache: &Path,
    note: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let beside = Form::of(package).and_then(|(form, version)| {
        form.beside
            .map(|prefix| format!("{prefix}{version}{}", form.suffix))
    });
    let parts = [Some(package.to_owned()), beside];
    let parts = || Ok(parts.into_iter().flatten().collect());
    package::unpacked(package, parts, source, cache, note)
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
            "linux-binary-7.2.9+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
            "linux-modules-7.2.12+deb13-cloud-amd64",
            "linux-image-7.2.12+deb13-cloud-amd64",
            "linux-image-6.1.0-57-rt-amd64-unsigned",
            "linux-image-6.1.0-57-rt-amd64",
        ]
        .map(str::to_owned)
        .to_vec();
        let check = |name: &str, expected: &[&str]| {
            let found = newest_first(all.clone(), name);
            let versions: Vec<&str> = found
                .iter()
                .map(|package| Form::of(package).unwrap().1)
                .collect();
            assert_eq!(versions, expected, "{name}");
        };
        check("6.1", &["6.1.0-56", "6.1.0-9"]);
        check("6.12", &["6.12.117+deb12", "6.12.99+deb12"]);
        check("7", &["7.2.12+deb13", "7.2.9+deb13"]);
        check("7.2", &["7.2.12+deb13", "7.2.9+deb13"]);
        check("6.1-rt", &["6.1.0-57"]);
        check("7-rt", &[]);
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
