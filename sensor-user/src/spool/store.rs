//! The database on the disk: its tables, what is written in a transaction, and reading it back.
//!
//! Format 3; format 1 had no `encoding`, format 2 no classes, stores, holes and losses (`evict`); both are brought up when they are opened.
//! `batch.id` is the order in which everything was taken, so the smallest is the oldest. `clock_s` counts the seconds that sensors ran with this database, which no wall
//! clock can move; `time_ns` is for people. SQLite in WAL mode with full sync: a commit is one sync of the log. Nobody else opens it meanwhile.
//!
//! **Invariant:** a row of `batch` is never changed, and goes only as a whole.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use thiserror::Error;
use uuid::Uuid;

use super::earlier::Earlier;
use super::evict::{self, Eviction};
use super::holes::Holes;
use super::memory::{Evicted, Work};
use super::trouble::Trouble;
use super::{About, Batch, Disk, Encoding, Loss, LossKind};
use crate::{clock, durable};

/// Version of the tables, kept in `user_version`.
const FORMAT: i64 = 3;
/// The format without `encoding`, and the one without classes.
const FORMAT_PLAIN: i64 = 1;
const FORMAT_UNSORTED: i64 = 2;
/// Name of the database.
const FILE: &str = "spool.db";
/// Held by the one sensor that uses the directory.
const LOCK: &str = "spool.lock";
/// What a spool is made of, in its directory: the database, its log, and the lock.
pub const FILES: [&str; 3] = [FILE, "spool.db-wal", LOCK];
/// Databases that were set aside and stay; of more the oldest go.
const ASIDE_MAX: usize = 8;
/// What a row costs beside its payload, bytes: its columns, its places in the indexes, a hole beside it, and what SQLite needs for them.
pub(super) const ROW_BYTES: u64 = 192;
/// When something has to go, one part in so many of the whole goes at once: few gaps rather than one with every commit.
const EVICT_SHARE: u64 = 16;
/// Rows that are deleted at a time.
const ROWS: i64 = 1024;
/// Batches read at a time, and about how many bytes.
const PAGE: usize = 64;
const PAGE_BYTES: usize = 1024 * 1024;

const SCHEMA: &str = "
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid BLOB NOT NULL UNIQUE,
  acked INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  begun_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE batch (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  stands_for INTEGER NOT NULL,
  time_ns INTEGER NOT NULL,
  clock_s INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  payload BLOB NOT NULL,
  encoding INTEGER NOT NULL DEFAULT 1,
  class INTEGER NOT NULL DEFAULT 2,
  stores TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX batch_place ON batch (epoch, last_seq, first_seq, bytes);
";

/// From format 1 on: what it holds is plain.
const FROM_PLAIN: &str = "ALTER TABLE batch ADD COLUMN encoding INTEGER NOT NULL DEFAULT 1";
/// From format 2 on: nothing is known of what it holds, so it is worth most.
const FROM_UNSORTED: &str = "
ALTER TABLE batch ADD COLUMN class INTEGER NOT NULL DEFAULT 2;
ALTER TABLE batch ADD COLUMN stores TEXT NOT NULL DEFAULT '';
";

/// Why the disk could not be read.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// What SQLite said.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// There is no disk to stand on at the moment.
    #[error("there is no disk spool at the moment")]
    NoDisk,
}

impl ReadError {
    /// Whether it is over when the disk works again.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::NoDisk)
    }
}

/// The database, open for writing; there is one per directory.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    disk: Disk,
    epoch: i64,
    /// Bytes of all rows.
    bytes: u64,
    /// `clock_s` when it was opened, and the boot clock then.
    clock_s: u64,
    opened_ns: u64,
    /// Device and inode of the database that was opened, and of its log.
    identities: [(u64, u64); 2],
    /// Held as long as the database is.
    _lock: File,
}

/// What was in the database when it was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Epochs with something to deliver, oldest first.
    pub(super) earlier: Vec<Earlier>,
    /// Epochs and up to where they are persisted: the time that this is kept begins anew.
    pub(super) acked: Vec<(Uuid, u64)>,
    /// What an earlier sensor gave up and had not told.
    pub(super) untold: Vec<Loss>,
    /// An earlier sensor did not end in good order.
    pub(super) killed: Option<Loss>,
    /// A sensor has used the directory before, and its database is gone.
    pub(super) removed: bool,
}

