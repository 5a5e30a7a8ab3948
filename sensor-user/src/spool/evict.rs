//! What goes when there is too much, or when it is too old: rows, the holes they leave, and the loss to be told.
//!
//! Of too much, what is acknowledged goes first, oldest first; then class by class, the least first, and of each the oldest first.
//! A hole is remembered as long as something before it is kept, for what is missing without one is damage. A loss is
//! remembered until the gap that tells it is on the disk.
//!
//! **Invariant:** rows, their holes and their loss are one transaction.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::holes::Holes;
use super::memory::Evicted;
use super::store::ROW_BYTES;
use super::{About, Class, Gone, Loss, LossKind};

/// Tables of this room, since format 3.
pub(super) const SCHEMA: &str = "
CREATE TABLE hole (
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  PRIMARY KEY (epoch, first_seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE loss (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  class INTEGER NOT NULL,
  epoch BLOB NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  count INTEGER NOT NULL,
  from_ns INTEGER NOT NULL,
  to_ns INTEGER NOT NULL,
  stores TEXT NOT NULL
) STRICT;
CREATE INDEX batch_class ON batch (class);
";
/// Rows that are looked at or deleted at a time.
const ROWS: i64 = 1024;
const COLUMNS: &str = "batch.id, batch.epoch, uuid, first_seq, last_seq, bytes, time_ns, clock_s, acked, stands_for, class, stores
     FROM batch JOIN epoch ON epoch.id = batch.epoch";

/// Rows going, and the books of it.
#[derive(Default)]
pub(super) struct Eviction {
    /// Bytes that went.
    pub(super) freed: u64,
    /// One entry for each epoch and class of which something went.
    pub(super) gone: Vec<Evicted>,
    /// The epochs of `gone`, as the tables name them.
    epochs: Vec<i64>,
}

/// A row that may go.
struct Row {
    id: i64,
    epoch: i64,
    uuid: Uuid,
    first_seq: u64,
    last_seq: u64,
    bytes: u64,
    time_ns: u64,
    clock_s: u64,
    acked: u64,
    stands_for: u64,
    class: Class,
    stores: String,
}

impl Eviction {
    /// Deletes what is worth least until so many bytes are free.
    pub(super) fn of_least(
        transaction: &Transaction<'_>,
        bytes: u64,
    ) -> Result<Self, rusqlite::Error> {
        let mut eviction = Self::default();
        if bytes > 0 {
            eviction.run(transaction, LossKind::Full, None, |freed, row| {
                freed < bytes && row.last_seq <= row.acked
            })?;
            for class in Class::ALL {
                eviction.run(transaction, LossKind::Full, Some(class), |freed, _| {
                    freed < bytes
                })?;
            }
            eviction.remember(transaction)?;
        }
        Ok(eviction)
    }

    /// Deletes what was written before a second of the sensors' clock, whatever it is worth.
    pub(super) fn of_old(
        transaction: &Transaction<'_>,
        limit_s: u64,
    ) -> Result<Self, rusqlite::Error> {
        let mut eviction = Self::default();
        eviction.run(transaction, LossKind::Old, None, |_, row| {
            row.clock_s < limit_s
        })?;
        eviction.remember(transaction)?;
        Ok(eviction)
    }

    /// Deletes the oldest rows, of a class or of all, as long as `goes` says so, which is told the bytes freed so far.
    fn run(
        &mut self,
        transaction: &Transaction<'_>,
        kind: LossKind,
        class: Option<Class>,
        goes: impl Fn(u64, &Row) -> bool,
    ) -> Result<(), rusqlite::Error> {
        loop {
            let rows = oldest(transaction, class)?;
            let mut last = None;
            for row in &rows {
                if !goes(self.freed, row) {
                    break;
                }
                last = Some(row.id);
                self.freed += row.bytes + ROW_BYTES;
                self.book(kind, row);
            }
            let Some(last) = last else { return Ok(()) };
            match class {
                None => transaction.execute("DELETE FROM batch WHERE id <= ?1", [last])?,
                Some(class) => transaction.execute(
                    "DELETE FROM batch WHERE class = ?1 AND id <= ?2",
                    params![class.code(), last],
                )?,
            };
        }
    }

    fn book(&mut self, kind: LossKind, row: &Row) {
        let of_row = |gone: &Evicted| {
            let class = gone.loss.as_ref().and_then(|loss| loss.what.as_ref());
            gone.epoch == row.uuid && class.is_none_or(|what| what.class == row.class)
        };
        if !self.gone.last().is_some_and(of_row) {
            self.epochs.push(row.epoch);
            self.gone.push(Evicted {
                epoch: row.uuid,
                holes: Holes::default(),
                events: 0,
                loss: None,
            });
        }
        let Some(gone) = self.gone.last_mut() else {
            return;
        };
        gone.holes.add(row.first_seq, row.last_seq);
        if row.last_seq <= row.acked {
            return;
        }
        let events = row.last_seq + 1 - row.first_seq;
        gone.events += events;
        let loss = gone.loss.get_or_insert_with(|| row.lost(kind));
        loss.count += events + row.stands_for;
        loss.from_unix_ns = loss.from_unix_ns.min(row.time_ns);
        loss.to_unix_ns = loss.to_unix_ns.max(row.time_ns);
        if let Some(what) = &mut loss.what {
            what.numbers.1 = row.last_seq;
            let stores = row.stores.split(',').filter(|name| !name.is_empty());
            for store in stores {
                if !what.stores.contains(store) {
                    what.stores.insert(store.to_owned());
                }
            }
        }
    }

    /// Writes down the holes, and the losses until they are told.
    fn remember(&mut self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        for (gone, epoch) in self.gone.iter_mut().zip(&self.epochs) {
            for run in gone.holes.iter() {
                dig(transaction, *epoch, run)?;
            }
            if let Some(loss) = &mut gone.loss {
                note(transaction, loss)?;
            }
        }
        fill(transaction)
    }
}

impl Row {
    fn lost(&self, kind: LossKind) -> Loss {
        Loss {
            kind,
            count: 0,
            from_unix_ns: self.time_ns,
            to_unix_ns: self.time_ns,
            what: Some(Gone {
                class: self.class,
                epoch: self.uuid,
                numbers: (self.first_seq, self.last_seq),
                stores: std::collections::BTreeSet::new(),
                id: 0,
            }),
        }
    }
}

fn oldest(
    transaction: &Transaction<'_>,
    class: Option<Class>,
) -> Result<Vec<Row>, rusqlite::Error> {
    let of_class = class.map_or("", |_| "WHERE class = ?2");
    let of_all = class.map_or("WHERE ?2 IS NULL", |_| "");
    let statement = format!("SELECT {COLUMNS} {of_class}{of_all} ORDER BY batch.id LIMIT ?1");
    transaction
        .prepare_cached(&statement)?
        .query_map(params![ROWS, class.map(Class::code)], |row| {
            Ok(Row {
                id: row.get(0)?,
                epoch: row.get(1)?,
                uuid: Uuid::from_bytes(row.get(2)?),
                first_seq: row.get(3)?,
                last_seq: row.get(4)?,
                bytes: row.get(5)?,
                time_ns: row.get(6)?,
                clock_s: row.get(7)?,
                acked: row.get(8)?,
                stands_for: row.get(9)?,
                class: Class::of(10, row.get(10)?)?,
                stores: row.get(11)?,
            })
        })?
        .collect()
}

/// Writes a hole down, as one with those that touch it.
fn dig(
    transaction: &Transaction<'_>,
    epoch: i64,
    (first, last): (u64, u64),
) -> Result<(), rusqlite::Error> {
    let before: Option<u64> = transaction
        .prepare_cached(
            "DELETE FROM hole WHERE epoch = ?1 AND last_seq = ?2 - 1 AND first_seq =
               (SELECT max(first_seq) FROM hole WHERE epoch = ?1 AND first_seq < ?2)
             RETURNING first_seq",
        )?
        .query_row(params![epoch, first], |row| row.get(0))
        .optional()?;
    let behind: Option<u64> = transaction
        .prepare_cached(
            "DELETE FROM hole WHERE epoch = ?1 AND first_seq = ?2 + 1 RETURNING last_seq",
        )?
        .query_row(params![epoch, last], |row| row.get(0))
        .optional()?;
    transaction
        .prepare_cached("INSERT INTO hole (epoch, first_seq, last_seq) VALUES (?1, ?2, ?3)")?
        .execute(params![
            epoch,
            before.unwrap_or(first),
            behind.unwrap_or(last)
        ])?;
    Ok(())
}

/// Forgets holes that nothing is before.
pub(super) fn fill(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let epochs: Vec<i64> = transaction
        .prepare_cached("SELECT id FROM epoch")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut delete = transaction.prepare_cached(
        "DELETE FROM hole WHERE epoch = ?1 AND first_seq <= coalesce(
           (SELECT first_seq FROM batch WHERE epoch = ?1 ORDER BY last_seq LIMIT 1), 9223372036854775807)",
    )?;
    for epoch in epochs {
        delete.execute([epoch])?;
    }
    Ok(())
}

/// The holes of an epoch.
pub(super) fn holes(connection: &Connection, epoch: Uuid) -> Result<Holes, rusqlite::Error> {
    let mut holes = Holes::default();
    let mut statement = connection.prepare_cached(
        "SELECT first_seq, last_seq FROM hole WHERE epoch = (SELECT id FROM epoch WHERE uuid = ?1)",
    )?;
    let mut rows = statement.query([epoch.as_bytes()])?;
    while let Some(row) = rows.next()? {
        holes.add(row.get(0)?, row.get(1)?);
    }
    Ok(holes)
}

fn note(transaction: &Transaction<'_>, loss: &mut Loss) -> Result<(), rusqlite::Error> {
    let Some(what) = &mut loss.what else {
        return Ok(());
    };
    let stores: Vec<&str> = what.stores.iter().map(String::as_str).collect();
    transaction
        .prepare_cached(
            "INSERT INTO loss (kind, class, epoch, first_seq, last_seq, count, from_ns, to_ns, stores)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            i64::from(loss.kind == LossKind::Old),
            what.class.code(),
            what.epoch.as_bytes(),
            what.numbers.0,
            what.numbers.1,
            loss.count,
            loss.from_unix_ns,
            loss.to_unix_ns,
            stores.join(","),
        ])?;
    what.id = transaction.last_insert_rowid();
    Ok(())
}

