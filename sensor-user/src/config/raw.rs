//! The configuration file as it is written, and the way from there to [`Config`].
//!
//! **Invariant:** every bound of every key is checked here and nowhere else; a key is optional exactly if it has a
//! default here.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::spool::BATCH_EVENTS_MAX;

use super::stores::Names;
use super::{
    Backend, Collector, Config, Guard, Kernel, Privacy, QUIET_PORTS_MAX, Queue, Spool, stores,
};

/// Key and reason of a refusal.
pub(super) type Refusal = (String, String);

/// Sockets over which staff's work passes all day and no records do: what goes over them is not followed.
const QUIET_SOCKETS: [&str; 16] = [
    "/run/systemd/journal/stdout",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/dev-log",
    "/dev/log",
    "/run/systemd/notify",
    "/run/systemd/private",
    "/run/systemd/userdb/*",
    "/run/dbus/system_bus_socket",
    "/run/user/*/bus",
    "/run/nscd/socket",
    "/var/run/nscd/socket",
    "/tmp/.X11-unix/*",
    "/run/user/*/wayland-*",
    "/run/user/*/pipewire-*",
    "/run/user/*/pulse/native",
    "/run/user/*/systemd/*",
];

/// Names (DNS), time (NTP and chrony's own) and the system's log: everybody asks or tells, of all sorts of things.
const QUIET_PORTS: [u16; 4] = [53, 123, 323, 514];

