//! Collector and sensor as they run on a host, for measurements on this machine, and what the sensor's process takes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::records;
use crate::up::service::Service;
use crate::up::{self, Programs, Stop, config};

/// The store that is watched: its name, how many records it has, and of which seed.
const STORE: &str = "records";
const RECORDS: u64 = 200;
const SEED: u64 = 1;

/// A place for both, with the collector running.
#[derive(Debug)]
pub(super) struct Place {
    directory: tempfile::TempDir,
    sensor: PathBuf,
    settings: PathBuf,
    collector: Service,
    stop: Stop,
    started: u32,
}

/// A sensor that runs.
#[derive(Debug)]
pub(super) struct Sensor {
    service: Service,
    /// From its start until it said that it is ready.
    pub(super) ready: Duration,
}

impl Place {
    /// Builds both, makes a store and starts the collector.
    pub(super) fn new(backend: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "loading kernel programs needs root"
        );
        let stop = Stop::on_signals()?;
        let Programs {
            sensor, collector, ..
        } = up::build()?;
        let directory = tempfile::Builder::new()
            .prefix("chartwatch-bench-")
            .tempdir()
            .context("failed to make a temporary directory")?;
        let home = directory.path();
        let store = home.join(STORE);
        records::generate(&store, RECORDS, SEED)?;
        let file = config::collector(home, (Ipv4Addr::LOCALHOST, 0).into())?;
        let mut collector = Service::start("collector", up::daemon(&collector, &file), home)?;
        collector.wait_ready(&|| stop.is_asked())?;
        let address = up::listening(&collector)?;
        let stores = [(STORE.to_owned(), store)];
        let settings = config::sensor(home, &sensor, address, backend, &stores)?;
        Ok(Self {
            directory,
            sensor,
            settings,
            collector,
            stop,
            started: 0,
        })
    }

    /// Where there is room for what is worked on.
    pub(super) fn home(&self) -> &Path {
        self.directory.path()
    }

    /// Fails when somebody asked to stop, or the collector has ended.
    pub(super) fn go_on(&mut self) -> Result<()> {
        ensure!(!self.stop.is_asked(), "stopped");
        self.collector.check().map(drop)
    }

    /// Starts the sensor, and waits until it is ready.
    pub(super) fn start_sensor(&mut self) -> Result<Sensor> {
        self.started += 1;
        let life = self.home().join(format!("life-{}", self.started));
        fs::create_dir(&life).with_context(|| format!("failed to create {}", life.display()))?;
        let command: Command = up::daemon(&self.sensor, &self.settings);
        let begin = Instant::now();
        let mut service = Service::start("sensor", command, &life)?;
        service.wait_ready(&|| self.stop.is_asked())?;
        Ok(Sensor {
            service,
            ready: begin.elapsed(),
        })
    }

    /// Stops the collector.
    pub(super) fn end(self) -> Result<()> {
        self.collector.stop()
    }
}

impl Sensor {
    /// CPU its threads have used. The sum only grows: none of them ends before the sensor does.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.service.pid());
        let mut sum = Duration::ZERO;
        for task in fs::read_dir(&tasks).with_context(|| format!("failed to list {tasks}"))? {
            let path = task?.path().join("schedstat");
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let nanoseconds = text.split_whitespace().next().unwrap_or_default();
            sum += Duration::from_nanos(nanoseconds.parse().context("not a schedstat")?);
        }
        Ok(sum)
    }

    /// Kilobytes of memory that a key of `/proc/PID/status` names: `VmRSS`, or `VmHWM` for the most it ever was.
    pub(super) fn memory(&self, key: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.service.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = value.and_then(|value| value.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no {key} in {path}"))
    }

    /// The backend that works here, as the sensor says.
    pub(super) fn backend(&self) -> Result<String> {
        let log =
            fs::read_to_string(&self.service.log).context("failed to read the sensor's log")?;
        let said = log.split("backend=\"").nth(1);
        let name = said.and_then(|rest| rest.split('"').next());
        Ok(name
            .context("the sensor did not say its backend")?
            .to_owned())
    }

    pub(super) fn stop(self) -> Result<()> {
        self.service.stop()
    }
}
