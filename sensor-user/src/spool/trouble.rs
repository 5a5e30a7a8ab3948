//! What the disk refuses, in words for whoever has to put it right.

use std::path::Path;

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why the disk spool cannot be used at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}: {reason}; spool.directory in the configuration names the place: {remedy}")]
pub(super) struct Trouble {
    /// The file or directory.
    file: String,
    /// What was said.
    reason: String,
    /// What to do.
    remedy: &'static str,
    /// What is in the file is no good database.
    pub(super) is_damage: bool,
}

const FREE: &str = "free space on its file system or set spool.max_bytes lower";
const WRITABLE: &str = "mount its file system writable, or name a directory on one that is";
const PERMIT: &str = "let the sensor's user write there, or name another directory";
const CHECK: &str =
    "look into the kernel's log for errors of the disk and replace it if there are any";
const TAKEN: &str = "another sensor uses it, stop that one or name another directory";

impl Trouble {
    /// From what SQLite said about a database.
    pub(super) fn database(path: &Path, error: &rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let remedy = match code {
            Some(ErrorCode::DiskFull) => FREE,
            Some(ErrorCode::ReadOnly) => WRITABLE,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => PERMIT,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => TAKEN,
            _ => CHECK,
        };
        Self {
            file: path.display().to_string(),
            reason: error.to_string(),
            remedy,
            is_damage: matches!(
                code,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ) || code.is_none(),
        }
    }

    /// From what the system said about a file or directory.
    pub(super) fn system(path: &Path, error: &std::io::Error) -> Self {
        let remedy = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FREE,
            std::io::ErrorKind::ReadOnlyFilesystem => WRITABLE,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotADirectory => PERMIT,
            _ => CHECK,
        };
        Self {
            file: path.display().to_string(),
            reason: error.to_string(),
            remedy,
            is_damage: false,
        }
    }

    /// Another sensor has the directory.
    pub(super) fn taken(directory: &Path) -> Self {
        Self {
            file: directory.display().to_string(),
            reason: "it is in use".to_owned(),
            remedy: TAKEN,
            is_damage: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_key_and_remedy_are_said() {
        let path = Path::new("/s/spool.db");
        let said = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let trouble = Trouble::database(path, &error);
            (trouble.to_string(), trouble.is_damage)
        };
        let cases = [
            (rusqlite::ffi::SQLITE_FULL, FREE, false),
            (rusqlite::ffi::SQLITE_READONLY, WRITABLE, false),
            (rusqlite::ffi::SQLITE_IOERR, CHECK, false),
            (rusqlite::ffi::SQLITE_CANTOPEN, PERMIT, false),
            (rusqlite::ffi::SQLITE_CORRUPT, CHECK, true),
            (rusqlite::ffi::SQLITE_NOTADB, CHECK, true),
        ];
        for (code, remedy, is_damage) in cases {
            let (text, damage) = said(code);
            assert!(text.starts_with("/s/spool.db: "), "{text}");
            assert!(
                text.contains("spool.directory") && text.ends_with(remedy),
                "{text}"
            );
            assert_eq!(damage, is_damage, "{text}");
        }
    }
}
