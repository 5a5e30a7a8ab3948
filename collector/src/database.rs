//! How SQLite databases are opened, for writing and beside a writer, everywhere alike.
//!
//! All are in WAL mode. A writer that closes last would fold the log files into the database and delete them; then
//! somebody who may read the directory but not write to it (the analysts' group) could open nothing until the collector
//! runs again, since reading a WAL database needs those files. So they are left where they are.
//!
//! What was committed is in the log, and from time to time the log is folded into the database. SQLite does that by itself and
//! tells nobody when it fails; then nothing is lost, but the log grows without end. So it is done here, and said.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::durable;

/// How long to wait for another connection that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages in a log from which on each commit tries to fold it into its database, as SQLite would.
const FOLD_PAGES: i32 = 1000;

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Once it is on the disk.
    Durable,
    /// At once; a loss of power may take back the last ones.
    Soon,
}

/// Opens a database for writing; makes an empty one when there is none.
///
/// # Errors
///
/// SQLite says no; or the file is gone or empty while its log is there. SQLite would take that for a new database and delete the
/// log, and with it what was committed there.
pub(crate) fn open(path: &Path, commit: Commit) -> Result<Connection, rusqlite::Error> {
    let length = |path: &Path| path.metadata().map_or(0, |found| found.len());
    let log = log_of(path);
    if length(path) == 0 && length(&log) > 0 {
        let reason = format!(
            "the file is gone or empty, while {} is there; put both back from a backup, or move that away to begin with an empty database",
            log.display()
        );
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
        return Err(rusqlite::Error::SqliteFailure(code, Some(reason)));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match commit {
        Commit::Durable => "FULL",
        Commit::Soon => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.wal_hook(Some(folding(path)))?;
    Ok(connection)
}

/// Folds the log of a database into it when it has become long. A failure is said once, until it works again; the commit that it
/// comes with is one all the same.
fn folding(path: &Path) -> impl FnMut(&mut Wal, i32) -> Result<(), rusqlite::Error> + Send + use<> {
    let (path, mut fails) = (path.to_owned(), false);
    move |log, pages| {
        if pages < FOLD_PAGES {
            return Ok(());
        }
        let file = path.display();
        match log.checkpoint() {
            Ok(()) if std::mem::take(&mut fails) => {
                tracing::info!(%file, "the log of this database is folded into it again");
            }
            // Somebody else is at it.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) if !std::mem::replace(&mut fails, true) => {
                tracing::error!(%error, %file, pages, "the log of this database cannot be folded into it and grows; nothing is lost. Look into the kernel's log for errors of the disk");
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}

/// Whether an error is about what a database holds, and not about the system around it.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let Some(code) = error.sqlite_error_code() else {
        // A value of another type than was written.
        return true;
    };
    let is_short = error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ);
    let of_the_system = matches!(
        code,
        ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::FileLockingProtocolFailed
    );
    is_short || !of_the_system
}

/// Gives a database that nobody has open for writing another name, with its log; answers which. Nothing is deleted.
///
/// # Errors
///
/// What the system says.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, std::io::Error> {
    let ends = ["-wal", "-shm", ""];
    let aside = durable::aside(path, &ends);
    for end in ends {
        let from = durable::with_end(path, end);
        if from.exists() {
            std::fs::rename(from, durable::with_end(&aside, end))?;
        }
    }
    if let Some(directory) = path.parent() {
        durable::sync_directory(directory)?;
    }
    Ok(aside)
}

/// Opens a database that is there for reading only, beside a writer or without one.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn log_of(path: &Path) -> PathBuf {
    durable::with_end(path, "-wal")
}

/// Version of the tables, as the database says; 0 for an empty one.
pub(crate) fn format(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("SELECT user_version FROM pragma_user_version", [], |row| {
        row.get(0)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        let ask = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
        connection.query_row(&ask, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_database_that_lost_its_file_is_not_taken_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = open(&path, Commit::Durable).unwrap();
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        drop(connection);
        let log = std::fs::read(log_of(&path)).unwrap();
        std::fs::write(&path, "").unwrap();
        for _ in 0..2 {
            let error = open(&path, Commit::Durable).unwrap_err().to_string();
            assert!(error.contains("gone or empty") && error.contains("a.db-wal"));
            assert_eq!(std::fs::read(log_of(&path)).unwrap(), log);
            if path.exists() {
                std::fs::remove_file(&path).unwrap();
            }
        }
        std::fs::remove_file(log_of(&path)).unwrap();
        open(&path, Commit::Durable).unwrap();
    }

    #[test]
    fn a_commit_is_on_the_disk_and_the_log_files_outlive_the_last_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        for (commit, synchronous) in [(Commit::Durable, "2"), (Commit::Soon, "1")] {
            let connection = open(&path, commit).unwrap();
            assert_eq!(pragma(&connection, "journal_mode"), "wal");
            assert_eq!(pragma(&connection, "synchronous"), synchronous);
        }
        let connection = open(&path, Commit::Durable).unwrap();
        connection.execute_batch("CREATE TABLE t (n)").unwrap();
        drop(connection);
        drop(open_to_read(&path).unwrap());
        for file in ["a.db-wal", "a.db-shm"] {
            assert!(dir.path().join(file).exists(), "{file} is gone");
        }
        let reader = open_to_read(&path).unwrap();
        assert!(reader.execute_batch("INSERT INTO t VALUES (1)").is_err());
        assert_eq!(format(&reader).unwrap(), 0);
    }
}
