//! Files of keys and certificates: private ones are made private and refused when they are not.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::IdentityError;
use crate::durable;

/// Larger than any chain of certificates.
const BYTES_MAX: u64 = 1 << 20;

/// Makes a directory only its owner can enter, unless there is one.
pub(super) fn make_private_directory(directory: &Path) -> Result<(), IdentityError> {
    durable::make_directory(directory, 0o700).map_err(|source| io(directory, source))
}

/// Makes files (name, text, mode) that must not be there yet, so that after a loss of power all of them are there, or none, or
/// [`finish`] makes it all: each is whole on the disk under another name before the first gets its own.
pub(super) fn create(directory: &Path, all: &[(&str, &str, u32)]) -> Result<(), IdentityError> {
    for (name, text, mode) in all {
        let file = fresh(directory, name);
        write(&file, text, *mode).map_err(|source| io(&file, source))?;
    }
    sync(directory)?;
    all.iter()
        .try_for_each(|(name, ..)| settle(directory, name))?;
    sync(directory)
}

/// Ends a [`create`] that was cut off between the files getting their names.
pub(super) fn finish(directory: &Path, names: &[&str]) -> Result<(), IdentityError> {
    let is_there = |name: &&str| directory.join(name).exists();
    let (there, missing): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| is_there(name));
    for name in missing {
        if !there.is_empty() && fresh(directory, name).exists() {
            settle(directory, name)?;
            sync(directory)?;
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), IdentityError> {
    durable::sync_directory(directory).map_err(|source| io(directory, source))
}

fn fresh(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.new"))
}

fn settle(directory: &Path, name: &str) -> Result<(), IdentityError> {
    let file = directory.join(name);
    std::fs::rename(fresh(directory, name), &file).map_err(|source| io(&file, source))
}

/// Writes a file and brings it to the disk; what an attempt that was cut off has left goes before.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), std::io::Error> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut out = options.open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

/// Gives a file a second name, which outlives what the first is used for later. The same file under that name already is as good.
pub(super) fn keep_as(file: &Path, copy: &Path) -> Result<(), IdentityError> {
    let link = || match std::fs::hard_link(file, copy) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let same = std::fs::read(file)? == std::fs::read(copy)?;
            if same { Ok(()) } else { Err(error) }
        }
        linked => linked,
    };
    link().map_err(|source| io(copy, source))?;
    sync_beside(copy)
}

/// Renames a file over another, and brings that to the disk.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), IdentityError> {
    std::fs::rename(from, to).map_err(|source| io(from, source))?;
    sync_beside(to)
}

fn sync_beside(file: &Path) -> Result<(), IdentityError> {
    file.parent().map_or(Ok(()), sync)
}

/// Reads a file; `None` when there is none.
pub(super) fn read(file: &Path) -> Result<Option<String>, IdentityError> {
    opened(file)?.map(|opened| text(opened, file)).transpose()
}

/// Reads a file only its owner may read; `None` when there is none. Permissions are those of the file that was opened, not of whatever
/// has its name later.
///
/// # Errors
///
/// Group or others have any right to it ([`IdentityError::Open`]), or it cannot be read.
pub(super) fn read_private(file: &Path) -> Result<Option<String>, IdentityError> {
    let Some(opened) = opened(file)? else {
        return Ok(None);
    };
    let metadata = opened.metadata().map_err(|source| io(file, source))?;
    if metadata.is_dir() {
        return Err(io(file, ErrorKind::IsADirectory.into()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let file = file.to_owned();
        return Err(IdentityError::Open { file, mode });
    }
    text(opened, file).map(Some)
}

fn opened(file: &Path) -> Result<Option<File>, IdentityError> {
    match File::open(file) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io(file, source)),
    }
}

fn text(opened: File, file: &Path) -> Result<String, IdentityError> {
    let mut text = String::new();
    let mut limited = opened.take(BYTES_MAX);
    let read = limited.read_to_string(&mut text);
    read.map(|_| text).map_err(|source| io(file, source))
}

pub(super) fn io(file: &Path, source: std::io::Error) -> IdentityError {
    let file = file.to_owned();
    IdentityError::Io { file, source }
}
