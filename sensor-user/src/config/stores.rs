//! The stores of the configuration: each a name and a directory, or a program that serves records, that is there.
//!
//! **Invariant:** no two stores share a name or a directory, and none lies inside another, so a record is in one store.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::STORES_MAX;
use super::raw::{Refusal, refuse};

/// Longest path: `PATH_MAX` of include/uapi/linux/limits.h, without the NUL.
const PATH_BYTES_MAX: usize = 4095;

/// A directory tree whose files are records, or a program that serves some to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `name`: what alerts call it, 1 to 32 of `a-z 0-9 - _`, beginning with a letter. Set by the administrator.
    pub name: String,
    /// `path`: its root, absolute, at most 4,095 bytes, an existing directory and not `/`. Or `service`: the program, an existing
    /// file. As it is written in the file.
    pub path: PathBuf,
    /// The same with every symbolic link resolved, as the kernel knows it.
    pub canonical: PathBuf,
    /// `names`: whether names below it leave as they are and not as tokens. Default as `privacy.names` says. Set by the administrator when the
    /// privacy officer has decided that they identify nobody.
    pub plain: bool,
    /// Whether it is a service: what its processes send to others of this machine is what was read of the store.
    pub service: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: String,
    path: Option<PathBuf>,
    service: Option<PathBuf>,
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
        let (path, canonical, service) = match (self.path, self.service) {
            (Some(path), None) => {
                let canonical = directory(&format!("{key}.path"), &path)?;
                (path, canonical, false)
            }
            (None, Some(path)) => {
                let canonical = program(&format!("{key}.service"), &path)?;
                (path, canonical, true)
            }
            (Some(_), Some(_)) => {
                return refuse(
                    &format!("{key}.service"),
                    "there is a path as well; make two stores of it".to_owned(),
                );
            }
            (None, None) => {
                return refuse(
                    &format!("{key}.path"),
                    "is missing; write the directory of the records, or as service the program that serves them"
                        .to_owned(),
                );
            }
        };
        if service && self.names.is_some() {
            return refuse(
                &format!("{key}.names"),
                "is for stores with a path; what a service serves has no names here, leave it out"
                    .to_owned(),
            );
        }
        Ok(Store {
            plain: self.names.unwrap_or(otherwise) == Names::Plain,
            name: self.name,
            path: path.components().collect(),
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

/// Refuses what is no program; answers its canonical path.
fn program(key: &str, path: &Path) -> Result<PathBuf, Refusal> {
    let canonical = resolved(key, path, "install the program or correct the path")?;
    if !canonical.is_file() {
        return refuse(
            key,
            format!(
                "{} is no file; name the program that serves the records",
                path.display()
            ),
        );
    }
    Ok(canonical)
}

/// Refuses what is no directory; answers its canonical path.
fn directory(key: &str, path: &Path) -> Result<PathBuf, Refusal> {
    let shown = path.display();
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
    let len = path.as_os_str().len();
    if len > PATH_BYTES_MAX {
        return refuse(
            key,
            format!(
                "the path has {len} bytes, the kernel takes {PATH_BYTES_MAX}; name a directory further up"
            ),
        );
    }
    let shown = path.display();
    if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
        return refuse(
            key,
            format!("{shown} is not absolute, or has `..` in it; write the path from /"),
        );
    }
    path.canonicalize()
        .or_else(|e| refuse(key, format!("{shown}: {e}; {remedy}")))
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
        let nested = !other.service && !store.service;
        let inside = other.canonical.starts_with(&store.canonical)
            || store.canonical.starts_with(&other.canonical);
        if nested && inside {
            return refuse(
                &format!("{key}.path"),
                format!(
                    "{} and {} of store[{number}] are the same or one inside the other; a record is in one store, keep one of them",
                    store.path.display(),
                    other.path.display()
                ),
            );
        }
    }
    Ok(())
}
