//! Asks the analyst's command line for alerts, as an analyst would.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::step::capture;

/// What is needed of an alert here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    /// Its id.
    pub(crate) id: String,
    /// From 1; an alert that grows gets further ones.
    pub(crate) revision: u64,
    /// Nothing more is expected.
    pub(crate) settled: bool,
    /// Name of the store.
    pub(crate) store: String,
    /// Distinct records.
    pub(crate) records: u64,
    /// Bytes that read calls gave.
    pub(crate) bytes_read: u64,
    /// Bytes sent to the destination.
    pub(crate) bytes_sent: u64,
    /// `ADDRESS:PORT`.
    pub(crate) destination: String,
    /// Arguments of the process that sent, of its parent, and so on.
    pub(crate) chain: Vec<Vec<String>>,
}

impl Alert {
    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} records of {}, {} bytes read, {} bytes sent to {}",
            self.records, self.store, self.bytes_read, self.bytes_sent, self.destination
        )
    }
}

/// The alerts of one collector.
#[derive(Debug)]
pub(crate) struct Alerts {
    program: PathBuf,
    data: PathBuf,
    /// Newest revision seen, by id.
    seen: HashMap<String, u64>,
}

impl Alerts {
    /// The alerts in a data directory, read with the program `chartwatch`.
    pub(crate) fn of(program: &Path, data: &Path) -> Self {
        Self {
            program: program.to_owned(),
            data: data.to_owned(),
            seen: HashMap::new(),
        }
    }

    /// Alerts that are new, or have a new revision, since this was last asked.
    ///
    /// # Errors
    /// `chartwatch alerts` failed or printed something else than alerts.
    pub(crate) fn news(&mut self) -> Result<Vec<Alert>> {
        let text = capture(self.command().args(["alerts", "--json"]))?;
        let mut news = Vec::new();
        for alert in read(&text)? {
            let before = self.seen.insert(alert.id.clone(), alert.revision);
            if before.is_none_or(|revision| revision < alert.revision) {
                news.push(alert);
            }
        }
        Ok(news)
    }

    /// Ids of all alerts seen so far.
    pub(crate) fn known(&self) -> Vec<&str> {
        self.seen.keys().map(String::as_str).collect()
    }

    /// An alert as an analyst reads it.
    ///
    /// # Errors
    /// `chartwatch show` failed.
    pub(crate) fn show(&self, id: &str) -> Result<String> {
        capture(self.command().args(["show", id]))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.data);
        command
    }
}

/// Reads the alerts that `chartwatch alerts --json` prints.
fn read(text: &str) -> Result<Vec<Alert>> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(|value| alert(&value.context("chartwatch alerts printed no JSON")?))
        .collect()
}

fn alert(_value: &Value) -> Result<Alert> {
    anyhow::bail!("TBD")
}
