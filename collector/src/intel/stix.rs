//! Indicators of STIX 2.1: a bundle of objects, of which those of type `indicator` count (OASIS STIX 2.1, 4.7 and 9).
//!
//! A pattern is looked up when it is nothing but equalities of addresses, names and URLs, joined by OR: `[ipv4-addr:value =
//! '203.0.113.9' OR domain-name:value = 'evil.example']`. What joins by AND or in time, negates, or is about files and processes
//! is left out. Of a URL the host counts. Of an object that is there in several versions the newest counts (3.6); one that was revoked is
//! none.

use serde::Deserialize;

use super::feed::{Reading, Refused};
use super::index::Entry;
use super::indicator::{self, Bad, Indicator};
use crate::text;

/// What is compared.
const PATHS: [&str; 5] = [
    "ipv4-addr:value",
    "ipv6-addr:value",
    "domain-name:value",
    "url:value",
    "network-traffic:dst_ref.value",
];
/// Most comparisons of one pattern.
const COMPARISONS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Bundle {
    objects: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Object {
    pattern: String,
    #[serde(default)]
    pattern_type: String,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_until: Option<String>,
    #[serde(default)]
    confidence: Option<u8>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    indicator_types: Vec<String>,
}

pub(super) fn read(untrusted: &[u8], entry: Entry, into: &mut Reading<'_>) -> Result<(), Refused> {
    let bundle: Bundle =
        serde_json::from_slice(untrusted).map_err(|error| Refused::Json(error.to_string()))?;
    for (id, value) in newest(bundle.objects) {
        let Ok(object) = serde_json::from_value::<Object>(value) else {
            into.leave(&id, "", Bad::Object);
            continue;
        };
        match usable(&object, entry) {
            Ok(_) if object.revoked => {}
            Ok((indicators, entry)) => {
                let label = object.indicator_types.first();
                let label = label.map_or(entry.label, |label| into.label(label));
                for indicator in indicators {
                    into.take(indicator, Entry { label, ..entry })?;
                }
            }
            Err(bad) => into.leave(&id, &object.pattern, bad),
        }
    }
    Ok(())
}

/// The indicators, of each the version that was modified last, in the order of the ids. An object without an id stands for itself.
fn newest(objects: Vec<serde_json::Value>) -> Vec<(String, serde_json::Value)> {
    let is_indicator = |value: &serde_json::Value| value["type"] == "indicator";
    let mut all: Vec<_> = objects
        .into_iter()
        .filter(is_indicator)
        .map(|value| {
            let id = value["id"].as_str().unwrap_or_default().to_owned();
            let modified = value["modified"].as_str().and_then(text::parse_rfc3339);
            (id, modified, value)
        })
        .collect();
    all.sort_by(|(id, modified, _), (other, than, _)| id.cmp(other).then(than.cmp(modified)));
    all.dedup_by(|(id, ..), (before, ..)| !id.is_empty() && id == before);
    all.into_iter().map(|(id, _, value)| (id, value)).collect()
}

/// The indicators of an object and what it says of them; the feed's own end holds if it is earlier.
fn usable(object: &Object, entry: Entry) -> Result<(Vec<Indicator>, Entry), Bad> {
    if !matches!(object.pattern_type.as_str(), "" | "stix") {
        return Err(Bad::Pattern);
    }
    let second = |time: &Option<String>, otherwise| match time {
        None => Ok(otherwise),
        Some(text) => second_of(text).ok_or(Bad::Time),
    };
    let entry = Entry {
        from_s: second(&object.valid_from, 0)?,
        until_s: second(&object.valid_until, u32::MAX)?.min(entry.until_s),
        confidence: object
            .confidence
            .filter(|sure| *sure <= 100)
            .unwrap_or(entry.confidence),
        ..entry
    };
    Ok((pattern(&object.pattern)?, entry))
}

/// A time in seconds since the Unix epoch; before 1970 and past 2106 is as good as no bound.
fn second_of(untrusted: &str) -> Option<u32> {
    // "For ever" is written as the last second of 9999, a day later than time zones allow.
    if untrusted.starts_with("9999-") {
        let date: jiff::civil::DateTime = untrusted.strip_suffix('Z')?.parse().ok()?;
        return (date.year() == 9999).then_some(u32::MAX);
    }
    let seconds = untrusted.parse::<jiff::Timestamp>().ok()?.as_second();
    u32::try_from(seconds.clamp(0, u32::MAX.into())).ok()
}

/// The indicators of a pattern that is nothing but alternatives.
fn pattern(untrusted: &str) -> Result<Vec<Indicator>, Bad> {
    let mut rest = untrusted.trim();
    let mut found = Vec::new();
    loop {
        rest = rest.strip_prefix('[').ok_or(Bad::Pattern)?;
        loop {
            let (indicator, after) = comparison(rest)?;
            if found.len() >= COMPARISONS_MAX {
                return Err(Bad::Long);
            }
            found.push(indicator);
            match or(after) {
                Some(next) => rest = next,
                None => break rest = after,
            }
        }
        rest = rest.trim_start().strip_prefix(']').ok_or(Bad::Pattern)?;
        match or(rest) {
            Some(next) => rest = next.trim_start(),
            None if rest.trim().is_empty() => return Ok(found),
            None => return Err(Bad::Pattern),
        }
    }
}

/// What stands behind an OR, if there is one.
fn or(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix("OR")?;
    rest.starts_with(|c: char| c.is_whitespace() || c == '[')
        .then_some(rest)
}

/// `path = 'value'`, and what stands behind it.
fn comparison(text: &str) -> Result<(Indicator, &str), Bad> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| c.is_whitespace() || c == '=')
        .ok_or(Bad::Pattern)?;
    let (path, rest) = text.split_at(end);
    if !PATHS.contains(&path) {
        return Err(Bad::Pattern);
    }
    let rest = rest.trim_start().strip_prefix('=').ok_or(Bad::Pattern)?;
    let rest = rest.trim_start().strip_prefix('\'').ok_or(Bad::Pattern)?;
    // A quote or backslash in the value has a backslash before it, and is none of an address or name.
    let (value, rest) = rest.split_once('\'').ok_or(Bad::Pattern)?;
    Ok((indicator::read(value)?, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn alternatives_of_equalities_are_read_and_nothing_else() {
        let count = |text: &str| pattern(text).map(|found| found.len());
        assert_eq!(count("[ipv4-addr:value = '203.0.113.9']"), Ok(1));
        assert_eq!(
            count("[ipv4-addr:value='203.0.113.0/24' OR domain-name:value = 'evil.example']"),
            Ok(2)
        );
        assert_eq!(
            count(" [url:value = 'http://evil.example/x'] OR [ipv6-addr:value = '2001:db8::1'] "),
            Ok(2)
        );
        for bad in [
            "",
            "[",
            "[]",
            "[ipv4-addr:value = '203.0.113.9'",
            "[ipv4-addr:value != '203.0.113.9']",
            "[ipv4-addr:value = '203.0.113.9' AND domain-name:value = 'evil.example']",
            "[ipv4-addr:value = '203.0.113.9'] FOLLOWEDBY [domain-name:value = 'evil.example']",
            "[file:hashes.'SHA-256' = 'aa']",
            "[ipv4-addr:value = '203.0.113.9'] ORNOT",
            "[ipv4-addr:value = '203.0.113.9'] WITHIN 5 SECONDS",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
        assert_eq!(count("[domain-name:value = 'com']"), Err(Bad::OneLabel));
        let many = vec!["ipv4-addr:value = '203.0.113.9'"; 1_001].join(" OR ");
        assert_eq!(count(&format!("[{many}]")), Err(Bad::Long));
    }
}
