//! `chartwatch usual`: what was learned to be usual, host by host.

use std::io::Write;

use super::list::table;
use super::{ConsoleError, json};
use crate::config::ApprovedWay;
use crate::detect::baseline::{Baseline, DAY_NS, Habits};
use crate::text;

/// What was learned of the hosts, or of one sensor's, as tables or as one JSON object.
pub fn usual(
    out: &mut impl Write,
    baseline: &Baseline,
    approved: &[ApprovedWay],
    sensor: Option<&str>,
    as_json: bool,
) -> Result<(), ConsoleError> {
    if as_json {
        return json(out, baseline);
    }
    ways(out, baseline, approved)?;
    let mut hosts = (baseline.hosts())
        .filter(|(name, _)| sensor.is_none_or(|wanted| wanted == *name))
        .peekable();
    if hosts.peek().is_none() {
        writeln!(out, "Nothing has been learned yet.")?;
    }
    for (name, habits) in hosts {
        host(out, name, habits)?;
    }
    if baseline.forgotten > 0 {
        writeln!(
            out,
            "{} were forgotten to bound memory.",
            text::count(baseline.forgotten, "habit")
        )?;
    }
    Ok(())
}

/// How often the approved ways were used.
fn ways(
    out: &mut impl Write,
    baseline: &Baseline,
    approved: &[ApprovedWay],
) -> Result<(), ConsoleError> {
    if approved.is_empty() {
        return Ok(());
    }
    let head = ["APPROVED WAY", "STORE", "DAYS USED", "LAST"];
    let rows: Vec<[String; 4]> = approved
        .iter()
        .map(|way| {
            let known = baseline.ways.get(&way.name);
            let days = known.map_or(&[][..], |known| &known.days);
            [
                text::clean(&way.name),
                text::clean(&way.store),
                text::number(days.len() as u64),
                days.last()
                    .map_or_else(|| "never".to_owned(), |day| date(*day)),
            ]
        })
        .collect();
    table(out, &head.map(String::from), &rows)?;
    writeln!(out)?;
    Ok(())
}

fn host(out: &mut impl Write, name: &str, habits: &Habits) -> Result<(), ConsoleError> {
    writeln!(
        out,
        "{}, heard of since {}\n",
        text::clean(name),
        date(habits.first_day)
    )?;
    let head = [
        "READS",
        "PROGRAM",
        "USER",
        "DAYS",
        "MOST A DAY",
        "LAST",
        "ON",
    ];
    let rows: Vec<[String; 7]> = habits
        .reads
        .iter()
        .map(|(habit, days)| {
            let most = days.iter().map(|day| day.records).max().unwrap_or(0);
            let last = days.last();
            [
                text::clean(&habit.store),
                text::clean(&habit.executable),
                text::clean(&habit.user),
                text::number(days.len() as u64),
                text::count(most, "record"),
                text::count(last.map_or(0, |day| day.records), "record"),
                date(last.map_or(0, |day| day.day)),
            ]
        })
        .collect();
    table(out, &head.map(String::from), &rows)?;
    let head = ["LEAKS", "USER", "TO", "DAYS", "SENT"];
    let rows: Vec<[String; 5]> = habits
        .leaks
        .iter()
        .map(|(road, leak)| {
            let sent = leak.days.iter().map(|day| day.leaked.bytes);
            [
                text::clean(&road.store),
                text::clean(&road.user),
                text::clean(&road.network),
                text::number(leak.days.len() as u64),
                text::bytes(sent.fold(0, u64::saturating_add)),
            ]
        })
        .collect();
    if !rows.is_empty() {
        writeln!(out)?;
        table(out, &head.map(String::from), &rows)?;
    }
    writeln!(out)?;
    Ok(())
}

/// A day as people write it.
fn date(day: u32) -> String {
    text::rfc3339(u64::from(day) * DAY_NS)
        .chars()
        .take(10)
        .collect()
}
