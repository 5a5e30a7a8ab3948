//! Holds the alerts that were raised against what a scenario expects.
//!
//! Alerts are read as JSON, not as types: patterns come and go, and a scenario asks for store, pattern, figures and names
//! only.
//!
//! **Invariant:** pure; figures are compared for equality.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::scenario::{Expect, Figure, Label, Scenario, Word};

/// What is in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// The alerts of a collector, as `chartwatch alerts --json` prints them.
///
/// # Errors
/// It is no array.
pub(super) fn read(text: &str) -> Result<Vec<Value>> {
    serde_json::from_str(text).context("chartwatch alerts printed something else than alerts")
}

/// Those that count: of a theft the alerts about its store, of one of the expected patterns if some are named; of everyday
/// work all, but attempts on the sensor by others on this machine, and that we ourselves stop it.
pub(super) fn counting<'a>(alerts: &'a [Value], scenario: &Scenario) -> Vec<&'a Value> {
    let patterns = &scenario.expect.patterns;
    let counts = |alert: &&Value| match scenario.label {
        Label::Benign => !alert["destination"].is_null() || is_of_scenario(alert),
        Label::Attack => {
            alert["store"] == scenario.store.as_str()
                && (patterns.is_empty() || patterns.iter().any(|name| alert["pattern"] == **name))
        }
    };
    alerts.iter().filter(counts).collect()
}

/// Whether a script did it: a process below us, and not we.
fn is_of_scenario(alert: &Value) -> bool {
    let own = std::process::id();
    let chain = alert["chain"].as_array().map_or(&[][..], Vec::as_slice);
    chain.iter().skip(1).any(|process| process["pid"] == own)
}

/// Whether one of the alerts has all figures that are expected, and what is wrong with the one that comes nearest. `None`
/// when nothing is expected or there is no alert.
pub(super) fn exact(
    alerts: &[&Value],
    expect: &Expect,
    whole: Whole,
) -> Option<Result<(), String>> {
    let figures = [
        ("distinct_records", expect.records, whole.records),
        ("bytes_read", expect.bytes_read, whole.bytes),
        ("bytes_sent", expect.bytes_sent, whole.bytes),
    ];
    let wanted: Vec<(&str, u64)> = figures
        .into_iter()
        .filter_map(|(key, figure, all)| Some((key, number(figure?, all))))
        .collect();
    if wanted.is_empty() || alerts.is_empty() {
        return None;
    }
    let wrong = |alert: &&Value| -> Vec<String> {
        wanted
            .iter()
            .filter(|(key, wanted)| alert[*key] != *wanted)
            .map(|(key, wanted)| format!("{key} {} instead of {wanted}", alert[*key]))
            .collect()
    };
    let nearest = alerts.iter().map(wrong).min_by_key(Vec::len)?;
    Some(if nearest.is_empty() {
        Ok(())
    } else {
        Err(nearest.join(", "))
    })
}

fn number(figure: Figure, all: u64) -> u64 {
    match figure {
        Figure::Number(number) => number,
        Figure::Word(Word::All) => all,
    }
}

/// Executables and techniques that are expected and in none of the alerts.
pub(super) fn unnamed(alerts: &[&Value], expect: &Expect) -> Vec<String> {
    let mut texts = Vec::new();
    for alert in alerts {
        collect(alert, &mut texts);
    }
    let is_named = |wanted: &str| {
        texts.iter().any(|text| {
            let is_program = !wanted.contains('/') && text.rsplit('/').next() == Some(wanted);
            // A technique is named by any of its own kinds, T1560 by T1560.001.
            let is_kind = text
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.starts_with('.') && wanted.starts_with('T'));
            *text == wanted || is_program || is_kind
        })
    };
    let expected = expect.path.iter().chain(&expect.techniques);
    expected
        .filter(|wanted| !is_named(wanted))
        .cloned()
        .collect()
}

/// All texts in a value.
fn collect<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
        Value::Object(map) => map.values().for_each(|value| collect(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = r#"[{"store":"records","pattern":"direct","distinct_records":4,"bytes_read":100,
        "bytes_sent":120,"chain":[{"executable":"/usr/bin/curl"}],"techniques":[{"id":"T1005"}]}]"#;

    fn expect(text: &str) -> Expect {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn figures_must_be_equal() {
        let alerts = read(ALERT).unwrap();
        let all: Vec<&Value> = alerts.iter().collect();
        let whole = Whole {
            records: 4,
            bytes: 100,
        };
        let check = |text: &str| exact(&all, &expect(text), whole);
        assert_eq!(check(""), None);
        assert_eq!(check("records = \"all\"\nbytes = \"all\""), Some(Ok(())));
        assert_eq!(check("records = 4\nbytes_sent = 120"), Some(Ok(())));
        let wrong = check("records = 3\nbytes_sent = 120");
        assert_eq!(
            wrong,
            Some(Err("distinct_records 4 instead of 3".to_owned()))
        );
        assert_eq!(exact(&[], &expect("records = 3"), whole), None);
    }

    #[test]
    fn what_is_not_named_is_said() {
        let alerts = read(ALERT).unwrap();
        let all: Vec<&Value> = alerts.iter().collect();
        let expect = expect("path = [\"curl\", \"/usr/bin/tar\"]\ntechniques = [\"T1005\"]");
        assert_eq!(unnamed(&all, &expect), ["/usr/bin/tar"]);
        let kinds = self::expect("techniques = [\"T1560\", \"T1005\"]");
        let alert = serde_json::json!({"techniques": [{"id": "T1560.001"}]});
        assert_eq!(unnamed(&[&alert], &kinds), ["T1005"]);
    }
}