impl Store {
    /// Opens the database of a directory for the epoch of this start; makes both when they are not there.
    pub(super) fn open(disk: &Disk, live: Uuid) -> Result<(Self, Found), Trouble> {
        make(&disk.directory)?;
        // The lock's file outlives every sensor, so it tells that there was one.
        let was_used = disk.directory.join(LOCK).exists();
        let lock = lock(&disk.directory)?;
        let path = file(&disk.directory);
        let removed = was_used && !path.exists();
        // The files beside it are as open to others as it is.
        own(&path)?;
        let inner = || -> Result<(Self, Found), rusqlite::Error> {
            let mut connection = open(&path)?;
            let format = create(&mut connection)?;
            if format != FORMAT {
                // Nothing of another version can be delivered, and nothing of it is deleted.
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
                    Some(format!("format {format} is not known, {FORMAT} is")),
                ));
            }
            let found = Found {
                removed,
                ..find(&connection, live)?
            };
            let epoch = begin(&connection, live)?;
            let bytes = sum(&connection)?;
            let clock_s = newest_clock(&connection)?;
            let store = Self {
                connection,
                disk: disk.clone(),
                epoch,
                bytes,
                clock_s,
                opened_ns: clock::boot_ns(),
                identities: [(0, 0); 2],
                _lock: lock,
            };
            Ok((store, found))
        };
        let (mut store, found) = inner().map_err(|error| Trouble::database(&path, &error))?;
        for (path, place) in [path, log(&disk.directory)]
            .iter()
            .zip(&mut store.identities)
        {
            *place = identity(path).map_err(|error| Trouble::system(path, &error))?;
        }
        Ok((store, found))
    }

    /// Whether database and log are still where they were: what is written to one that was removed or replaced is lost with this process.
    pub(super) fn is_in_place(&self) -> bool {
        let places = [file(&self.disk.directory), log(&self.disk.directory)];
        let is = |path: &PathBuf, was| identity(path).is_ok_and(|now| now == was);
        places
            .iter()
            .zip(self.identities)
            .all(|(path, was)| is(path, was))
    }

    /// Puts batches and acknowledgements on the disk with one sync; what is beyond the bounds goes in the same moment.
    pub(super) fn commit(&mut self, work: &Work) -> Result<Vec<Evicted>, rusqlite::Error> {
        let new: u64 = work.batches.iter().map(row_bytes).sum();
        let over = (self.bytes + new).saturating_sub(self.disk.bytes_max);
        let free = if over > 0 {
            over + self.disk.bytes_max / EVICT_SHARE
        } else {
            0
        };
        let (now_s, epoch) = (self.now_s(), self.epoch);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        acknowledge(&transaction, &work.acked)?;
        if let Some(place) = work.told {
            transaction.execute("UPDATE epoch SET ended = 1 WHERE id <> ?1", [epoch])?;
            evict::told(&transaction, place)?;
        }
        for batch in &work.batches {
            insert(&transaction, epoch, batch, now_s)?;
        }
        // Among all of them, for what has just come may be worth less than what is there.
        let eviction = Eviction::of_least(&transaction, free)?;
        transaction.commit()?;
        self.bytes = (self.bytes + new).saturating_sub(eviction.freed);
        Ok(eviction.gone)
    }

    /// What is older than it may be goes.
    pub(super) fn evict_old(&mut self) -> Result<Vec<Evicted>, rusqlite::Error> {
        let limit = self.now_s().saturating_sub(self.disk.age_max.as_secs());
        let oldest: Option<u64> = self
            .connection
            .query_row("SELECT clock_s FROM batch ORDER BY id LIMIT 1", [], |row| {
                row.get(0)
            })
            .optional()?;
        if oldest.is_none_or(|oldest| oldest >= limit) {
            return Ok(Vec::new());
        }
        let transaction = self.connection.transaction()?;
        let eviction = Eviction::of_old(&transaction, limit)?;
        transaction.commit()?;
        self.bytes = self.bytes.saturating_sub(eviction.freed);
        Ok(eviction.gone)
    }

    /// Deletes what is acknowledged of an epoch, up to `seq` and `ROWS` rows at most; answers how many went.
    pub(super) fn forget(&mut self, epoch: Uuid, seq: u64) -> Result<u64, rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        let (rows, bytes) = transaction
            .prepare_cached(
                "DELETE FROM batch WHERE id IN (
                   SELECT batch.id FROM batch JOIN epoch ON epoch.id = batch.epoch
                   WHERE epoch.uuid = ?1 AND last_seq <= min(?2, acked) ORDER BY last_seq LIMIT ?3)
                 RETURNING bytes",
            )?
            .query_map(params![epoch.as_bytes(), seq, ROWS], |row| {
                row.get::<_, u64>(0)
            })?
            .try_fold((0, 0), |(rows, sum), bytes| {
                Ok::<_, rusqlite::Error>((rows + 1, sum + bytes? + ROW_BYTES))
            })?;
        transaction.execute(
            "DELETE FROM epoch WHERE id <> ?1 AND ended = 1 AND id NOT IN (SELECT epoch FROM batch)",
            [self.epoch],
        )?;
        transaction.execute(
            "DELETE FROM hole WHERE epoch NOT IN (SELECT id FROM epoch)",
            [],
        )?;
        evict::fill(&transaction)?;
        transaction.commit()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Ok(rows)
    }

    /// Begins another epoch, the one before being whole up to what is committed; answers when what is held of that from `first` on was
    /// written.
    pub(super) fn turn(&mut self, next: Uuid, first: u64) -> Result<u64, rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        let since_ns = transaction.query_row(
            "SELECT time_ns FROM batch WHERE epoch = ?1 AND last_seq >= ?2 ORDER BY last_seq LIMIT 1",
            params![self.epoch, first],
            |row| row.get(0),
        )?;
        transaction.execute("UPDATE epoch SET ended = 1 WHERE id = ?1", [self.epoch])?;
        let epoch = begin(&transaction, next)?;
        transaction.commit()?;
        self.epoch = epoch;
        Ok(since_ns)
    }

    /// This sensor ends in good order: its successor has nothing to say about it.
    pub(super) fn end(&self) -> Result<(), rusqlite::Error> {
        (self.connection).execute("UPDATE epoch SET ended = 1 WHERE id = ?1", [self.epoch])?;
        Ok(())
    }

    /// The next batches of an epoch with events after `seq`. One that is not what was written is left out; the hole it leaves is
    /// found by whoever goes on behind it.
    pub(super) fn page(&self, epoch: Uuid, seq: u64) -> Result<Vec<Batch>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT first_seq, last_seq, crc, payload, encoding, time_ns FROM batch
         WHERE epoch = (SELECT id FROM epoch WHERE uuid = ?1) AND last_seq > ?2 ORDER BY last_seq",
        )?;
        let mut rows = statement.query(params![epoch.as_bytes(), seq])?;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES && batches.len() < PAGE {
            let Some(row) = rows.next()? else { break };
            let batch = Batch {
                first_seq: row.get(0)?,
                last_seq: row.get(1)?,
                // Who hands it out knows the holes.
                follows: row.get::<_, u64>(0)?.saturating_sub(1),
                stands_for: 0,
                written_ns: row.get(5)?,
                about: About::default(),
                encoding: encoding(4, row.get(4)?)?,
                payload: Arc::new(row.get(3)?),
            };
            if row.get::<_, u32>(2)? != batch.check() {
                let (first_seq, last_seq) = (batch.first_seq, batch.last_seq);
                tracing::error!(
                    first_seq,
                    last_seq,
                    "a batch in the spool is not what was written and is lost; look into the kernel's log for errors of the disk"
                );
                continue;
            }
            bytes += batch.payload.len();
            batches.push(batch);
        }
        Ok(batches)
    }

    /// What there is of an epoch after `persisted`, and all of the earlier ones.
    pub(super) fn everything(
        &self,
        epoch: Uuid,
        persisted: u64,
    ) -> Result<(Option<Earlier>, Vec<Earlier>), rusqlite::Error> {
        let mut live = self
            .connection
            .query_row(
                "SELECT uuid, first_seq, last_seq, time_ns FROM batch JOIN epoch ON epoch.id = batch.epoch
                 WHERE uuid = ?1 AND last_seq > ?2 ORDER BY last_seq LIMIT 1",
                params![epoch.as_bytes(), persisted],
                earlier,
            )
            .optional()?;
        let mut statement = self.connection.prepare(
            "SELECT uuid, min(first_seq), max(last_seq), min(time_ns) FROM batch JOIN epoch ON epoch.id = batch.epoch
             WHERE uuid <> ?1 GROUP BY epoch ORDER BY epoch",
        )?;
        let mut before: Vec<Earlier> = statement
            .query_map([epoch.as_bytes()], earlier)?
            .collect::<Result<_, _>>()?;
        for part in live.iter_mut().chain(&mut before) {
            part.holes = evict::holes(&self.connection, part.epoch)?;
        }
        Ok((live, before))
    }

    /// Bytes of all rows.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn now_s(&self) -> u64 {
        self.clock_s + clock::boot_ns().saturating_sub(self.opened_ns) / 1_000_000_000
    }
}

