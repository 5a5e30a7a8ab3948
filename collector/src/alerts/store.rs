//! The database of alerts: tables, adding, cursors, and reading beside a collector that writes.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::form::AlertForm;
use super::{AlertError, ToFinding, closing};
use crate::database::{self, Commit};
use crate::detect::Alert;
use crate::detect::baseline::DAY_NS;
use crate::detect::recall::{Known, Telling};

/// Version of the tables, kept in `user_version`. Format 1 had no entries for closings.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE alert (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  closing INTEGER NOT NULL DEFAULT 0,
  settled INTEGER NOT NULL,
  revised_ns INTEGER NOT NULL,
  finding TEXT NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (id, revision, closing)
) STRICT;
CREATE TABLE IF NOT EXISTS cursor (
  sink TEXT PRIMARY KEY,
  position INTEGER NOT NULL,
  file_id TEXT NOT NULL DEFAULT '',
  file_length INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// Puts entries of format 1 into the tables of this one, at their places.
const FROM_FORMAT_1: &str = "
INSERT INTO alert (position, id, revision, settled, revised_ns, finding, body)
  SELECT position, id, revision, settled, revised_ns, finding, body FROM alert_1;
DROP TABLE alert_1;
";

/// Lets who only reads see the entries of format 1 as those of this one; what is temporary hides what is in the file, and is written nowhere.
const READ_FORMAT_1: &str = "
CREATE TEMP VIEW alert AS
  SELECT position, id, revision, 0 AS closing, settled, revised_ns, finding, body FROM main.alert;
";

/// Revisions of an alert, the highest last, and whether each is of a day and about so much.
const RECALL: &str = "
SELECT revision, json_extract(body, '$.raised_ns'), revised_ns, json_extract(body, '$.bytes_sent'),
  revised_ns >= ?2 AND revised_ns < ?2 + ?3
    AND ?4 IN (json_extract(body, '$.distinct_records'), json_extract(body, '$.bytes_sent'))
FROM alert WHERE id = ?1 AND closing = 0 ORDER BY revision
";

/// How far a sink has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last entry that is delivered; 0 before the first.
    pub position: i64,
    /// For a sink that writes a file: which file, empty for others.
    pub file_id: String,
    /// For a sink that writes a file: its length after that entry, bytes.
    pub file_length: u64,
}

/// One revision, or a closing of it, as sinks deliver it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of entries; grows, with holes.
    pub position: i64,
    /// The alert.
    pub id: String,
    /// Its revision.
    pub revision: u32,
    /// Event time, nanoseconds since the Unix epoch.
    pub revised_ns: u64,
    /// Severity by name.
    pub severity: String,
    /// The finding, one line of JSON.
    pub finding: String,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Place in the order of entries.
    pub position: i64,
    /// The alert.
    pub id: String,
    /// Its revision.
    pub revision: u32,
    /// Nothing more is to be expected.
    pub settled: bool,
    /// What it is about, in a few words that a host's name follows.
    pub headline: &'static str,
    /// The host's name.
    pub host: String,
}

/// The alerts, open for writing.
#[derive(Debug)]
pub struct AlertStore {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl AlertStore {
    /// Opens the alerts of a data directory; makes them when there are none.
    pub fn open(data_dir: &Path) -> Result<Self, AlertError> {
        let path = file(data_dir);
        let inner = || -> Result<(Connection, i64), rusqlite::Error> {
            let mut connection = database::open(&path, Commit::Durable)?;
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let before = database::format(&transaction)?;
            if before == 1 {
                transaction.execute_batch("ALTER TABLE alert RENAME TO alert_1")?;
            }
            if before < FORMAT {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            if before == 1 {
                transaction.execute_batch(FROM_FORMAT_1)?;
            }
            let found = database::format(&transaction)?;
            if found == FORMAT {
                transaction.execute_batch(closing::SCHEMA)?;
            }
            transaction.commit()?;
            Ok((connection, found))
        };
        let (connection, found) = inner().map_err(|source| AlertError::Database {
            path: path.clone(),
            source,
        })?;
        check_format(&path, found)?;
        Ok(Self { connection, path })
    }

    /// Adds the revisions that are not there yet, all or none of them.
    pub fn add(
        &mut self,
        alerts: &[Alert],
        to_finding: ToFinding,
    ) -> Result<Vec<Stored>, AlertError> {
        let path = self.path.clone();
        let refused = |source| AlertError::Database {
            path: path.clone(),
            source,
        };
        // Immediate: a transaction that reads first cannot become a writing one when a sink moved its cursor meanwhile.
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(refused)?;
        let mut added = Vec::new();
        for alert in alerts {
            let newest = newest_of(&transaction, alert).map_err(refused)?;
            let Some(revision) = next_revision(newest.as_ref(), alert, to_finding)? else {
                continue;
            };
            let alert = Alert {
                revision,
                ..alert.clone()
            };
            let finding = to_finding(&alert)?;
            let form = AlertForm::from(&alert);
            let body = serde_json::to_string(&form)?;
            let position = insert(&transaction, &alert, &finding, &body).map_err(refused)?;
            added.push(Stored {
                position,
                headline: form.headline(),
                id: form.id,
                revision: alert.revision,
                settled: alert.settled,
                host: form.host,
            });
        }
        transaction.commit().map_err(refused)?;
        Ok(added)
    }

    /// The last entry there is; 0 when there is none.
    pub fn newest(&self) -> Result<i64, AlertError> {
        self.connection
            .query_row("SELECT coalesce(max(position), 0) FROM alert", [], |row| {
                row.get(0)
            })
            .map_err(|source| self.error(source))
    }

    /// What is there of an alert that goes on over days, of which something is said to have been told.
    pub fn recall(&self, telling: &Telling) -> Result<Known, AlertError> {
        let Telling { id, told } = telling;
        let from_ns = u64::from(told.day).saturating_mul(DAY_NS) as i64;
        let revision = |row: &Row<'_>| -> Result<(Known, bool), rusqlite::Error> {
            let others = Known::Others {
                revision: row.get(0)?,
                raised_ns: row.get::<_, i64>(1)? as u64,
                revised_ns: row.get::<_, i64>(2)? as u64,
                bytes_sent: row.get::<_, i64>(3)? as u64,
            };
            Ok((others, row.get(4)?))
        };
        let read = || -> Result<Known, rusqlite::Error> {
            let mut statement = self.connection.prepare_cached(RECALL)?;
            let about = params![id.to_string(), from_ns, DAY_NS as i64, told.amount as i64];
            let mut known = Known::Nothing;
            for row in statement.query_map(about, revision)? {
                let (others, is_whole) = row?;
                if is_whole {
                    return Ok(Known::Whole);
                }
                known = others;
            }
            Ok(known)
        };
        read().map_err(|source| self.error(source))
    }

