//! Whether the chain is whole, and where it breaks.

use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::chain::{self, Hash};
use super::file::{self, Appended};
use super::{Action, AuditError, DIRECTORY, HEAD, LINE_MAX, LOG, Stored};

/// A chain that is whole, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries.
    pub entries: u64,
    /// Hash of the last; zeros when there is none.
    pub hash: Hash,
    /// Lines that a crash has cut off and the entry after has told.
    pub torn: u64,
    /// Number of the entry with the hash that was asked for.
    pub asked: Option<u64>,
    /// What the head file says.
    pub head: Head,
}

/// The head file beside a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// It is the last entry's.
    Last,
    /// It is that of an earlier entry, as after a crash.
    Earlier(u64),
    /// There is none, so an end that was cut off could not be seen.
    None,
}

/// Where a chain breaks.
#[derive(Debug, thiserror::Error)]
pub enum Break {
    /// The log cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Bytes that are no entry.
    #[error("{file}, line {line}, offset {offset}: is no entry of an audit log", file = file.display())]
    Form {
        /// The log.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// In bytes.
        offset: u64,
    },
    /// An entry does not follow from the one before.
    #[error("{file}, line {line}, offset {offset}: entry {seq} should have hash {expected}, and has {found}: it or its hash was changed, or an entry before it was changed, removed or put in", file = file.display())]
    Hash {
        /// The log.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// In bytes.
        offset: u64,
        /// What it says its number is.
        seq: u64,
        /// What follows from the line before.
        expected: Hash,
        /// What stands there.
        found: Hash,
    },
    /// Numbers are not dense.
    #[error("{file}, line {line}, offset {offset}: should be entry {expected}, and is entry {found}", file = file.display())]
    Sequence {
        /// The log.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// In bytes.
        offset: u64,
        /// The number that was next.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The log itself says that its end was cut off once.
    #[error("{file}, line {line}, offset {offset}: entry {seq} says that entries up to {last} had been written before it, and were gone", file = file.display())]
    Missing {
        /// The log.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// In bytes.
        offset: u64,
        /// The entry that says so.
        seq: u64,
        /// The last that had been there.
        last: u64,
    },
    /// The log is shorter than its head says.
    #[error("{file}: ends with entry {last}, and {head_file} says that entry {expected} with hash {hash} was written: the end was cut off", file = file.display(), head_file = head_file.display())]
    Truncated {
        /// The log.
        file: PathBuf,
        /// The head.
        head_file: PathBuf,
        /// The last entry.
        last: u64,
        /// What the head says.
        expected: u64,
        /// What the head says.
        hash: Hash,
    },
    /// The head is not that of the log.
    #[error("{file}: says {found}, which is no entry of the log beside it: one of the two was changed", file = file.display())]
    Head {
        /// The head.
        file: PathBuf,
        /// What it says.
        found: String,
    },
    /// No entry has the hash that was asked for.
    #[error("{file}: none of its {entries} entries has the hash {asked}: the log is another, or what it held up to there was changed or cut off", file = file.display())]
    Asked {
        /// The log.
        file: PathBuf,
        /// Entries.
        entries: u64,
        /// What was asked for.
        asked: Hash,
    },
}

/// Checks the log of a data directory; and whether an entry has the hash `asked`, which somebody has noted elsewhere.
///
/// # Errors
///
/// Where it breaks first, or that it cannot be read.
pub fn verify(data_dir: &Path, asked: Option<Hash>) -> Result<Verified, Break> {
    let directory = data_dir.join(DIRECTORY);
    let (opened, length, head) = file::open_to_read(data_dir)?;
    let head = match head {
        Some(Err(found)) => {
            let file = directory.join(HEAD);
            return Err(Break::Head { file, found });
        }
        Some(Ok(head)) => Some(head),
        None => None,
    };
    let mut walk = Walk {
        log: directory.join(LOG),
        asked,
        head,
        ..Walk::default()
    };
    let mut reader = BufReader::new(opened.take(length));
    let mut line = Vec::new();
    while file::next_line(&mut reader, &mut line).map_err(|source| file::io(&walk.log, source))? {
        walk.line(&line)?;
    }
    walk.end(&directory.join(HEAD))
}

/// What is known on the way along the log.
#[derive(Debug, Default)]
struct Walk {
    log: PathBuf,
    asked: Option<Hash>,
    head: Option<Appended>,
    line: u64,
    offset: u64,
    seq: u64,
    hash: Hash,
    torn: u64,
    /// Bytes that are no entry, which the next one must tell of.
    strange: Vec<u8>,
    /// Line and offset of the first of these.
    strange_at: (u64, u64),
    asked_at: Option<u64>,
    head_found: bool,
}

impl Walk {
    fn line(&mut self, bytes: &[u8]) -> Result<(), Break> {
        self.line += 1;
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        let text = bytes.strip_suffix(b"\n");
        let split = text.and_then(chain::split);
        let stored = split.and_then(|(hash, entry)| {
            Some((hash, entry, serde_json::from_str::<Stored>(entry).ok()?))
        });
        let Some((found, entry, stored)) = stored else {
            return self.strange(bytes, offset);
        };
        let (line, seq, log) = (self.line, stored.seq, || self.log.clone());
        let expected = self.hash.of_next(entry);
        if found != expected {
            return Err(Break::Hash {
                file: log(),
                line,
                offset,
                seq,
                expected,
                found,
            });
        }
        if seq != self.seq + 1 {
            return Err(Break::Sequence {
                file: log(),
                line,
                offset,
                expected: self.seq + 1,
                found: seq,
            });
        }
        self.told(&stored, offset)?;
        (self.seq, self.hash) = (seq, found);
        if self.asked == Some(found) {
            self.asked_at = Some(seq);
        }
        self.head_found |= self.head == Some(Appended { seq, hash: found });
        Ok(())
    }

