//! `chartwatch intel`: the feeds and how they are, or what they say of something.

use std::io::Write;

use super::list::table;
use super::{ConsoleError, json};
use crate::alerts::form::HitForm;
use crate::intel::{Known, Status};
use crate::text;

/// The feeds, as a table or as one JSON array.
pub fn feeds(out: &mut impl Write, feeds: &[Status], as_json: bool) -> Result<(), ConsoleError> {
    if as_json {
        return json(out, &feeds);
    }
    let head = ["FEED", "KIND", "INDICATORS", "LEFT OUT", "VERSION"];
    let rows: Vec<[String; 5]> = feeds.iter().map(row).collect();
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
        if feed.skipped > 0 {
            writeln!(out, "\nleft out of {}:", text::clean(&feed.feed))?;
        }
        for example in &feed.examples {
            writeln!(out, "  {}", text::clean(example))?;
        }
    }
    Ok(())
}

fn row(feed: &Status) -> [String; 5] {
    [
        text::clean(&feed.feed),
        feed.kind.to_owned(),
        text::number(feed.indicators as u64),
        text::number(feed.skipped),
        text::clean(&feed.version),
    ]
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
        let sure = hit
            .confidence
            .map_or_else(String::new, |sure| format!(", confidence {sure}"));
        let [label, feed, version] =
            [&hit.label, &hit.feed, &hit.version].map(|part| text::clean(part));
        writeln!(out, "{value}: {label}, by {feed} ({version}){sure}")?;
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
