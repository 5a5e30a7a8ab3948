//! Files of keys and certificates: private ones are made private and refused when they are not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::IdentityError;

/// Larger than any chain of certificates.
const BYTES_MAX: u64 = 1 << 20;

/// Makes a directory only its owner can enter, unless there is one.
pub(super) fn make_private_directory(directory: &Path) -> Result<(), IdentityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| io(directory, source))
}

/// Makes a file that must not be there yet, and brings it to the disk.
pub(super) fn create(file: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut out = options.open(file)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()
    };
    write().map_err(|source| io(file, source))
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
    let mode = opened.metadata().map_err(|source| io(file, source))?.mode() & 0o7777;
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
