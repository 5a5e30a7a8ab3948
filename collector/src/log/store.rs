//! The log's database: its tables, what is written in a transaction, and reading it back.
//!
//! Format 2; format 1 had no `encoding` and no `content`, and is brought up when it is opened for writing. `batch.pos` is the order of the log and is never used twice. Sequence numbers and times fit signed 64 bit
//! columns because ingest refuses larger ones.
//!
//! **Invariant:** a row of `batch` is never changed, and `mark` moves in the transaction that adds the row.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::{AppendError, Batch, Encoding, Epoch, LogError, Note, OWN_EPOCH};
use crate::database::{self, Commit};

/// Version of the tables, kept in `user_version`.
const FORMAT: i64 = 2;
/// The format without `encoding` and `content`.
const FORMAT_PLAIN: i64 = 1;
/// Batches read at a time.
const PAGE: i64 = 64;
/// Most events that the collector itself puts into the log about one sensor: each is another conflict, and a person has looked long
/// before there are so many.
const NOTES_MAX: u64 = 1_000;

const LAST_POS: &str = "SELECT coalesce(max(pos), 0) FROM batch";

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE batch (
  pos INTEGER PRIMARY KEY AUTOINCREMENT,
  sensor TEXT NOT NULL,
  epoch BLOB NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  missing_before INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  payload BLOB NOT NULL,
  encoding INTEGER NOT NULL DEFAULT 1,
  content BLOB,
  UNIQUE (sensor, epoch, first_seq)
) STRICT;
CREATE INDEX batch_last_ns ON batch (last_ns);
CREATE TABLE mark (
  sensor TEXT NOT NULL,
  epoch BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (sensor, epoch)
) STRICT, WITHOUT ROWID;
";

/// From format 1 on: what was kept so far is plain, and is hashed when it is compared with.
const FROM_PLAIN: &str = "
ALTER TABLE batch ADD COLUMN encoding INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch ADD COLUMN content BLOB;
";

/// The log, open for writing; there is one per data directory.
#[derive(Debug)]
pub struct LogStore {
    connection: Connection,
    path: PathBuf,
    log_id: Uuid,
}

/// What became of a batch in a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// It was added at this place; so many numbers before it are missing.
    New { missing_before: u64, pos: i64 },
    /// It was there already, with the same events.
    Duplicate,
}

/// A batch read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its place in the log.
    pub pos: i64,
    /// The sensor it came from.
    pub sensor: Arc<str>,
    /// The run of sequence numbers it belongs to.
    pub epoch: Epoch,
    /// Number of its first event.
    pub first_seq: u64,
    /// Number of its last event.
    pub last_seq: u64,
    /// Sequence numbers missing directly before it.
    pub missing_before: u64,
    /// How its events are encoded.
    pub encoding: Encoding,
    /// The events, as they came.
    pub payload: Vec<u8>,
    /// SHA-256 of the events before they were encoded; `None` where the log is older than that, and for what the collector itself said.
    pub content: Option<[u8; 32]>,
}

impl StoredBatch {
    /// Number of its events.
    pub fn events(&self) -> u64 {
        (self.last_seq.saturating_sub(self.first_seq)).saturating_add(1)
    }
}

impl LogStore {
    /// Opens the log in a data directory; makes it when there is none.
    pub fn open(data_dir: &Path) -> Result<Self, LogError> {
        let path = file(data_dir);
        let inner = || -> Result<(Connection, i64), rusqlite::Error> {
            let mut connection = database::open(&path, Commit::Durable)?;
            let found = create(&mut connection)?;
            Ok((connection, found))
        };
        let (connection, found) = inner().map_err(|error| refused(&path, &error))?;
        check_format(&path, found)?;
        let log_id = read_log_id(&connection).map_err(|error| refused(&path, &error))?;
        Ok(Self {
            connection,
            path,
            log_id,
        })
    }

    /// Names this log: made with the database, kept for its life.
    pub fn log_id(&self) -> Uuid {
        self.log_id
    }

    /// Up to which number the log holds an epoch.
    pub(super) fn mark(&self, sensor: &str, epoch: Epoch) -> Result<Option<u64>, LogError> {
        read_mark(&self.connection, sensor, epoch).map_err(|error| refused(&self.path, &error))
    }

    /// Position of the last batch, 0 for an empty log.
    pub(super) fn last_pos(&self) -> Result<i64, LogError> {
        self.connection
            .query_row(LAST_POS, [], |row| row.get(0))
            .map_err(|error| refused(&self.path, &error))
    }

    /// Begins a transaction that several batches may share.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, LogError> {
        let path = self.path.clone();
        self.connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(|error| refused(&path, &error))
    }

    /// Turns what SQLite said into an error that names the file.
    pub(super) fn error(&self, error: &rusqlite::Error) -> LogError {
        refused(&self.path, error)
    }
}

