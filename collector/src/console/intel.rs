//! `chartwatch intel`: the feeds and how they are, or what they say of something.

use std::io::Write;

use super::list::table;
use super::{ConsoleError, json};
use crate::alerts::form::HitForm;
use crate::intel::{Known, Pulled, Status};
use crate::text;

/// The feeds, as a table or as one JSON array, with their age at a time in nanoseconds since the Unix epoch.
pub fn feeds(
    out: &mut impl Write,
    feeds: &[Status],
    at_ns: u64,
    as_json: bool,
) -> Result<(), ConsoleError> {
    if as_json {
        return json(out, &feeds);
    }
    let head = [
        "FEED",
        "KIND",
        "INDICATORS",
        "LEFT OUT",
        "AGE",
        "PULLED",
        "VERSION",
    ];
    let rows: Vec<[String; 7]> = feeds.iter().map(|feed| row(feed, at_ns)).collect();
    table(out, &head.map(String::from), &rows)?;
    for feed in feeds {
        if let Some(problem) = &feed.problem {
            writeln!(
                out,
                "\n{}: {}",
                text::clean(&feed.feed),
                text::clean(problem)
            )?;
        }
        if let Some(pulled) = &feed.pulled {
            not_pulled(out, &feed.feed, pulled, at_ns)?;
        }
        if feed.skipped > 0 {
            writeln!(out, "\nleft out of {}:", text::clean(&feed.feed))?;
        }
        for example in &feed.examples {
            writeln!(out, "  {}", text::clean(example))?;
        }
    }
    Ok(())
}

fn row(feed: &Status, at_ns: u64) -> [String; 7] {
    let pulled = feed.pulled.as_ref().map(|pulled| {
        pulled
            .succeeded_s
            .map_or_else(|| "never".to_owned(), |second| ago(second, at_ns))
    });
    [
        text::clean(&feed.feed),
        feed.kind.to_owned(),
        text::number(feed.indicators as u64),
        text::number(feed.skipped),
        feed.written_s
            .map_or_else(|| "-".to_owned(), |second| ago(second, at_ns)),
        pulled.unwrap_or_else(|| "-".to_owned()),
        text::clean(&feed.version),
    ]
}

/// How long ago a second of the Unix epoch was at a time in nanoseconds since then.
fn ago(second: u64, at_ns: u64) -> String {
    let then_ns = second.saturating_mul(1_000_000_000);
    text::duration(at_ns.saturating_sub(then_ns))
}

/// Says that a feed could not be pulled the last time, and why; nothing where it could.
fn not_pulled(
    out: &mut impl Write,
    feed: &str,
    pulled: &Pulled,
    at_ns: u64,
) -> Result<(), ConsoleError> {
    let feed = text::clean(feed);
    match (&pulled.problem, pulled.tried_s) {
        (Some(problem), tried_s) => {
            let ago = ago(tried_s.unwrap_or_default(), at_ns);
            let problem = text::clean(problem);
            writeln!(out, "\n{feed}: could not be pulled {ago} ago: {problem}")?;
        }
        (None, None) => writeln!(out, "\n{feed}: not pulled yet")?,
        (None, Some(_)) => {}
    }
    Ok(())
}

/// What a feed says of a value.
pub(super) fn says(hit: &HitForm) -> String {
    let sure = hit.confidence.map(|sure| format!(", confidence {sure}"));
    let weight = (!hit.counts).then_some(", without weight");
    let [label, feed, version] =
        [&hit.label, &hit.feed, &hit.version].map(|part| text::clean(part));
    format!(
        "{label}, by {feed} ({version}){}{}",
        sure.unwrap_or_default(),
        weight.unwrap_or_default()
    )
}

/// What is known of something that was looked up.
#[derive(serde::Serialize)]
struct Answer<'a> {
    value: &'a str,
    listed: bool,
    intelligence: Vec<HitForm>,
    known_as: &'a [String],
}

/// What the feeds say of a value, in lines or as one JSON object.
pub fn known(
    out: &mut impl Write,
    value: &str,
    known: &Known,
    as_json: bool,
) -> Result<(), ConsoleError> {
    if as_json {
        let answer = Answer {
            value,
            listed: known.is_listed(),
            intelligence: known.hits.iter().map(HitForm::from).collect(),
            known_as: &known.known_as,
        };
        return json(out, &answer);
    }
    let value = text::clean(value);
    if known.hits.is_empty() {
        writeln!(out, "{value}: no feed lists it")?;
    }
    for hit in &known.hits {
        writeln!(out, "{value}: {}", says(&HitForm::from(hit)))?;
    }
    for list in &known.known_as {
        writeln!(
            out,
            "{value}: on the warning list {}, so an indicator says little",
            text::clean(list)
        )?;
    }
    Ok(())
}
