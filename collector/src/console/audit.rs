//! `chartwatch audit`: who did or tried what, and whether the log of it is whole.

use std::io::Write;
use std::path::Path;

use super::ConsoleError;
use crate::audit::{self, AuditError, Break, Hash, Head, Stored};
use crate::text;

/// A longer list is counted in a line of text.
const LISTED_MAX: usize = 3;

/// Which entries are shown; an empty text takes all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// From this time on, nanoseconds since the Unix epoch.
    pub from_ns: Option<u64>,
    /// Up to this time.
    pub to_ns: Option<u64>,
    /// What was done begins with this.
    pub what: String,
    /// The name of who did it holds this.
    pub who: String,
    /// What it is about holds this.
    pub about: String,
}

/// Why entries are not shown.
#[derive(Debug, thiserror::Error)]
pub enum AuditViewError {
    /// The log cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The chain breaks.
    #[error(transparent)]
    Break(#[from] Break),
    /// They cannot be written.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// They cannot be written.
    #[error("failed to write: {0}")]
    Write(#[from] std::io::Error),
}

/// The entries, oldest first, as lines of text or of JSON. Answers how many lines of the log are none.
///
/// # Errors
///
/// The log cannot be read, or nothing can be written.
pub fn audit(
    out: &mut impl Write,
    data: &Path,
    filter: &AuditFilter,
    as_json: bool,
) -> Result<u64, AuditViewError> {
    audit::read(data, |entry, stored| {
        if !filter.takes(&stored) {
            return Ok(());
        }
        if as_json {
            super::json_line(out, entry)?;
        } else {
            line(out, &stored)?;
        }
        Ok(())
    })
}

impl AuditFilter {
    fn takes(&self, stored: &Stored) -> bool {
        let at = text::parse_rfc3339(&stored.time).unwrap_or(0);
        self.from_ns.is_none_or(|from| at >= from)
            && self.to_ns.is_none_or(|to| at <= to)
            && stored.what.starts_with(&self.what)
            && stored.who.name().contains(&self.who)
            && stored.about.contains(&self.about)
    }
}

fn line(out: &mut impl Write, stored: &Stored) -> Result<(), std::io::Error> {
    write!(
        out,
        "{:>6}  {}  {:<14}  {:<22}  {}",
        stored.seq,
        text::clean(&stored.time),
        text::clean(&stored.who.name()),
        text::clean(&stored.what),
        text::clean(&stored.about)
    )?;
    for (key, value) in &stored.details {
        let value = match value {
            serde_json::Value::String(value) => text::clean(value),
            // All of them are in the lines of JSON.
            serde_json::Value::Array(values) if values.len() > LISTED_MAX => {
                text::number(values.len() as u64)
            }
            other => text::clean(&other.to_string()),
        };
        write!(out, "  {}: {value}", text::clean(key))?;
    }
    writeln!(out)
}

/// Checks the chain and says what is known of it.
///
/// # Errors
///
/// It breaks, cannot be read, or nothing can be written.
pub fn audit_verify(
    out: &mut impl Write,
    data: &Path,
    head: Option<Hash>,
) -> Result<(), AuditViewError> {
    let verified = audit::verify(data, head)?;
    let entries = match verified.entries {
        1 => "1 entry".to_owned(),
        more => format!("{} entries", text::number(more)),
    };
    let hash = verified.hash;
    writeln!(
        out,
        "The chain is whole: {entries}, the last with hash {hash}."
    )?;
    if verified.torn > 0 {
        let torn = text::count(verified.torn, "line");
        writeln!(
            out,
            "A crash has cut off {torn}; the entries after tell of it."
        )?;
    }
    match verified.head {
        Head::Last => writeln!(out, "The head beside it is that of the last entry."),
        Head::Earlier(seq) => writeln!(
            out,
            "The head beside it is that of entry {seq}, as after a crash."
        ),
        Head::None => writeln!(
            out,
            "There is no head beside it: an end that was cut off would not be seen."
        ),
    }?;
    match verified.asked {
        Some(seq) => writeln!(
            out,
            "Entry {seq} has the hash that was given, so nothing up to it was changed since that was noted."
        ),
        None => writeln!(
            out,
            "Who may write to these files can make all of it anew. Compare with a hash from elsewhere, such as the collector's \
             journal: --head HASH"
        ),
    }?;
    Ok(())
}
