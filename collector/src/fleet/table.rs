//! The list of sensors on disk: one row each, the newest state and nothing else.
//!
//! It may be deleted; it fills again. So it is written without waiting for the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;

use super::{Certificate, Heartbeat, HookBooks, Refused, Sensor};
use crate::database::{self, Commit};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sensor (
  id TEXT PRIMARY KEY,
  version TEXT NOT NULL,
  host TEXT NOT NULL,
  streams INTEGER NOT NULL,
  heard_ns INTEGER NOT NULL,
  last_event_ns INTEGER NOT NULL,
  gaps INTEGER NOT NULL,
  missing INTEGER NOT NULL,
  last_gap TEXT NOT NULL,
  said_ns INTEGER,
  backend TEXT,
  backend_reason TEXT,
  kernel TEXT,
  queued_events INTEGER,
  lost_events INTEGER,
  stores TEXT,
  hooks TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS certificate (
  sensor TEXT PRIMARY KEY,
  from_s INTEGER NOT NULL,
  until_s INTEGER NOT NULL,
  authority TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS refused (
  address TEXT NOT NULL,
  sensor TEXT NOT NULL,
  reason TEXT NOT NULL,
  times INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  PRIMARY KEY (address, sensor, reason)
) STRICT;
";

/// Columns that a list of before does not have.
const ADDED: [(&str, &str); 3] = [
    ("clock_offset_ns", "INTEGER"),
    ("spool", "TEXT"),
    ("canary", "TEXT"),
];

const COLUMNS: &str =
    "id, version, host, streams, heard_ns, last_event_ns, gaps, missing, last_gap,
  said_ns, backend, backend_reason, kernel, queued_events, lost_events, stores, hooks,
  clock_offset_ns, spool, canary";

/// The list cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// SQLite said no.
    #[error("list of sensors {path}: {source}", path = path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It is damaged and cannot be set aside.
    #[error("list of sensors {path}: {reason}; it cannot be set aside: {source}. Move it away to begin with an empty one", path = path.display())]
    Aside {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread could not be started.
    #[error("failed to start the thread that keeps the list of sensors: {0}")]
    Thread(std::io::Error),
}

/// The list, open for writing.
#[derive(Debug)]
pub(super) struct Table {
    connection: Connection,
    sensors: BTreeMap<Arc<str>, Sensor>,
}

/// What of an entry has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What came from it, which is nearly always all: to write the rest each time took most of the time.
    Delivered,
    /// Anything.
    All,
}

/// A list that could not be used and was set aside.
#[derive(Debug)]
pub(super) struct Aside {
    /// Its name now.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) reason: String,
}

impl Table {
    /// Opens or makes it; nobody is connected at that moment. One that is damaged is set aside, and a new one made.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, Vec<Refused>, Option<Aside>), FleetError> {
        let path = file(data_dir);
        let refused = |source| FleetError::Database {
            path: path.clone(),
            source,
        };
        let reason = match Self::read_whole(&path) {
            Ok((table, lines)) => return Ok((table, lines, None)),
            Err(error) if database::is_damage(&error) => error.to_string(),
            Err(error) => return Err(refused(error)),
        };
        let aside = database::set_aside(&path).map_err(|source| FleetError::Aside {
            path: path.clone(),
            reason: reason.clone(),
            source,
        })?;
        tracing::error!(
            file = %path.display(),
            aside = %aside.display(),
            reason,
            "the list of sensors cannot be used and is set aside; a new one fills as sensors say how they are"
        );
        let (table, lines) = Self::read_whole(&path).map_err(refused)?;
        let path = aside;
        Ok((table, lines, Some(Aside { path, reason })))
    }

    fn read_whole(path: &Path) -> Result<(Self, Vec<Refused>), rusqlite::Error> {
        let connection = database::open(path, Commit::Soon)?;
        connection.execute_batch(SCHEMA)?;
        bring_up(&connection)?;
        check(&connection)?;
        connection.execute("UPDATE sensor SET streams = 0", [])?;
        let sensors = select(&connection)?.into_iter();
        let sensors = sensors.map(|sensor| (sensor.id.as_str().into(), sensor));
        let refused = select_refused(&connection)?;
        let table = Self {
            sensors: sensors.collect(),
            connection,
        };
        Ok((table, refused))
    }

    /// A sensor's entry; a new one when it was not known.
    pub(super) fn sensor(&mut self, id: &Arc<str>) -> &mut Sensor {
        self.sensors.entry(id.clone()).or_insert_with(|| Sensor {
            id: id.to_string(),
            ..Sensor::default()
        })
    }

    /// Writes the entries that have changed.
    pub(super) fn write(
        &mut self,
        changed: &BTreeMap<Arc<str>, Part>,
        refused: &[Refused],
    ) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        for line in refused {
            replace_refused(&transaction, line)?;
        }
        for (id, part) in changed {
            if let Some(sensor) = self.sensors.get(id)
                && (*part == Part::All || !update(&transaction, sensor)?)
            {
                replace(&transaction, sensor)?;
            }
        }
        transaction.commit()
    }
}

