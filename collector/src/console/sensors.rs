//! `chartwatch sensors`: who is alive, on which backend and why, whether the books balance, and what is missing.

use std::io::Write;

use serde::Serialize;

use super::list::table;
use super::{ConsoleError, backend, json};
use crate::fleet::{Canary, Heartbeat, HookBooks, Sensor, SpoolDepth};
use crate::text;

/// Without news for so long a connected sensor is not called alive: three heartbeats and a little.
const SILENT_NS: u64 = 60 * 1_000_000_000;
/// Clocks that differ by less are called the same: a message is on its way for a while.
const CLOCK_NS: u64 = 1_000_000_000;

/// The list as text; `now_ns` is the time it is looked at, nanoseconds since the Unix epoch.
pub fn sensors(out: &mut impl Write, sensors: &[Sensor], now_ns: u64) -> Result<(), ConsoleError> {
    if sensors.is_empty() {
        writeln!(out, "No sensor has connected yet.")?;
    }
    for (index, sensor) in sensors.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        one(out, sensor, now_ns)?;
    }
    Ok(())
}

fn one(out: &mut impl Write, sensor: &Sensor, now_ns: u64) -> Result<(), std::io::Error> {
    let ago = text::duration(now_ns.saturating_sub(sensor.heard_ns));
    writeln!(
        out,
        "{}  {}, heard {ago} ago",
        text::clean(&sensor.id),
        state(sensor, now_ns).to_uppercase()
    )?;
    let host = if sensor.host.is_empty() {
        "not known yet".into()
    } else {
        text::clean(&sensor.host)
    };
    writeln!(out, "  host         {host}")?;
    writeln!(out, "  version      {}", text::clean(&sensor.version))?;
    if sensor.last_event_ns > 0 {
        writeln!(out, "  last event   {}", text::time(sensor.last_event_ns))?;
    }
    let gaps = match sensor.gaps {
        0 => "none".into(),
        gaps => format!(
            "{}, {} missing at least; the latest: {}",
            text::number(gaps),
            text::count(sensor.missing, "event"),
            text::clean(&sensor.last_gap)
        ),
    };
    writeln!(out, "  gaps         {gaps}")?;
    if let Some(offset_ns) = sensor.clock_offset_ns {
        writeln!(out, "  clock        {}", clock(offset_ns))?;
    }
    if let Some(shown) = &sensor.certificate {
        let until = u64::try_from(shown.until_s).unwrap_or(0);
        let until = text::time(until.saturating_mul(1_000_000_000));
        let by = match shown.authority.get(..16) {
            Some(short) => format!(", of the authority {}", text::clean(short)),
            None => String::new(),
        };
        writeln!(out, "  certificate  until {until}{by}")?;
    }
    match &sensor.heartbeat {
        Some(beat) => heartbeat(out, beat),
        None => writeln!(out, "  backend      not known: no heartbeat yet"),
    }
}

/// How a host's clock stands to the collector's.
fn clock(offset_ns: i64) -> String {
    let by = offset_ns.unsigned_abs();
    if by < CLOCK_NS {
        return "as the collector's".into();
    }
    let way = if offset_ns > 0 { "ahead of" } else { "behind" };
    format!("{} {way} the collector's", text::duration(by))
}

fn canary(canary: &Canary, said_ns: u64) -> String {
    let ago = text::duration(said_ns.saturating_sub(canary.seen_ns));
    match (canary.seen, canary.seen_ns) {
        (true, _) => format!("seen, {ago} before it last said so"),
        (false, 0) => {
            "NOT SEEN since the sensor started: whatever else happens may be missed".into()
        }
        (false, seen_ns) => format!(
            "NOT SEEN, last at {}: whatever else happens may be missed",
            text::time(seen_ns)
        ),
    }
}

/// Where what waits is.
fn place(spool: &SpoolDepth) -> String {
    let memory = text::bytes(spool.memory_bytes);
    spool.disk_bytes.map_or_else(
        || format!(" ({memory} in memory)"),
        |disk| format!(" ({memory} in memory, {} on its disk)", text::bytes(disk)),
    )
}

/// What is old and still to come, behind what is live.
fn backlog(spool: &SpoolDepth, said_ns: u64) -> String {
    let age = text::duration(said_ns.saturating_sub(spool.backlog_since_ns));
    format!(
        "{} still to come from the time since {} ({age} before it last said so); what happens now goes ahead of them",
        text::count(spool.backlog_events, "event"),
        text::time(spool.backlog_since_ns)
    )
}

