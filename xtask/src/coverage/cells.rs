//! The cells of the matrix: as tests print them, and as they are kept.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Seen with exactly the bytes that moved.
pub(super) const YES: &str = "yes";
/// Seen without bytes, or with others.
pub(super) const NO_BYTES: &str = "no-bytes";
/// Not seen.
pub(super) const NO: &str = "no";
/// The way cannot be gone there: no cell.
pub(super) const NOT_HERE: &str = "n/a";

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Cell {
    pub(super) way: String,
    pub(super) backend: String,
    /// Series, as 6.12 or 6.1-rt.
    pub(super) kernel: String,
    /// [`YES`], [`NO_BYTES`], [`NO`] or [`NOT_HERE`].
    pub(super) seen: String,
    /// Why it is not seen; empty when it is.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) reason: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

/// The cells in what the tests printed: lines `way NAME KERNEL BACKEND SEEN REASON`.
pub(super) fn parse(output: &str) -> Vec<Cell> {
    output.lines().filter_map(cell).collect()
}

fn cell(line: &str) -> Option<Cell> {
    let mut words = line.strip_prefix("way ")?.trim_end().splitn(5, ' ');
    let mut word = || words.next().map(str::to_owned);
    let cell = Cell {
        way: word()?,
        kernel: word()?,
        backend: word()?,
        seen: word()?,
        reason: word().unwrap_or_default(),
    };
    [YES, NO_BYTES, NO, NOT_HERE]
        .contains(&cell.seen.as_str())
        .then_some(cell)
}

/// What is kept.
pub(super) fn read(path: &Path) -> Result<Vec<Cell>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("failed to understand {}", path.display()))
}

/// The old cells, with those of a kernel and backend of which there are new ones replaced as a whole. Ordered by kernel and
/// backend, and the ways as the tests have them.
pub(super) fn merge(old: Vec<Cell>, new: Vec<Cell>) -> Vec<Cell> {
    let mut all: Vec<Cell> = old
        .into_iter()
        .filter(|cell| !new.iter().any(|fresh| column(fresh) == column(cell)))
        .collect();
    all.extend(new);
    all.sort_by(by_column);
    all
}

/// Kernel and backend.
pub(super) fn column(cell: &Cell) -> (&str, &str) {
    (&cell.kernel, &cell.backend)
}

/// Older kernels first; those with real-time preemption after the plain ones.
pub(super) fn by_column(a: &Cell, b: &Cell) -> Ordering {
    let version = |cell: &Cell| -> Vec<u32> {
        let parts = cell.kernel.split(['.', '-']);
        parts.map(|part| part.parse().unwrap_or(0)).collect()
    };
    let backend = |cell: &Cell| {
        ["lsm", "fentry", "tracepoint"]
            .iter()
            .position(|name| *name == cell.backend)
    };
    version(a)
        .cmp(&version(b))
        .then(backend(a).cmp(&backend(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_become_cells() {
        let cells = parse(
            "test pread ... ok\nway pread 6.12 lsm yes\nway unlink 6.1 tracepoint no not watched yet\nway x 6.1 lsm maybe\n",
        );
        assert_eq!(cells.len(), 2);
        assert_eq!(
            (cells[0].way.as_str(), cells[0].reason.as_str()),
            ("pread", "")
        );
        assert_eq!(column(&cells[1]), ("6.1", "tracepoint"));
        assert_eq!(cells[1].reason, "not watched yet");
    }

    #[test]
    fn kernels_are_in_their_order() {
        let mut cells = parse(
            "way a 6.12 lsm yes\nway a 6.1-rt lsm yes\nway a 7.3 lsm yes\nway a 6.1 tracepoint yes\nway a 6.1 lsm yes\n",
        );
        cells.sort_by(by_column);
        let told: Vec<_> = cells.iter().map(column).collect();
        let expected = [
            ("6.1", "lsm"),
            ("6.1", "tracepoint"),
            ("6.1-rt", "lsm"),
            ("6.12", "lsm"),
            ("7.3", "lsm"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn new_results_replace_those_of_their_column() {
        let old = parse("way a 6.12 lsm yes\nway b 6.12 lsm yes\nway a 6.1 lsm no\n");
        let merged = merge(old, parse("way a 6.12 lsm no x\n"));
        let told: Vec<_> = merged
            .iter()
            .map(|cell| (cell.way.as_str(), cell.kernel.as_str(), cell.seen.as_str()))
            .collect();
        assert_eq!(told, [("a", "6.1", "no"), ("a", "6.12", "no")]);
    }
}
