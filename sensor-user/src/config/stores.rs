//! The stores of the configuration: each a name and a directory that is there, or who serves records to others: programs, or what
//! runs in a systemd unit. These need not be there yet.
//!
//! **Invariant:** no two stores share a name or a directory, and none lies inside another, so a record is in one store.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde::Deserialize;

use super::STORES_MAX;
use super::raw::{Refusal, refuse};

/// Longest path: `PATH_MAX` of include/uapi/linux/limits.h, without the NUL.
const PATH_BYTES_MAX: usize = 4095;

/// Longest name of a unit. systemd allows 255 bytes.
pub const UNIT_BYTES_MAX: usize = 126;
/// Paths that a pattern may stand for; what is beyond is left out, and said.
pub const MATCHES_MAX: usize = 1_024;

/// Who serves the records of a store to others of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Who runs a program with such a path: `executable`, or `service` as it was called first. `*`, `?` and `[...]` stand for what they stand
    /// for in a shell. Updates and new versions are followed.
    Executable(Pattern),
    /// Who runs in the systemd unit of this name, or in groups of processes below it: `unit`. Restarts are followed.
    Unit(String),
}

impl Service {
    /// Those with this path; it is a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern.
    pub fn executable(path: &str) -> Result<Self, glob::PatternError> {
        Pattern::new(path).map(Self::Executable)
    }

    /// True when there is such a file or unit now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Self::Executable(pattern) => !matches(pattern.as_str()).is_empty(),
            Self::Unit(name) => unit_files(name).iter().any(|file| {
                UNIT_DIRECTORIES
                    .iter()
                    .any(|d| Path::new(d).join(file).exists())
            }),
        }
    }
}

/// Where systemd finds units of the system (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 8] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/transient",
    "/run/systemd/generator",
    "/run/systemd/generator.late",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The files that can describe a unit: its own and, of an instance, its template's.
fn unit_files(name: &str) -> Vec<String> {
    let mut files = vec![name.to_owned()];
    if let (Some(at), Some(dot)) = (name.find('@'), name.rfind('.'))
        && at < dot
    {
        files.push(format!("{}{}", &name[..=at], &name[dot..]));
    }
    files
}

/// Files and directories that a pattern stands for now, in the order of their names, at most [`MATCHES_MAX`].
#[must_use]
pub fn matches(pattern: &str) -> Vec<PathBuf> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    // Checked when it was read; directories that cannot be read have nothing in them.
    glob::glob_with(pattern, options).map_or_else(
        |_| Vec::new(),
        |paths| paths.filter_map(Result::ok).take(MATCHES_MAX).collect(),
    )
}

/// A directory tree whose files are records, or who serves some to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `name`: what alerts call it, 1 to 32 of `a-z 0-9 - _`, beginning with a letter. Set by the administrator.
    pub name: String,
    /// `path`: its root, absolute, at most 4,095 bytes, an existing directory and not `/`. Of a service, what stands in the place of it. As
    /// it is written in the file.
    pub path: PathBuf,
    /// The same with every symbolic link resolved, as the kernel knows it; of a service as it is written.
    pub canonical: PathBuf,
    /// `names`: whether names below it leave as they are and not as tokens. Default as `privacy.names` says. Set by the administrator when the
    /// privacy officer has decided that they identify nobody.
    pub plain: bool,
    /// `executable` or `unit`, if it is a service: what its processes send to others of this machine is what was read of the store.
    pub service: Option<Service>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: String,
    path: Option<PathBuf>,
    #[serde(alias = "service")]
    executable: Option<PathBuf>,
    unit: Option<String>,
    names: Option<Names>,
}

/// The form in which names leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Names {
    Token,
    Plain,
}

pub(super) fn check(entries: Vec<Entry>, otherwise: Names) -> Result<Vec<Store>, Refusal> {
    if entries.is_empty() {
        return refuse(
            "store",
            "there is none; add a [[store]] with name and path for each directory of records"
                .to_owned(),
        );
    }
    if entries.len() > STORES_MAX {
        return refuse(
            "store",
            format!(
                "there are {}, at most {STORES_MAX} are watched; name a common parent directory instead",
                entries.len()
            ),
        );
    }
    let mut stores = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let key = format!("store[{}]", index + 1);
        let store = entry.check(&key, otherwise)?;
        apart(&key, &store, &stores)?;
        stores.push(store);
    }
    Ok(stores)
}