/// Looks at all of it: a page that is not read now would be met when it is written to.
fn check(connection: &Connection) -> Result<(), rusqlite::Error> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(found)))
}

/// Adds the columns that are not there yet.
fn bring_up(connection: &Connection) -> Result<(), rusqlite::Error> {
    for (name, kind) in ADDED {
        let known: bool = connection.query_row(
            "SELECT count(*) FROM pragma_table_info('sensor') WHERE name = ?1",
            [name],
            |row| row.get(0),
        )?;
        if !known {
            connection.execute_batch(&format!("ALTER TABLE sensor ADD COLUMN {name} {kind}"))?;
        }
    }
    Ok(())
}

/// Reads the list of a data directory, beside a collector that writes or without one.
pub fn read(data_dir: &Path) -> Result<Vec<Sensor>, FleetError> {
    let path = file(data_dir);
    let inner = || {
        let connection = database::open_to_read(&path)?;
        select(&connection)
    };
    inner().map_err(|source| FleetError::Database {
        path: path.clone(),
        source,
    })
}

/// Reads who was refused, as [`read`] does.
pub fn read_refused(data_dir: &Path) -> Result<Vec<Refused>, FleetError> {
    let path = file(data_dir);
    let inner = || {
        let connection = database::open_to_read(&path)?;
        select_refused(&connection)
    };
    inner().map_err(|source| FleetError::Database {
        path: path.clone(),
        source,
    })
}

/// Writes what came from a sensor; false when it has no row yet.
fn update(connection: &Connection, sensor: &Sensor) -> Result<bool, rusqlite::Error> {
    let sql = "UPDATE sensor SET host = ?2, heard_ns = ?3, last_event_ns = ?4, gaps = ?5, missing = ?6, last_gap = ?7
               WHERE id = ?1";
    let rows = connection.prepare_cached(sql)?.execute(params![
        sensor.id,
        sensor.host,
        sensor.heard_ns as i64,
        sensor.last_event_ns as i64,
        sensor.gaps as i64,
        sensor.missing as i64,
        sensor.last_gap,
    ])?;
    Ok(rows > 0)
}

fn replace(connection: &Connection, sensor: &Sensor) -> Result<(), rusqlite::Error> {
    let heartbeat = sensor.heartbeat.as_ref();
    let json = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    let stores = heartbeat
        .map(|beat| json(serde_json::to_string(&beat.stores)))
        .transpose()?;
    let hooks = heartbeat
        .map(|beat| json(serde_json::to_string(&beat.hooks)))
        .transpose()?;
    let spool = heartbeat.and_then(|beat| beat.spool.as_ref());
    let spool = spool.map(|depth| json(serde_json::to_string(depth)));
    let canary = heartbeat.and_then(|beat| beat.canary.as_ref());
    let canary = canary.map(|canary| json(serde_json::to_string(canary)));
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO sensor ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
        ))?
        .execute(params![
            sensor.id,
            sensor.version,
            sensor.host,
            sensor.streams,
            sensor.heard_ns as i64,
            sensor.last_event_ns as i64,
            sensor.gaps as i64,
            sensor.missing as i64,
            sensor.last_gap,
            heartbeat.map(|beat| beat.said_ns as i64),
            heartbeat.map(|beat| &beat.backend),
            heartbeat.map(|beat| &beat.backend_reason),
            heartbeat.map(|beat| &beat.kernel),
            heartbeat.map(|beat| beat.queued_events as i64),
            heartbeat.map(|beat| beat.lost_events as i64),
            stores,
            hooks,
            sensor.clock_offset_ns,
            spool.transpose()?,
            canary.transpose()?,
        ])?;
    match &sensor.certificate {
        Some(certificate) => connection
            .prepare_cached("INSERT OR REPLACE INTO certificate (sensor, from_s, until_s, authority) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                sensor.id,
                certificate.from_s,
                certificate.until_s,
                certificate.authority
            ])?,
        None => connection
            .prepare_cached("DELETE FROM certificate WHERE sensor = ?1")?
            .execute([&sensor.id])?,
    };
    Ok(())
}

