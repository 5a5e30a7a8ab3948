//! The thresholds of the patterns as they stand in the file, and their checks.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::raw::{Refused, bounded, refused};
use super::{
    ApprovedWay, BASELINE_DAYS, BaselineConfig, BulkConfig, ChainConfig, DetectConfig,
    DirectConfig, DnsConfig, Keeper, LessConfig, ListedConfig, ManyConfig, Media, MemoryMax,
    Relearn, SlowConfig, WipeConfig,
};
use crate::text;

/// One day, nanoseconds.
const DAY_NS: u64 = 86_400 * 1_000_000_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detect {
    /// Event time read back at start, 1 to 365 days; default 7.
    horizon_days: Option<u64>,
    #[serde(default)]
    direct: Direct,
    #[serde(default)]
    chain: Chain,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    wipe: Wipe,
    #[serde(default)]
    listed: Listed,
    #[serde(default)]
    first_seen: Less,
    #[serde(default)]
    tunnel: Less,
    #[serde(default)]
    raw: Less,
    #[serde(default)]
    many: Many,
    #[serde(default)]
    bulk: Bulk,
    #[serde(default)]
    slow: Slow,
    /// Days before anything is unusual, 0 to 28; default 7.
    learning_days: Option<u64>,
    /// Memory of all hosts together, 64 to 1048576; default 4096.
    memory_max_mb: Option<u64>,
    #[serde(default)]
    relearn: Vec<RawRelearn>,
    /// Of `removable`, `image` and `network`; default: all.
    media: Option<Vec<String>>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    /// 1 to 28, not more than the horizon; default 7, or the horizon where that is less.
    staged_days: Option<u64>,
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
struct Less {
    /// 1 to 2^40; default 8192.
    read_bytes_min: Option<u64>,
    /// 1 to 2^40; default 4096.
    sent_bytes_min: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the keys of the file")]
struct Many {
    /// 0 to 2^40, 0 for off; default 50.
    records_min: Option<u64>,
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

impl Detect {
    /// Checks every value; gives how far back the log is read at start too.
    pub(super) fn check(
        self,
        approved: Vec<ApprovedWay>,
        keepers: Vec<Keeper>,
    ) -> Result<(Duration, DetectConfig), Refused> {
        let horizon_days = bounded("detect.horizon_days", self.horizon_days, 7, 1, 365)?;
        let horizon = Duration::from_hours(24 * horizon_days);
        let direct = self.direct.check()?;
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
        let detect = DetectConfig {
            direct,
            chain: self.chain.check(horizon_days)?,
            dns: self.dns.check()?,
            approved,
            wipe: self.wipe.check()?,
            keepers,
            listed: self.listed.check()?,
            first_seen: self.first_seen.check("first_seen")?,
            tunnel: self.tunnel.check("tunnel")?,
            raw: self.raw.check("raw")?,
            many: self.many.check()?,
            bulk: self.bulk.check()?,
            slow: self.slow.check()?,
            baseline: baseline(self.learning_days, self.relearn)?,
            media: media(self.media)?,
            memory_max: memory_max(self.memory_max_mb)?,
            intel: Arc::default(),
        };
        Ok((horizon, detect))
    }
}

fn memory_max(megabytes: Option<u64>) -> Result<MemoryMax, Refused> {
    let MemoryMax(usual) = MemoryMax::default();
    let megabytes = bounded("detect.memory_max_mb", megabytes, usual >> 20, 64, 1 << 20)?;
    Ok(MemoryMax(megabytes << 20))
}

impl Chain {
    /// A restart knows what lies in files as far back as it reads the log.
    fn check(self, horizon_days: u64) -> Result<ChainConfig, Refused> {
        let usual = ChainConfig::default().staged.as_secs() / 86_400;
        let (key, most) = ("detect.chain.staged_days", horizon_days.min(28));
        let days = self.staged_days.unwrap_or(usual.min(horizon_days));
        if (1..=28).contains(&days) && days > horizon_days {
            let reason = format!(
                "{days} is more than detect.horizon_days ({horizon_days}): a restart would forget what was put into files \
                 before that; set horizon_days to {days} or more"
            );
            return Err(refused(key, reason));
        }
        let days = bounded(key, Some(days), usual, 1, most.max(1))?;
        Ok(ChainConfig {
            staged: Duration::from_hours(24 * days),
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

impl Less {
    fn check(self, pattern: &str) -> Result<LessConfig, Refused> {
        let default = LessConfig::default();
        let bytes = |key: &str, value, default| {
            bounded(
                &format!("detect.{pattern}.{key}"),
                value,
                default,
                1,
                1 << 40,
            )
        };
        let (read, sent) = (default.read_bytes_min, default.sent_bytes_min);
        Ok(LessConfig {
            read_bytes_min: bytes("read_bytes_min", self.read_bytes_min, read)?,
            sent_bytes_min: bytes("sent_bytes_min", self.sent_bytes_min, sent)?,
        })
    }
}

impl Many {
    fn check(self) -> Result<ManyConfig, Refused> {
        let less = Less {
            read_bytes_min: self.read_bytes_min,
            sent_bytes_min: self.sent_bytes_min,
        };
        let (key, usual) = ("detect.many.records_min", ManyConfig::default().records_min);
        Ok(ManyConfig {
            records_min: bounded(key, self.records_min, usual, 0, 1 << 40)?,
            less: less.check("many")?,
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