    /// How far a sink has come; the beginning when it is new.
    pub fn cursor(&self, sink: &str) -> Result<Cursor, AlertError> {
        self.connection
            .prepare_cached("SELECT position, file_id, file_length FROM cursor WHERE sink = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([sink], |row| {
                        let file_length = row.get::<_, i64>(2)? as u64;
                        Ok(Cursor {
                            position: row.get(0)?,
                            file_id: row.get(1)?,
                            file_length,
                        })
                    })
                    .optional()
            })
            .map(Option::unwrap_or_default)
            .map_err(|source| self.error(source))
    }

    /// Remembers how far a sink has come.
    pub fn set_cursor(&self, sink: &str, cursor: &Cursor) -> Result<(), AlertError> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO cursor (sink, position, file_id, file_length) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut statement| {
                statement.execute(params![sink, cursor.position, cursor.file_id, cursor.file_length as i64])
            })
            .map(|_| ())
            .map_err(|source| self.error(source))
    }

    /// Entries after a position, in order.
    pub fn entries_after(&self, position: i64, max: u32) -> Result<Vec<Entry>, AlertError> {
        self.connection
            .prepare_cached(
                "SELECT position, id, revision, revised_ns, json_extract(body, '$.severity.level'), finding
                 FROM alert WHERE position > ?1 ORDER BY position LIMIT ?2",
            )
            .and_then(|mut statement| statement.query_map(params![position, max], entry)?.collect())
            .map_err(|source| self.error(source))
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> AlertError {
        AlertError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

/// The revision an alert is to be stored under; `None` when it is there already.
///
/// After a change of thresholds, or when the log is not read from its beginning, detection may count revisions anew.
/// Then what is newer than everything stored of the alert gets the next number, and what is older is old news; but that its
/// destination is listed, which nobody knew before, is news of any age.
fn next_revision(
    newest: Option<&Newest>,
    alert: &Alert,
    to_finding: ToFinding,
) -> Result<Option<u32>, serde_json::Error> {
    let Some(newest) = newest.filter(|newest| alert.revision <= newest.revision) else {
        return Ok(Some(alert.revision));
    };
    let renumbered = Alert {
        revision: newest.revision,
        ..alert.clone()
    };
    let newer = alert.revised_ns > newest.revised_ns && to_finding(&renumbered)? != newest.finding;
    let news = newer || alert.known.is_listed() && !newest.is_listed;
    Ok(news.then_some(newest.revision + 1))
}

/// The newest revision stored of an alert.
struct Newest {
    revision: u32,
    revised_ns: u64,
    finding: String,
    is_listed: bool,
}

/// A feed says something of weight about the destination; revisions without that field are from before it.
const IS_LISTED: &str = "EXISTS (SELECT 1 FROM json_each(body, '$.intelligence') WHERE coalesce(json_extract(value, '$.counts'), 1))";

fn newest_of(
    transaction: &Transaction<'_>,
    alert: &Alert,
) -> Result<Option<Newest>, rusqlite::Error> {
    transaction
        .prepare_cached(&format!(
            "SELECT revision, revised_ns, finding, {IS_LISTED} FROM alert WHERE id = ?1 AND closing = 0 ORDER BY revision DESC LIMIT 1"
        ))?
        .query_row([alert.id.to_string()], |row| {
            let revised_ns = row.get::<_, i64>(1)? as u64;
            Ok(Newest { revision: row.get(0)?, revised_ns, finding: row.get(2)?, is_listed: row.get(3)? })
        })
        .optional()
}

fn insert(
    transaction: &Transaction<'_>,
    alert: &Alert,
    finding: &str,
    body: &str,
) -> Result<i64, rusqlite::Error> {
    let id = alert.id.to_string();
    transaction
        .prepare_cached(
            "INSERT INTO alert (id, revision, settled, revised_ns, finding, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![id, alert.revision, alert.settled, alert.revised_ns as i64, finding, body])?;
    Ok(transaction.last_insert_rowid())
}

/// The alerts, open for reading only.
#[derive(Debug)]
pub struct AlertReader {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl AlertReader {
    /// Opens the alerts of a data directory; those of format 1 too, which the next start of a collector takes over.
    pub fn open(data_dir: &Path) -> Result<Self, AlertError> {
        let path = file(data_dir);
        let inner = || -> Result<(Connection, i64), rusqlite::Error> {
            let connection = database::open_to_read(&path)?;
            let found = database::format(&connection)?;
            if found != 1 {
                return Ok((connection, found));
            }
            connection.execute_batch(READ_FORMAT_1)?;
            Ok((connection, FORMAT))
        };
        let (connection, found) = inner().map_err(|source| AlertError::Database {
            path: path.clone(),
            source,
        })?;
        check_format(&path, found)?;
        Ok(Self { connection, path })
    }

    /// The newest revision of every alert, the latest first.
    pub fn newest(&self) -> Result<Vec<AlertForm>, AlertError> {
        self.forms(
            "SELECT id, body, max(revision) FROM alert WHERE id LIKE ?1 || '%' AND closing = 0 GROUP BY id ORDER BY revised_ns DESC, id",
            "",
        )
    }

    /// The newest revision of the alerts whose id begins like this. `prefix` must hold hex digits and dashes only.
    pub fn matching(&self, prefix: &str) -> Result<Vec<AlertForm>, AlertError> {
        self.forms("SELECT id, body, max(revision) FROM alert WHERE id LIKE ?1 || '%' AND closing = 0 GROUP BY id ORDER BY id", prefix)
    }

    /// The finding of the newest revision of an alert, closed if that was.
    pub fn finding(&self, id: &str) -> Result<Option<String>, AlertError> {
        self.connection
            .query_row(
                "SELECT finding FROM alert WHERE id = ?1 ORDER BY revision DESC, closing DESC LIMIT 1",
                [id],
                |row| row.get(0),
            )
            .optional()
            .map_err(|source| self.error(source))
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> AlertError {
        AlertError::Database {
            path: self.path.clone(),
            source,
        }
    }

    fn forms(&self, sql: &str, prefix: &str) -> Result<Vec<AlertForm>, AlertError> {
        let rows: Vec<(String, String)> = self
            .connection
            .prepare(sql)
            .and_then(|mut statement| {
                statement
                    .query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(|source| self.error(source))?;
        let parse = |(id, body): (String, String)| {
            serde_json::from_str(&body).map_err(|error| AlertError::Row {
                path: self.path.clone(),
                id,
                reason: error.to_string(),
            })
        };
        let mut forms = rows.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        self.with_closings(&mut forms)?;
        Ok(forms)
    }
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    Ok(Entry {
        position: row.get(0)?,
        id: row.get(1)?,
        revision: row.get(2)?,
        revised_ns: row.get::<_, i64>(3)? as u64,
        severity: row.get(4)?,
        finding: row.get(5)?,
    })
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("alerts.db")
}

fn check_format(path: &Path, found: i64) -> Result<(), AlertError> {
    if found == FORMAT {
        return Ok(());
    }
    Err(AlertError::Format {
        path: path.to_owned(),
        found,
        known: FORMAT,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::detect::baseline::{Told, day};
    use crate::sink::ocsf;

    #[test]
    fn what_is_said_to_be_told_is_held_against_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = AlertStore::open(dir.path()).unwrap();
        let alert = ocsf::tests::alert();
        let telling = |amount, later| Telling {
            id: alert.id,
            told: Told {
                revision: 9,
                raised_ns: 5,
                amount,
                day: day(alert.revised_ns) + later,
            },
        };
        let (records, sent) = (alert.figures.records, alert.figures.bytes_sent);
        let ask =
            |store: &AlertStore, amount, later| store.recall(&telling(amount, later)).unwrap();
        assert_eq!(ask(&store, records, 0), Known::Nothing);
        store
            .add(std::slice::from_ref(&alert), ocsf::finding)
            .unwrap();
        assert_eq!(ask(&store, records, 0), Known::Whole);
        assert_eq!(ask(&store, sent, 0), Known::Whole);
        let others = Known::Others {
            revision: alert.revision,
            raised_ns: alert.raised_ns,
            revised_ns: alert.revised_ns,
            bytes_sent: sent,
        };
        assert_eq!(ask(&store, records + 1, 0), others);
        assert_eq!(ask(&store, sent, 1), others, "another day");
    }
}