fn replace_refused(connection: &Connection, line: &Refused) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR REPLACE INTO refused (address, sensor, reason, times, first_ns, last_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        line.address,
        line.sensor,
        line.reason,
        line.times as i64,
        line.first_ns as i64,
        line.last_ns as i64,
    ])?;
    Ok(())
}

fn select(connection: &Connection) -> Result<Vec<Sensor>, rusqlite::Error> {
    let mut certificates = select_certificates(connection)?;
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM sensor ORDER BY id"))?;
    let sensors = statement.query_map([], from_row)?;
    sensors
        .map(|sensor| {
            let sensor = sensor?;
            let certificate = certificates.remove(&sensor.id);
            Ok(Sensor {
                certificate,
                ..sensor
            })
        })
        .collect()
}

fn select_certificates(
    connection: &Connection,
) -> Result<BTreeMap<String, Certificate>, rusqlite::Error> {
    if !connection.table_exists(None, "certificate")? {
        return Ok(BTreeMap::new()); // A collector of an earlier version has made it.
    }
    let mut statement =
        connection.prepare("SELECT sensor, from_s, until_s, authority FROM certificate")?;
    let rows = statement.query_map([], |row| {
        let certificate = Certificate {
            from_s: row.get(1)?,
            until_s: row.get(2)?,
            authority: row.get(3)?,
        };
        Ok((row.get(0)?, certificate))
    })?;
    rows.collect()
}

/// The latest first.
fn select_refused(connection: &Connection) -> Result<Vec<Refused>, rusqlite::Error> {
    if !connection.table_exists(None, "refused")? {
        return Ok(Vec::new()); // A collector of an earlier version has made it.
    }
    let mut statement = connection.prepare(
        "SELECT address, sensor, reason, times, first_ns, last_ns FROM refused ORDER BY last_ns DESC",
    )?;
    let rows = statement.query_map([], |row| {
        let number = |index: usize| row.get::<_, i64>(index).map(|value| value as u64);
        Ok(Refused {
            address: row.get(0)?,
            sensor: row.get(1)?,
            reason: row.get(2)?,
            times: number(3)?,
            first_ns: number(4)?,
            last_ns: number(5)?,
        })
    })?;
    rows.collect()
}

fn from_row(row: &Row<'_>) -> Result<Sensor, rusqlite::Error> {
    let number = |index: usize| row.get::<_, i64>(index).map(|value| value as u64);
    let heartbeat = match row.get::<_, Option<i64>>(9)? {
        None => None,
        Some(said_ns) => Some(Heartbeat {
            said_ns: said_ns as u64,
            backend: row.get(10)?,
            backend_reason: row.get(11)?,
            kernel: row.get(12)?,
            queued_events: number(13)?,
            lost_events: number(14)?,
            stores: list(row, 15)?,
            hooks: list::<HookBooks>(row, 16)?,
            spool: optional(row, 18)?,
            canary: optional(row, 19)?,
            // Only the comparison with the collector's clock is kept.
            clocks: None,
        }),
    };
    Ok(Sensor {
        id: row.get(0)?,
        version: row.get(1)?,
        host: row.get(2)?,
        streams: row.get(3)?,
        heard_ns: number(4)?,
        last_event_ns: number(5)?,
        gaps: number(6)?,
        missing: number(7)?,
        last_gap: row.get(8)?,
        clock_offset_ns: row.get(17)?,
        heartbeat,
        certificate: None,
    })
}

fn list<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<Vec<T>, rusqlite::Error> {
    Ok(optional(row, index)?.unwrap_or_default())
}