impl Entry {
    fn check(self, key: &str, otherwise: Names) -> Result<Store, Refusal> {
        name(&format!("{key}.name"), &self.name)?;
        let (path, canonical, service) = match (self.path, self.executable, self.unit) {
            (Some(path), None, None) => {
                let canonical = directory(&format!("{key}.path"), &path)?;
                (path.components().collect(), canonical, None)
            }
            (None, Some(path), None) => {
                let service = program(&format!("{key}.executable"), &path)?;
                (path.clone(), path, Some(service))
            }
            (None, None, Some(unit)) => {
                let service = self::unit(&format!("{key}.unit"), &unit)?;
                (PathBuf::from(&unit), PathBuf::from(unit), Some(service))
            }
            (None, None, None) => {
                return refuse(
                    &format!("{key}.path"),
                    "is missing; write the directory of the records, or who serves them: executable, a program, or unit, a systemd unit"
                        .to_owned(),
                );
            }
            (_, executable, _) => {
                let second = if executable.is_some() {
                    "executable"
                } else {
                    "unit"
                };
                return refuse(
                    &format!("{key}.{second}"),
                    "there is another of path, executable and unit as well; make two stores of it"
                        .to_owned(),
                );
            }
        };
        if service.is_some() && self.names.is_some() {
            return refuse(
                &format!("{key}.names"),
                "is for stores with a path; what a service serves has no names here, leave it out"
                    .to_owned(),
            );
        }
        Ok(Store {
            plain: self.names.unwrap_or(otherwise) == Names::Plain,
            name: self.name,
            path,
            canonical,
            service,
        })
    }
}

fn name(key: &str, name: &str) -> Result<(), Refusal> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if begins && name.len() <= 32 && name.bytes().all(fits) {
        return Ok(());
    }
    refuse(
        key,
        format!(
            "{name:?} is not 1 to 32 of the characters a-z 0-9 - _ beginning with a letter; choose such a name"
        ),
    )
}

/// Refuses what can be no program's path.
fn program(key: &str, path: &Path) -> Result<Service, Refusal> {
    absolute(key, path)?;
    let shown = shown(path);
    let Some(text) = path.to_str() else {
        return refuse(
            key,
            format!("{shown} is no UTF-8; put ? in the place of such a byte"),
        );
    };
    if path.is_dir() || text.ends_with('/') {
        return refuse(
            key,
            format!("{shown} is a directory; name the program that serves the records"),
        );
    }
    Service::executable(text).or_else(|error| {
        refuse(
            key,
            format!("{shown}: {error}; write [[] for a bracket that is meant"),
        )
    })
}

/// Refuses what is no name of a unit with processes (systemd.unit(5)).
fn unit(key: &str, name: &str) -> Result<Service, Refusal> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let of_processes = [".service", ".scope", ".slice"].iter().any(|suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|rest| !rest.is_empty())
    });
    if name.contains(['*', '?', '[']) {
        return refuse(
            key,
            format!(
                "{name:?} is a pattern; write one unit, or the slice that all instances of a template are in, for example system-postgresql.slice"
            ),
        );
    }
    if !of_processes || !name.bytes().all(fits) {
        return refuse(
            key,
            format!(
                "{name:?} is no unit that has processes; write its whole name as systemctl shows it, with .service, .scope or .slice"
            ),
        );
    }
    if name.len() > UNIT_BYTES_MAX {
        return refuse(
            key,
            format!(
                "the name has {} bytes, {UNIT_BYTES_MAX} are taken; write the slice that the unit is in",
                name.len()
            ),
        );
    }
    Ok(Service::Unit(name.to_owned()))
}

/// Refuses what is no directory; answers its canonical path.
fn directory(key: &str, path: &Path) -> Result<PathBuf, Refusal> {
    let shown = shown(path);
    let canonical = resolved(key, path, "create the directory or correct the path")?;
    if !canonical.is_dir() {
        return refuse(
            key,
            format!("{shown} is no directory; name the directory the records are in"),
        );
    }
    if canonical == Path::new("/") {
        return refuse(
            key,
            format!("{shown} is the whole file system; name the directory the records are in"),
        );
    }
    Ok(canonical)
}

fn resolved(key: &str, path: &Path, remedy: &str) -> Result<PathBuf, Refusal> {
    absolute(key, path)?;
    path.canonicalize()
        .or_else(|e| refuse(key, format!("{}: {e}; {remedy}", shown(path))))
}

/// A path as a terminal may show it: what would move the cursor or change colours is escaped.
fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

fn absolute(key: &str, path: &Path) -> Result<(), Refusal> {
    let len = path.as_os_str().len();
    if len > PATH_BYTES_MAX {
        return refuse(
            key,
            format!(
                "the path has {len} bytes, the kernel takes {PATH_BYTES_MAX}; name a directory further up"
            ),
        );
    }
    if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
        return refuse(
            key,
            format!(
                "{} is not absolute, or has `..` in it; write the path from /",
                shown(path)
            ),
        );
    }
    Ok(())
}

fn apart(key: &str, store: &Store, others: &[Store]) -> Result<(), Refusal> {
    for (index, other) in others.iter().enumerate() {
        let number = index + 1;
        if other.name == store.name {
            return refuse(
                &format!("{key}.name"),
                format!(
                    "{:?} is also the name of store[{number}]; names must differ",
                    store.name
                ),
            );
        }
        if store.service.is_some() || other.service.is_some() {
            continue;
        }
        let inside = other.canonical.starts_with(&store.canonical)
            || store.canonical.starts_with(&other.canonical);
        if inside {
            return refuse(
                &format!("{key}.path"),
                format!(
                    "{} and {} of store[{number}] are the same or one inside the other; a record is in one store, keep one of them",
                    shown(&store.path),
                    shown(&other.path)
                ),
            );
        }
    }
    Ok(())
}
