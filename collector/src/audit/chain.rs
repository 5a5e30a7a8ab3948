//! A line of the audit log, and how its hash comes from the line before.

use std::fmt;

use ring::digest::{Context, SHA256, digest};

const OPENING: &str = "{\"hash\":\"";
const MIDDLE: &str = "\",\"entry\":";
const CLOSING: &str = "}";
const DIGITS: usize = 64;

/// A hash of the chain.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of an entry that follows `self`.
    pub(super) fn of_next(self, entry: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(entry.as_bytes());
        Self::from_bytes(context.finish().as_ref())
    }

    /// Of any bytes, by themselves.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::from_bytes(digest(&SHA256, bytes).as_ref())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        if text.len() != DIGITS {
            return None;
        }
        let mut hash = Self::default();
        for (byte, pair) in hash.0.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(hash)
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.0.copy_from_slice(bytes);
        hash
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A line without its end, and the hash it carries.
pub(super) fn line(previous: Hash, entry: &str) -> (String, Hash) {
    let hash = previous.of_next(entry);
    (format!("{OPENING}{hash}{MIDDLE}{entry}{CLOSING}"), hash)
}

/// The hash and the entry of a line without its end; `None` when it is no such line.
pub(super) fn split(line: &[u8]) -> Option<(Hash, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_prefix(OPENING)?;
    let hash = Hash::parse(rest.get(..DIGITS)?)?;
    let entry = rest
        .get(DIGITS..)?
        .strip_prefix(MIDDLE)?
        .strip_suffix(CLOSING)?;
    Some((hash, entry))
}
