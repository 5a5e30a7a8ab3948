//! What the scenarios came to: a row for each, and recall, precision and false alerts over all of them.
//!
//! **Invariant:** scenarios that were skipped or failed count neither for nor against the sensor.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scenario::{Label, Scenario};
use crate::step::{human, say};
use crate::table::Table;

/// What a scenario came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// A theft, with an alert.
    Found,
    /// A theft, without.
    Missed,
    /// Everyday work, without an alert.
    Quiet,
    /// Everyday work, with one.
    FalseAlert,
    /// Not run, for a reason that is told.
    Skipped,
    /// Could not be run to its end.
    Error,
}

impl Outcome {
    pub(super) fn of(label: Label, alerted: bool) -> Self {
        match (label, alerted) {
            (Label::Attack, true) => Self::Found,
            (Label::Attack, false) => Self::Missed,
            (Label::Benign, true) => Self::FalseAlert,
            (Label::Benign, false) => Self::Quiet,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missed => "MISSED",
            Self::Quiet => "quiet",
            Self::FalseAlert => "FALSE ALERT",
            Self::Skipped => "skipped",
            Self::Error => "ERROR",
        }
    }

    fn alerted(self) -> Option<bool> {
        match self {
            Self::Found | Self::FalseAlert => Some(true),
            Self::Missed | Self::Quiet => Some(false),
            Self::Skipped | Self::Error => None,
        }
    }
}

/// One scenario's row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) label: Label,
    pub(super) backend: String,
    pub(super) kernel: String,
    pub(super) outcome: Outcome,
    /// From the end of `run.sh`; 0 when the alert was there before.
    pub(super) seconds_to_alert: Option<f64>,
    pub(super) exact: Option<bool>,
    /// Alerts that count.
    pub(super) alerts: u64,
    /// How long sensor and scenario ran together.
    pub(super) watched: Duration,
    /// How long the whole took.
    pub(super) took: Duration,
    pub(super) note: Option<String>,
}

impl Row {
    /// In a line, as the so manieth of so many.
    pub(super) fn told(&self, number: usize, count: usize) -> String {
        let note = self.note.as_ref().map(|note| format!(": {note}"));
        format!(
            "[{number}/{count}] {}: {}{} ({})",
            self.scenario,
            self.outcome.word(),
            note.unwrap_or_default(),
            human(self.took),
        )
    }

    /// A scenario that came to nothing, and why.
    pub(super) fn without(scenario: &Scenario, outcome: Outcome, note: String) -> Self {
        Self {
            scenario: scenario.name.clone(),
            label: scenario.label,
            backend: String::new(),
            kernel: kernel(),
            outcome,
            seconds_to_alert: None,
            exact: None,
            alerts: 0,
            watched: Duration::ZERO,
            took: Duration::ZERO,
            note: Some(note),
        }
    }
}

/// The running kernel's series.
pub(super) fn kernel() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Figures over all scenarios.
#[derive(Debug, PartialEq)]
struct Score {
    found: usize,
    attacks: usize,
    false_alerts: u64,
    /// Share of the thefts that were found; `None` without a theft.
    recall: Option<f64>,
    /// Share of the scenarios with an alert that are thefts; `None` without an alert.
    precision: Option<f64>,
    /// While everyday work ran; `None` without any.
    false_alerts_per_hour: Option<f64>,
}

fn score(rows: &[Row]) -> Score {
    let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let [found, missed, disturbed] =
        [Outcome::Found, Outcome::Missed, Outcome::FalseAlert].map(count);
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let benign = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Quiet | Outcome::FalseAlert));
    let hours = benign
        .clone()
        .map(|row| row.watched)
        .sum::<Duration>()
        .as_secs_f64()
        / 3600.0;
    let false_alerts: u64 = benign.map(|row| row.alerts).sum();
    Score {
        found,
        attacks: found + missed,
        false_alerts,
        recall: share(found, found + missed),
        precision: share(found, found + disturbed),
        false_alerts_per_hour: (hours > 0.0).then(|| false_alerts as f64 / hours),
    }
}

/// Prints the table and the sum, and writes the rows when `json` names a file.
///
/// # Errors
/// They cannot be printed or written.
pub(super) fn report(rows: &[Row], json: Option<&Path>) -> Result<()> {
    let score = score(rows);
    let mut people = Table::new(&["scenario", "label", "outcome", "seconds", "exact", "note"]);
    for row in rows {
        people.push([
            json!(row.scenario),
            json!(row.label.word()),
            json!(row.outcome.word()),
            json!(row.seconds_to_alert),
            json!(row.exact),
            json!(row.note),
        ]);
    }
    people.report(None)?;
    let percent = |share: Option<f64>| {
        share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    let others = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    say(format!(
        "{} of {} thefts found (recall {}), precision {}, {} false alerts ({} an hour), {} skipped, {} errors",
        score.found,
        score.attacks,
        percent(score.recall),
        percent(score.precision),
        score.false_alerts,
        score
            .false_alerts_per_hour
            .map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        others(Outcome::Skipped),
        others(Outcome::Error),
    ));
    json.map_or(Ok(()), |path| table(rows, &score).write_json(path))
}

fn table(rows: &[Row], score: &Score) -> Table {
    let mut table = Table::new(&[
        "scenario",
        "label",
        "backend",
        "kernel",
        "alerted",
        "seconds_to_alert",
        "exact",
        "outcome",
        "note",
        "recall",
        "precision",
        "false_alerts",
        "false_alerts_per_hour",
    ]);
    for row in rows {
        table.push([
            json!(row.scenario),
            json!(row.label.word()),
            json!(row.backend),
            json!(row.kernel),
            json!(row.outcome.alerted()),
            json!(row.seconds_to_alert),
            json!(row.exact),
            json!(row.outcome.word()),
            json!(row.note),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ]);
    }
    let mut last = vec![json!("all")];
    last.extend(std::iter::repeat_n(Value::Null, 8));
    last.extend([
        json!(score.recall),
        json!(score.precision),
        json!(score.false_alerts),
        json!(score.false_alerts_per_hour),
    ]);
    table.push(last);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: Label, outcome: Outcome, alerts: u64) -> Row {
        Row {
            scenario: "s".to_owned(),
            label,
            backend: "lsm".to_owned(),
            kernel: "6.1".to_owned(),
            outcome,
            seconds_to_alert: None,
            exact: None,
            alerts,
            watched: Duration::from_mins(30),
            took: Duration::from_secs(1),
            note: None,
        }
    }

    #[test]
    fn errors_and_skips_count_for_nothing() {
        let rows = [
            row(Label::Attack, Outcome::Found, 1),
            row(Label::Attack, Outcome::Missed, 0),
            row(Label::Attack, Outcome::Error, 0),
            row(Label::Attack, Outcome::Skipped, 0),
            row(Label::Benign, Outcome::Quiet, 0),
            row(Label::Benign, Outcome::FalseAlert, 3),
        ];
        let score = score(&rows);
        assert_eq!((score.recall, score.precision), (Some(0.5), Some(0.5)));
        assert_eq!((score.attacks, score.false_alerts), (2, 3));
        assert_eq!(score.false_alerts_per_hour, Some(3.0));
        let text = serde_json::to_value(table(&rows, &score)).unwrap();
        assert_eq!(text[6]["scenario"], "all");
        assert_eq!(text[6]["recall"], 0.5);
        assert_eq!(text[2]["alerted"], Value::Null);
    }
}
