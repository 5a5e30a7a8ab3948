//! The matrix as the README shows it: a row per way, a column per kernel and backend, and the reasons below.

use std::fmt::Write as _;

use super::cells::{self, Cell, NO, NO_BYTES, NOT_HERE, YES};

/// The section for these results.
pub(super) fn section(results: &[Cell]) -> String {
    let columns = columns(results);
    let mut reasons: Vec<&str> = Vec::new();
    let mut text = sums(results, &columns);
    text.push_str("\n<details><summary>Every way, and why one is not seen</summary>\n\n| way |");
    for (kernel, backend) in &columns {
        let _ok = write!(text, " {kernel} {backend} |");
    }
    let _ok = writeln!(text, "\n|---|{}", "---|".repeat(columns.len()));
    for way in ways(results) {
        let _ok = write!(text, "| {way} |");
        for column in &columns {
            let cell = results
                .iter()
                .find(|cell| cell.way == way && cells::column(cell) == *column);
            let _ok = write!(
                text,
                " {} |",
                cell.map_or_else(String::new, |c| show(c, &mut reasons))
            );
        }
        text.push('\n');
    }
    text.push('\n');
    for (number, reason) in reasons.iter().enumerate() {
        let _ok = writeln!(text, "{}. {reason}", number + 1);
    }
    text.push_str("\n</details>\n");
    text
}

/// How many ways each column sees.
fn sums(results: &[Cell], columns: &[(&str, &str)]) -> String {
    let mut text =
        "| kernel | backend | ways | seen with exact bytes | seen without | not seen |\n\
                    |---|---|---|---|---|---|\n"
            .to_owned();
    for column in columns {
        let count = |seen: &str| {
            let of_it = results.iter().filter(|cell| cells::column(cell) == *column);
            of_it.filter(|cell| cell.seen == seen).count()
        };
        let (yes, part, no) = (count(YES), count(NO_BYTES), count(NO));
        let (kernel, backend) = column;
        let _ok = writeln!(
            text,
            "| {kernel} | {backend} | {} | {yes} | {part} | {no} |",
            yes + part + no
        );
    }
    text
}

/// A cell's text; a reason is referred to by its number.
fn show<'a>(cell: &'a Cell, reasons: &mut Vec<&'a str>) -> String {
    let word = match cell.seen.as_str() {
        YES => return "yes".to_owned(),
        NO_BYTES => "no bytes",
        NOT_HERE => "–",
        _ => "**no**",
    };
    if cell.reason.is_empty() {
        return word.to_owned();
    }
    let known = reasons.iter().position(|reason| *reason == cell.reason);
    let at = known.unwrap_or_else(|| {
        reasons.push(&cell.reason);
        reasons.len() - 1
    });
    format!("{word} ({})", at + 1)
}

/// Kernels and backends, in the order of the results.
fn columns(results: &[Cell]) -> Vec<(&str, &str)> {
    let mut columns = Vec::new();
    for cell in results {
        if !columns.contains(&cells::column(cell)) {
            columns.push(cells::column(cell));
        }
    }
    columns
}

/// All ways, in the order of the first column, then what only others have.
fn ways(results: &[Cell]) -> Vec<&str> {
    let mut ways: Vec<&str> = Vec::new();
    for cell in results {
        if !ways.contains(&cell.way.as_str()) {
            ways.push(&cell.way);
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once() {
        let results = cells::parse(
            "way a 6.1 lsm yes\nway b 6.1 lsm no not watched\nway c 6.1 lsm no-bytes not watched\nway d 6.1 lsm n/a no module\n",
        );
        let section = section(&results);
        for line in [
            "| 6.1 | lsm | 3 | 1 | 1 | 1 |",
            "| a | yes |",
            "| b | **no** (1) |",
            "| c | no bytes (1) |",
            "| d | – (2) |",
            "1. not watched",
            "2. no module",
        ] {
            assert!(section.contains(line), "{line} in\n{section}");
        }
    }
}
