//! The configuration as it stands in the file, and the checks that turn it into a [`Config`].
//!
//! Defaults and bounds are documented here and, for the person who edits the file, in `pkg/collector.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::feed::{self, RawFeed};
use super::privacy::Privacy;
use super::thresholds::Detect;
use super::tls;
use super::{
    ApprovedWay, Config, DEFAULT_DATA_DIR, FileSinkConfig, Keeper, Schedule, SyslogSinkConfig, Tls,
    Whereto,
};

/// Key and reason of a refused value.
pub(super) type Refused = (String, String);

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// `IP:port` to listen on; default 127.0.0.1:7443.
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    /// Absolute path; default /var/lib/chartwatch.
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    /// `"off"`, or a table; default: an empty table.
    tls: Option<toml::Value>,
    #[serde(default)]
    privacy: Privacy,
    #[serde(default)]
    analyst: Analyst,
    #[serde(default)]
    detect: Detect,
    #[serde(default)]
    approved: Vec<Approved>,
    #[serde(default)]
    keeper: Vec<RawKeeper>,
    #[serde(default)]
    intel: Vec<RawFeed>,
    #[serde(default)]
    sink: Sinks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Analyst {
    /// `IP:port`; default: analysts are not listened to.
    listen: Option<SocketAddr>,
}
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeeper {
    name: String,
    store: String,
    executable: String,
    user: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approved {
    name: String,
    store: String,
    executable: String,
    /// Absolute path; default: the executable reads the records itself.
    reader: Option<String>,
    user: String,
    destination: String,
    /// Of `mon` to `sun`, or spans of them; default: all.
    days: Option<Vec<String>>,
    /// `HH:MM-HH:MM`, over midnight too; default: the whole day.
    hours: Option<String>,
    /// Name of the IANA database; default UTC.
    time_zone: Option<String>,
    /// 1 to 2^50; default: any number.
    bytes_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sinks {
    file: Option<FileSink>,
    syslog: Option<SyslogSink>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSink {
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyslogSink {
    address: String,
    /// Name of RFC 5424's table 1; default authpriv.
    facility: Option<String>,
    /// Default 32473, the number set aside for examples (RFC 5612).
    enterprise_number: Option<u32>,
    /// 100 to 60000; default 2000.
    settle_ms: Option<u64>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7443))
}

fn default_data_dir() -> PathBuf {
    PathBuf::from(DEFAULT_DATA_DIR)
}

impl Raw {
    /// Checks every value; the error names the key.
    pub(super) fn check(self) -> Result<Config, Refused> {
        absolute("data_dir", &self.data_dir)?;
        let (approved, keepers) = (approved(self.approved, &[])?, keepers(self.keeper)?);
        let (horizon, detect) = self.detect.check(approved, keepers)?;
        let tls = tls::check(self.tls, self.listen)?;
        if self.analyst.listen.is_some() && tls == Tls::Off {
            return Err(refused(
                "analyst.listen",
                "analysts are told apart by certificates, and tls is \"off\"; leave one of the two out"
                    .to_owned(),
            ));
        }
        Ok(Config {
            analysts: self.analyst.listen,
            token_key: self.privacy.check(&self.data_dir)?,
            tls,
            listen: self.listen,
            horizon,
            detect,
            feeds: feed::feeds(self.intel, &self.data_dir)?,
            data_dir: self.data_dir,
            file_sink: self.sink.file.map(FileSink::check).transpose()?,
            syslog_sink: self.sink.syslog.map(SyslogSink::check).transpose()?,
        })
    }
}

fn keepers(list: Vec<RawKeeper>) -> Result<Vec<Keeper>, Refused> {
    let checked = list.into_iter().enumerate();
    checked.map(|(index, raw)| raw.check(index)).collect()
}

impl RawKeeper {
    fn check(self, index: usize) -> Result<Keeper, Refused> {
        let key = |field: &str| format!("keeper[{index}].{field}");
        for (field, value) in [
            ("name", &self.name),
            ("store", &self.store),
            ("user", &self.user),
        ] {
            if value.is_empty() {
                let reason = "is empty; a keeper needs every field";
                return Err(refused(&key(field), reason.into()));
            }
        }
        absolute(&key("executable"), &PathBuf::from(&self.executable))?;
        Ok(Keeper {
            name: self.name,
            store: self.store,
            executable: self.executable,
            user: self.user,
        })
    }
}

/// A file of approved ways and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovedFile {
    approved: Vec<Approved>,
}

impl ApprovedFile {
    /// Checks every value; no name may be one of those that there are.
    pub(super) fn check(self, others: &[ApprovedWay]) -> Result<Vec<ApprovedWay>, Refused> {
        approved(self.approved, others)
    }
}

fn approved(list: Vec<Approved>, others: &[ApprovedWay]) -> Result<Vec<ApprovedWay>, Refused> {
    let mut ways: Vec<ApprovedWay> = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        let way = raw.check(index)?;
        if others
            .iter()
            .chain(&ways)
            .any(|other| other.name == way.name)
        {
            return Err(refused(
                &format!("approved[{index}].name"),
                format!("{:?} is used twice", way.name),
            ));
        }
        ways.push(way);
    }
    Ok(ways)
}

