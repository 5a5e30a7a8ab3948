//! The README: its own text, and between markers the tables that are made of committed results, or of the code (`patterns`).
//!
//! **Invariant:** nobody writes these tables by hand; `codegen --check` compares them with the results.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::step::root;
use crate::{bench, coverage, patterns};

/// Relative to the root.
pub(crate) const README: &str = "README.md";

/// What makes a section of the results that lie below the root.
type Section = fn(&Path) -> Result<String>;

const SECTIONS: &[(&str, Section)] = &[
    ("patterns", patterns::section),
    ("overhead", bench::overhead::section),
    ("workloads", bench::workloads::section),
    ("real", bench::real::section),
    ("idle", bench::idle::section),
    ("graph", bench::collector::graph_section),
    ("intel", bench::collector::intel_section),
    ("fleet", bench::fleet::section),
    ("coverage", coverage::section),
];

/// Writes the README as it must be.
///
/// # Errors
/// As for [`fresh`], or it cannot be written.
pub(crate) fn write() -> Result<()> {
    let path = root().join(README);
    fs::write(&path, fresh(&root())?).with_context(|| format!("failed to write {}", path.display()))
}

/// The README as it must be.
///
/// # Errors
/// Results or the README cannot be read, or it does not say where a table goes.
pub(crate) fn fresh(root: &Path) -> Result<String> {
    let path = root.join(README);
    let mut text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    for (name, section) in SECTIONS {
        text = put(&text, name, &section(root)?)?;
    }
    Ok(text)
}

fn put(text: &str, name: &str, section: &str) -> Result<String> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    let missing = || format!("the README has no section between {begin} and {end}");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{section}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        let new = put(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n");
        assert!(put(text, "y", "").is_err());
    }
}
