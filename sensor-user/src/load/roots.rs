//! Tells the programs where stores begin, and which records in them have several names.
//!
//! Only the kernel knows a file's identity for certain (device numbers and generations differ between what stat gives and
//! what the kernel keeps), so the sensor does not compute it: it opens the root, and the open hook takes the identity of
//! what this one thread opens. A record with several names may be reached by one outside of its store, so each of those is
//! told as well. So are the disks below a store, which can be read past its files.
//!
//! What is mounted at a store may go away and come back, as another file system to the kernel; then the store is told
//! again. A root that was told stays known: a file system that is unmounted lazily lives on for those who use it.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Kernel, LoadError, disks};
use crate::config::Store;
use crate::mounts::{Mounts, Place};

/// What is said of a root whose opening came to nothing.
const UNSEEN: &str = "the programs did not see it being opened";

/// The stores as the programs know them.
#[derive(Debug)]
pub struct Roots {
    stores: Vec<Told>,
}

/// A store and what was mounted at and below its root when it was told.
#[derive(Debug)]
struct Told {
    store: Store,
    number: u32,
    places: Vec<Place>,
    /// Why it could not be told the last time.
    missing: Option<String>,
}

impl Roots {
    /// Tells all stores, the file systems mounted below their roots, and the records with several names.
    pub(super) fn tell(
        kernel: &mut Kernel,
        stores: &[Store],
        mounts: &Mounts,
    ) -> Result<Self, LoadError> {
        let (mut told, mut opened) = (Vec::with_capacity(stores.len()), Vec::new());
        let directories = || stores.iter().filter(|store| store.service.is_none());
        for (number, store) in (1_u32..).zip(stores) {
            if store.service.is_some() {
                continue;
            }
            let places = mounts.places(&store.canonical);
            opened.push(open_all(kernel, number, &places).map_err(|e| e.of(store))?);
            told.push(Told {
                store: store.clone(),
                number,
                places,
                missing: None,
            });
        }
        let known = known(kernel);
        for (store, opened) in directories().zip(opened) {
            taken(&known, opened).map_err(|e| e.of(store))?;
        }
        for told in &told {
            told.tell_linked(kernel).map_err(|e| e.of(&told.store))?;
        }
        Ok(Self { stores: told })
    }

    /// Tells the stores anew where what is mounted has changed, and those that were missing. Gives the names of those that
    /// were told: what was done with their records until now may not have been seen.
    pub fn follow(&mut self, kernel: &mut Kernel, mounts: &Mounts) -> Vec<String> {
        let mut told = Vec::new();
        for store in &mut self.stores {
            let places = mounts.places(&store.store.canonical);
            if (places != store.places || store.missing.is_some()) && store.again(kernel, places) {
                told.push(store.store.name.clone());
            }
        }
        told
    }

    /// True when a store is not there now.
    #[must_use]
    pub fn is_any_missing(&self) -> bool {
        self.stores.iter().any(|store| store.missing.is_some())
    }
}

impl Told {
    /// Tells the store again; true when that went well.
    fn again(&mut self, kernel: &mut Kernel, places: Vec<Place>) -> bool {
        let told = open_all(kernel, self.number, &places)
            .and_then(|opened| taken(&known(kernel), opened))
            .and_then(|()| self.tell_linked(kernel));
        self.places = places;
        let store = self.store.name.as_str();
        let path = self.store.path.display();
        let Err(Refused { reason, .. }) = told else {
            self.missing = None;
            tracing::warn!(store, %path, "what is mounted at a store has changed, it is watched as it is now");
            return true;
        };
        if self.missing.as_ref() != Some(&reason) {
            tracing::error!(store, %path, reason, "a store is gone, nothing of it is watched until it is there again");
            self.missing = Some(reason);
        }
        false
    }

    /// Tells the records with several names. What was opened before now was judged without knowing this store.
    fn tell_linked(&self, kernel: &mut Kernel) -> Result<(), Refused> {
        let root = &self.store.canonical;
        tell_linked(kernel, root, self.number)
            .and_then(|()| kernel.forget_answers().map_err(|e| e.to_string()))
            .map_err(|reason| Refused {
                path: root.clone(),
                reason,
            })
    }
}

/// A root that could not be told.
struct Refused {
    path: PathBuf,
    reason: String,
}

impl Refused {
    fn of(self, store: &Store) -> LoadError {
        LoadError::Store {
            store: store.name.clone(),
            path: self.path,
            reason: self.reason,
        }
    }
}