/// Adds a batch, or finds it there. Writes nothing when it returns a refusal.
pub(super) fn append(
    transaction: &Transaction<'_>,
    batch: &Batch,
    span: (u64, u64),
    received_ns: u64,
) -> Result<Result<Appended, AppendError>, rusqlite::Error> {
    let mark = read_mark(transaction, &batch.sensor, batch.epoch)?;
    let expected = mark.unwrap_or(0) + 1;
    if batch.first_seq < expected {
        let same = holds(transaction, batch)?;
        let overlap = AppendError::Overlap {
            first: batch.first_seq,
            last: batch.last_seq,
            mark: expected - 1,
        };
        return Ok(if same {
            Ok(Appended::Duplicate)
        } else {
            Err(overlap)
        });
    }
    if batch.first_seq > expected && batch.first_seq != batch.offered_from {
        return Ok(Err(AppendError::Hole {
            first: batch.first_seq,
            expected,
        }));
    }
    let missing_before = batch.first_seq - expected;
    let pos = insert(transaction, batch, missing_before, span, received_ns)?;
    Ok(Ok(Appended::New {
        missing_before,
        pos,
    }))
}

/// Adds what the collector itself says about a sensor, unless the log has it already, or has more of it than anybody reads; answers
/// its place.
pub(super) fn note(
    transaction: &Transaction<'_>,
    note: &Note,
    received_ns: u64,
) -> Result<Option<i64>, rusqlite::Error> {
    let sensor = &note.block.origin.sensor;
    let (content, events) = (
        content_hash(&note.about),
        note.block.events.len() as u64 + note.block.unknown,
    );
    let mark = read_mark(transaction, sensor, OWN_EPOCH)?.unwrap_or(0);
    let known: bool = transaction
        .prepare_cached(
            "SELECT count(*) FROM batch WHERE sensor = ?1 AND epoch = ?2 AND content = ?3",
        )?
        .query_row(params![&**sensor, OWN_EPOCH, content], |row| row.get(0))?;
    if known || mark >= NOTES_MAX {
        return Ok(None);
    }
    let batch = Batch {
        sensor: sensor.clone(),
        epoch: OWN_EPOCH,
        first_seq: mark + 1,
        last_seq: mark + events,
        offered_from: mark + 1,
        content,
        encoding: Encoding::Plain,
        payload: note.payload.clone(),
    };
    let span = note.block.span().unwrap_or((received_ns, received_ns));
    insert(transaction, &batch, 0, span, received_ns).map(Some)
}

fn insert(
    transaction: &Transaction<'_>,
    batch: &Batch,
    missing_before: u64,
    span: (u64, u64),
    received_ns: u64,
) -> Result<i64, rusqlite::Error> {
    transaction
        .prepare_cached(
            "INSERT INTO batch (sensor, epoch, first_seq, last_seq, missing_before, first_ns, last_ns, received_ns, payload, encoding, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            &*batch.sensor,
            batch.epoch,
            batch.first_seq as i64,
            batch.last_seq as i64,
            missing_before as i64,
            span.0 as i64,
            span.1 as i64,
            received_ns as i64,
            batch.payload,
            code(batch.encoding),
            batch.content,
        ])?;
    let pos = transaction.last_insert_rowid();
    transaction
        .prepare_cached(
            "INSERT INTO mark (sensor, epoch, seq) VALUES (?1, ?2, ?3)
             ON CONFLICT (sensor, epoch) DO UPDATE SET seq = excluded.seq",
        )?
        .execute(params![&*batch.sensor, batch.epoch, batch.last_seq as i64])?;
    Ok(pos)
}

/// True when the log has the very events of this batch under these numbers, however they are encoded.
fn holds(transaction: &Transaction<'_>, batch: &Batch) -> Result<bool, rusqlite::Error> {
    let content = transaction
        .prepare_cached(
            "SELECT content, iif(content IS NULL, payload, NULL) FROM batch
             WHERE sensor = ?1 AND epoch = ?2 AND first_seq = ?3 AND last_seq = ?4",
        )?
        .query_row(
            params![
                &*batch.sensor,
                batch.epoch,
                batch.first_seq as i64,
                batch.last_seq as i64
            ],
            |row| match row.get(0)? {
                Some(content) => Ok(content),
                None => Ok(content_hash(&row.get::<_, Vec<u8>>(1)?)),
            },
        )
        .optional()?;
    Ok(content == Some(batch.content))
}

/// The hash by which batches are compared: SHA-256 of their events before these were encoded.
pub fn content_hash(plain: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, plain).as_ref());
    hash
}

const fn code(encoding: Encoding) -> i64 {
    match encoding {
        Encoding::Plain => 1,
        Encoding::Zstd => 2,
    }
}

fn encoding(column: usize, code: i64) -> Result<Encoding, rusqlite::Error> {
    match code {
        1 => Ok(Encoding::Plain),
        2 => Ok(Encoding::Zstd),
        _ => Err(rusqlite::Error::IntegralValueOutOfRange(column, code)),
    }
}

fn read_mark(
    connection: &Connection,
    sensor: &str,
    epoch: Epoch,
) -> Result<Option<u64>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT seq FROM mark WHERE sensor = ?1 AND epoch = ?2")?
        .query_row(params![sensor, epoch], |row| row.get::<_, i64>(0))
        .optional()
        .map(|seq| seq.map(|seq| seq as u64))
}