/// Programs that share memory with all the others of a desktop, and in it nothing but pictures and sound.
const QUIET_PROGRAMS: [&str; 14] = [
    "/usr/lib/xorg/Xorg",
    "/usr/bin/Xwayland",
    "/usr/bin/gnome-shell",
    "/usr/bin/mutter",
    "/usr/bin/kwin_wayland",
    "/usr/bin/kwin_x11",
    "/usr/bin/weston",
    "/usr/bin/sway",
    "/usr/bin/labwc",
    "/usr/bin/wayfire",
    "/usr/bin/cage",
    "/usr/bin/pipewire",
    "/usr/bin/wireplumber",
    "/usr/bin/pulseaudio",
];

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    sensor_id: Option<String>,
    #[serde(default = "auto")]
    backend: Backend,
    #[serde(default)]
    collector: CollectorTable,
    #[serde(default)]
    privacy: PrivacyTable,
    #[serde(default)]
    queue: QueueTable,
    #[serde(default)]
    spool: SpoolTable,
    #[serde(default)]
    kernel: KernelTable,
    #[serde(default)]
    store: Vec<stores::Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CollectorTable {
    address: String,
    identity: PathBuf,
    ca: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PrivacyTable {
    names: Names,
    key_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QueueTable {
    events_max: u64,
    bytes_max: u64,
    drain_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SpoolTable {
    directory: PathBuf,
    max_bytes: u64,
    max_age_hours: u64,
    keep_acknowledged_minutes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KernelTable {
    tick_ms: u64,
    canary_s: u64,
    bulk_ring_bytes: u64,
    critical_ring_bytes: u64,
    guard: Guard,
    quiet_sockets: Vec<String>,
    quiet_ports: Vec<u16>,
    quiet_programs: Vec<String>,
    holders_file: PathBuf,
}

fn auto() -> Backend {
    Backend::Auto
}

impl Default for CollectorTable {
    fn default() -> Self {
        Self {
            address: "https://127.0.0.1:7443".to_owned(),
            identity: PathBuf::from("/var/lib/chartwatch-sensor/identity.pem"),
            ca: PathBuf::from("/var/lib/chartwatch-sensor/ca.pem"),
        }
    }
}

impl Default for PrivacyTable {
    fn default() -> Self {
        Self {
            names: Names::Token,
            key_file: PathBuf::from("/etc/chartwatch/token.key"),
        }
    }
}

impl Default for QueueTable {
    fn default() -> Self {
        Self {
            events_max: 200_000,
            bytes_max: 16 * MIB,
            drain_s: 5,
        }
    }
}

impl Default for SpoolTable {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/chartwatch-sensor/spool"),
            max_bytes: 512 * MIB,
            max_age_hours: 168,
            keep_acknowledged_minutes: 60,
        }
    }
}

impl Default for KernelTable {
    fn default() -> Self {
        Self {
            tick_ms: 200,
            canary_s: 60,
            bulk_ring_bytes: 4 * MIB,
            critical_ring_bytes: MIB,
            guard: Guard::Off,
            quiet_sockets: QUIET_SOCKETS.map(str::to_owned).to_vec(),
            quiet_ports: QUIET_PORTS.to_vec(),
            quiet_programs: QUIET_PROGRAMS.map(str::to_owned).to_vec(),
            holders_file: PathBuf::from("/var/lib/chartwatch-sensor/holders"),
        }
    }
}

impl File {
    pub(super) fn check(self, host: &str) -> Result<Config, Refusal> {
        let stores = stores::check(self.store, self.privacy.names)?;
        Ok(Config {
            sensor_id: sensor_id(self.sensor_id, host)?,
            collector: self.collector.check()?,
            privacy: self.privacy.check(&stores)?,
            queue: self.queue.check()?,
            spool: self.spool.check()?,
            kernel: self.kernel.check(self.backend)?,
            stores,
        })
    }
}

fn sensor_id(given: Option<String>, host: &str) -> Result<String, Refusal> {
    let id = given.unwrap_or_else(|| host.to_owned());
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if id.is_empty() || id.len() > 253 || !id.bytes().all(fits) {
        return refuse(
            "sensor_id",
            format!(
                "{id:?} is not 1 to 253 of the characters A-Z a-z 0-9 . _ -; give the sensor such a name"
            ),
        );
    }
    Ok(id)
}

impl CollectorTable {
    fn check(self) -> Result<Collector, Refusal> {
        address(&self.address).or_else(|reason| {
            refuse("collector.address", format!("{:?} {reason}", self.address))
        })?;
        Ok(Collector {
            address: self.address,
            identity: absolute("collector.identity", self.identity)?,
            ca: absolute("collector.ca", self.ca)?,
        })
    }
}

/// What is wrong with the collector's address, and what to write.
fn address(text: &str) -> Result<(), &'static str> {
    let Ok(uri) = text.parse::<tonic::transport::Uri>() else {
        return Err("is no address; write https://HOST:PORT");
    };
    let host = uri.host().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or_default();
    if !["http", "https"].contains(&scheme) || host.is_empty() || uri.port_u16().is_none() {
        return Err(
            "lacks the scheme, the host or a port from 1 to 65535; write https://HOST:PORT",
        );
    }
    if uri.path_and_query().is_some_and(|p| p.as_str() != "/") {
        return Err("has a path; write https://HOST:PORT and nothing after it");
    }
    if scheme == "http" && !is_loopback(host) {
        return Err(
            "would go over the network unencrypted, and http:// is for a loopback address only; write https://HOST:PORT and enrol the sensor",
        );
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || (bare.parse::<IpAddr>()).is_ok_and(|address| address.is_loopback())
}

fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, Refusal> {
    if path.is_absolute() {
        return Ok(path);
    }
    let shown = path.display().to_string();
    refuse(
        key,
        format!("{shown:?} is not absolute; write the path from /"),
    )
}

impl PrivacyTable {
    /// A key is needed as soon as one store's names leave as tokens.
    fn check(self, stores: &[stores::Store]) -> Result<Privacy, Refusal> {
        let key_file = absolute("privacy.key_file", self.key_file)?;
        let named = |store: &&stores::Store| store.service.is_none();
        if stores.iter().filter(named).any(|store| !store.plain)
            || self.names == Names::Token && !stores.iter().any(|store| store.plain)
        {
            return Ok(Privacy::Token { key_file });
        }
        Ok(Privacy::Plain)
    }
}

impl QueueTable {
    fn check(self) -> Result<Queue, Refusal> {
        bounded(
            "queue.events_max",
            self.events_max,
            BATCH_EVENTS_MAX as u64..=100_000_000,
        )?;
        bounded("queue.bytes_max", self.bytes_max, MIB..=4 * GIB)?;
        bounded("queue.drain_s", self.drain_s, 0..=60)?;
        Ok(Queue {
            events_max: self.events_max,
            bytes_max: self.bytes_max,
            drain: Duration::from_secs(self.drain_s),
        })
    }
}

impl SpoolTable {
    fn check(self) -> Result<Option<Spool>, Refusal> {
        bounded("spool.max_bytes", self.max_bytes, 16 * MIB..=1024 * GIB)?;
        bounded("spool.max_age_hours", self.max_age_hours, 1..=8_760)?;
        bounded(
            "spool.keep_acknowledged_minutes",
            self.keep_acknowledged_minutes,
            0..=10_080,
        )?;
        if self.directory.as_os_str().is_empty() {
            return Ok(None);
        }
        if !self.directory.is_absolute() {
            return refuse(
                "spool.directory",
                format!(
                    "{:?} is not absolute; write the path from /, or \"\" to hold events in memory alone",
                    self.directory.display().to_string()
                ),
            );
        }
        Ok(Some(Spool {
            directory: self.directory,
            bytes_max: self.max_bytes,
            age_max: Duration::from_hours(self.max_age_hours),
            keep: Duration::from_mins(self.keep_acknowledged_minutes),
        }))
    }
}

impl KernelTable {
    fn check(self, backend: Backend) -> Result<Kernel, Refusal> {
        bounded("kernel.tick_ms", self.tick_ms, 50..=5_000)?;
        bounded("kernel.canary_s", self.canary_s, 5..=3_600)?;
        Ok(Kernel {
            backend,
            tick: Duration::from_millis(self.tick_ms),
            canary: Duration::from_secs(self.canary_s),
            bulk_ring_bytes: ring("kernel.bulk_ring_bytes", self.bulk_ring_bytes)?,
            critical_ring_bytes: ring("kernel.critical_ring_bytes", self.critical_ring_bytes)?,
            guard: guard(self.guard, backend)?,
            quiet_sockets: quiet_sockets(&self.quiet_sockets)?,
            quiet_ports: quiet_ports(self.quiet_ports)?,
            quiet_programs: quiet_programs(&self.quiet_programs)?,
            holders_file: holders_file(self.holders_file)?,
            own_files: Vec::new(),
        })
    }
}

fn holders_file(file: PathBuf) -> Result<Option<PathBuf>, Refusal> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    absolute("kernel.holders_file", file).map(Some)
}

/// The list under a key: not too many paths, and all of them absolute.
fn quiet<'a>(key: &str, paths: &'a [String]) -> Result<&'a [String], Refusal> {
    const MAX: usize = 256;
    if paths.len() > MAX {
        return refuse(key, format!("{} paths; write {MAX} at most", paths.len()));
    }
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => refuse(
            key,
            format!("{path:?} is not absolute; write the path from /"),
        ),
        None => Ok(paths),
    }
}

