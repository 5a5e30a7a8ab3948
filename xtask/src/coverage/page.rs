//! The matrix as the README shows it: a row per kernel and backend with its sums; the ways that are seen everywhere; and of
//! the others a table with a column for all kernels and backends that are alike, and the reasons below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cells::{self, Cell, NO, NO_BYTES, NOT_HERE, YES};

/// Columns that are alike in every way: a kernel and backend stands for them, and a letter for it.
type Alike<'a> = Vec<Vec<(&'a str, &'a str)>>;

/// The section for these results.
pub(super) fn section(results: &[Cell]) -> String {
    let alike = alike(results);
    let ways = ways(results);
    let at = |way: &str, group: &[(&str, &str)]| {
        let is_it = |cell: &&Cell| cell.way == way && cells::column(cell) == group[0];
        results.iter().find(is_it)
    };
    let everywhere = |way: &&str| {
        let seen = |group: &Vec<_>| at(way, group).is_some_and(|cell| cell.seen == YES);
        alike.iter().all(seen)
    };
    let (always, other): (Vec<&str>, Vec<&str>) = ways.into_iter().partition(everywhere);
    let mut text = sums(results, &alike);
    let _ok = write!(
        text,
        "\nSeen with exact bytes everywhere, {} ways: {}.\n\n\
         <details><summary>The other {}, and why one is not seen</summary>\n\n| way |",
        always.len(),
        always.join(", "),
        other.len()
    );
    for number in 0..alike.len() {
        let _ok = write!(text, " {} |", letter(number));
    }
    let _ok = writeln!(text, "\n|---|{}", "---|".repeat(alike.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for way in other {
        let _ok = write!(text, "| {way} |");
        for group in &alike {
            let shown = at(way, group).map_or_else(String::new, |cell| show(cell, &mut reasons));
            let _ok = write!(text, " {shown} |");
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

/// How many ways each column sees, and under which letter it is told how.
fn sums(results: &[Cell], alike: &Alike<'_>) -> String {
    let mut text =
        "| kernel | backend | ways | seen with exact bytes | seen without | not seen | below |\n\
                    |---|---|---|---|---|---|---|\n"
            .to_owned();
    for column in columns(results) {
        let count = |seen: &str| {
            let of_it = results.iter().filter(|cell| cells::column(cell) == column);
            of_it.filter(|cell| cell.seen == seen).count()
        };
        let (yes, part, no) = (count(YES), count(NO_BYTES), count(NO));
        let (kernel, backend) = column;
        let below = alike.iter().position(|group| group.contains(&column));
        let _ok = writeln!(
            text,
            "| {kernel} | {backend} | {} | {yes} | {part} | {no} | {} |",
            yes + part + no,
            below.map(letter).unwrap_or_default()
        );
    }
    text
}

/// `A` for the first.
fn letter(number: usize) -> String {
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    match number / 26 {
        0 => letter(number).to_string(),
        more => format!("{}{}", letter(more - 1), letter(number)),
    }
}

/// Columns put together with those before that say the same of every way.
fn alike(results: &[Cell]) -> Alike<'_> {
    let told = |column: (&str, &str)| -> BTreeMap<&str, (&str, &str)> {
        let of_it = results.iter().filter(|cell| cells::column(cell) == column);
        of_it
            .map(|cell| (&*cell.way, (&*cell.seen, &*cell.reason)))
            .collect()
    };
    let mut alike: Alike<'_> = Vec::new();
    for column in columns(results) {
        let same = alike
            .iter_mut()
            .find(|group| told(group[0]) == told(column));
        match same {
            Some(group) => group.push(column),
            None => alike.push(vec![column]),
        }
    }
    alike
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
    fn reasons_are_told_once_and_like_columns_together() {
        let column = |kernel: &str, c: &str| {
            format!(
                "way a {kernel} lsm yes\nway b {kernel} lsm no not watched\nway c {kernel} lsm {c} not watched\n\
                 way d {kernel} lsm n/a no module\n"
            )
        };
        let told = [
            column("6.1", "no-bytes"),
            column("6.1-rt", "no-bytes"),
            column("7.3", "no"),
        ];
        let results = cells::parse(&told.concat());
        let section = section(&results);
        for line in [
            "| 6.1 | lsm | 3 | 1 | 1 | 1 | A |",
            "| 6.1-rt | lsm | 3 | 1 | 1 | 1 | A |",
            "| 7.3 | lsm | 3 | 1 | 0 | 2 | B |",
            "everywhere, 1 ways: a.",
            "| way | A | B |",
            "| b | **no** (1) | **no** (1) |",
            "| c | no bytes (1) | **no** (1) |",
            "| d | – (2) | – (2) |",
            "1. not watched",
            "2. no module",
        ] {
            assert!(section.contains(line), "{line} in\n{section}");
        }
        assert!(!section.contains("| a |"), "{section}");
    }

    #[test]
    fn there_is_a_letter_for_every_column() {
        assert_eq!(
            [0, 25, 26, 51, 52].map(letter),
            ["A", "Z", "AA", "AZ", "BA"]
        );
    }
}
