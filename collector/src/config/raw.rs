//! The configuration as it stands in the file, and the checks that turn it into a [`Config`].
//!
//! Defaults and bounds are documented here and, for the person who edits the file, in `pkg/collector.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::feed::{self, RawFeed};
use super::tls;
use super::{
    ApprovedWay, BASELINE_DAYS, BaselineConfig, BulkConfig, Config, DEFAULT_DATA_DIR, DetectConfig,
    DirectConfig, DnsConfig, FileSinkConfig, FirstSeenConfig, Keeper, ListedConfig, Media, Relearn,
    Schedule, SlowConfig, SyslogSinkConfig, Whereto, WipeConfig,
};
use crate::text;

/// One day, nanoseconds.
const DAY_NS: u64 = 86_400 * 1_000_000_000;

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
#[expect(clippy::struct_field_names, reason = "the keys of the file")]
struct Listed {
    /// 1 to 2^40; default 1.
    read_bytes_min: Option<u64>,
    /// 1 to 2^40; default 1024.
    sent_bytes_min: Option<u64>,
    /// 0 to 100; default 30.
    confidence_min: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detect {
    /// Event time read back at start, 1 to 365 days; default 7.
    horizon_days: Option<u64>,
    #[serde(default)]
    direct: Direct,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    wipe: Wipe,
    #[serde(default)]
    listed: Listed,
    #[serde(default)]
    first_seen: FirstSeen,
    #[serde(default)]
    bulk: Bulk,
    #[serde(default)]
    slow: Slow,
    /// Days before anything is unusual, 0 to 28; default 7.
    learning_days: Option<u64>,
    #[serde(default)]
    relearn: Vec<RawRelearn>,
    /// Of `removable`, `image` and `network`; default: all.
    media: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstSeen {
    /// 1 to 2^40; default 8192.
    read_bytes_min: Option<u64>,
    /// 1 to 2^40; default 4096.
    sent_bytes_min: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    /// 0 to 2^40, 0 for off; default 500.
    records_min: Option<u64>,
    /// 1.0 to 1000.0; default 3.0.
    times: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    /// 0 to 2^40, 0 for off; default 65536.
    sent_bytes_min: Option<u64>,
    /// 1 to 28; default 14.
    days: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelearn {
    /// Default: all sensors.
    sensor: Option<String>,
    /// A day, such as `2026-11-30`, UTC.
    since: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dns {
    /// 1 to 4096; default 20.
    #[serde(rename = "names_min")]
    names: Option<u64>,
    /// 1 to 2^20; default 600.
    #[serde(rename = "bytes_min")]
    bytes: Option<u64>,
    /// 1 to 255; default 20.
    #[serde(rename = "length_min")]
    length: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wipe {
    /// 0 to 2^20, 0 for off; default 100.
    records_min: Option<u64>,
    /// 1 to 86400, the shortest horizon; default 3600.
    window_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeeper {
    name: String,
    store: String,
    executable: String,
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Direct {
    /// 1 to 2^40; default 65536.
    read_bytes_min: Option<u64>,
    /// 1 to 2^40; default 16384.
    sent_bytes_min: Option<u64>,
    /// 0.0 to 1.0; default 0.05.
    sent_share_min: Option<f64>,
    /// 1 to 604800; default 86400.
    window_seconds: Option<u64>,
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
        let horizon_days = bounded("detect.horizon_days", self.detect.horizon_days, 7, 1, 365)?;
        let horizon = Duration::from_hours(24 * horizon_days);
        let direct = self.detect.direct.check()?;
        if horizon < direct.window {
            let window = direct.window.as_secs();
            return Err(refused(
                "detect.horizon_days",
                format!(
                    "{horizon_days} is shorter than detect.direct.window_seconds ({window}): a restart would forget \
                     what was read within the window; {} or more is needed",
                    window.div_ceil(86_400)
                ),
            ));
        }
        Ok(Config {
            tls: tls::check(self.tls, self.listen)?,
            listen: self.listen,
            horizon,
            detect: DetectConfig {
                direct,
                dns: self.detect.dns.check()?,
                approved: approved(self.approved, &[])?,
                wipe: self.detect.wipe.check()?,
                keepers: keepers(self.keeper)?,
                listed: self.detect.listed.check()?,
                first_seen: self.detect.first_seen.check()?,
                bulk: self.detect.bulk.check()?,
                slow: self.detect.slow.check()?,
                baseline: baseline(self.detect.learning_days, self.detect.relearn)?,
                media: media(self.detect.media)?,
                intel: Arc::default(),
            },
            feeds: feed::feeds(self.intel, &self.data_dir)?,
            data_dir: self.data_dir,
            file_sink: self.sink.file.map(FileSink::check).transpose()?,
            syslog_sink: self.sink.syslog.map(SyslogSink::check).transpose()?,
        })
    }
}

impl Direct {
    fn check(self) -> Result<DirectConfig, Refused> {
        let default = DirectConfig::default();
        let bytes = |key: &str, value, default| bounded(key, value, default, 1, 1 << 40);
        let share = self.sent_share_min.unwrap_or(default.sent_share_min);
        if !(0.0..=1.0).contains(&share) {
            return Err(refused(
                "detect.direct.sent_share_min",
                format!("{share} is not between 0.0 and 1.0"),
            ));
        }
        Ok(DirectConfig {
            read_bytes_min: bytes(
                "detect.direct.read_bytes_min",
                self.read_bytes_min,
                default.read_bytes_min,
            )?,
            sent_bytes_min: bytes(
                "detect.direct.sent_bytes_min",
                self.sent_bytes_min,
                default.sent_bytes_min,
            )?,
            sent_share_min: share,
            window: Duration::from_secs(bounded(
                "detect.direct.window_seconds",
                self.window_seconds,
                default.window.as_secs(),
                1,
                604_800,
            )?),
        })
    }
}

impl Dns {
    fn check(self) -> Result<DnsConfig, Refused> {
        let default = DnsConfig::default();
        Ok(DnsConfig {
            names: bounded("detect.dns.names_min", self.names, default.names, 1, 4_096)?,
            bytes: bounded(
                "detect.dns.bytes_min",
                self.bytes,
                default.bytes,
                1,
                1 << 20,
            )?,
            length: bounded("detect.dns.length_min", self.length, default.length, 1, 255)?,
        })
    }
}

impl Wipe {
    fn check(self) -> Result<WipeConfig, Refused> {
        let default = WipeConfig::default();
        let key = "detect.wipe.records_min";
        let records_min = bounded(key, self.records_min, default.records_min, 0, 1 << 20)?;
        let seconds = default.window.as_secs();
        let key = "detect.wipe.window_seconds";
        let window = bounded(key, self.window_seconds, seconds, 1, 86_400)?;
        Ok(WipeConfig {
            records_min,
            window: Duration::from_secs(window),
        })
    }
}

impl Listed {
    fn check(self) -> Result<ListedConfig, Refused> {
        let default = ListedConfig::default();
        let bytes = |key: &str, value, default| bounded(key, value, default, 1, 1 << 40);
        let (read, sent) = (default.read_bytes_min, default.sent_bytes_min);
        let confidence_min = self.confidence_min.unwrap_or(default.confidence_min);
        let key = "detect.listed.confidence_min";
        bounded(key, Some(confidence_min.into()), 0, 0, 100)?;
        Ok(ListedConfig {
            read_bytes_min: bytes("detect.listed.read_bytes_min", self.read_bytes_min, read)?,
            sent_bytes_min: bytes("detect.listed.sent_bytes_min", self.sent_bytes_min, sent)?,
            confidence_min,
        })
    }
}

impl FirstSeen {
    fn check(self) -> Result<FirstSeenConfig, Refused> {
        let default = FirstSeenConfig::default();
        let bytes = |key: &str, value, default| bounded(key, value, default, 1, 1 << 40);
        let (read, sent) = (default.read_bytes_min, default.sent_bytes_min);
        Ok(FirstSeenConfig {
            read_bytes_min: bytes(
                "detect.first_seen.read_bytes_min",
                self.read_bytes_min,
                read,
            )?,
            sent_bytes_min: bytes(
                "detect.first_seen.sent_bytes_min",
                self.sent_bytes_min,
                sent,
            )?,
        })
    }
}

impl Bulk {
    fn check(self) -> Result<BulkConfig, Refused> {
        let default = BulkConfig::default();
        let times = self.times.unwrap_or(default.times);
        if !(1.0..=1000.0).contains(&times) {
            return Err(refused(
                "detect.bulk.times",
                format!("{times} is not between 1.0 and 1000.0"),
            ));
        }
        let key = "detect.bulk.records_min";
        Ok(BulkConfig {
            records_min: bounded(key, self.records_min, default.records_min, 0, 1 << 40)?,
            times,
        })
    }
}

impl Slow {
    fn check(self) -> Result<SlowConfig, Refused> {
        let default = SlowConfig::default();
        let (bytes, days) = (default.sent_bytes_min, u64::from(default.days));
        let days = bounded(
            "detect.slow.days",
            self.days,
            days,
            1,
            u64::from(BASELINE_DAYS),
        )?;
        let key = "detect.slow.sent_bytes_min";
        Ok(SlowConfig {
            sent_bytes_min: bounded(key, self.sent_bytes_min, bytes, 0, 1 << 40)?,
            days: days as u32,
        })
    }
}

fn baseline(learning_days: Option<u64>, list: Vec<RawRelearn>) -> Result<BaselineConfig, Refused> {
    let default = u64::from(BaselineConfig::default().learning_days);
    let days = bounded(
        "detect.learning_days",
        learning_days,
        default,
        0,
        u64::from(BASELINE_DAYS),
    )?;
    let checked = list.into_iter().enumerate().map(|(index, raw)| {
        let since = text::parse_rfc3339(&format!("{}T00:00:00Z", raw.since));
        let since = since.and_then(|ns| u32::try_from(ns / DAY_NS).ok());
        let since_day = since.ok_or_else(|| {
            refused(
                &format!("detect.relearn[{index}].since"),
                format!("{:?} is no day such as 2026-11-30", raw.since),
            )
        })?;
        Ok(Relearn {
            sensor: raw.sensor,
            since_day,
        })
    });
    Ok(BaselineConfig {
        learning_days: days as u32,
        relearn: checked.collect::<Result<_, Refused>>()?,
    })
}

fn media(list: Option<Vec<String>>) -> Result<Media, Refused> {
    let default = Media::default();
    let Some(list) = list else {
        return Ok(default);
    };
    let found = list.iter().map(|name| {
        let medium = default.0.iter().find(|medium| medium.name() == name);
        medium.copied().ok_or_else(|| {
            refused(
                "detect.media",
                format!("{name:?} is none of: removable, image, network"),
            )
        })
    });
    found.collect::<Result<_, _>>().map(Media)
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
