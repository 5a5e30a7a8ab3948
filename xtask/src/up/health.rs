//! Asks the analyst's command line how the sensor is: backend and why, stores, books of the hooks, gaps.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::step::capture;

/// How often the sensor's state is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What makes health news when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Sensor {
    state: String,
    gaps: u64,
    missing: u64,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Heartbeat {
    backend: String,
    lost_events: u64,
}

/// Health of the sensors of one collector.
#[derive(Debug)]
pub(crate) struct Health {
    program: PathBuf,
    data: PathBuf,
    last: Vec<Sensor>,
    looked: Option<Instant>,
}

impl Health {
    /// The sensors in a data directory, read with the program `chartwatch`.
    pub(crate) fn of(program: &Path, data: &Path) -> Self {
        Self {
            program: program.to_owned(),
            data: data.to_owned(),
            last: Vec::new(),
            looked: None,
        }
    }

    /// The page on sensors when the state, the backend or the losses of one have changed since it was last given.
    ///
    /// # Errors
    /// `chartwatch sensors` failed or printed something else than sensors.
    pub(crate) fn news(&mut self) -> Result<Option<String>> {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return Ok(None);
        }
        self.looked = Some(Instant::now());
        let now = read(&capture(self.command().arg("--json"))?)?;
        // Before its first heartbeat there is nothing to tell of a sensor.
        if now == self.last || now.iter().any(|sensor| sensor.heartbeat.is_none()) {
            return Ok(None);
        }
        self.last = now;
        self.page().map(Some)
    }

    /// The page on sensors, as an analyst reads it.
    ///
    /// # Errors
    /// `chartwatch sensors` failed.
    pub(crate) fn page(&self) -> Result<String> {
        capture(&mut self.command())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.data).arg("sensors");
        command
    }
}

fn read(text: &str) -> Result<Vec<Sensor>> {
    serde_json::from_str(text).context("chartwatch sensors printed something else than sensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_are_read() {
        let text = r#"[{"id":"w","state":"alive","host":"h","gaps":1,"missing":2,"last_gap":"",
            "heartbeat":{"said_ns":1,"backend":"lsm","lost_events":3,"hooks":[]}},
            {"id":"x","state":"silent","gaps":0,"missing":0,"heartbeat":null}]"#;
        let sensors = read(text).unwrap();
        assert_eq!((sensors[0].state.as_str(), sensors[0].gaps), ("alive", 1));
        assert!(sensors[1].heartbeat.is_none());
        assert!(read("no sensors").is_err());
    }
}