impl Approved {
    fn check(self, index: usize) -> Result<ApprovedWay, Refused> {
        let key = |field: &str| format!("approved[{index}].{field}");
        for (field, value) in [
            ("name", &self.name),
            ("store", &self.store),
            ("user", &self.user),
        ] {
            if value.is_empty() {
                return Err(refused(
                    &key(field),
                    "is empty; an approved way needs every field".into(),
                ));
            }
        }
        absolute(&key("executable"), &PathBuf::from(&self.executable))?;
        if let Some(reader) = &self.reader {
            absolute(&key("reader"), &PathBuf::from(reader))?;
        }
        let destination: Whereto = self.destination.parse().map_err(|error| {
            (
                key("destination"),
                format!("{:?}: {error}", self.destination),
            )
        })?;
        let schedule = self.schedule(&key)?;
        let bytes_max = self.bytes_max.map(|most| {
            let key = key("bytes_max");
            bounded(&key, Some(most), most, 1, 1 << 50)
        });
        Ok(ApprovedWay {
            schedule,
            bytes_max: bytes_max.transpose()?,
            name: self.name,
            store: self.store,
            executable: self.executable,
            reader: self.reader,
            user: self.user,
            destination,
        })
    }
}

impl Approved {
    fn schedule(&self, key: &impl Fn(&str) -> String) -> Result<Option<Schedule>, Refused> {
        if self.days.is_none() && self.hours.is_none() {
            return match self.time_zone {
                None => Ok(None),
                Some(_) => Err(refused(
                    &key("time_zone"),
                    "means nothing without days or hours; write one of these too".into(),
                )),
            };
        }
        let (days, hours) = (self.days.as_deref(), self.hours.as_deref());
        Schedule::read(days, hours, self.time_zone.as_deref())
            .map(Some)
            .map_err(|error| (key(error.key()), error.to_string()))
    }
}

impl FileSink {
    fn check(self) -> Result<FileSinkConfig, Refused> {
        absolute("sink.file.path", &self.path)?;
        Ok(FileSinkConfig { path: self.path })
    }
}

impl SyslogSink {
    fn check(self) -> Result<SyslogSinkConfig, Refused> {
        let port = self
            .address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port);
        if port
            .and_then(|port| port.parse::<u16>().ok())
            .is_none_or(|port| port == 0)
        {
            return Err(refused(
                "sink.syslog.address",
                format!("{:?} is not host:port", self.address),
            ));
        }
        let facility = self.facility.unwrap_or_else(|| "authpriv".into());
        let number = FACILITIES
            .iter()
            .position(|name| *name == facility)
            .ok_or_else(|| {
                refused(
                    "sink.syslog.facility",
                    format!("{facility:?} is none of: {}", FACILITIES.join(", ")),
                )
            })?;
        Ok(SyslogSinkConfig {
            address: self.address,
            facility: number as u8,
            enterprise: self.enterprise_number.unwrap_or(32_473),
            settle: Duration::from_millis(bounded(
                "sink.syslog.settle_ms",
                self.settle_ms,
                2_000,
                100,
                60_000,
            )?),
        })
    }
}

/// The facilities of RFC 5424, table 1, by number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

pub(super) fn bounded(
    key: &str,
    value: Option<u64>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, Refused> {
    let value = value.unwrap_or(default);
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(refused(
        key,
        format!("{value} is not between {min} and {max}"),
    ))
}

pub(super) fn absolute(key: &str, path: &std::path::Path) -> Result<(), Refused> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(refused(
        key,
        format!("{:?} is not an absolute path", path.display().to_string()),
    ))
}

pub(super) fn refused(key: &str, reason: String) -> Refused {
    (key.to_owned(), reason)
}