fn heartbeat(out: &mut impl Write, beat: &Heartbeat) -> Result<(), std::io::Error> {
    writeln!(out, "  backend      {}", text::clean(&beat.backend))?;
    backend::reasons(out, &beat.backend_reason)?;
    writeln!(out, "  kernel       {}", text::clean(&beat.kernel))?;
    let stores: Vec<String> = beat.stores.iter().map(|store| text::clean(store)).collect();
    writeln!(
        out,
        "  stores       {}",
        if stores.is_empty() {
            "none".into()
        } else {
            stores.join(", ")
        }
    )?;
    writeln!(
        out,
        "  queue        {} waiting{}, {} lost since it started",
        text::number(beat.queued_events),
        beat.spool.as_ref().map(place).unwrap_or_default(),
        text::number(beat.lost_events)
    )?;
    if let Some(spool) = beat.spool.filter(|spool| spool.backlog_events > 0) {
        writeln!(out, "  backlog      {}", backlog(&spool, beat.said_ns))?;
    }
    if let Some(known) = &beat.canary {
        writeln!(out, "  canary       {}", canary(known, beat.said_ns))?;
    }
    if beat.hooks.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = [
        "HOOK", "SEEN", "REPORTED", "SUMMED", "IGNORED", "FAILED", "DROPPED", "BOOKS",
    ]
    .map(String::from);
    let rows: Vec<[String; 8]> = beat.hooks.iter().map(books).collect();
    let mut lines = Vec::new();
    table(&mut lines, &head, &rows)?;
    for line in String::from_utf8_lossy(&lines).lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn books(hook: &HookBooks) -> [String; 8] {
    let balance = if hook.balance() {
        "balance"
    } else {
        "DO NOT BALANCE"
    };
    [
        text::clean(&hook.hook),
        text::number(hook.seen),
        text::number(hook.reported),
        text::number(hook.summed),
        text::number(hook.ignored),
        text::number(hook.failed),
        text::number(hook.dropped),
        balance.into(),
    ]
}

fn state(sensor: &Sensor, now_ns: u64) -> &'static str {
    match (
        sensor.streams,
        now_ns.saturating_sub(sensor.heard_ns) > SILENT_NS,
    ) {
        (0, _) => "disconnected",
        (_, true) => "silent",
        (_, false) => "alive",
    }
}

/// A sensor as JSON; times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct SensorForm<'a> {
    id: &'a str,
    state: &'static str,
    host: &'a str,
    version: &'a str,
    heard_ns: u64,
    last_event_ns: u64,
    gaps: u64,
    missing: u64,
    last_gap: &'a str,
    clock_offset_ns: Option<i64>,
    certificate: Option<CertificateForm<'a>>,
    heartbeat: Option<HeartbeatForm<'a>>,
}

/// The certificate it showed last; times are seconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct CertificateForm<'a> {
    from_s: i64,
    until_s: i64,
    /// Fingerprint of the collector's own authority; empty with a hospital's.
    authority: &'a str,
}

/// What it last said about itself.
#[derive(Debug, Serialize)]
struct HeartbeatForm<'a> {
    said_ns: u64,
    backend: &'a str,
    backend_reason: &'a str,
    kernel: &'a str,
    queued_events: u64,
    lost_events: u64,
    spool: Option<SpoolDepth>,
    canary: Option<Canary>,
    stores: &'a [String],
    hooks: &'a [HookBooks],
    books_balance: bool,
}

/// The list as one JSON array.
pub fn sensors_json(
    out: &mut impl Write,
    sensors: &[Sensor],
    now_ns: u64,
) -> Result<(), ConsoleError> {
    let forms: Vec<SensorForm<'_>> = sensors
        .iter()
        .map(|sensor| SensorForm {
            id: &sensor.id,
            state: state(sensor, now_ns),
            host: &sensor.host,
            version: &sensor.version,
            heard_ns: sensor.heard_ns,
            last_event_ns: sensor.last_event_ns,
            gaps: sensor.gaps,
            missing: sensor.missing,
            last_gap: &sensor.last_gap,
            clock_offset_ns: sensor.clock_offset_ns,
            certificate: sensor.certificate.as_ref().map(|shown| CertificateForm {
                from_s: shown.from_s,
                until_s: shown.until_s,
                authority: &shown.authority,
            }),
            heartbeat: sensor.heartbeat.as_ref().map(|beat| HeartbeatForm {
                said_ns: beat.said_ns,
                backend: &beat.backend,
                backend_reason: &beat.backend_reason,
                kernel: &beat.kernel,
                queued_events: beat.queued_events,
                lost_events: beat.lost_events,
                spool: beat.spool,
                canary: beat.canary,
                stores: &beat.stores,
                hooks: &beat.hooks,
                books_balance: beat.hooks.iter().all(HookBooks::balance),
            }),
        })
        .collect();
    json(out, &forms)
}
