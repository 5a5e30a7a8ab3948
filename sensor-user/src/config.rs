//! The sensor's configuration: read once, checked once, and from then on types that hold only good values.
//!
//! The file is TOML; `pkg/sensor.toml` is the commented sample. A key that is not known, a value out of its bounds or a
//! path that is not there is refused with the file, the key, the reason and what to do about it.
//!
//! **Invariant:** no later code meets a bad value, and nobody else reads the file.

mod raw;
mod stores;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub use stores::{MATCHES_MAX, Service, Store, UNIT_BYTES_MAX, matches};

use crate::event::Part;
use crate::spool;

/// Where the configuration lies unless the command line says otherwise.
pub const DEFAULT_FILE: &str = "/etc/chartwatch/sensor.toml";
/// Most stores one sensor watches. A heartbeat names them all, and the collector takes 1,024 names in one.
pub const STORES_MAX: usize = 1_000;

/// The configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `sensor_id`: the sensor's own name, unique in the hospital. 1 to 253 of `A-Z a-z 0-9 . _ -`. Default: the host
    /// name. Set by the administrator when two hosts have one name.
    pub sensor_id: String,
    /// `[collector]`: where events go.
    pub collector: Collector,
    /// `[privacy]`: the form in which names leave the host.
    pub privacy: Privacy,
    /// `[queue]`: what is held while the collector is away.
    pub queue: Queue,
    /// `[spool]`: what is held on the disk; none when `directory` is empty, and what is held is memory alone.
    pub spool: Option<Spool>,
    /// `backend` and `[kernel]`: how the kernel programs are set up.
    pub kernel: Kernel,
    /// `[[store]]`: what is watched, in the order of the file, 1 to [`STORES_MAX`].
    pub stores: Vec<Store>,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// `address`: `https://HOST:PORT` of the collector, under a name that its certificate has. `http://` only for a
    /// loopback address, where a collector with `tls = "off"` listens. Default `https://127.0.0.1:7443`. Set by the
    /// administrator.
    pub address: String,
    /// `identity`: the sensor's key and certificate, PEM. Default `/var/lib/chartwatch-sensor/identity.pem`. Set by a hospital
    /// with an authority of its own.
    pub identity: PathBuf,
    /// `ca`: the authority that the collector's certificate is checked with, PEM. Default
    /// `/var/lib/chartwatch-sensor/ca.pem`. Set as `identity`.
    pub ca: PathBuf,
}

impl Collector {
    /// Whether the way there is encrypted and both ends are known. If not, it does not leave this machine.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.address.starts_with("https:")
    }
}

/// The form in which names of records leave the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privacy {
    /// `names = "token"`, the default: as tokens under the hospital's key, which only its holder can turn back; but for stores with
    /// `names = "plain"` of their own.
    Token {
        /// `key_file`: the key, which `chartwatch-sensor enroll` gets from the collector. Default `/etc/chartwatch/token.key`.
        key_file: PathBuf,
    },
    /// `names = "plain"`, for all stores: as they are. For stores whose names identify nobody; the privacy officer decides.
    Plain,
}

/// What is held in memory: all of it while there is no disk spool or it fails, and otherwise what is not yet written there.
/// Beyond either bound new events are lost, counted and reported as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// `events_max`: most events held, 1,000 to 100,000,000. Default 200,000.
    pub events_max: u64,
    /// `bytes_max`: most bytes of encoded events held, 1 MiB to 4 GiB. Default 16 MiB. It is memory.
    pub bytes_max: u64,
    /// `drain_s`: seconds that a stop waits for the collector to take what is held, 0 to 60. Default 5.
    pub drain: Duration,
}

/// What is held on the disk until the collector has made it durable, and over a restart. Beyond a bound what is worth least, or too old, is
/// lost, counted and reported as a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// `directory`: where. Default `/var/lib/chartwatch-sensor/spool`, below the service's state directory. Empty for none.
    pub directory: PathBuf,
    /// `max_bytes`: most bytes of batches there, acknowledged ones included, 16 MiB to 1 TiB. Default 512 MiB. The log of
    /// the database comes on top, about 4 MiB.
    pub bytes_max: u64,
    /// `max_age_hours`: hours of running after which a batch is given up, 1 to 8,760. Default 168, a week.
    pub age_max: Duration,
    /// `keep_acknowledged_minutes`: how long what the collector has is kept, so that one restored from a backup can have
    /// it again, 0 to 10,080. Default 60.
    pub keep: Duration,
}

/// Ports of UDP over which no records go, at most.
pub const QUIET_PORTS_MAX: usize = 256;

