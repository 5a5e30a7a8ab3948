//! `chartwatch sensors`, its other half: who was refused for who they are.

use std::io::Write;

use serde::Serialize;

use super::list::table;
use super::{ConsoleError, json};
use crate::fleet::Refused;
use crate::text;

/// Lines below the list of sensors; `--refused` shows all.
const BELOW_MAX: usize = 10;

/// The latest of them below the list of sensors; nothing when there was none.
pub fn refused_below(out: &mut impl Write, all: &[Refused]) -> Result<(), ConsoleError> {
    let Some(latest) = all.get(..BELOW_MAX.min(all.len())) else {
        return Ok(());
    };
    if latest.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    lines(out, latest)?;
    let more = all.len() - latest.len();
    if more > 0 {
        writeln!(out, "{more} more: `chartwatch sensors --refused`")?;
    }
    Ok(())
}

/// All of them.
pub fn refused(out: &mut impl Write, all: &[Refused]) -> Result<(), ConsoleError> {
    if all.is_empty() {
        writeln!(out, "Nobody was refused.")?;
        return Ok(());
    }
    lines(out, all)
}

fn lines(out: &mut impl Write, refused: &[Refused]) -> Result<(), ConsoleError> {
    let head = ["REFUSED FROM", "CERTIFICATE OF", "TIMES", "LAST", "WHY"].map(String::from);
    let rows: Vec<[String; 5]> = refused.iter().map(row).collect();
    table(out, &head, &rows)?;
    Ok(())
}

fn row(line: &Refused) -> [String; 5] {
    let sensor = if line.sensor.is_empty() {
        "-".into()
    } else {
        text::clean(&line.sensor)
    };
    [
        text::clean(&line.address),
        sensor,
        text::number(line.times),
        text::time(line.last_ns),
        text::clean(&line.reason),
    ]
}

/// A line as JSON; times are nanoseconds since the Unix epoch.
#[derive(Debug, Serialize)]
struct RefusedForm<'a> {
    address: &'a str,
    certificate_of: &'a str,
    reason: &'a str,
    times: u64,
    first_ns: u64,
    last_ns: u64,
}

/// All of them as one JSON array.
pub fn refused_json(out: &mut impl Write, all: &[Refused]) -> Result<(), ConsoleError> {
    let forms: Vec<RefusedForm<'_>> = all
        .iter()
        .map(|line| RefusedForm {
            address: &line.address,
            certificate_of: &line.sensor,
            reason: &line.reason,
            times: line.times,
            first_ns: line.first_ns,
            last_ns: line.last_ns,
        })
        .collect();
    json(out, &forms)
}