/// What an earlier sensor lost and had not told.
pub(super) fn untold(connection: &Connection) -> Result<Vec<Loss>, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT id, kind, class, epoch, first_seq, last_seq, count, from_ns, to_ns, stores FROM loss ORDER BY id",
    )?;
    let losses = statement.query_map([], |row| {
        let stores: String = row.get(9)?;
        let stores = stores.split(',').filter(|name| !name.is_empty());
        Ok(Loss {
            kind: match row.get(1)? {
                0_i64 => LossKind::Full,
                _ => LossKind::Old,
            },
            count: row.get(6)?,
            from_unix_ns: row.get(7)?,
            to_unix_ns: row.get(8)?,
            what: Some(Gone {
                class: Class::of(2, row.get(2)?)?,
                epoch: Uuid::from_bytes(row.get(3)?),
                numbers: (row.get(4)?, row.get(5)?),
                stores: stores.map(str::to_owned).collect(),
                id: row.get(0)?,
            }),
        })
    })?;
    losses.collect()
}

/// Losses up to a place are told in what is on the disk.
pub(super) fn told(transaction: &Transaction<'_>, place: i64) -> Result<(), rusqlite::Error> {
    transaction.execute("DELETE FROM loss WHERE id <= ?1", [place])?;
    Ok(())
}

impl About {
    /// As the tables have it: what it is worth, and the stores.
    pub(super) fn columns(&self) -> (i64, &str) {
        (self.class.code(), &self.stores)
    }
}

impl Class {
    const fn code(self) -> i64 {
        match self {
            Self::Rest => 0,
            Self::Reads => 1,
            Self::Evidence => 2,
        }
    }

    fn of(column: usize, code: i64) -> Result<Self, rusqlite::Error> {
        match code {
            0 => Ok(Self::Rest),
            1 => Ok(Self::Reads),
            2 => Ok(Self::Evidence),
            _ => Err(rusqlite::Error::IntegralValueOutOfRange(column, code)),
        }
    }
}
