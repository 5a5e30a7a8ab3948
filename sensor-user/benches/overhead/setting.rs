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
use crate::peers::Peer;
use crate::sensor::Sensor;
use crate::workloads;

/// Long enough for the sensor to have taken everything in: some ticks.
const QUIET: Duration = Duration::from_secs(1);
/// Whoever spends less than this in such a time is quiet, if it spends anything at all.
const STILL: Duration = Duration::from_millis(5);
/// So many times it is waited for.
const PATIENCE: u32 = 60;
/// What the sensor does by itself it does every tick, every few seconds or every minute. So all figures of a watcher's own
/// process are of a minute, or some of this would be taken for the cost of what was done meanwhile.
const ROUND: Duration = Duration::from_mins(1);
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
    /// Told of every open, read, write and close on the mount; the file is where records would be, as with all peers.
    Fanotify,
    /// Prints every open.
    Bpftrace,
    /// Watches the store. It comes last: what it has switched on in the kernel is never quite off again.
    Auditd,
}

const SETTINGS: &[(&str, Setting)] = &[
    ("nothing", Setting::Nothing),
    ("floor", Setting::Floor),
    ("outside", Setting::Outside),
    ("inside", Setting::Inside),
    ("tainted", Setting::Tainted),
    ("fanotify", Setting::Fanotify),
    ("bpftrace", Setting::Bpftrace),
    ("auditd", Setting::Auditd),
];

impl Setting {
    pub(crate) fn of(name: &str) -> Result<Self> {
        let Some((_, setting)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(known, _)| *known).collect();
            bail!("{name} is none of {}", known.join(", "));
        };
        Ok(*setting)
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
            Self::Fanotify => Watched::Peer(Peer::fanotify(&ground.store)?),
            Self::Bpftrace => Watched::Peer(Peer::bpftrace(&ground.store, &ground.home)?),
            Self::Auditd => Watched::Peer(Peer::auditd(&ground.store, &ground.home)?),
        })
    }
}

/// What is loaded.
pub(crate) enum Watched {
    Nothing,
    Floor(#[expect(dead_code, reason = "held so that its programs stay attached")] Floor),
    Sensor(Sensor),
    Peer(Peer),
}

/// What a watcher's own process had spent at a point in time.
pub(crate) struct Spent {
    cpu: Duration,
    at: Instant,
}

impl Spent {
    /// CPU from then on.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        self.cpu.saturating_sub(before.cpu)
    }
}

impl Watched {
    /// What the watcher has spent so far; the sensor's process is this one. Absent without a watcher.
    fn cpu(&self) -> Result<Option<Duration>> {
        Ok(match self {
            Self::Nothing | Self::Floor(_) => None,
            Self::Sensor(_) => Some(clock_gettime(ClockId::ProcessCPUTime).try_into()?),
            Self::Peer(peer) => Some(peer.cpu()?),
        })
    }

    /// What the watcher has spent by now, once it is quiet.
    pub(crate) fn spent(&self) -> Result<Spent> {
        let mut cpu = self.cpu()?;
        for _ in 0..PATIENCE {
            let Some(before) = cpu else { break };
            thread::sleep(QUIET);
            cpu = self.cpu()?;
            if cpu.is_some_and(|now| now.saturating_sub(before) < STILL) {
                break;
            }
        }
        Ok(Spent {
            cpu: cpu.unwrap_or_default(),
            at: Instant::now(),
        })
    }

    /// What the watcher has spent by now, quiet or not.
    pub(crate) fn spent_now(&self) -> Result<Spent> {
        Ok(Spent {
            cpu: self.cpu()?.unwrap_or_default(),
            at: Instant::now(),
        })
    }

    /// What the watcher has spent when the round that began at a point in time is over.
    pub(crate) fn spent_at_end(&self, begin: &Spent) -> Result<Spent> {
        if self.cpu()?.is_some() {
            thread::sleep((begin.at + ROUND).saturating_duration_since(Instant::now()));
        }
        self.spent_now()
    }

    /// What the watcher spends on a round in which nothing happens.
    pub(crate) fn idle(&self) -> Result<Duration> {
        if self.cpu()?.is_some() {
            // What is done once in a round is then done in the middle of those that are looked at.
            thread::sleep(ROUND / 2);
        }
        let begin = self.spent()?;
        Ok(self.spent_at_end(&begin)?.since(&begin))
    }

    /// What the watcher has spent on each of so many operations in a round, beyond what it spends anyway.
    pub(crate) fn cost_in_round(
        &self,
        begin: &Spent,
        idle: Duration,
        times: u64,
    ) -> Result<Option<u64>> {
        let cpu = self.spent_at_end(begin)?.since(begin);
        self.own(cpu.saturating_sub(idle) / times.max(1) as u32)
    }

    /// What the watcher spends on a second of such a round.
    pub(crate) fn own_per_second(&self, round: Duration) -> Result<Option<u64>> {
        self.own(round / ROUND.as_secs() as u32)
    }

    /// So many instructions of the watcher; absent without one.
    fn own(&self, cpu: Duration) -> Result<Option<u64>> {
        Ok(self.cpu()?.map(|_| cpu.as_nanos() as u64))
    }

    pub(crate) fn end(self) -> Result<()> {
        match self {
            Self::Nothing | Self::Floor(_) => Ok(()),
            Self::Sensor(sensor) => sensor.stop(),
            Self::Peer(peer) => peer.end(),
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
    /// With what whole workloads need, if they are to be measured.
    pub(crate) fn new(workloads: bool) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let ground = Self {
            home: home.path().to_owned(),
            store: home.path().join("store"),
            outside: home.path().join("outside"),
            _removed_at_the_end: home,
        };
        for directory in [&ground.store, &ground.outside] {
            fs::create_dir(directory)?;
            if workloads {
                workloads::prepare(directory)?;
            }
            fs::write(directory.join(WORK_FILE), vec![b'.'; 4 * FILE_BYTES])?;
            for number in 0..FRESH_FILES {
                fs::write(directory.join(fresh_file(number)), vec![b'.'; FILE_BYTES])?;
            }
        }
        // With relatime the first read of a file writes its time of access, and only that read.
        thread::sleep(Duration::from_millis(50));
        for directory in [&ground.store, &ground.outside] {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if path.is_file() {
                    fs::read(path)?;
                }
            }
        }
        Ok(ground)
    }

    /// Where the operations of a setting are performed.
    pub(crate) fn directory(&self, setting: Setting) -> &Path {
        match setting {
            Setting::Inside | Setting::Fanotify | Setting::Bpftrace | Setting::Auditd => {
                &self.store
            }
            _ => &self.outside,
        }
    }

    /// A record to read so as to hold one.
    pub(crate) fn one_record(&self) -> PathBuf {
        self.store.join(WORK_FILE)
    }
}
