//! `chartwatch alerts`: one line for each alert, the latest first.

use std::io::Write;

use super::{ConsoleError, at_least, endpoint, json};
use crate::alerts::form::AlertForm;
use crate::text;

/// Characters of an id that are shown; `show` takes any unique beginning.
const ID_SHOWN: usize = 8;

/// The list, as a table or as one JSON array.
pub fn alerts(
    out: &mut impl Write,
    alerts: &[AlertForm],
    as_json: bool,
) -> Result<(), ConsoleError> {
    if as_json {
        return json(out, &alerts);
    }
    if alerts.is_empty() {
        writeln!(out, "No alerts.")?;
        return Ok(());
    }
    let head = [
        "ID",
        "SEVERITY",
        "LAST EVENT (UTC)",
        "HOST",
        "STORE",
        "RECORDS",
        "SENT",
        "PROGRAM",
        "DESTINATION",
        "STATE",
    ];
    let rows: Vec<[String; 10]> = alerts.iter().map(row).collect();
    table(out, &head.map(String::from), &rows)?;
    writeln!(
        out,
        "\n{}. `chartwatch show ID` tells everything about one.",
        text::count(alerts.len() as u64, "alert")
    )?;
    Ok(())
}

fn row(alert: &AlertForm) -> [String; 10] {
    let least = if at_least(alert).is_empty() {
        ""
    } else {
        "≥"
    };
    let program = alert.chain.first().map_or("", |link| {
        link.executable.rsplit('/').next().unwrap_or_default()
    });
    [
        alert.id.chars().take(ID_SHOWN).collect(),
        alert.severity.level.to_uppercase(),
        text::time(alert.last_ns).chars().take(19).collect(),
        text::clean(&alert.host),
        text::clean(&alert.store),
        format!("{least}{}", text::number(alert.distinct_records)),
        format!("{least}{}", text::bytes(alert.bytes_sent)),
        if program.is_empty() {
            "?".into()
        } else {
            text::clean(program)
        },
        match &alert.destination {
            Some(to) => endpoint(&to.address, to.port),
            None if !alert.store.is_empty() => "nowhere".into(),
            None if alert.attempts.is_empty() => "the collector".into(),
            None => "the sensor".into(),
        },
        state(alert).into(),
    ]
}

/// Where it stands: closed, grown since it was, or else whether more is to be expected.
fn state(alert: &AlertForm) -> &'static str {
    match (alert.closed(), &alert.closed) {
        (Some(closing), _) => closing.verdict.name(),
        (None, Some(_)) => "open again",
        (None, None) if alert.settled => "settled",
        (None, None) => "going on",
    }
}

/// Columns as wide as their widest cell, two blanks between; numbers to the right.
pub(super) fn table<const N: usize>(
    out: &mut impl Write,
    head: &[String; N],
    rows: &[[String; N]],
) -> Result<(), std::io::Error> {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([head])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in [head].into_iter().chain(rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .zip(head)
            .map(|((cell, width), title)| {
                if is_number(title) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Titles of columns that hold figures.
fn is_number(title: &str) -> bool {
    const FIGURES: [&str; 12] = [
        "INDICATORS",
        "LEFT OUT",
        "RECORDS",
        "SENT",
        "SEEN",
        "REPORTED",
        "SUMMED",
        "IGNORED",
        "FAILED",
        "DROPPED",
        "QUEUED",
        "LOST",
    ];
    FIGURES.contains(&title)
}
