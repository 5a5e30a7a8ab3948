//! The settings that are compared, and the files that are worked on.
//!
//! **Invariant:** all files are made before anything is loaded, so no program has seen one before it is worked on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};
use sensor_user::config::Backend;

use crate::floor::{self, Floor};
use crate::operations::{FRESH_FILES, WORK_FILE, fresh_file};
use crate::sensor::Sensor;

/// Long enough for the sensor to have taken everything in: some ticks.
const QUIET: Duration = Duration::from_secs(1);
/// How long the sensor's cost of doing nothing is looked at.
const IDLE: Duration = Duration::from_secs(10);
/// Bytes of each file.
const FILE_BYTES: usize = 4096;

/// What runs while operations are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Nothing is loaded.
    Nothing,
    /// Programs that only count, on the sensor's hooks.
    Floor,
    /// The sensor; the file lies outside of every store.
    Outside,
    /// The sensor; the file is a record.
    Inside,
    /// The sensor; the process has read a record, and the file lies outside of every store.
    Tainted,
}

const SETTINGS: &[(&str, Setting)] = &[
    ("nothing", Setting::Nothing),
    ("floor", Setting::Floor),
    ("outside", Setting::Outside),
    ("inside", Setting::Inside),
    ("tainted", Setting::Tainted),
];

impl Setting {
    pub(crate) fn of(name: &str) -> Result<Self> {
        match SETTINGS.iter().find(|(known, _)| *known == name) {
            Some((_, setting)) => Ok(*setting),
            None => bail!("{name} is none of nothing, floor, outside, inside, tainted"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        SETTINGS
            .iter()
            .find(|(_, setting)| *setting == self)
            .map_or("", |(name, _)| name)
    }

    /// True when the process has read a record before it is measured.
    pub(crate) fn is_tainted(self) -> bool {
        matches!(self, Self::Inside | Self::Tainted)
    }

    /// Loads what the setting needs.
    pub(crate) fn begin(self, backend: Backend, ground: &Ground) -> Result<Watched> {
        Ok(match self {
            Self::Nothing => Watched::Nothing,
            Self::Floor => Watched::Floor(floor::attach(backend)?),
            Self::Outside | Self::Inside | Self::Tainted => {
                Watched::Sensor(Sensor::start(backend, &ground.store, &ground.home)?)
            }
        })
    }
}

/// What is loaded.
pub(crate) enum Watched {
    Nothing,
    Floor(#[expect(dead_code, reason = "held so that its programs stay attached")] Floor),
    Sensor(Sensor),
}

/// What this process, which is the sensor's, had spent at a point in time.
pub(crate) struct Spent {
    cpu: Duration,
    at: Instant,
}

impl Spent {
    /// CPU and time between two points.
    fn since(&self, before: &Self) -> (Duration, Duration) {
        (
            self.cpu.saturating_sub(before.cpu),
            self.at.saturating_duration_since(before.at),
        )
    }
}

impl Watched {
    /// What the sensor has spent by now, once it is quiet.
    pub(crate) fn spent(&self) -> Result<Spent> {
        if matches!(self, Self::Sensor(_)) {
            thread::sleep(QUIET);
        }
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Spent {
            cpu: Duration::try_from(cpu)?,
            at: Instant::now(),
        })
    }

    /// What the sensor spends on a second in which nothing happens.
    pub(crate) fn idle_per_second(&self) -> Result<Duration> {
        if !matches!(self, Self::Sensor(_)) {
            return Ok(Duration::ZERO);
        }
        let before = self.spent()?;
        thread::sleep(IDLE);
        let (cpu, time) = self.spent()?.since(&before);
        Ok(cpu.div_f64(time.as_secs_f64()))
    }

    /// What the sensor has spent on each of so many operations, beyond what it spends anyway; absent without a sensor.
    pub(crate) fn cost_since(
        &self,
        before: &Spent,
        idle_per_second: Duration,
        times: u64,
    ) -> Result<Option<u64>> {
        if !matches!(self, Self::Sensor(_)) {
            return Ok(None);
        }
        let (cpu, time) = self.spent()?.since(before);
        let cost = cpu.saturating_sub(idle_per_second.mul_f64(time.as_secs_f64()));
        Ok(Some(cost.as_nanos() as u64 / times.max(1)))
    }

    /// So many instructions of the sensor's process; absent without a sensor.
    pub(crate) fn of_sensor(&self, cpu: Duration) -> Option<u64> {
        matches!(self, Self::Sensor(_)).then(|| cpu.as_nanos() as u64)
    }

    pub(crate) fn end(self) -> Result<()> {
        match self {
            Self::Nothing | Self::Floor(_) => Ok(()),
            Self::Sensor(sensor) => sensor.stop(),
        }
    }
}

/// The files: a store, and a directory beside it with the same in it.
pub(crate) struct Ground {
    home: PathBuf,
    store: PathBuf,
    outside: PathBuf,
    _removed_at_the_end: tempfile::TempDir,
}

impl Ground {
    pub(crate) fn new() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let ground = Self {
            home: home.path().to_owned(),
            store: home.path().join("store"),
            outside: home.path().join("outside"),
            _removed_at_the_end: home,
        };
        for directory in [&ground.store, &ground.outside] {
            fs::create_dir(directory)?;
            fs::write(directory.join(WORK_FILE), vec![b'.'; 4 * FILE_BYTES])?;
            for number in 0..FRESH_FILES {
                fs::write(directory.join(fresh_file(number)), vec![b'.'; FILE_BYTES])?;
            }
        }
        // With relatime the first read of a file writes its time of access, and only that read.
        thread::sleep(Duration::from_millis(50));
        for directory in [&ground.store, &ground.outside] {
            for entry in fs::read_dir(directory)? {
                fs::read(entry?.path())?;
            }
        }
        Ok(ground)
    }

    /// Where the operations of a setting are performed.
    pub(crate) fn directory(&self, setting: Setting) -> &Path {
        match setting {
            Setting::Inside => &self.store,
            _ => &self.outside,
        }
    }

    /// A record to read so as to hold one.
    pub(crate) fn one_record(&self) -> PathBuf {
        self.store.join(WORK_FILE)
    }
}