/// Moves the database and its log out of the way; answers where to, and which of those that were set aside before had to go for it.
/// Nothing may have it open.
pub(super) fn set_aside(directory: &Path) -> std::io::Result<(PathBuf, Vec<PathBuf>)> {
    let seconds = clock::unix_ns() / 1_000_000_000;
    let name = |part: &str, n: u64| format!("{FILE}{part}.aside-{}", seconds + n);
    // A second one in the same second gets the next one's name.
    let mut n = 0;
    while directory.join(name("", n)).exists() {
        n += 1;
    }
    for part in ["-wal", ""] {
        let from = directory.join(format!("{FILE}{part}"));
        if from.exists() {
            std::fs::rename(from, directory.join(name(part, n)))?;
        }
    }
    Ok((directory.join(name("", n)), bound(directory)?))
}

/// A disk that damages every database must not be filled by them: the newest stay.
fn bound(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let number = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_prefix(FILE)?.strip_prefix(".aside-")?;
        number.parse::<u64>().ok()
    };
    let entries = std::fs::read_dir(directory)?;
    let mut numbers: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| number(&entry))
        .collect();
    numbers.sort_unstable();
    let too_many = numbers.len().saturating_sub(ASIDE_MAX);
    let mut gone = Vec::new();
    for number in numbers.into_iter().take(too_many) {
        for part in ["-wal", ""] {
            let path = directory.join(format!("{FILE}{part}.aside-{number}"));
            match std::fs::remove_file(&path) {
                Ok(()) => gone.push(path),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(gone)
}

fn earlier(row: &rusqlite::Row<'_>) -> Result<Earlier, rusqlite::Error> {
    Ok(Earlier {
        epoch: Uuid::from_bytes(row.get(0)?),
        first: row.get(1)?,
        last: row.get(2)?,
        holes: Holes::default(),
        since_ns: row.get(3)?,
    })
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

fn log(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE}-wal"))
}

fn make(directory: &Path) -> Result<(), Trouble> {
    // What is in it can name patients.
    let made = durable::make_directory(directory, 0o700);
    made.map_err(|error| Trouble::system(directory, &error))
}

/// Opens a file that only its owner may read, and makes it when it is not there.
fn own(path: &Path) -> Result<File, Trouble> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    options
        .open(path)
        .map_err(|error| Trouble::system(path, &error))
}

fn lock(directory: &Path) -> Result<File, Trouble> {
    let path = directory.join(LOCK);
    let file = own(&path)?;
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, exclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Trouble::taken(directory)),
        Err(error) => Err(Trouble::system(&path, &error.into())),
    }
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    // Without a file for memory that is shared with other connections: where its disk fails, touching it ends the process.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // After a burst the log does not stay as large as it was.
    connection.pragma_update(None, "journal_size_limit", 4 * 1024 * 1024)?;
    // It is written and read once and in order: a large cache would only be memory.
    connection.pragma_update(None, "cache_size", -256)?;
    Ok(connection)
}

