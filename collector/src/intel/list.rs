//! Plain lists: one indicator to a line, as most block lists have them; also lines of a hosts file and the first column of CSV.

use super::feed::{Reading, Refused};
use super::index::Entry;
use super::indicator::{self, Bad};

/// Takes every line that is not empty and no comment.
pub(super) fn read(untrusted: &[u8], entry: Entry, into: &mut Reading<'_>) -> Result<(), Refused> {
    let untrusted = untrusted.strip_prefix(b"\xef\xbb\xbf").unwrap_or(untrusted);
    for (number, line) in (1_u64..).zip(untrusted.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let Some(field) = field(&line) else {
            continue;
        };
        match indicator::read(field) {
            Ok(indicator) => into.take(indicator, entry)?,
            Err(bad) => into.leave(&format!("line {number}"), field, bad),
        }
    }
    Ok(())
}

/// What a line lists: its first field, or its second where the first is the address of nobody, as in a hosts file.
fn field(line: &str) -> Option<&str> {
    let is_comment = |field: &str| field.starts_with(['#', ';', '!']) || field.starts_with("//");
    let mut fields = line
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '|' | '\t'))
        .map(|field| field.trim_matches('"'))
        .filter(|field| !field.is_empty());
    let first = fields.next().filter(|field| !is_comment(field))?;
    if indicator::read(first) == Err(Bad::Own) {
        let second = fields.next().filter(|field| !is_comment(field));
        return Some(second.unwrap_or(first));
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_line_is_found() {
        for (line, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("  203.0.113.9  # a comment\r", Some("203.0.113.9")),
            ("# only that", None),
            ("; and that", None),
            ("", None),
            ("0.0.0.0 evil.example", Some("evil.example")),
            ("127.0.0.1\tevil.example # no", Some("evil.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("\"203.0.113.9\",\"443\",\"c2\"", Some("203.0.113.9")),
        ] {
            assert_eq!(field(line), expected, "{line}");
        }
    }
}