/// What a column holds as JSON, if it holds anything.
fn optional<T: DeserializeOwned>(
    row: &Row<'_>,
    index: usize,
) -> Result<Option<T>, rusqlite::Error> {
    let text: Option<String> = row.get(index)?;
    let read = text.map(|text| serde_json::from_str(&text)).transpose();
    read.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into())
    })
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("fleet.db")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::fleet::{Canary, SpoolDepth};

    #[test]
    fn a_damaged_list_is_set_aside_whole_and_made_anew() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 6] = [
            ("not a database", |path| {
                std::fs::write(path, "no list").unwrap();
            }),
            ("cut short", |path| {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_len(4096 * 2).unwrap();
            }),
            ("a page of something else", |path| {
                let mut bytes = std::fs::read(path).unwrap();
                bytes[4096..8192].fill(0xa5);
                std::fs::write(path, bytes).unwrap();
            }),
            ("gone, and its log is there", |path| {
                std::fs::rename(path, path.with_extension("db-wal")).unwrap();
            }),
            ("of a value that was never written", |path| {
                let connection = Connection::open(path).unwrap();
                connection
                    .execute("UPDATE sensor SET hooks = 'none', said_ns = 1", [])
                    .unwrap();
            }),
            ("of other tables", |path| {
                let connection = Connection::open(path).unwrap();
                connection
                    .execute_batch("DROP TABLE sensor; CREATE TABLE sensor (n)")
                    .unwrap();
            }),
        ];
        for (what, damage) in damages {
            let dir = tempfile::tempdir().unwrap();
            let path = file(dir.path());
            let (mut table, ..) = Table::open(dir.path()).unwrap();
            let id: Arc<str> = "ws-12".into();
            table.sensor(&id).gaps = 3;
            table
                .write(&BTreeMap::from([(id, Part::All)]), &[])
                .unwrap();
            let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
            table.connection.query_row(fold, [], |_| Ok(())).unwrap();
            drop(table);
            damage(&path);
            let before = std::fs::read(&path).ok();
            let (table, refused, aside) = Table::open(dir.path()).unwrap();
            assert!(table.sensors.is_empty() && refused.is_empty(), "{what}");
            let aside = aside.expect(what);
            assert!(!aside.reason.is_empty(), "{what}");
            let kept = std::fs::read(&aside.path).ok();
            // SQLite marks even what it cannot use as one with a log.
            let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
            assert_eq!(length(&kept), length(&before), "{what}");
            drop(table);
            let (_, _, aside) = Table::open(dir.path()).unwrap();
            assert!(aside.is_none(), "{what}: {aside:?}");
        }
    }

    #[test]
    fn what_was_delivered_is_written_alone_and_a_new_row_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (mut table, ..) = Table::open(dir.path()).unwrap();
        let id: Arc<str> = "ws-12".into();
        let delivered = BTreeMap::from([(id.clone(), Part::Delivered)]);
        table.sensor(&id).version = "0.1.0".into();
        table.write(&delivered, &[]).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [table.sensor(&id).clone()]);

        let sensor = table.sensor(&id);
        (sensor.heard_ns, sensor.last_event_ns) = (8, 7);
        (sensor.gaps, sensor.missing) = (2, 40);
        (sensor.host, sensor.last_gap) = ("h".into(), "ring".into());
        sensor.streams = 9;
        table.write(&delivered, &[]).unwrap();
        let mut written = table.sensor(&id).clone();
        written.streams = 0;
        assert_eq!(read(dir.path()).unwrap(), [written]);
        table
            .write(&BTreeMap::from([(id.clone(), Part::All)]), &[])
            .unwrap();
        assert_eq!(read(dir.path()).unwrap(), [table.sensor(&id).clone()]);
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(file(dir.path())).unwrap();
        assert!(matches!(
            Table::open(dir.path()),
            Err(FleetError::Database { .. })
        ));
        assert!(file(dir.path()).is_dir());
    }

    #[test]
    fn a_list_of_before_is_brought_up_and_holds_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let old = database::open(&file(dir.path()), Commit::Soon).unwrap();
        old.execute_batch(SCHEMA).unwrap();
        old.execute_batch(
            "INSERT INTO sensor (id, version, host, streams, heard_ns, last_event_ns, gaps, missing, last_gap)
             VALUES ('ws-12', '0.1.0', 'h', 1, 2, 3, 4, 5, 'ring')",
        )
        .unwrap();
        drop(old);
        let (mut table, ..) = Table::open(dir.path()).unwrap();
        let id = Arc::from("ws-12");
        let sensor = table.sensor(&id);
        assert_eq!((sensor.gaps, sensor.clock_offset_ns), (4, None));
        sensor.clock_offset_ns = Some(-7);
        sensor.heartbeat = Some(Heartbeat {
            spool: Some(SpoolDepth {
                events: 1,
                memory_bytes: 2,
                disk_bytes: None,
                backlog_events: 1,
                backlog_since_ns: 3,
            }),
            canary: Some(Canary {
                seen: true,
                seen_ns: 9,
            }),
            ..Heartbeat::default()
        });
        let written = sensor.clone();
        table
            .write(&BTreeMap::from([(id, Part::All)]), &[])
            .unwrap();
        assert_eq!(read(dir.path()).unwrap(), [written]);
        drop(table);
        // Opened a second time, there is nothing to add.
        Table::open(dir.path()).unwrap();
    }
}
