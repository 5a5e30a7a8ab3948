//! The list of sensors on disk: one row each, the newest state and nothing else.
//!
//! It may be deleted; it fills again. So it is written without waiting for the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::{Heartbeat, HookBooks, Sensor};
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
";

const COLUMNS: &str =
    "id, version, host, streams, heard_ns, last_event_ns, gaps, missing, last_gap,
  said_ns, backend, backend_reason, kernel, queued_events, lost_events, stores, hooks";

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

impl Table {
    /// Opens or makes it; nobody is connected at that moment.
    pub(super) fn open(data_dir: &Path) -> Result<Self, FleetError> {
        let path = file(data_dir);
        let inner = || {
            let connection = database::open(&path, Commit::Soon)?;
            connection.execute_batch(SCHEMA)?;
            connection.execute("UPDATE sensor SET streams = 0", [])?;
            let sensors = select(&connection)?;
            Ok((connection, sensors))
        };
        let (connection, sensors) = inner().map_err(|source| FleetError::Database {
            path: path.clone(),
            source,
        })?;
        let sensors = sensors
            .into_iter()
            .map(|sensor| (sensor.id.as_str().into(), sensor))
            .collect();
        Ok(Self {
            connection,
            sensors,
        })
    }

    /// A sensor's entry; a new one when it was not known.
    pub(super) fn sensor(&mut self, id: &Arc<str>) -> &mut Sensor {
        self.sensors.entry(id.clone()).or_insert_with(|| Sensor {
            id: id.to_string(),
            ..Sensor::default()
        })
    }

    /// Writes the entries that have changed.
    pub(super) fn write(&mut self, changed: &BTreeSet<Arc<str>>) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.transaction()?;
        for id in changed {
            if let Some(sensor) = self.sensors.get(id) {
                replace(&transaction, sensor)?;
            }
        }
        transaction.commit()
    }
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
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO sensor ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
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
        ])?;
    Ok(())
}

fn select(connection: &Connection) -> Result<Vec<Sensor>, rusqlite::Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM sensor ORDER BY id"))?;
    statement.query_map([], from_row)?.collect()
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
        heartbeat,
    })
}

fn list<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    index: usize,
) -> Result<Vec<T>, rusqlite::Error> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into())
    })
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("fleet.db")
}
