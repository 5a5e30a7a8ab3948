//! The scene: a directory, a store, and both daemons with their many lives.
//!
//! **Invariant:** each life of a daemon has a directory of its own for its log; the collector listens on the same
//! address in all of its lives.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::books::Counters;
use crate::records;
use crate::step::{capture, human, say, tail_of};
use crate::up::service::Service;
use crate::up::{self, Programs, Stop, config};

/// How often something is looked at while it is waited for.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// How long a sensor may take to come back; it waits up to 30 s between two attempts.
const CONNECT_LIMIT: Duration = Duration::from_mins(2);
/// A loopback address that nothing else uses: outgoing connections of others cannot take the collector's port while it
/// is away, since they begin at 127.0.0.1.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
/// Records of the store, and its name.
const RECORDS: u64 = 600;
const STORE: &str = "restart-records";

/// Everything that outlives a daemon.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    directory: TempDir,
    programs: Programs,
    stop: &'a Stop,
    pub(super) store: PathBuf,
    /// Where the collector listens, once it has had a first life.
    address: Option<SocketAddr>,
    sensor_file: Option<PathBuf>,
    lives: u64,
}

impl<'a> Scene<'a> {
    /// Builds the programs and makes the store.
    pub(super) fn prepare(seed: u64, stop: &'a Stop) -> Result<Self> {
        let programs = up::build()?;
        let directory = tempfile::Builder::new()
            .prefix("chartwatch-restart-")
            .tempdir()
            .context("failed to make a temporary directory")?;
        let store = directory.path().join(STORE);
        records::generate(&store, RECORDS, seed)?;
        Ok(Self {
            directory,
            programs,
            stop,
            store,
            address: None,
            sensor_file: None,
            lives: 0,
        })
    }

    /// Fails when somebody asked to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.is_asked() {
            bail!("stopped");
        }
        Ok(())
    }

    /// Starts the collector and waits until it is ready.
    pub(super) fn start_collector(&mut self) -> Result<Service> {
        let listen = self.address.unwrap_or_else(|| (ADDRESS, 0).into());
        let file = config::collector(self.directory.path(), listen)?;
        let command = up::daemon(&self.programs.collector, &file);
        let collector = self.start("collector", command)?;
        self.address = Some(up::listening(&collector)?);
        Ok(collector)
    }

    /// Starts the sensor and waits until it is ready; the collector must have been started before.
    pub(super) fn start_sensor(&mut self) -> Result<Service> {
        let file = match &self.sensor_file {
            Some(file) => file.clone(),
            None => self.configure_sensor()?,
        };
        let command = up::daemon(&self.programs.sensor, &file);
        self.start("sensor", command)
    }

    fn configure_sensor(&mut self) -> Result<PathBuf> {
        let address = self.address.context("the collector was never started")?;
        let stores = [(STORE.to_owned(), self.store.clone())];
        let file = config::sensor(
            self.directory.path(),
            &self.programs.sensor,
            address,
            "auto",
            &stores,
        )?;
        self.sensor_file = Some(file.clone());
        Ok(file)
    }

    fn start(&mut self, name: &'static str, command: Command) -> Result<Service> {
        self.lives += 1;
        let life = self.directory.path().join(format!("life-{}", self.lives));
        fs::create_dir(&life).with_context(|| format!("failed to create {}", life.display()))?;
        let mut service = Service::start(name, command, &life)?;
        service.wait_ready(&|| self.stop.is_asked())?;
        Ok(service)
    }

    /// Waits until a sensor has connected so many times in this life of the collector.
    pub(super) fn wait_connected(&self, collector: &Service, times: usize) -> Result<()> {
        let begin = Instant::now();
        while read(&collector.log)?.matches("sensor connected").count() < times {
            self.go_on()?;
            if begin.elapsed() > CONNECT_LIMIT {
                bail!(
                    "no sensor connected within {}{}",
                    human(CONNECT_LIMIT),
                    tail_of(&collector.log)
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// All events of the collector's log, a line of JSON each.
    pub(super) fn events(&self) -> Result<String> {
        say("reading the log back");
        let data = config::data(self.directory.path());
        let mut command = Command::new(&self.programs.analyst);
        capture(command.arg("--data").arg(data).arg("events"))
    }
}

/// Stops the sensor, which hands over what it holds; gives its last words.
pub(super) fn stop_sensor(sensor: Service) -> Result<Counters> {
    let log = sensor.log.clone();
    sensor.stop()?;
    let said = read(&log)?;
    Counters::of(&said).with_context(|| {
        format!(
            "the sensor said nothing of its counters at the end{}",
            tail_of(&log)
        )
    })
}

fn read(log: &Path) -> Result<String> {
    let bytes = fs::read(log).with_context(|| format!("failed to read {}", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