/// The log, open for reading only, beside a collector that writes or without one.
#[derive(Debug)]
pub struct LogReader {
    connection: Connection,
    path: PathBuf,
    format: i64,
}

impl LogReader {
    /// Opens the log of a data directory.
    pub fn open(data_dir: &Path) -> Result<Self, LogError> {
        let path = file(data_dir);
        let inner = || -> Result<(Connection, i64), rusqlite::Error> {
            let connection = database::open_to_read(&path)?;
            let found = database::format(&connection)?;
            Ok((connection, found))
        };
        let (connection, found) = inner().map_err(|error| refused(&path, &error))?;
        check_format(&path, found)?;
        Ok(Self {
            connection,
            path,
            format: found,
        })
    }

    /// Position of the last batch, 0 for an empty log.
    pub fn last_pos(&self) -> Result<i64, LogError> {
        self.one(LAST_POS)
    }

    /// Latest event time in the log, nanoseconds since the Unix epoch; 0 for an empty log. An event from a host whose
    /// clock is ahead counts from when it was received, or one wrong clock would hide what all other hosts sent.
    pub fn newest_ns(&self) -> Result<u64, LogError> {
        self.one("SELECT coalesce(min(max(last_ns), max(received_ns)), 0) FROM batch")
            .map(|ns| ns as u64)
    }

    /// Position of the first batch with an event at or after a time; one behind the last when there is none.
    pub fn first_pos_since(&self, ns: u64) -> Result<i64, LogError> {
        let sql = "SELECT coalesce((SELECT min(pos) FROM batch WHERE last_ns >= ?1),
                                   (SELECT coalesce(max(pos), 0) + 1 FROM batch))";
        self.connection
            .query_row(sql, [ns as i64], |row| row.get(0))
            .map_err(|error| refused(&self.path, &error))
    }

    /// Number of batches and of the events in them.
    pub fn totals(&self) -> Result<(u64, u64), LogError> {
        let batches = self.one("SELECT count(*) FROM batch")?;
        let events = self.one("SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM batch")?;
        Ok((batches as u64, events as u64))
    }

    /// The next few batches from a position on, in log order; empty at the end.
    pub fn page(&self, from_pos: i64) -> Result<Vec<StoredBatch>, LogError> {
        let how = if self.format == FORMAT_PLAIN {
            "1, NULL"
        } else {
            "encoding, content"
        };
        let sql = format!(
            "SELECT pos, sensor, epoch, first_seq, last_seq, missing_before, payload, {how} FROM batch
             WHERE pos >= ?1 ORDER BY pos LIMIT ?2"
        );
        let read = || -> Result<Vec<StoredBatch>, rusqlite::Error> {
            self.connection
                .prepare_cached(&sql)?
                .query_map([from_pos, PAGE], |row| {
                    let epoch = row.get(2)?;
                    Ok(StoredBatch {
                        pos: row.get(0)?,
                        sensor: row.get::<_, String>(1)?.into(),
                        epoch,
                        first_seq: row.get::<_, i64>(3)? as u64,
                        last_seq: row.get::<_, i64>(4)? as u64,
                        missing_before: row.get::<_, i64>(5)? as u64,
                        payload: row.get(6)?,
                        encoding: encoding(7, row.get(7)?)?,
                        // That of a note tells it from other notes and is not of its events.
                        content: row.get::<_, Option<_>>(8)?.filter(|_| epoch != OWN_EPOCH),
                    })
                })?
                .collect()
        };
        read().map_err(|error| refused(&self.path, &error))
    }

    fn one(&self, sql: &str) -> Result<i64, LogError> {
        self.connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| refused(&self.path, &error))
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("log.db")
}

/// Makes the tables in a new database and brings up those of format 1; returns the format it has now.
fn create(connection: &mut Connection) -> Result<i64, rusqlite::Error> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let format = database::format(&transaction)?;
    if format == FORMAT_PLAIN {
        transaction.execute_batch(FROM_PLAIN)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    if format == 0 {
        transaction.execute_batch(SCHEMA)?;
        let id = Uuid::new_v4();
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('log_id', ?1)",
            [id.as_bytes().as_slice()],
        )?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    let found = database::format(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

fn check_format(path: &Path, found: i64) -> Result<(), LogError> {
    if (FORMAT_PLAIN..=FORMAT).contains(&found) {
        return Ok(());
    }
    Err(LogError::Format {
        path: path.display().to_string(),
        found,
        known: FORMAT,
    })
}

fn read_log_id(connection: &Connection) -> Result<Uuid, rusqlite::Error> {
    let bytes: [u8; 16] =
        connection.query_row("SELECT value FROM meta WHERE key = 'log_id'", [], |row| {
            row.get(0)
        })?;
    Ok(Uuid::from_bytes(bytes))
}

fn refused(path: &Path, error: &rusqlite::Error) -> LogError {
    LogError::Database {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
