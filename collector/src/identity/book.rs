//! Tokens and what became of them: a small database beside the authority, which the daemon and the administrator's commands share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::token::{self, Secret};
use super::{IdentityError, directory};
use crate::database::{self, Commit};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS token (
  hash BLOB PRIMARY KEY,
  sensor TEXT NOT NULL,
  expires_s INTEGER NOT NULL,
  spent_s INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS revoked (
  sensor TEXT PRIMARY KEY,
  until_s INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS alive (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  until_s INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS analyst (
  name TEXT PRIMARY KEY,
  roles TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS analyst_shown (
  name TEXT PRIMARY KEY,
  authority TEXT NOT NULL,
  from_s INTEGER NOT NULL,
  until_s INTEGER NOT NULL
) STRICT;
";
/// Tokens are forgotten so long after they could be used.
const FORGET_S: i64 = 90 * 86_400;

/// What was revoked: of each sensor, the last second whose certificates no longer count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked(BTreeMap<String, i64>);

impl Revoked {
    /// Whether a sensor's certificate that is valid from a second on was revoked.
    pub fn holds(&self, sensor: &str, not_before_s: i64) -> bool {
        self.0
            .get(sensor)
            .is_some_and(|until| not_before_s <= *until)
    }
}

/// The database, open.
#[derive(Debug)]
pub struct Book {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl Book {
    /// Opens or makes it, for the daemon.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn open_or_make(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = directory(data_dir).join("book.db");
        let inner = || {
            let connection = database::open(&path, Commit::Durable)?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        match inner() {
            Ok(connection) => Ok(Self { connection, path }),
            Err(source) => Err(IdentityError::Database { path, source }),
        }
    }

    /// Opens the one the daemon has made: made by somebody else it would be somebody else's.
    ///
    /// # Errors
    ///
    /// There is none, or SQLite says no.
    pub fn open(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = directory(data_dir).join("book.db");
        match path.try_exists() {
            Ok(true) => Self::open_or_make(data_dir),
            Ok(false) => Err(IdentityError::NeverRan(path)),
            Err(source) => Err(super::files::io(&path, source)),
        }
    }

    /// Lets `secret` be spent once, for this sensor, until a time (seconds since the Unix epoch).
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn add(
        &self,
        secret: &Secret,
        sensor: &str,
        now_s: i64,
        expires_s: i64,
    ) -> Result<(), IdentityError> {
        let inner = || {
            self.connection
                .execute("DELETE FROM token WHERE expires_s < ?1", [now_s - FORGET_S])?;
            self.connection.execute(
                "INSERT INTO token (hash, sensor, expires_s) VALUES (?1, ?2, ?3)",
                params![secret.hash(), sensor, expires_s],
            )
        };
        inner().map(drop).map_err(|source| self.error(source))
    }

    /// Spends a secret; answers for which sensor it was. `None` when it is unknown, spent or expired. Of any number that
    /// spend it at a time, one does.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn spend(&self, secret: &[u8], now_s: i64) -> Result<Option<String>, IdentityError> {
        self.connection
            .query_row(
                "UPDATE token SET spent_s = ?2 WHERE hash = ?1 AND spent_s IS NULL AND expires_s > ?2 RETURNING sensor",
                params![token::hash(secret), now_s],
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| self.error(source))
    }

    /// How many secrets could be spent.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn unused(&self, now_s: i64) -> Result<u64, IdentityError> {
        let sql = "SELECT count(*) FROM token WHERE spent_s IS NULL AND expires_s > ?1";
        let counted: Result<i64, _> = self.connection.query_row(sql, [now_s], |row| row.get(0));
        counted
            .map(i64::unsigned_abs)
            .map_err(|source| self.error(source))
    }

    /// Takes back every certificate a sensor has been given until now, and its tokens; answers whether the sensor was heard of here.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn revoke(&mut self, sensor: &str, now_s: i64) -> Result<bool, IdentityError> {
        let mut inner = || {
            let transaction = self.connection.transaction()?;
            transaction.execute(
                "INSERT INTO revoked (sensor, until_s) VALUES (?1, ?2)
                 ON CONFLICT (sensor) DO UPDATE SET until_s = max(until_s, excluded.until_s)",
                params![sensor, now_s],
            )?;
            let known: i64 = transaction.query_row(
                "SELECT count(*) FROM token WHERE sensor = ?1",
                [sensor],
                |row| row.get(0),
            )?;
            transaction.execute(
                "UPDATE token SET spent_s = ?2 WHERE sensor = ?1 AND spent_s IS NULL",
                params![sensor, now_s],
            )?;
            transaction.commit()?;
            Ok(known > 0)
        };
        let revoked = inner();
        revoked.map_err(|source| self.error(source))
    }

    /// The collector runs with this book at a time.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn alive(&self, now_s: i64) -> Result<(), IdentityError> {
        let sql = "INSERT INTO alive (one, until_s) VALUES (1, ?1)
                   ON CONFLICT (one) DO UPDATE SET until_s = max(until_s, excluded.until_s)";
        let written = self.connection.execute(sql, [now_s]);
        written.map(drop).map_err(|source| self.error(source))
    }

    /// The last time at which a collector ran with this book.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn alive_until(&self) -> Result<Option<i64>, IdentityError> {
        let sql = "SELECT until_s FROM alive";
        let row = self.connection.query_row(sql, [], |row| row.get(0));
        row.optional().map_err(|source| self.error(source))
    }

    /// What has been revoked.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn revoked(&self) -> Result<Revoked, IdentityError> {
        let inner = || {
            let mut statement = self
                .connection
                .prepare_cached("SELECT sensor, until_s FROM revoked")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, rusqlite::Error>>()
        };
        inner().map(Revoked).map_err(|source| self.error(source))
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> IdentityError {
        let path = self.path.clone();
        IdentityError::Database { path, source }
    }
}
