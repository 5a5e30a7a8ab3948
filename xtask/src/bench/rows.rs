//! The lines that a measurement prints, and what they say as differences.
//!
//! **Invariant:** pure functions; a line that cannot be read is an error, not a figure less.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What the watcher spends on a second in which nothing happens is a row too.
pub(super) const IDLE: &str = "an idle second";

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
    /// Instructions of the watcher's own process for each operation.
    own: Option<u64>,
}

/// A figure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Added {
    pub(super) op: String,
    pub(super) setting: String,
    pub(super) backend: String,
    pub(super) kernel: String,
    /// Of the base setting the operation's own instructions, otherwise those added to them.
    pub(super) instructions: i64,
    /// What the watcher's own process spends beside it.
    pub(super) own: Option<u64>,
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
                own: row.own,
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

/// Its figure with what the watcher's own process spends.
pub(super) fn with_own(rows: &[Added], op: &str, setting: &str) -> Option<i64> {
    find(rows, op, setting).map(|row| row.instructions + row.own.unwrap_or(0) as i64)
}

/// The old rows, with those of a machine of which there are new ones replaced as a whole. Older kernels come first.
pub(super) fn merge(old: Vec<Added>, new: Vec<Added>) -> Vec<Added> {
    let fresh = machines(&new);
    let is_old = |row: &Added| !fresh.contains(&(row.kernel.clone(), row.backend.clone()));
    let mut all: Vec<Added> = old.into_iter().filter(is_old).collect();
    all.extend(new);
    all.sort_by_cached_key(|row| {
        let version = row.kernel.split('.').map(|part| part.parse().unwrap_or(0));
        let backends = ["lsm", "fentry", "tracepoint"];
        let backend = backends.iter().position(|name| *name == row.backend);
        (version.collect::<Vec<u32>>(), backend)
    });
    all
}

/// Kernels and backends, in the order of the rows.
pub(super) fn machines(rows: &[Added]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for row in rows {
        let machine = (row.kernel.clone(), row.backend.clone());
        if !all.contains(&machine) {
            all.push(machine);
        }
    }
    all
}

/// The rows of one of them.
pub(super) fn of_machine(rows: &[Added], machine: &(String, String)) -> Vec<Added> {
    let of_it = |row: &&Added| row.kernel == machine.0 && row.backend == machine.1;
    rows.iter().filter(of_it).cloned().collect()
}

/// `12,345`.
pub(super) fn grouped(figure: i64) -> String {
    let digits = figure.unsigned_abs().to_string();
    let mut text = if figure < 0 { "-" } else { "" }.to_owned();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "ready
row {\"op\":\"stat\",\"setting\":\"nothing\",\"instructions\":7000,\"own\":null}
something else
row {\"op\":\"stat\",\"setting\":\"outside\",\"instructions\":6990,\"own\":5}
exit=0
";

    #[test]
    fn figures_are_differences() {
        let rows = added(&parse(OUTPUT).unwrap(), "nothing", "6.1", "lsm").unwrap();
        assert_eq!(operations(&rows), ["stat"]);
        assert_eq!(instructions(&rows, "stat", "nothing"), Some(7000));
        assert_eq!(instructions(&rows, "stat", "outside"), Some(-10));
        assert_eq!(instructions(&rows, "stat", "inside"), None);
        assert_eq!(find(&rows, "stat", "outside").unwrap().own, Some(5));
    }

    #[test]
    fn new_rows_replace_those_of_their_machine() {
        let of =
            |kernel, backend| added(&parse(OUTPUT).unwrap(), "nothing", kernel, backend).unwrap();
        let old = [of("6.12", "lsm"), of("6.1", "fentry")].concat();
        let new = of("6.1", "lsm").split_off(1);
        let merged = merge(merge(old, of("6.1", "lsm")), new);
        let told = machines(&merged).into_iter().map(|machine| {
            let rows = of_machine(&merged, &machine).len();
            format!("{} {} {rows}", machine.0, machine.1)
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            ["6.1 lsm 1", "6.1 fentry 2", "6.12 lsm 2"]
        );
    }

    #[test]
    fn figures_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(697_529), "697,529");
        assert_eq!(grouped(-1_234), "-1,234");
    }

    #[test]
    fn a_broken_row_and_a_missing_base_are_errors() {
        assert!(parse("row {\"op\":\"stat\"").is_err());
        let rows = parse(OUTPUT).unwrap();
        assert!(added(&rows[1..], "nothing", "6.1", "lsm").is_err());
    }
}