    /// Bytes that are no entry may be what a crash has left, if the next entry says so.
    fn strange(&mut self, bytes: &[u8], offset: u64) -> Result<(), Break> {
        if self.strange.is_empty() {
            self.strange_at = (self.line, offset);
        }
        self.strange.extend_from_slice(bytes);
        if self.strange.len() as u64 > 3 * LINE_MAX {
            return Err(self.form());
        }
        Ok(())
    }

    /// What an entry says of the log itself.
    fn told(&mut self, stored: &Stored, offset: u64) -> Result<(), Break> {
        let number = |key: &str| stored.details.get(key).and_then(serde_json::Value::as_u64);
        if stored.what == Action::EntriesMissing.name() {
            return Err(Break::Missing {
                file: self.log.clone(),
                line: self.line,
                offset,
                seq: stored.seq,
                last: number("last_written").unwrap_or(0),
            });
        }
        if self.strange.is_empty() {
            return Ok(());
        }
        let bytes = number("bytes").and_then(|bytes| usize::try_from(bytes).ok());
        let torn = bytes.and_then(|bytes| self.strange.split_at_checked(bytes));
        let is_told = torn.is_some_and(|(torn, behind)| {
            let hash = stored.details.get("sha256").and_then(|hash| hash.as_str());
            stored.what == Action::LineTorn.name()
                && number("offset") == Some(self.strange_at.1)
                && hash == Some(&*Hash::of_bytes(torn).to_string())
                && matches!(behind, [] | [b'\n'])
        });
        if !is_told {
            return Err(self.form());
        }
        self.torn += 1;
        self.strange.clear();
        Ok(())
    }

    fn form(&self) -> Break {
        Break::Form {
            file: self.log.clone(),
            line: self.strange_at.0,
            offset: self.strange_at.1,
        }
    }

    fn end(self, head_file: &Path) -> Result<Verified, Break> {
        let head_file = head_file.to_owned();
        if !self.strange.is_empty() {
            return Err(self.form());
        }
        let head = match self.head {
            None => Head::None,
            Some(head) if head.seq > self.seq => {
                return Err(Break::Truncated {
                    file: self.log,
                    head_file,
                    last: self.seq,
                    expected: head.seq,
                    hash: head.hash,
                });
            }
            Some(head) if !self.head_found => {
                return Err(Break::Head {
                    file: head_file,
                    found: format!("entry {} with hash {}", head.seq, head.hash),
                });
            }
            Some(head) if head.seq == self.seq => Head::Last,
            Some(head) => Head::Earlier(head.seq),
        };
        if let (Some(asked), None) = (self.asked, self.asked_at) {
            return Err(Break::Asked {
                file: self.log,
                entries: self.seq,
                asked,
            });
        }
        Ok(Verified {
            entries: self.seq,
            hash: self.hash,
            torn: self.torn,
            asked: self.asked_at,
            head,
        })
    }
}
