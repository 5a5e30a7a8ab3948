//! Names as text that loses nothing: names are bytes, and not all of them are UTF-8.
//!
//! A byte that is no text is written `\xHH`. So that a name which really has such four characters in it stays apart, its
//! backslash is written `\x5c`; all other text is as it is.
//!
//! **Invariant:** different bytes give different texts.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Shows bytes as text.
#[must_use]
pub fn escape(untrusted: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(untrusted) {
        // To look for a byte is much cheaper than for a text.
        Ok(text) if !untrusted.contains(&b'\\') || !text.contains("\\x") => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(untrusted)),
    }
}

fn escaped(untrusted: &[u8]) -> String {
    let mut out = String::with_capacity(untrusted.len() + 16);
    for chunk in untrusted.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find("\\x") {
            out += &rest[..at];
            let digits = rest.as_bytes().get(at + 2..at + 4);
            let looks_escaped = digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
            out += if looks_escaped { "\\x5cx" } else { "\\x" };
            rest = &rest[at + 2..];
        }
        out += rest;
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _written = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The way back, which nobody but the tests needs.
    fn unescape(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            let digits = rest.strip_prefix(b"\\x").and_then(|d| d.get(..2));
            let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
            if let Some(byte) = digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                out.push(byte);
                rest = &rest[4..];
            } else {
                out.push(*first);
                rest = after;
            }
        }
        out
    }

    #[test]
    fn what_is_no_text_is_shown_and_nothing_is_lost() {
        let cases: [(&[u8], &str); 9] = [
            (b"doe.dcm", "doe.dcm"),
            ("Müller.dcm".as_bytes(), "Müller.dcm"),
            (b"M\xfcller.dcm", r"M\xfcller.dcm"),
            (b"\xff\xfe", r"\xff\xfe"),
            (br"a\b", r"a\b"),
            (br"a\xfc", r"a\x5cxfc"),
            (br"a\xyz", r"a\xyz"),
            (b"\\\xff", r"\\xff"),
            (b"\\x4\xff", r"\x4\xff"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(escape(bytes), shown);
            assert_eq!(unescape(shown), bytes);
        }
    }

    #[test]
    fn every_short_name_has_a_text_of_its_own() {
        let letters = [b'\\', b'x', b'f', b'5', b'c', 0xc3, 0xbc, 0xff];
        let mut names: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..5 {
            let longer = names.iter().flat_map(|name| {
                letters.iter().map(move |letter| {
                    let mut longer = name.clone();
                    longer.push(*letter);
                    longer
                })
            });
            names = longer.collect();
            for name in &names {
                assert_eq!(&unescape(&escape(name)), name);
            }
        }
    }
}
