//! The collector's configuration: TOML on disk, types in memory, parsed once.
//!
//! **Invariant:** a [`Config`] that exists is valid. Nothing later checks a value again or meets a bad one.

mod approved;
mod feed;
mod privacy;
mod raw;
mod schedule;
mod shared;
mod thresholds;
mod tls;

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::event::Medium;
use crate::intel::{FeedConfig, Intel, Status};

pub use approved::{ApprovedWay, Network, WayError, Whereto};
pub use schedule::{Schedule, ScheduleError};
pub use shared::Shared;

/// Where the configuration lies unless the command line says otherwise.
pub const DEFAULT_FILE: &str = "/etc/chartwatch/collector.toml";
/// Directory beside the configuration, and in the data directory, for files of approved ways, `*.toml`.
pub const APPROVED_DIR: &str = "approved.d";
/// Where the collector keeps its data unless told otherwise.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/chartwatch";
/// The key for names of records, below the data directory, unless told otherwise.
pub const TOKEN_KEY: &str = "keys/token.key";
/// Exit status for a configuration that cannot be used (`EX_USAGE` of sysexits.h).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// A configuration that was read and found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address the gRPC service listens on; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Directory of the event log, the alerts and the list of sensors.
    pub data_dir: PathBuf,
    /// The hospital's key for names of records, made at the first start and given to sensors that enrol; `None`: the collector has none.
    pub token_key: Option<PathBuf>,
    /// Address analysts connect to; `None`: they do not.
    pub analysts: Option<SocketAddr>,
    /// How sensors are told from others on the link.
    pub tls: Tls,
    /// How far back the log is read at start, seconds of event time.
    pub horizon: Duration,
    /// What detection works with.
    pub detect: DetectConfig,
    /// Feeds of threat intelligence.
    pub feeds: Vec<FeedConfig>,
    /// OCSF findings as lines of a file; `None`: not written.
    pub file_sink: Option<FileSinkConfig>,
    /// OCSF findings over syslog; `None`: not sent.
    pub syslog_sink: Option<SyslogSinkConfig>,
}

/// How sensors are told from others on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: plain HTTP/2, on a loopback address only.
    Off,
    /// With certificates of the collector's own authority.
    Own {
        /// What sensors call the collector, besides its host name and its address.
        names: Vec<String>,
        /// How long a sensor's certificate lasts.
        valid: Duration,
    },
    /// With certificates that the hospital's authority makes.
    Given {
        /// The collector's certificate, with what leads from it to the authority.
        certificate: PathBuf,
        /// The key that belongs to it.
        key: PathBuf,
        /// Authorities that sensors' certificates are checked with.
        client_ca: PathBuf,
    },
}

/// What detection works with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectConfig {
    /// Thresholds of the patterns *direct* and *chain*.
    pub direct: DirectConfig,
    /// What *chain* has besides.
    pub chain: ChainConfig,
    /// Thresholds of the pattern *dns*.
    pub dns: DnsConfig,
    /// The hospital's normal work.
    pub approved: Vec<ApprovedWay>,
    /// Thresholds of the pattern *wipe*.
    pub wipe: WipeConfig,
    /// Programs that may remove and write over many records.
    pub keepers: Vec<Keeper>,
    /// Thresholds of *direct* and *chain* for a destination that an indicator is about.
    pub listed: ListedConfig,
    /// Thresholds of *direct* and *chain* for a place where nobody had sent to.
    pub first_seen: LessConfig,
    /// Thresholds of *chain* where an ssh that forwards ports sends.
    pub tunnel: LessConfig,
    /// Thresholds of *direct* and *chain* for what is neither TCP nor UDP.
    pub raw: LessConfig,
    /// Thresholds of *direct* and *chain* where many records were read.
    pub many: ManyConfig,
    /// Thresholds of the pattern *bulk*.
    pub bulk: BulkConfig,
    /// Thresholds of the pattern *slow*.
    pub slow: SlowConfig,
    /// How what is usual is learned.
    pub baseline: BaselineConfig,
    /// What files may lie on that it is a way out of the host to write to them.
    pub media: Media,
    /// What may be remembered of all hosts together.
    pub memory_max: MemoryMax,
    /// What is known of destinations; of a configuration that was only read, nothing.
    pub intel: Arc<Intel>,
}

/// Bytes that what detection remembers of all hosts together may take, about. Above it half of the host that takes most is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryMax(pub u64);

impl Default for MemoryMax {
    fn default() -> Self {
        Self(4_096 << 20)
    }
}

/// What files may lie on that it is a way out of the host to write to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media(pub Vec<Medium>);

impl Default for Media {
    fn default() -> Self {
        Self(vec![Medium::Removable, Medium::Image, Medium::Network])
    }
}

