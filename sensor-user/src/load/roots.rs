//! Tells the programs where stores begin.
//!
//! Only the kernel knows a file's identity for certain (device numbers and generations differ between what stat gives and
//! what the kernel keeps), so the sensor does not compute it: it opens the root, and the open hook takes the identity of
//! what this one thread opens.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{Kernel, LoadError};
use crate::config::Store;
use crate::mounts::Mounts;

/// Tells all stores, and the file systems mounted below their roots.
pub(super) fn tell(
    kernel: &mut Kernel,
    stores: &[Store],
    mounts: &Mounts,
) -> Result<(), LoadError> {
    for (number, store) in (1_u32..).zip(stores) {
        let below = mounts.below(&store.canonical);
        for path in std::iter::once(store.canonical.as_path()).chain(below) {
            tell_one(kernel, path, number).map_err(|reason| LoadError::Store {
                store: store.name.clone(),
                path: path.to_owned(),
                reason,
            })?;
        }
    }
    Ok(())
}

/// Tells one root, and checks that the programs took it.
pub(super) fn tell_one(kernel: &mut Kernel, root: &Path, store: u32) -> Result<(), String> {
    kernel.arm(Some(store)).map_err(|e| e.to_string())?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits() as i32)
        .open(root);
    kernel.arm(None).map_err(|e| e.to_string())?;
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
