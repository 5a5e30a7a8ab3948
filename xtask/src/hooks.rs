//! The headers of hook files: what each must say, and the catalogue made of them.
//!
//! A header is the file's opening `//!` lines: a summary, then fields like `Hook: ...`; a line that starts with spaces
//! continues the field above it.
//!
//! **Invariant:** the catalogue holds nothing that is not in a header.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The fields that every hook file has, in the order of the catalogue.
pub(crate) const FIELDS: [&str; 6] = ["Hook", "Proto", "Kernel", "Emits", "Reads", "Counts"];

/// Where the hook files lie, relative to the root.
pub(crate) const PROBES: &str = "sensor-ebpf/src/probe";

/// What the top of a hook file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The opening paragraph.
    pub(crate) summary: String,
    /// Name and text of each field, continuation lines joined by a space.
    pub(crate) fields: Vec<(String, String)>,
}

impl Header {
    /// Reads the opening `//!` lines.
    pub(crate) fn parse(text: &str) -> Self {
        let mut header = Self::default();
        let mut place = Place::Summary;
        for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
            let line = line.strip_prefix(' ').unwrap_or(line);
            if line.trim().is_empty() {
                place = if header.summary.is_empty() {
                    Place::Summary
                } else {
                    Place::Prose
                };
            } else if line.starts_with(' ') && place == Place::Field {
                if let Some((_, text)) = header.fields.last_mut() {
                    append(text, line);
                }
            } else if let Some((name, text)) = field_of(line) {
                header.fields.push((name.into(), text.trim().into()));
                place = Place::Field;
            } else if place == Place::Summary {
                append(&mut header.summary, line);
            }
        }
        header
    }

    /// The text of a field, if it is there and says something.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found
            .map(|(_, text)| text.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The required things that are not there.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let summary = self.summary.is_empty().then_some("a summary");
        summary
            .into_iter()
            .chain(FIELDS.into_iter().filter(|name| self.field(name).is_none()))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Summary,
    Field,
    Prose,
}

/// `Name: text`, where the name is one of ours.
fn field_of(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')
        .filter(|(name, _)| FIELDS.contains(name))
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(line.trim());
}

/// The hook files below the root, sorted by name.
///
/// # Errors
/// When the directory cannot be read or holds no hook at all.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let dir = root.join(PROBES);
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("failed to read {}", dir.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no hook", dir.display());
    files.sort();
    Ok(files)
}

/// The catalogue of all hooks, as Markdown.
pub(crate) fn catalogue(root: &Path) -> Result<String> {
    let mut text = String::from(
        "# Hooks\n\nWhere the kernel programs attach, what each reads and what it reports. Generated from the headers of \
         `src/probe/*.rs` by\n`cargo xtask codegen`; change it there.\n",
    );
    for path in files(root)? {
        let source = std::fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        entry(&mut text, &name, &Header::parse(&source));
    }
    Ok(text)
}

fn entry(text: &mut String, name: &str, header: &Header) {
    // Writing to a string cannot fail; the results are empty.
    let mut push = |line: std::fmt::Arguments<'_>| text.write_fmt(line).unwrap_or_default();
    push(format_args!(
        "\n## {name}\n\n{}\n\n| | |\n|---|---|\n",
        header.summary
    ));
    for (name, value) in &header.fields {
        push(format_args!("| {name} | {} |\n", value.replace('|', "\\|")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
//! A file is opened: decides once per open
//! whether it is a record.
//!
//! Hook:   lsm/file_open | fentry/security_file_open
//!         | tp_btf/sys_exit
//! Proto:  int security_file_open(struct file *file)
//! Kernel: 5.10
//! Emits:  layout::access::Access
//! Reads:  file.f_inode
//! Counts: seen, reported
//!
//! Limits: none that are known.
use x;
//! Hook: not part of the header
";

    #[test]
    fn a_header_is_read_with_its_continuation_lines() {
        let header = Header::parse(GOOD);
        assert_eq!(
            header.summary,
            "A file is opened: decides once per open whether it is a record."
        );
        assert_eq!(
            header.field("Hook"),
            Some("lsm/file_open | fentry/security_file_open | tp_btf/sys_exit")
        );
        assert_eq!(header.field("Counts"), Some("seen, reported"));
        assert_eq!(header.missing(), Vec::<&str>::new());
    }

    #[test]
    fn what_is_missing_or_empty_is_named() {
        let text = GOOD
            .replace("//! Kernel: 5.10\n", "")
            .replace("file.f_inode", "");
        assert_eq!(Header::parse(&text).missing(), ["Kernel", "Reads"]);
        assert_eq!(
            Header::parse("fn main() {}\n").missing().len(),
            1 + FIELDS.len()
        );
    }

    #[test]
    fn the_catalogue_shows_every_field() {
        let dir = tempfile::tempdir().unwrap();
        let probes = dir.path().join(PROBES);
        std::fs::create_dir_all(&probes).unwrap();
        assert!(catalogue(dir.path()).is_err(), "no hooks is an error");
        std::fs::write(probes.join("file_open.rs"), GOOD).unwrap();
        let text = catalogue(dir.path()).unwrap();
        assert!(text.contains("## file_open\n\nA file is opened"), "{text}");
        assert!(
            text.contains("| Hook | lsm/file_open \\| fentry/security_file_open"),
            "{text}"
        );
    }
}
