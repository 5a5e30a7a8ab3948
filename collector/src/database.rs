//! How SQLite databases are opened, for writing and beside a writer, everywhere alike.
//!
//! All are in WAL mode. A writer that closes last would fold the log files into the database and delete them; then
//! somebody who may read the directory but not write to it (the analysts' group) could open nothing until the collector
//! runs again, since reading a WAL database needs those files. So they are left where they are.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// How long to wait for another connection that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Once it is on the disk.
    Durable,
    /// At once; a loss of power may take back the last ones.
    Soon,
}

/// Opens a database for writing; makes an empty one when there is none.
pub(crate) fn open(path: &Path, commit: Commit) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match commit {
        Commit::Durable => "FULL",
        Commit::Soon => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

/// Opens a database that is there for reading only, beside a writer or without one.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
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