/// Thresholds of *direct* and *chain* for a destination that threat intelligence lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedConfig {
    /// Record bytes that must have been read from one store within the window.
    pub read_bytes_min: u64,
    /// Bytes that must have been sent there within the window.
    pub sent_bytes_min: u64,
    /// How sure a feed must be that says how sure it is, 0 to 100.
    pub confidence_min: u8,
}

impl Default for ListedConfig {
    fn default() -> Self {
        Self {
            read_bytes_min: 1,
            sent_bytes_min: 1_024,
            // What STIX 2.1 calls none or low, appendix A.
            confidence_min: 30,
        }
    }
}

/// Thresholds of *direct* and *chain* where less is enough, because of where something is sent or what sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LessConfig {
    /// Record bytes that must have been read from one store within the window.
    pub read_bytes_min: u64,
    /// Bytes that must have been sent there within the window.
    pub sent_bytes_min: u64,
}

impl Default for LessConfig {
    fn default() -> Self {
        Self {
            read_bytes_min: 8_192,
            sent_bytes_min: 4_096,
        }
    }
}

/// Thresholds of *direct* and *chain* where many records were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManyConfig {
    /// Distinct records of one store; 0: however many they are, nothing is different.
    pub records_min: u64,
    /// What is enough then.
    pub less: LessConfig,
}

impl Default for ManyConfig {
    fn default() -> Self {
        Self {
            records_min: 50,
            less: LessConfig::default(),
        }
    }
}

/// Thresholds of the pattern *bulk*: far more is read on a day than is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BulkConfig {
    /// Records on one day; 0: the pattern is off.
    pub records_min: u64,
    /// So many times what is usual.
    pub times: f64,
}

impl Default for BulkConfig {
    fn default() -> Self {
        Self {
            records_min: 500,
            times: 3.0,
        }
    }
}

/// Thresholds of the pattern *slow*: records leave little by little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowConfig {
    /// Bytes within the days; 0: the pattern is off.
    pub sent_bytes_min: u64,
    /// Days that are added up, 1 to 28.
    pub days: u32,
}

impl Default for SlowConfig {
    fn default() -> Self {
        Self {
            sent_bytes_min: 65_536,
            days: 14,
        }
    }
}

/// Days of what is usual that are remembered.
pub const BASELINE_DAYS: u32 = 28;

/// How what is usual is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineConfig {
    /// Days a host, and for places the fleet, must have been heard of before anything is unusual.
    pub learning_days: u32,
    /// What was learned before counts for nothing.
    pub relearn: Vec<Relearn>,
}

impl Default for BaselineConfig {
    fn default() -> Self {
        Self {
            learning_days: 7,
            relearn: Vec::new(),
        }
    }
}

/// What a host has learned before a day counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relearn {
    /// The sensor; `None`: all.
    pub sensor: Option<String>,
    /// First day that counts, days since the Unix epoch.
    pub since_day: u32,
}

impl BaselineConfig {
    /// First day that counts for a host, days since the Unix epoch.
    pub fn since(&self, sensor: &str) -> u32 {
        let of_host =
            |relearn: &&Relearn| relearn.sensor.as_deref().is_none_or(|own| own == sensor);
        let days = self.relearn.iter().filter(of_host);
        days.map(|relearn| relearn.since_day).max().unwrap_or(0)
    }
}

/// Thresholds of the pattern *wipe*: one process takes many records away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WipeConfig {
    /// Distinct records of one store within the window; 0: the pattern is off.
    pub records_min: u64,
    /// Length of the window.
    pub window: Duration,
}

impl WipeConfig {
    /// Length of the window, nanoseconds.
    pub fn window_ns(&self) -> u64 {
        u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for WipeConfig {
    fn default() -> Self {
        Self {
            records_min: 100,
            window: Duration::from_hours(1),
        }
    }
}

/// A program that keeps a store: its housekeeping may remove and write over records, which is no way out for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// What the hospital calls it.
    pub name: String,
    /// The store it keeps.
    pub store: String,
    /// Absolute path of its executable.
    pub executable: String,
    /// Name of the user it runs as, or the number where the host has no name for it.
    pub user: String,
}

/// Thresholds of the patterns *direct*, one process reads records and sends, and *chain*, where several share that work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectConfig {
    /// Record bytes that must have been read from one store within the window.
    pub read_bytes_min: u64,
    /// Bytes that must have been sent to one destination within the window, whatever was read.
    pub sent_bytes_min: u64,
    /// Share of the bytes read that must have been sent as well, 0 to 1.
    pub sent_share_min: f64,
    /// Length of the window.
    pub window: Duration,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            read_bytes_min: 65_536,
            sent_bytes_min: 16_384,
            sent_share_min: 0.05,
            window: Duration::from_hours(24),
        }
    }
}