/// Makes the tables in a new database and brings up those of older formats; answers the format it has now.
fn create(connection: &mut Connection) -> Result<i64, rusqlite::Error> {
    let format = |connection: &Connection| {
        connection.query_row("SELECT user_version FROM pragma_user_version", [], |row| {
            row.get(0)
        })
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = format(&transaction)?;
    if from == FORMAT_PLAIN {
        transaction.execute_batch(FROM_PLAIN)?;
    }
    if from == FORMAT_PLAIN || from == FORMAT_UNSORTED {
        transaction.execute_batch(FROM_UNSORTED)?;
    }
    if from == 0 {
        transaction.execute_batch(SCHEMA)?;
    }
    if from < FORMAT {
        transaction.execute_batch(evict::SCHEMA)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    let found = format(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

/// What earlier sensors left.
fn find(connection: &Connection, live: Uuid) -> Result<Found, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT uuid, (SELECT first_seq FROM batch WHERE epoch = e.id AND last_seq > acked ORDER BY last_seq LIMIT 1) AS first,
                (SELECT max(last_seq) FROM batch WHERE epoch = e.id),
                (SELECT time_ns FROM batch WHERE epoch = e.id AND last_seq > acked ORDER BY last_seq LIMIT 1)
         FROM epoch e WHERE uuid <> ?1 AND first IS NOT NULL ORDER BY id",
    )?;
    let mut earlier: Vec<Earlier> = statement
        .query_map([live.as_bytes()], earlier)?
        .collect::<Result<_, _>>()?;
    for old in &mut earlier {
        old.holes = evict::holes(connection, old.epoch)?;
    }
    let mut statement =
        connection.prepare("SELECT uuid, acked FROM epoch WHERE acked > 0 ORDER BY id")?;
    let acked = statement
        .query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let since: Option<u64> = connection.query_row(
        "SELECT min(coalesce((SELECT max(time_ns) FROM (SELECT time_ns FROM batch WHERE epoch = e.id ORDER BY id DESC LIMIT 1)), begun_ns))
         FROM epoch e WHERE ended = 0 AND uuid <> ?1",
        [live.as_bytes()],
        |row| row.get(0),
    )?;
    let now = clock::unix_ns();
    let killed = since.map(|since| Loss {
        kind: LossKind::Killed,
        count: 0,
        from_unix_ns: since.min(now),
        to_unix_ns: now,
        what: None,
    });
    Ok(Found {
        earlier,
        acked,
        untold: evict::untold(connection)?,
        killed,
        removed: false,
    })
}

fn begin(connection: &Connection, live: Uuid) -> Result<i64, rusqlite::Error> {
    connection.execute(
        "INSERT INTO epoch (uuid, acked, ended, begun_ns) VALUES (?1, 0, 0, ?2) ON CONFLICT (uuid) DO NOTHING",
        params![live.as_bytes(), clock::unix_ns() as i64],
    )?;
    connection.query_row(
        "SELECT id FROM epoch WHERE uuid = ?1",
        [live.as_bytes()],
        |row| row.get(0),
    )
}

fn sum(connection: &Connection) -> Result<u64, rusqlite::Error> {
    connection.query_row(
        "SELECT count(*) * ?1 + coalesce(sum(bytes), 0) FROM batch",
        [ROW_BYTES],
        |row| row.get(0),
    )
}

fn newest_clock(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let newest = connection
        .query_row(
            "SELECT clock_s FROM batch ORDER BY id DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(newest.unwrap_or(0))
}

fn acknowledge(
    transaction: &Transaction<'_>,
    acked: &[(Uuid, u64)],
) -> Result<(), rusqlite::Error> {
    let mut update = transaction.prepare_cached("UPDATE epoch SET acked = ?2 WHERE uuid = ?1")?;
    for (epoch, seq) in acked {
        update.execute(params![epoch.as_bytes(), seq])?;
    }
    Ok(())
}

fn insert(
    transaction: &Transaction<'_>,
    epoch: i64,
    batch: &Batch,
    now_s: u64,
) -> Result<(), rusqlite::Error> {
    let (class, stores) = batch.about.columns();
    transaction
        .prepare_cached(
            "INSERT INTO batch (epoch, first_seq, last_seq, bytes, stands_for, time_ns, clock_s, crc, payload, encoding, class, stores)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            epoch,
            batch.first_seq,
            batch.last_seq,
            batch.payload.len(),
            batch.stands_for,
            clock::unix_ns() as i64,
            now_s,
            batch.check(),
            *batch.payload,
            code(batch.encoding),
            class,
            stores,
        ])?;
    Ok(())
}

fn row_bytes(batch: &Batch) -> u64 {
    batch.payload.len() as u64 + ROW_BYTES
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
