//! Holds the alerts that were raised against what a scenario expects.
//!
//! Alerts are read as JSON, not as types: patterns come and go, and a scenario asks for store, pattern, figures and names
//! only.
//!
//! **Invariant:** pure; figures are compared for equality.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::scenario::{Expect, Figure, Label, Scenario};
use super::score::Outcome;

/// What the alerts of a scenario say, held against what is expected.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// Alerts that count.
    pub(super) alerts: u64,
    /// `None` when no figures are expected or there is no alert.
    pub(super) exact: Option<Result<(), String>>,
    /// Executables and techniques that should be named and are not.
    pub(super) unnamed: Vec<String>,
    /// The false alerts, in a few words each.
    pub(super) told: Vec<String>,
}

impl Verdict {
    /// Judges. Figures are expected as numbers; `harness` is the process that played the scenario.
    pub(super) fn of(alerts: &[Value], scenario: &Scenario, expect: &Expect, harness: u32) -> Self {
        let counting = counting(alerts, scenario, harness);
        let is_benign = scenario.label == Label::Benign;
        Self {
            outcome: Outcome::of(scenario.label, !counting.is_empty()),
            alerts: counting.len() as u64,
            exact: exact(&counting, expect),
            unnamed: if counting.is_empty() {
                Vec::new()
            } else {
                unnamed(&counting, expect)
            },
            told: counting
                .iter()
                .filter(|_| is_benign)
                .map(|alert| told(alert))
                .collect(),
        }
    }

    /// What is worth a word, if anything is.
    pub(super) fn note(&self) -> Option<String> {
        let figures = self.exact.as_ref().and_then(|exact| exact.clone().err());
        let unnamed =
            (!self.unnamed.is_empty()).then(|| format!("not named: {}", self.unnamed.join(", ")));
        let notes: Vec<String> = figures
            .into_iter()
            .chain(unnamed)
            .chain(self.told.iter().cloned())
            .collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// What is not as it should be; names that are wanting are no fault.
    pub(super) fn wrong(&self) -> Option<String> {
        match (self.outcome, &self.exact) {
            (Outcome::Missed | Outcome::FalseAlert, _) => {
                let note = self
                    .note()
                    .map_or_else(String::new, |note| format!(": {note}"));
                Some(format!("{}{note}", self.outcome.word()))
            }
            (_, Some(Err(figures))) => Some(figures.clone()),
            _ => None,
        }
    }

    /// What is not as it should be, or not named any more.
    pub(super) fn worse_than(&self, unnamed: &[String]) -> Option<String> {
        let new = |name: &&String| !unnamed.contains(name);
        let names: Vec<&str> = (self.unnamed.iter().filter(new).map(String::as_str)).collect();
        let names =
            (!names.is_empty()).then(|| format!("not named any more: {}", names.join(", ")));
        self.wrong().or(names)
    }
}

/// A false alert in a few words.
fn told(alert: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{} by {} to {}:{}",
        text(&alert["pattern"]),
        text(&alert["chain"][0]["executable"]),
        text(&alert["destination"]["address"]),
        alert["destination"]["port"]
    )
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
pub(super) fn counting<'a>(
    alerts: &'a [Value],
    scenario: &Scenario,
    harness: u32,
) -> Vec<&'a Value> {
    let patterns = &scenario.expect.patterns;
    let counts = |alert: &&Value| match scenario.label {
        Label::Benign => !alert["destination"].is_null() || is_of_scenario(alert, harness),
        Label::Attack => {
            alert["store"] == scenario.store.as_str()
                && (patterns.is_empty() || patterns.iter().any(|name| alert["pattern"] == **name))
        }
    };
    alerts.iter().filter(counts).collect()
}

/// Whether a script did it: a process below the one that plays the scenario, and not that one.
fn is_of_scenario(alert: &Value, harness: u32) -> bool {
    let chain = alert["chain"].as_array().map_or(&[][..], Vec::as_slice);
    chain
        .iter()
        .skip(1)
        .any(|process| process["pid"] == harness)
}

/// Whether one of the alerts has all figures that are expected, and what is wrong with the one that comes nearest. `None`
/// when nothing is expected or there is no alert.
fn exact(alerts: &[&Value], expect: &Expect) -> Option<Result<(), String>> {
    let figures = [
        ("distinct_records", expect.records),
        ("bytes_read", expect.bytes_read),
        ("bytes_sent", expect.bytes_sent),
    ];
    let wanted: Vec<(&str, u64)> = figures
        .into_iter()
        .filter_map(|(key, figure)| match figure? {
            Figure::Number(number) => Some((key, number)),
            Figure::Word(_) => None,
        })
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

/// Executables and techniques that are expected and in none of the alerts.
fn unnamed(alerts: &[&Value], expect: &Expect) -> Vec<String> {
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
    use super::super::scenario::Whole;
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
        let check = |text: &str| exact(&all, &expect(text).in_numbers(whole));
        assert_eq!(check(""), None);
        assert_eq!(check("records = \"all\"\nbytes = \"all\""), Some(Ok(())));
        assert_eq!(check("records = 4\nbytes_sent = 120"), Some(Ok(())));
        let wrong = check("records = 3\nbytes_sent = 120");
        assert_eq!(
            wrong,
            Some(Err("distinct_records 4 instead of 3".to_owned()))
        );
        assert_eq!(exact(&[], &expect("records = 3")), None);
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
