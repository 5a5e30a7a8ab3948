//! How long it takes to look a destination up in a million indicators, and how much memory they need.
//!
//! `cargo xtask bench intel` runs it. Prints rows of `metric, value, unit` as JSON. The indicators are read from plain lists, as a
//! hospital has them: four feeds, of addresses, of networks, and two of names. Looked up are an address and a name at once, half of
//! which are listed.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use collector::intel::{FeedConfig, Intel, Kind, Side};

/// Indicators of each feed.
const EACH: u32 = 250_000;
const LOOKUPS: u32 = 1_000_000;
const NOW_NS: u64 = 1_773_630_000 * 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let feeds = [
        feed(place.path(), "addresses", |n| address(n).to_string())?,
        feed(place.path(), "networks", |n| {
            format!("{}/24", Ipv4Addr::from_bits(0x2000_0000 + (n << 8)))
        })?,
        feed(place.path(), "names", name)?,
        feed(place.path(), "more-names", |n| {
            format!("x{n}.more.example.net")
        })?,
    ];
    let before = resident_bytes()?;
    let begin = Instant::now();
    let (intel, states) = Intel::load(&feeds, &Intel::default());
    let loaded = begin.elapsed().as_secs_f64();
    let indicators: usize = states.iter().map(|state| state.indicators).sum();
    let bytes = resident_bytes()?.saturating_sub(before);
    let questions: Vec<(IpAddr, String)> = (0..LOOKUPS)
        // A step that visits all of them in no order of memory.
        .map(|n| n.wrapping_mul(2_654_435_761) % (2 * EACH))
        .map(|n| (address(n), name(n)))
        .collect();
    let begin = Instant::now();
    let hits: usize = questions
        .iter()
        .map(|(address, name)| {
            intel
                .look_up(*address, Some(name), Side::Outbound, NOW_NS)
                .hits
                .len()
        })
        .sum();
    let each = begin.elapsed().as_secs_f64() * 1e6 / f64::from(LOOKUPS);
    let rows = serde_json::json!([
        { "metric": "indicators", "value": indicators, "unit": "indicators" },
        { "metric": "hits", "value": hits, "unit": "hits" },
        { "metric": "time_per_lookup", "value": (each * 100.0).round() / 100.0, "unit": "us" },
        { "metric": "time_to_read", "value": (loaded * 100.0).round() / 100.0, "unit": "s" },
        { "metric": "memory", "value": bytes / 1_000_000, "unit": "MB" },
    ]);
    serde_json::to_writer_pretty(std::io::stdout().lock(), &rows)?;
    Ok(())
}

fn address(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0b00_0000 + n * 7).into()
}

fn name(n: u32) -> String {
    format!("host-{n}.listed.example.org")
}

fn feed(place: &Path, name: &str, line: impl Fn(u32) -> String) -> std::io::Result<FeedConfig> {
    let mut text = String::new();
    for n in 0..EACH {
        let _ok = writeln!(text, "{}", line(n));
    }
    let path = place.join(name);
    fs::write(&path, text)?;
    Ok(FeedConfig {
        name: name.to_owned(),
        kind: Kind::List,
        path,
        pull: None,
        label: "listed".to_owned(),
        confidence: None,
        lasts: None,
        stale: None,
    })
}

/// Memory of this process that is there, bytes (`VmRSS` of `proc_pid_status(5)`).
fn resident_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse::<u64>()? * 1_024)
}