fn quiet_ports(ports: Vec<u16>) -> Result<Vec<u16>, Refusal> {
    let key = "kernel.quiet_ports";
    if ports.len() > QUIET_PORTS_MAX {
        return refuse(
            key,
            format!("{} ports; write {QUIET_PORTS_MAX} at most", ports.len()),
        );
    }
    if ports.contains(&0) {
        return refuse(key, "0 is no port; write 1 to 65535".to_owned());
    }
    Ok(ports)
}

fn quiet_programs(paths: &[String]) -> Result<Vec<PathBuf>, Refusal> {
    let paths = quiet("kernel.quiet_programs", paths)?;
    Ok(paths.iter().map(PathBuf::from).collect())
}

fn quiet_sockets(paths: &[String]) -> Result<Vec<glob::Pattern>, Refusal> {
    let key = "kernel.quiet_sockets";
    let pattern = |path: &String| {
        glob::Pattern::new(path).or_else(|error| {
            refuse(
                key,
                format!("{path:?}: {error}; write [[] for a bracket that is meant"),
            )
        })
    };
    quiet(key, paths)?.iter().map(pattern).collect()
}

/// Only LSM programs can refuse.
fn guard(guard: Guard, backend: Backend) -> Result<Guard, Refusal> {
    match (guard, backend) {
        (Guard::Off, _) | (Guard::Deny, Backend::Auto | Backend::Lsm) => Ok(guard),
        (Guard::Deny, Backend::Fentry | Backend::Tracepoint) => refuse(
            "kernel.guard",
            "\"deny\" needs the lsm backend; write backend = \"lsm\" or \"auto\", or leave guard off"
                .to_owned(),
        ),
    }
}

/// The kernel wants rings of a power of two pages.
fn ring(key: &str, bytes: u64) -> Result<u32, Refusal> {
    bounded(key, bytes, 64 * KIB..=64 * MIB)?;
    if !bytes.is_power_of_two() {
        return refuse(
            key,
            format!(
                "{bytes} is no power of two; write {}",
                bytes.next_power_of_two()
            ),
        );
    }
    Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn bounded(key: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<(), Refusal> {
    if bounds.contains(&value) {
        return Ok(());
    }
    refuse(
        key,
        format!(
            "{value} is out of bounds; write {} to {}",
            bounds.start(),
            bounds.end()
        ),
    )
}

pub(super) fn refuse<T>(key: &str, reason: String) -> Result<T, Refusal> {
    Err((key.to_owned(), reason))
}
