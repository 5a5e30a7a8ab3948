//! Checks what no compiler checks: the house rules that are facts about the text and the arrows between the rooms.
//!
//! **Invariant:** a finding names file and line, and nothing is changed. Sizes are printed and never fail.

mod artefacts;
mod code;
mod crates;
mod rooms;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::hooks;
use crate::step::{root, say};

/// Arguments of `cargo xtask tidy`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}

/// The rooms of the house: the members of the workspace.
const CRATES: [&str; 5] = ["sensor-ebpf", "sensor-user", "collector", "proto", "xtask"];

/// Folders with Rust files that are no rooms.
const ANNEXES: [&str; 1] = ["fuzz"];

/// Lines from which a file deserves a second look.
const LONG_FILE: usize = 600;

/// A Rust file of the workspace.
#[derive(Debug)]
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The path's parts.
    fn parts(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }

    /// Whether a program wrote it.
    fn is_generated(&self) -> bool {
        self.path.starts_with("proto/src/gen/")
    }

    /// Whether it holds nothing but tests (`foo/tests.rs`, `foo/tests/*.rs`, `crate/tests/*.rs`).
    fn is_test(&self) -> bool {
        let parts = self.parts();
        parts.contains(&"tests") || parts.contains(&"fuzz") || parts.last() == Some(&"tests.rs")
    }
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: source.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

pub(crate) fn run(_args: &Args) -> Result<()> {
    check()
}

/// Runs all checks.
///
/// # Errors
/// When there is a finding; all of them are part of the error.
pub(crate) fn check() -> Result<()> {
    let sources = read_all(&root())?;
    let mut findings = check_texts(&sources);
    findings.extend(rooms::check(&sources));
    findings.extend(artefacts::check(&root())?);
    findings.extend(crates::check(&crates::metadata()?)?);
    // Without a hook the rules about hooks would pass in silence.
    if let Err(error) = hooks::files(&root()) {
        findings.push(Finding {
            path: hooks::PROBES.into(),
            line: 0,
            what: format!("{error:#}"),
        });
    }
    for source in sources.iter().filter(|source| !source.is_generated()) {
        let lines = source.text.lines().count();
        if lines > LONG_FILE {
            say(format!(
                "note: {} has {lines} lines; 400 is what to aim for",
                source.path
            ));
        }
    }
    if findings.is_empty() {
        say(format!(
            "tidy: {} files, nothing to complain about",
            sources.len()
        ));
        return Ok(());
    }
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    bail!(
        "tidy has {} findings:\n    {}",
        findings.len(),
        list.join("\n    ")
    )
}

fn check_texts(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_generated()) {
        findings.extend(text::opening(source));
        findings.extend(text::banned(source));
        findings.extend(text::unsafe_code(source));
        findings.extend(text::hook(source));
    }
    findings
}

/// All Rust files of the repository's crates, sorted by path.
fn read_all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for room in CRATES.into_iter().chain(ANNEXES) {
        read_below(root, &root.join(room), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_below(root: &Path, dir: &Path, into: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("failed to read {}", dir.display()))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            read_below(root, &path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let path = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            into.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rust_files_are_found_and_target_is_not_searched() {
        let dir = tempfile::tempdir().unwrap();
        for room in CRATES.into_iter().chain(ANNEXES) {
            fs::create_dir_all(dir.path().join(room).join("src/deep")).unwrap();
            fs::create_dir_all(dir.path().join(room).join("target")).unwrap();
            fs::write(dir.path().join(room).join("src/deep/a.rs"), "//! a\n").unwrap();
            fs::write(dir.path().join(room).join("target/b.rs"), "b\n").unwrap();
            fs::write(dir.path().join(room).join("src/note.md"), "c\n").unwrap();
        }
        let found = read_all(dir.path()).unwrap();
        let paths: Vec<&str> = found.iter().map(|source| source.path.as_str()).collect();
        assert_eq!(paths.len(), CRATES.len() + ANNEXES.len());
        assert!(paths.contains(&"proto/src/deep/a.rs"), "{paths:?}");
    }

    #[test]
    fn a_missing_room_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_all(dir.path()).is_err());
    }

    #[test]
    fn findings_are_printed_with_their_place() {
        let source = Source {
            path: "a/b.rs".into(),
            text: String::new(),
        };
        assert_eq!(Finding::new(&source, 3, "x").to_string(), "a/b.rs:3: x");
        assert_eq!(Finding::new(&source, 0, "x").to_string(), "a/b.rs: x");
    }
}
