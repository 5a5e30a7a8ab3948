//! Asks the analyst's command line for alerts, as an analyst would.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

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
    /// Bytes of records at the times they were mapped.
    pub(crate) bytes_mapped: u64,
    /// Bytes sent to the destination.
    pub(crate) bytes_sent: u64,
    /// Where the records went.
    pub(crate) destination: SocketAddr,
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

/// What `chartwatch alerts --json` prints of an alert, as far as it matters here.
#[derive(Deserialize)]
struct Printed {
    id: String,
    revision: u64,
    settled: bool,
    store: String,
    distinct_records: u64,
    bytes_read: u64,
    bytes_mapped: u64,
    bytes_sent: u64,
    /// Absent in alerts about the sensor itself, which are none of a theft.
    destination: Option<Destination>,
    chain: Vec<Process>,
}

#[derive(Deserialize)]
struct Destination {
    address: IpAddr,
    port: u16,
}

#[derive(Deserialize)]
struct Process {
    arguments: Vec<String>,
}

/// Reads alerts printed as one array or one after the other.
fn read(text: &str) -> Result<Vec<Alert>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Piece {
        Array(Vec<Printed>),
        One(Box<Printed>),
    }
    let mut alerts = Vec::new();
    for piece in serde_json::Deserializer::from_str(text).into_iter::<Piece>() {
        match piece.context("chartwatch alerts printed something else than alerts")? {
            Piece::Array(array) => alerts.extend(array.into_iter().filter_map(Alert::of)),
            Piece::One(one) => alerts.extend(Alert::of(*one)),
        }
    }
    Ok(alerts)
}

impl Alert {
    fn of(printed: Printed) -> Option<Self> {
        let Destination { address, port } = printed.destination?;
        Some(Self {
            id: printed.id,
            revision: printed.revision,
            settled: printed.settled,
            store: printed.store,
            records: printed.distinct_records,
            bytes_read: printed.bytes_read,
            bytes_mapped: printed.bytes_mapped,
            bytes_sent: printed.bytes_sent,
            destination: SocketAddr::new(address, port),
            chain: printed
                .chain
                .into_iter()
                .map(|process| process.arguments)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"id":"a","revision":2,"pattern":"direct","settled":true,"store":"demo",
        "distinct_records":3,"bytes_read":10,"bytes_mapped":0,"bytes_sent":12,
        "destination":{"address":"203.0.113.2","port":80,"protocol":6},
        "chain":[{"pid":2,"arguments":["curl","x"]},{"pid":1,"arguments":[]}]}"#;

    #[test]
    fn alerts_are_read_in_both_forms() {
        let expected = read(ONE).unwrap();
        assert_eq!(expected[0].destination, "203.0.113.2:80".parse().unwrap());
        assert_eq!(
            expected[0].chain,
            [vec!["curl".to_owned(), "x".to_owned()], vec![]]
        );
        assert_eq!(read(&format!("[{ONE}]")).unwrap(), expected);
        assert_eq!(read(&format!("{ONE}\n{ONE}\n")).unwrap().len(), 2);
        assert!(read("").unwrap().is_empty() && read("[]").unwrap().is_empty());
        assert!(read("no alerts").is_err());
        let sensor = ONE.replace(
            "{\"address\":\"203.0.113.2\",\"port\":80,\"protocol\":6}",
            "null",
        );
        assert!(read(&sensor).unwrap().is_empty());
    }
}
