//! The figures as the README shows them: a table for each kernel and backend.
//!
//! **Invariant:** the README's tables are made here alone, of what machines measured; nobody writes them by hand.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::rows::{self, Added};
use crate::step::root;

const README: &str = "README.md";
const BEGIN: &str = "<!-- overhead:begin -->";
const END: &str = "<!-- overhead:end -->";

/// Shows the figures in the README, in the place of those that were there.
pub(super) fn write(rows: &[Added]) -> Result<()> {
    let path = root().join(README);
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    fs::write(&path, put(&text, &section(rows))?)
        .with_context(|| format!("failed to write {}", path.display()))
}

fn put(text: &str, section: &str) -> Result<String> {
    let missing = || format!("the README has no section between {BEGIN} and {END}");
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

fn section(all: &[Added]) -> String {
    let mut machines: Vec<(&str, &str)> = Vec::new();
    for row in all {
        let machine = (row.kernel.as_str(), row.backend.as_str());
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    machines
        .iter()
        .map(|(kernel, backend)| {
            let of_it = |row: &&Added| row.kernel == *kernel && row.backend == *backend;
            let rows: Vec<Added> = all.iter().filter(of_it).cloned().collect();
            table(kernel, backend, &rows)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn table(kernel: &str, backend: &str, rows: &[Added]) -> String {
    let mut text = format!(
        "| {kernel}, {backend} | nothing loaded | floor | outside | outside / floor | inside | tainted | own, outside | own, inside |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for op in rows::operations(rows) {
        let added = |setting| rows::instructions(rows, &op, setting);
        let own = |setting| {
            let own = rows::find(rows, &op, setting).and_then(|row| row.sensor);
            shown(own.map(|own| own as i64), "")
        };
        let ratio = rows::ratio(added("outside"), added("floor"));
        let _ok = writeln!(
            text,
            "| {op} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown(added("nothing"), ""),
            shown(added("floor"), "+"),
            shown(added("outside"), "+"),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}")),
            shown(added("inside"), "+"),
            shown(added("tainted"), "+"),
            own("outside"),
            own("inside"),
        );
    }
    text
}

/// `+12,345`; empty where there is no figure.
fn shown(figure: Option<i64>, plus: &str) -> String {
    let Some(figure) = figure else {
        return String::new();
    };
    let digits = figure.unsigned_abs().to_string();
    let mut text = if figure < 0 { "-" } else { plus }.to_owned();
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

    #[test]
    fn figures_are_grouped_and_signed() {
        assert_eq!(shown(None, "+"), "");
        assert_eq!(shown(Some(0), "+"), "+0");
        assert_eq!(shown(Some(697_529), "+"), "+697,529");
        assert_eq!(shown(Some(2_206_344), ""), "2,206,344");
        assert_eq!(shown(Some(-1_234), "+"), "-1,234");
    }

    #[test]
    fn the_section_is_replaced_and_each_machine_has_its_table() {
        let row = |kernel: &str, setting: &str, instructions| Added {
            op: "stat".into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: kernel.into(),
            instructions,
            sensor: None,
        };
        let rows = [
            row("6.1", "nothing", 7000),
            row("6.1", "floor", 100),
            row("6.1", "outside", 150),
            row("6.12", "nothing", 7100),
        ];
        let text = put(&format!("a\n{BEGIN}\nold\n{END}\nb\n"), &section(&rows)).unwrap();
        assert!(
            text.contains("| stat | 7,000 | +100 | +150 | 1.5 |  |"),
            "{text}"
        );
        assert!(text.contains("| 6.12, lsm |"), "{text}");
        assert!(!text.contains("old") && text.starts_with("a\n") && text.ends_with("b\n"));
        assert!(put("no markers", "").is_err());
    }
}
