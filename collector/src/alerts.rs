//! The alerts: every revision of every alert, in the order they were raised, and how far each sink has come.
//!
//! A SQLite database of its own. Sinks read from it at their own pace, so a sink that is down holds nobody up and
//! nothing is lost by a restart.
//!
//! **Invariant:** a revision is stored once. Detection runs over the log again at every start; what it finds again is
//! recognised by id and revision and is not told a second time.

mod closing;
pub mod form;
mod store;

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use closing::{Closing, ToClosed, Verdict};
pub use store::{AlertReader, AlertStore, Cursor, Entry, Stored};

use crate::detect::Alert;
use crate::text;

/// Why alerts cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// SQLite said no.
    #[error("alerts {path}: {source}", path = path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database was written by another version.
    #[error("alerts {path} has format {found}, and this version reads formats 1 to {known}: use the programs of the version that wrote it", path = path.display())]
    Format {
        /// The database file.
        path: PathBuf,
        /// Format found.
        found: i64,
        /// Format this version knows.
        known: i64,
    },
    /// A row does not hold what it should.
    #[error("alerts {path}: alert {id}: {reason}", path = path.display())]
    Row {
        /// The database file.
        path: PathBuf,
        /// The alert.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// An alert could not be written as JSON.
    #[error("an alert could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// How long is waited before storing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Writes an alert as the finding that sinks deliver. Given by whoever wires the rooms, so that this one need not know
/// the format.
pub type ToFinding = fn(&Alert) -> Result<String, serde_json::Error>;

/// What detection hands on.
#[derive(Debug)]
pub enum Raised {
    /// Alerts of one block.
    Alerts(Vec<Alert>),
    /// A probe at the end of its way.
    Probe(oneshot::Sender<()>),
    /// Something that may be done once all alerts before it are stored.
    Then(Then),
}

/// Something to be done.
pub struct Then(pub Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Then").finish_non_exhaustive()
    }
}

/// Starts the thread that stores what is raised and tells sinks up to where they can read. Ends with its input.
pub fn spawn(
    mut store: AlertStore,
    mut raised: mpsc::Receiver<Raised>,
    newest: watch::Sender<i64>,
    to_finding: ToFinding,
) -> Result<JoinHandle<()>, std::io::Error> {
    std::thread::Builder::new()
        .name("alerts".into())
        .spawn(move || {
            while let Some(next) = raised.blocking_recv() {
                match next {
                    Raised::Alerts(alerts) => {
                        if let Err(error) = keep(&mut store, &alerts, &newest, to_finding) {
                            let alerts = alerts.len();
                            tracing::error!(%error, alerts, "alerts could not be stored and are lost until the next start");
                        }
                    }
                    Raised::Probe(reply) => {
                        if reply.send(()).is_err() {
                            tracing::debug!("nobody waited for the probe");
                        }
                    }
                    Raised::Then(Then(act)) => act(),
                }
            }
        })
}

/// Stores alerts and lets sinks know. While the database cannot be written it tries again: what comes behind waits,
/// back to the sensors, and the watchdog's probe does not come out.
///
/// # Errors
///
/// An alert cannot be written as JSON, which no further attempt would change.
fn keep(
    store: &mut AlertStore,
    alerts: &[Alert],
    newest: &watch::Sender<i64>,
    to_finding: ToFinding,
) -> Result<(), AlertError> {
    for attempt in 1.. {
        match store.add(alerts, to_finding) {
            Ok(added) => {
                tell(&added, newest);
                break;
            }
            Err(error @ AlertError::Database { .. }) => {
                tracing::error!(%error, attempt, "alerts could not be stored; trying again");
                std::thread::sleep(RETRY);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn tell(added: &[Stored], newest: &watch::Sender<i64>) {
    for Stored {
        id,
        revision,
        settled,
        headline,
        host,
        ..
    } in added
    {
        let host = text::clean(host);
        tracing::warn!(alert = %id, revision, settled, "{headline} {host}");
    }
    if let Some(last) = added.last() {
        newest.send_replace(last.position);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sink::ocsf;

    #[test]
    fn alerts_wait_for_a_database_that_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = AlertStore::open(dir.path()).unwrap();
        let other = rusqlite::Connection::open(dir.path().join("alerts.db")).unwrap();
        let alerts = vec![ocsf::tests::alert()];
        let (newest, seen) = watch::channel(0);
        other
            .execute_batch("ALTER TABLE alert RENAME TO away")
            .unwrap();
        let failed = store.add(&alerts, ocsf::finding);
        assert!(
            matches!(failed, Err(AlertError::Database { .. })),
            "{failed:?}"
        );

        let (raised, receiver) = mpsc::channel(2);
        let stage = spawn(store, receiver, newest, ocsf::finding).unwrap();
        raised.try_send(Raised::Alerts(alerts.clone())).unwrap();
        raised.try_send(Raised::Alerts(alerts)).unwrap();
        drop(raised);
        other
            .execute_batch("ALTER TABLE away RENAME TO alert")
            .unwrap();
        stage.join().unwrap();
        let reader = AlertReader::open(dir.path()).unwrap();
        assert_eq!(reader.newest().unwrap().len(), 1, "stored once");
        assert_eq!(*seen.borrow(), 1);
    }
    /// What the first version wrote is there, at its place, and can be closed.
    #[test]
    fn alerts_of_format_1_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let alert = ocsf::tests::alert();
        let mut store = AlertStore::open(dir.path()).unwrap();
        store
            .add(std::slice::from_ref(&alert), ocsf::finding)
            .unwrap();
        drop(store);
        let old = rusqlite::Connection::open(dir.path().join("alerts.db")).unwrap();
        old.execute_batch(
            "CREATE TABLE old (position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, revision INTEGER NOT NULL,
               settled INTEGER NOT NULL, revised_ns INTEGER NOT NULL, finding TEXT NOT NULL, body TEXT NOT NULL,
               UNIQUE (id, revision)) STRICT;
             INSERT INTO old SELECT position + 6, id, revision, settled, revised_ns, finding, body FROM alert;
             DROP TABLE alert; ALTER TABLE old RENAME TO alert; PRAGMA user_version = 1;",
        )
        .unwrap();
        let before = AlertReader::open(dir.path()).unwrap();
        let forms = before.newest().unwrap();
        assert_eq!((forms.len(), forms[0].closed()), (1, None), "read as it is");
        assert_eq!(before.matching(&forms[0].id[..8]).unwrap(), forms);
        assert!(before.finding(&forms[0].id).unwrap().is_some());
        drop((old, before));
        let mut store = AlertStore::open(dir.path()).unwrap();
        assert_eq!(store.newest().unwrap(), 7);
        let id = alert.id.to_string();
        let closing = Closing {
            revision: alert.revision,
            verdict: Verdict::FalsePositive,
            why: "a test".into(),
            who: "anna".into(),
            at_ns: 5,
        };
        store.close(&id, &closing, ocsf::closed).unwrap();
        let entries = store.entries_after(6, 9).unwrap();
        let places: Vec<_> = entries
            .iter()
            .map(|entry| (entry.position, entry.revised_ns == 5))
            .collect();
        assert_eq!(places, [(7, false), (8, true)]);
        assert_eq!(store.add(&[alert], ocsf::finding).unwrap(), [], "known");
        let forms = AlertReader::open(dir.path()).unwrap().newest().unwrap();
        assert_eq!(forms[0].closed().unwrap().who, "anna");
    }
}