/// How the kernel programs are set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `backend` (top level): which hooks to use. Default `auto`. Set to one by whoever tests that one.
    pub backend: Backend,
    /// `tick_ms`: how often sums are collected, 50 to 5,000. Default 200. Shorter costs CPU, longer delays alerts.
    pub tick: Duration,
    /// `canary_s`: how often the sensor tests itself with a record and a connection of its own, seconds, 5 to 3,600.
    /// Default 60.
    pub canary: Duration,
    /// `bulk_ring_bytes`: ring for names and other traffic that may be lost (and is then counted); a power of two,
    /// 64 KiB to 64 MiB. Default 4 MiB. It is kernel memory.
    pub bulk_ring_bytes: u32,
    /// `critical_ring_bytes`: ring for processes, which must not be pushed out by traffic; as above. Default 1 MiB.
    pub critical_ring_bytes: u32,
    /// `guard`: whether attempts on the sensor are refused (`deny`) or only told (`off`, the default). Needs the lsm backend. Set
    /// by the administrator: with `deny` only the service manager stops the sensor.
    pub guard: Guard,
    /// `quiet_sockets`: unix sockets, by path, that carry no records by nature; `*` stands for any text but `/`. At most 256.
    /// Default: those of the journal, the message buses, name services, display and sound. What goes over them is not followed.
    pub quiet_sockets: Vec<glob::Pattern>,
    /// `quiet_ports`: ports of UDP over which no records go by nature: what is sent within the host from one or to one is not
    /// followed. At most 256. Default: 53, 123, 323 and 514, those of names, time and the system's log.
    pub quiet_ports: Vec<u16>,
    /// `quiet_programs`: programs, by path, that share memory with everybody and carry no records by nature. At most 256. Default:
    /// display and sound servers. What they share is not followed.
    pub quiet_programs: Vec<PathBuf>,
    /// `holders_file`: where it is kept who holds records and what carries them, so that a restart of the sensor does not forget it; of this
    /// boot alone. Default `/var/lib/chartwatch-sensor/holders`; none when empty, and then it is forgotten.
    pub holders_file: Option<PathBuf>,
    /// Files of the sensor's own, by whose change somebody could blind it or make it lose what it saw: its program, its unit, the key
    /// of names, its key and certificate, the authority, what the spool is made of, and the file these settings were read from. No key of the file.
    pub own_files: Vec<(Part, PathBuf)>,
}

/// What becomes of attempts on the sensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// They are told.
    #[default]
    Off,
    /// They are told and refused.
    Deny,
}

/// Which hooks to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The best that works on this kernel.
    Auto,
    /// BPF LSM programs, or nothing.
    Lsm,
    /// fentry programs on the `security_*` functions, or nothing.
    Fentry,
    /// Raw BTF tracepoints, or nothing.
    Tracepoint,
}

/// Why a configuration is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{file}: cannot be read: {reason}. Name another file with --config, or install the sample pkg/sensor.toml"
    )]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        reason: String,
    },
    /// The file is no TOML, or has a key or type that does not belong there.
    #[error("{file}:{line}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and with which key.
        reason: String,
    },
    /// A value is out of its bounds, or a path is not what it must be.
    #[error("{file}: {key}: {reason}")]
    Value {
        /// The file.
        file: String,
        /// The key, for example `store[2].path`.
        key: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let shown = file.display().to_string();
        let text = text_of(file).map_err(|e| ConfigError::Read {
            file: shown.clone(),
            reason: e.to_string(),
        })?;
        let mut config = Self::parse(&shown, &text, &host_name())?;
        config.kernel.own_files = own_files(file, &config);
        Ok(config)
    }

    /// Checks a text. `file` is named in errors, `host` is the default of `sensor_id`.
    pub fn parse(file: &str, text: &str, host: &str) -> Result<Self, ConfigError> {
        let raw: raw::File = toml::from_str(text).map_err(|e| syntax(file, text, &e))?;
        raw.check(host).map_err(|(key, reason)| ConfigError::Value {
            file: file.to_owned(),
            key,
            reason,
        })
    }
}

/// Most bytes of a configuration.
const BYTES_MAX: u64 = 4 << 20;

/// Reads a file that is no larger than a configuration can be.
fn text_of(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(file)?;
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it is larger than {BYTES_MAX} bytes, so it is no configuration"
        )));
    }
    Ok(text)
}

/// The host's name, as `uname -n` gives it.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Where systemd looks for units, the administrator's first (systemd.unit(5)).
const UNITS: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The sensor's own files; those of the spool are there once it is open.
fn own_files(configuration: &Path, config: &Config) -> Vec<(Part, PathBuf)> {
    let mut files = vec![(Part::Configuration, configuration.to_owned())];
    files.extend(std::env::current_exe().map(|program| (Part::Program, program)));
    if let Privacy::Token { key_file } = &config.privacy {
        files.push((Part::Key, key_file.clone()));
    }
    let units = UNITS.map(|directory| Path::new(directory).join("chartwatch-sensor.service"));
    let unit = units.into_iter().find(|unit| unit.exists());
    files.extend(unit.map(|unit| (Part::Unit, unit)));
    if config.collector.is_secure() {
        files.push((Part::Identity, config.collector.identity.clone()));
        files.push((Part::Authority, config.collector.ca.clone()));
    }
    let spool = config.spool.iter().flat_map(|spool| {
        let path = |name| spool.directory.join(name);
        spool::FILES.map(|name| (Part::Spool, path(name)))
    });
    files.extend(spool);
    files
}

fn syntax(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..before].split(|b| *b == b'\n').count();
    ConfigError::Syntax {
        file: file.to_owned(),
        line,
        reason: error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests;
