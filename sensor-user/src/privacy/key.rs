//! The hospital's key: one line of 128 hexadecimal digits in a file only its owner can read.
//!
//! **Invariant:** a key that others can read is not used, a key file is never overwritten, and a key is never printed.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes of the key: two AES-256 keys, as RFC 5297 section 2.2 has it.
const KEY_BYTES: usize = 64;

/// The hospital's key.
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file is not there.
    #[error(
        "{0}: there is no key file; enrol this sensor, which gets the key from its collector, or copy the hospital's key there, or make the first one with `chartwatch-sensor keygen --out {0}`"
    )]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than the owner can read or write it.
    #[error("{file}: mode {mode:04o} lets others read or change the key; run `chmod 600 {file}`")]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("{file}: is not one line of 128 hexadecimal digits; copy the hospital's key again")]
    Form {
        /// The file.
        file: PathBuf,
    },
    /// `generate` found a file in its place.
    #[error(
        "{0}: exists; a key that is replaced can never turn its tokens back, so choose another name"
    )]
    Exists(PathBuf),
}

impl Key {
    /// Reads a key file. Permissions are those of the file that was opened, not of whatever has its name later.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io {
            file: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => failed(e),
        })?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::Error::other(
                "is a directory; name the file of the key",
            )));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Open {
                file: path.to_owned(),
                mode,
            });
        }
        let mut text = Vec::new();
        let limit = 2 * KEY_BYTES as u64 + 2;
        file.take(limit).read_to_end(&mut text).map_err(failed)?;
        Self::parse(&text).ok_or_else(|| KeyError::Form {
            file: path.to_owned(),
        })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(key))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// Makes a new key and writes it to a new file of mode 0600.
pub fn generate(path: &Path) -> Result<(), KeyError> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .map_err(|source| KeyError::Io {
            file: path.to_owned(),
            source,
        })?;
    create(path, &key)
}

/// Writes a key to a new file of mode 0600.
fn create(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io {
        file: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
            _ => failed(e),
        })?;
    let line = key.iter().fold(String::new(), |mut line, byte| {
        // Writing to a String cannot fail.
        write!(line, "{byte:02x}").ok();
        line
    });
    file.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// What became of a key that came from the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It was written to its file.
    Written,
    /// The file has it already.
    Same,
    /// The file has another one, which stays.
    Other,
}

impl Key {
    /// A key as it travels; none of another length.
    pub fn received(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    /// Writes the key to its file, unless there is one: a key that is written over can never turn its tokens back.
    pub fn place(&self, path: &Path) -> Result<Placed, KeyError> {
        match Self::read(path) {
            Err(KeyError::Missing(_)) => create(path, &self.0).map(|()| Placed::Written),
            Err(error) => Err(error),
            Ok(there) if there.0 == self.0 => Ok(Placed::Same),
            Ok(_) => Ok(Placed::Other),
        }
    }
}

fn digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_generated_key_is_private_reads_back_and_is_not_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.key");
        generate(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let first = Key::read(&path).unwrap();
        assert!(first.0.iter().any(|b| *b != 0));
        assert!(matches!(generate(&path), Err(KeyError::Exists(_))));
        assert_eq!(Key::read(&path).unwrap().0, first.0);
        assert_eq!(format!("{first:?}"), "Key(..)");
    }

    #[test]
    fn what_is_no_key_or_open_to_others_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.key");
        assert!(matches!(Key::read(&path), Err(KeyError::Missing(_))));
        let good = "0f".repeat(64);
        for (text, mode, expect) in [
            (format!("{good}\n"), 0o640, "chmod 600"),
            (format!("{good}\n"), 0o604, "chmod 600"),
            (String::new(), 0o600, "128 hexadecimal"),
            (format!("{good}0"), 0o600, "128 hexadecimal"),
            (good.replace('f', "g"), 0o600, "128 hexadecimal"),
        ] {
            std::fs::write(&path, &text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Key::read(&path).unwrap_err().to_string();
            assert!(error.contains(expect) && !error.contains("0f0f"), "{error}");
        }
        std::fs::write(&path, &good).unwrap();
        assert_eq!(Key::read(&path).unwrap().0, [0x0f; 64]);
    }
}