impl DirectConfig {
    /// The same, where no more than this is needed.
    #[must_use]
    pub fn lowered(self, less: &LessConfig) -> Self {
        Self {
            read_bytes_min: less.read_bytes_min.min(self.read_bytes_min),
            sent_bytes_min: less.sent_bytes_min.min(self.sent_bytes_min),
            ..self
        }
    }
}

/// What the pattern *chain* has besides the thresholds of *direct*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainConfig {
    /// How long before it is sent something may have been put into a file.
    pub staged: Duration,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            staged: Duration::from_hours(7 * 24),
        }
    }
}

/// Thresholds of the pattern *dns*, in which records leave as names that are asked for. All of these must be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsConfig {
    /// Distinct names below one domain.
    pub names: u64,
    /// Bytes of these names, without the domain.
    pub bytes: u64,
    /// Bytes of such a name on average: a shorter one is a name, not data.
    pub length: u64,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            names: 20,
            bytes: 600,
            length: 20,
        }
    }
}

/// The file sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// File that lines are appended to.
    pub path: PathBuf,
}

/// The syslog sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogSinkConfig {
    /// Receiver, `host:port`; names are looked up at each connection.
    pub address: String,
    /// Facility number, 0 to 23 (RFC 5424, table 1).
    pub facility: u8,
    /// Private enterprise number in the id of the structured data (RFC 5424, 7.2.2).
    pub enterprise: u32,
    /// How long a message must have stayed on a healthy connection before it counts as delivered.
    pub settle: Duration,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML, or holds a key or type that is not known; the message has line, column and key.
    #[error("{path}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value is out of its bounds.
    #[error("{path}: {key}: {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Key, with the tables it lies in.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file, and the approved ways that lie in files of their own: in the directory [`APPROVED_DIR`] beside it, and in the one
    /// of that name in the data directory, where the collector writes what was approved from afar. Of two ways of one name the first counts if
    /// the other is of the latter: what was approved from afar must not keep the collector from starting.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::parse(&read(path)?, path)?;
        for file in approved_files(&path.with_file_name(APPROVED_DIR))? {
            config.add_approved(&read(&file)?, &file)?;
        }
        for file in approved_files(&config.data_dir.join(APPROVED_DIR))? {
            let raw: raw::ApprovedFile = parsed(&read(&file)?, &file)?;
            let ways = raw.check(&[]);
            for way in ways.map_err(|refused| value_error(refused, &file))? {
                let approved = &mut config.detect.approved;
                if !approved.iter().any(|other| other.name == way.name) {
                    approved.push(way);
                }
            }
        }
        Ok(config)
    }

    /// Adds the approved ways of a file that has nothing else.
    pub fn add_approved(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let raw: raw::ApprovedFile = parsed(text, path)?;
        let ways = raw.check(&self.detect.approved);
        self.detect
            .approved
            .extend(ways.map_err(|refused| value_error(refused, path))?);
        Ok(())
    }

    /// Reads the feeds, so that detection knows what they say. A feed that cannot be read says so in its status and counts for
    /// nothing, or as it was in `before`.
    pub fn read_feeds(&mut self, before: &Intel) -> Vec<Status> {
        let (intel, states) = Intel::load(&self.feeds, before);
        self.detect.intel = Arc::new(intel);
        states
    }

    /// Stays with a directory, whatever the file says.
    pub fn keep_data_dir(&mut self, data_dir: PathBuf) {
        if self.token_key == Some(self.data_dir.join(TOKEN_KEY)) {
            self.token_key = Some(data_dir.join(TOKEN_KEY));
        }
        for feed in &mut self.feeds {
            feed.keep_below(&data_dir);
        }
        self.data_dir = data_dir;
    }

    /// Checks the text of a file; `path` is for messages only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Raw = parsed(text, path)?;
        raw.check().map_err(|refused| value_error(refused, path))
    }
}

/// Most bytes of a configuration.
const BYTES_MAX: u64 = 4 << 20;

/// Reads a file that is no larger than a configuration can be.
fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut limited = file.take(BYTES_MAX + 1);
    limited.read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        let reason = format!("it is larger than {BYTES_MAX} bytes, so it is no configuration");
        return Err(failed(std::io::Error::other(reason)));
    }
    Ok(text)
}

/// The files of approved ways in a directory, by name; one that is not there has none.
fn approved_files(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

fn value_error((key, reason): (String, String), path: &Path) -> ConfigError {
    ConfigError::Value {
        path: path.to_owned(),
        key,
        reason,
    }
}

#[cfg(test)]
mod tests;
