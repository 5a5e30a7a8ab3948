//! Tells the programs where stores begin, and which records in them have several names.
//!
//! Only the kernel knows a file's identity for certain (device numbers and generations differ between what stat gives and
//! what the kernel keeps), so the sensor does not compute it: it opens the root, and the open hook takes the identity of
//! what this one thread opens. A record with several names may be reached by one outside of its store, so each of those is
//! told as well.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Kernel, LoadError};
use crate::config::Store;
use crate::mounts::Mounts;

/// Tells all stores, the file systems mounted below their roots, and the records with several names.
pub(super) fn tell(
    kernel: &mut Kernel,
    stores: &[Store],
    mounts: &Mounts,
) -> Result<(), LoadError> {
    for (number, store) in (1_u32..).zip(stores) {
        let refused = |path: &Path| {
            let (store, path) = (store.name.clone(), path.to_owned());
            move |reason| LoadError::Store {
                store,
                path,
                reason,
            }
        };
        let below = mounts.below(&store.canonical);
        for path in std::iter::once(store.canonical.as_path()).chain(below) {
            tell_one(kernel, path, number).map_err(refused(path))?;
        }
        tell_linked(kernel, &store.canonical, number).map_err(refused(&store.canonical))?;
    }
    Ok(())
}

/// Tells one root, and checks that the programs took it.
pub(super) fn tell_one(kernel: &mut Kernel, root: &Path, store: u32) -> Result<(), String> {
    kernel.arm(store, false).map_err(|e| e.to_string())?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits() as i32)
        .open(root);
    kernel.disarm().map_err(|e| e.to_string())?;
    let inode = opened
        .and_then(|file| file.metadata())
        .map_err(|e| format!("cannot be opened: {e}"))?
        .ino();
    if !kernel
        .roots()
        .any(|(file, of)| file.ino == inode && of == store)
    {
        return Err("the programs did not see it being opened".to_owned());
    }
    // What was opened before now was judged without knowing this store.
    kernel.forget_answers().map_err(|e| e.to_string())
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
    if linked.is_empty() {
        return Ok(());
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
    kernel.forget_answers().map_err(|e| e.to_string())
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
