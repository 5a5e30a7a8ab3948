//! Renames: what they do to a record, and what they may not do: make it one no longer.
//!
//! Whether a file was a record can be asked only before, where it has come to lie only after; in between, the answer waits
//! in `RENAMES`. A record that is moved out of its store stays one, known by its inode, and a directory becomes a root of
//! the store it was in.

use sensor_ebpf::layout::{
    access::{MOVED, NO_STORE},
    count::Error,
};

use crate::{
    count::{Outcome, Trouble},
    kernel::{
        file::{Entry, Inode, Kind},
        read::Typed,
    },
    maps::{RENAMES, ROOTS},
};

use super::access::{Act, record_changed};
use super::record::{Record, forget, forget_all, judge_entry, link, walk};

/// A file or directory is about to be renamed, replaced or exchanged: notes the store it lies in.
#[inline(always)]
pub(crate) fn leaving(entry: Entry<Typed>) -> Result<Outcome, Trouble> {
    let Ok(inode) = entry.inode() else {
        return Ok(Outcome::Ignored);
    };
    let store = if matches!(inode.kind()?, Kind::Directory) {
        walk(entry)?.store
    } else {
        judge_entry(entry)?
            .record()
            .map_or(NO_STORE, |record| record.store)
    };
    if store == NO_STORE {
        return Ok(Outcome::Ignored);
    }
    // An LRU map takes it always; were it forgotten, the rename of a record would not be told.
    let _full = RENAMES.insert(entry.address(), store, 0);
    Ok(Outcome::Summed)
}

/// It has been done, or refused; what this name now stands for has come to lie here.
#[inline(always)]
pub(crate) fn arrived(entry: Entry<Typed>, result: i32) -> Result<Outcome, Trouble> {
    let was = left(entry);
    let Ok(inode) = entry.inode() else {
        return Ok(Outcome::Ignored);
    };
    if result != 0 {
        return Ok(Outcome::Ignored);
    }
    if matches!(inode.kind()?, Kind::Directory) {
        let followed = follow(entry, inode, was);
        forget_all()?;
        return followed;
    }
    let file = inode.key()?;
    forget(inode)?;
    match (judge_entry(entry)?.record(), was) {
        (Some(record), _) => record_changed(&record, Act::Change),
        (None, Some(store)) => {
            let record = Record { file, store };
            link(&record)?;
            // What has been found since it was forgotten is wrong by now.
            forget(inode)?;
            record_changed(&record, Act::Change)
        }
        (None, None) => Ok(Outcome::Ignored),
    }
}

/// It has been done, or refused; what this name stood for has been replaced.
#[inline(always)]
pub(crate) fn replaced(entry: Entry<Typed>, result: i32) -> Result<Outcome, Trouble> {
    let was = left(entry);
    let (Some(store), 0) = (was, result) else {
        return Ok(Outcome::Ignored);
    };
    let inode = entry.inode()?;
    if matches!(inode.kind()?, Kind::Directory) {
        return Ok(Outcome::Ignored);
    }
    let file = inode.key()?;
    forget(inode)?;
    record_changed(&Record { file, store }, Act::Delete)
}

/// Store of what a name stood for before the rename.
#[inline(always)]
fn left(entry: Entry<Typed>) -> Option<u32> {
    let address = entry.address();
    // SAFETY: the value is one word, and nobody else renames by this entry meanwhile.
    let store = unsafe { RENAMES.get(address) }.copied();
    let _absent = RENAMES.remove(address);
    store
}

/// A directory outside of all stores that was in one is a root of it; one that has come back is so no longer.
#[inline(always)]
fn follow(entry: Entry<Typed>, inode: Inode<Typed>, was: Option<u32>) -> Result<Outcome, Trouble> {
    let directory = inode.key()?;
    let inside = walk(entry)?.store != NO_STORE;
    // SAFETY: the value is one word; see `walk`.
    let root = unsafe { ROOTS.get(directory) }.copied();
    match (was, root) {
        (_, Some(root)) if inside && root & MOVED != 0 => {
            let _absent = ROOTS.remove(directory);
        }
        (Some(store), None) if !inside => ROOTS
            .insert(directory, store | MOVED, 0)
            .map_err(|_| Trouble::Dropped(Error::RootsFull))?,
        _ => {}
    }
    Ok(Outcome::Summed)
}