/// A root that was opened for the programs to see.
struct Opened {
    path: PathBuf,
    inode: u64,
    store: u32,
}

fn open_all(kernel: &mut Kernel, store: u32, places: &[Place]) -> Result<Vec<Opened>, Refused> {
    let open = |place: &Place| {
        let path = place.path.clone();
        let opened = open_root(kernel, &path, store);
        match opened.and_then(|inode| tell_disks(kernel, &path, store).map(|()| inode)) {
            Ok(inode) => Ok(Opened { path, inode, store }),
            Err(reason) => Err(Refused { path, reason }),
        }
    };
    places.iter().map(open).collect()
}

/// Tells the disks below a root.
fn tell_disks(kernel: &mut Kernel, root: &Path, store: u32) -> Result<(), String> {
    disks::below(root)
        .into_iter()
        .try_for_each(|disk| kernel.tell_disk(disk, store))
        .map_err(|error| error.to_string())
}

/// The roots the programs know, as far as the sensor can tell them: by inode and store.
fn known(kernel: &Kernel) -> HashSet<(u64, u32)> {
    kernel.roots().map(|(file, of)| (file.ino, of)).collect()
}

/// Checks that the programs took every root.
fn taken(known: &HashSet<(u64, u32)>, opened: Vec<Opened>) -> Result<(), Refused> {
    let missing = |root: &Opened| !known.contains(&(root.inode, root.store));
    match opened.into_iter().find(missing) {
        None => Ok(()),
        Some(root) => Err(Refused {
            path: root.path,
            reason: UNSEEN.to_owned(),
        }),
    }
}

/// Tells one root, and checks that the programs took it.
pub(super) fn tell_one(kernel: &mut Kernel, root: &Path, store: u32) -> Result<(), String> {
    let inode = open_root(kernel, root, store)?;
    if !known(kernel).contains(&(inode, store)) {
        return Err(UNSEEN.to_owned());
    }
    // What was opened before now was judged without knowing this store.
    kernel.forget_answers().map_err(|e| e.to_string())
}

/// Opens a root so that the programs take it; gives its inode's number.
fn open_root(kernel: &mut Kernel, root: &Path, store: u32) -> Result<u64, String> {
    kernel.arm(store, false).map_err(|e| e.to_string())?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits() as i32)
        .open(root);
    kernel.disarm().map_err(|e| e.to_string())?;
    let about = opened.and_then(|file| file.metadata());
    about
        .map(|about| about.ino())
        .map_err(|e| format!("cannot be opened: {e}"))
}

/// Tells every record of a store that has several names. What cannot be looked at is left out and counted: it is found
/// by walking up when it is opened by a name inside.
fn tell_linked(kernel: &mut Kernel, root: &Path, store: u32) -> Result<(), String> {
    let mut unread = 0_u64;
    let linked = linked_below(root, &mut unread);
    if unread > 0 {
        tracing::warn!(
            unread,
            "some of a store could not be searched for records with several names"
        );
    }
    // Nothing in the tree is waited for, and no access time is changed.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits() as i32);
    for path in &linked {
        kernel.arm(store, true).map_err(|e| e.to_string())?;
        let opened = options.open(path);
        kernel.disarm().map_err(|e| e.to_string())?;
        if let Err(error) = opened {
            tracing::warn!(%error, "a record with several names could not be told to the programs");
        }
    }
    Ok(())
}

/// Regular files below a directory with more names than one.
fn linked_below(root: &Path, unread: &mut u64) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            *unread += 1;
            continue;
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                Ok((path, about)) if about.is_dir() => directories.push(path),
                Ok((path, about)) if about.is_file() && about.nlink() > 1 => found.push(path),
                Ok(_) => {}
                Err(_) => *unread += 1,
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn files_with_several_names_are_found_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("deep")).unwrap();
        fs::write(root.path().join("alone"), "").unwrap();
        fs::write(root.path().join("deep/one"), "").unwrap();
        fs::hard_link(root.path().join("deep/one"), root.path().join("deep/two")).unwrap();
        std::os::unix::fs::symlink("deep/one", root.path().join("symlink")).unwrap();
        let mut unread = 0;
        let mut found = linked_below(root.path(), &mut unread);
        found.sort();
        let expected = [root.path().join("deep/one"), root.path().join("deep/two")];
        assert_eq!((found.as_slice(), unread), (expected.as_slice(), 0));
        assert!(linked_below(Path::new("/nonexistent"), &mut unread).is_empty());
        assert_eq!(unread, 1);
    }
}
