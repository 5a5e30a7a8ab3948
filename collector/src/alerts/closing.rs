//! What a person made of an alert: closed as right or as false, by whom, when and why.
//!
//! Every closing stays; the newest one counts. It is about the revision it was made of: an alert that grows after it is
//! open again, since whoever closed it has not seen that.
//!
//! **Invariant:** closing changes neither the alert nor what detection does. To have no alert of such work any more is what
//! approved ways are for.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::store::{AlertReader, AlertStore};
use super::{AlertError, form::AlertForm};

/// Made beside the tables of the first version, which know nothing of it and need not.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS closing (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  verdict TEXT NOT NULL,
  why TEXT NOT NULL,
  who TEXT NOT NULL,
  at_ns INTEGER NOT NULL
) STRICT;
";

/// Whether the alert was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Records did leave, and should not have.
    TruePositive,
    /// It was work that is allowed, or no records left.
    FalsePositive,
}

impl Verdict {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::TruePositive => "true-positive",
            Self::FalsePositive => "false-positive",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::TruePositive, Self::FalsePositive]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }
}

/// A closing of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The revision that was looked at.
    pub revision: u32,
    /// What it turned out to be.
    pub verdict: Verdict,
    /// In the person's own words.
    pub why: String,
    /// Who, as the system knows them.
    pub who: String,
    /// When, nanoseconds since the Unix epoch, by the clock of the machine it was done on.
    pub at_ns: u64,
}

/// Makes of the finding of a revision the one that says it is closed. Given by whoever wires the rooms.
pub type ToClosed = fn(&str, &Closing) -> Result<String, serde_json::Error>;

impl AlertStore {
    /// Keeps a closing of an alert, and has sinks deliver it.
    pub fn close(
        &mut self,
        id: &str,
        closing: &Closing,
        to_closed: ToClosed,
    ) -> Result<(), AlertError> {
        let finding = self
            .connection
            .query_row(
                "SELECT finding FROM alert WHERE id = ?1 AND revision = ?2 AND closing = 0",
                params![id, closing.revision],
                |row| row.get::<_, String>(0),
            )
            .map_err(|source| self.error(source))?;
        let finding = to_closed(&finding, closing)?;
        insert(&mut self.connection, (id, closing), &finding).map_err(|source| self.error(source))
    }
}

fn insert(
    connection: &mut Connection,
    (id, closing): (&str, &Closing),
    finding: &str,
) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let at_ns = closing.at_ns as i64;
    transaction.execute(
        "INSERT INTO closing (id, revision, verdict, why, who, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id,
            closing.revision,
            closing.verdict.name(),
            closing.why,
            closing.who,
            at_ns
        ],
    )?;
    transaction.execute(
        "INSERT INTO alert (id, revision, closing, settled, revised_ns, finding, body)
         SELECT id, revision, ?3, settled, ?4, ?5, body FROM alert WHERE id = ?1 AND revision = ?2 AND closing = 0",
        params![
            id,
            closing.revision,
            transaction.last_insert_rowid(),
            at_ns,
            finding
        ],
    )?;
    transaction.commit()
}

impl AlertReader {
    /// Puts what people made of them to the alerts.
    pub(super) fn with_closings(&self, alerts: &mut [AlertForm]) -> Result<(), AlertError> {
        let closings = self.closings()?;
        for alert in alerts {
            alert.closed = closings.get(&alert.id).cloned();
        }
        Ok(())
    }

    /// The newest closing of each alert that has one.
    fn closings(&self) -> Result<BTreeMap<String, Closing>, AlertError> {
        let read = || {
            let there = self
                .connection
                .query_row(
                    "SELECT 1 FROM sqlite_schema WHERE name = 'closing'",
                    [],
                    |_| Ok(()),
                )
                .optional()?;
            if there.is_none() {
                return Ok(BTreeMap::new());
            }
            self.connection
                .prepare(
                    "SELECT id, revision, verdict, why, who, at_ns FROM closing ORDER BY position",
                )?
                .query_map([], closing)?
                .collect()
        };
        read().map_err(|source| self.error(source))
    }
}

fn closing(row: &Row<'_>) -> Result<(String, Closing), rusqlite::Error> {
    let verdict: String = row.get(2)?;
    let verdict = Verdict::of(&verdict).ok_or_else(|| {
        let reason = format!("{verdict:?} is no verdict");
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, reason.into())
    })?;
    let closing = Closing {
        revision: row.get(1)?,
        verdict,
        why: row.get(3)?,
        who: row.get(4)?,
        at_ns: row.get::<_, i64>(5)? as u64,
    };
    Ok((row.get(0)?, closing))
}
