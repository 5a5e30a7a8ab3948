//! The lines that a measurement prints, and what they say as differences.
//!
//! **Invariant:** pure functions; a line that cannot be read is an error, not a figure less.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Within so many instructions two figures are the same.
pub(super) const NOISE: i64 = 15;

/// What lines with a figure begin with.
const MARK: &str = "row ";

/// A line as it is printed in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Row {
    op: String,
    setting: String,
    /// Instructions of the operation.
    instructions: u64,
    /// Instructions of the sensor's process for each operation.
    sensor: Option<u64>,
}

/// A figure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) op: String,
    pub(super) setting: String,
    pub(super) backend: String,
    pub(super) kernel: String,
    /// Of the base setting the operation's own instructions, otherwise those added to them.
    pub(super) instructions: i64,
    pub(super) sensor: Option<u64>,
}

/// The figures among all lines of a machine.
pub(super) fn parse(output: &str) -> Result<Vec<Row>> {
    output
        .lines()
        .filter_map(|line| line.trim().strip_prefix(MARK))
        .map(|row| {
            serde_json::from_str(row).with_context(|| format!("failed to read the row {row}"))
        })
        .collect()
}

/// The figures as differences to those of the base setting.
pub(super) fn added(rows: &[Row], base: &str, kernel: &str, backend: &str) -> Result<Vec<Added>> {
    rows.iter()
        .map(|row| {
            let own = rows
                .iter()
                .find(|other| other.op == row.op && other.setting == base)
                .with_context(|| format!("{} was not measured with {base}", row.op))?;
            let minus = if row.setting == base {
                0
            } else {
                own.instructions
            };
            Ok(Added {
                op: row.op.clone(),
                setting: row.setting.clone(),
                backend: backend.to_owned(),
                kernel: kernel.to_owned(),
                instructions: row.instructions as i64 - minus as i64,
                sensor: row.sensor,
            })
        })
        .collect()
}

/// The operations in their order.
pub(super) fn operations(rows: &[Added]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for row in rows {
        if !all.contains(&row.op) {
            all.push(row.op.clone());
        }
    }
    all
}

/// The row of an operation in a setting.
pub(super) fn find<'a>(rows: &'a [Added], op: &str, setting: &str) -> Option<&'a Added> {
    rows.iter()
        .find(|row| row.op == op && row.setting == setting)
}

/// Its figure.
pub(super) fn instructions(rows: &[Added], op: &str, setting: &str) -> Option<i64> {
    find(rows, op, setting).map(|row| row.instructions)
}

/// How many times one figure is another, to one decimal; absent where the second is too small to say so.
pub(super) fn ratio(one: Option<i64>, other: Option<i64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) if other > NOISE => {
            Some((one as f64 / other as f64 * 10.0).round() / 10.0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "ready
row {\"op\":\"stat\",\"setting\":\"nothing\",\"instructions\":7000,\"sensor\":null}
something else
row {\"op\":\"stat\",\"setting\":\"outside\",\"instructions\":6990,\"sensor\":5}
exit=0
";

    #[test]
    fn figures_are_differences() {
        let rows = added(&parse(OUTPUT).unwrap(), "nothing", "6.1", "lsm").unwrap();
        assert_eq!(operations(&rows), ["stat"]);
        assert_eq!(instructions(&rows, "stat", "nothing"), Some(7000));
        assert_eq!(instructions(&rows, "stat", "outside"), Some(-10));
        assert_eq!(instructions(&rows, "stat", "inside"), None);
        assert_eq!(find(&rows, "stat", "outside").unwrap().sensor, Some(5));
    }

    #[test]
    fn a_broken_row_and_a_missing_base_are_errors() {
        assert!(parse("row {\"op\":\"stat\"").is_err());
        let rows = parse(OUTPUT).unwrap();
        assert!(added(&rows[1..], "nothing", "6.1", "lsm").is_err());
    }
}
