//! The key: one line of 128 hexadecimal digits in a file that only its owner can read, as `chartwatch-sensor keygen` makes it too.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::durable;

/// Bytes of the key: two AES-256 keys, as RFC 5297 section 2.2 has it.
const KEY_BYTES: usize = 64;

/// The hospital's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key that cannot be used. Each says which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no key.
    #[error("{file}: there is no key; the collector makes one at its start, or copy the hospital's key there", file = .0.display())]
    Missing(PathBuf),
    /// There was a key.
    #[error("{file}: the key is gone; without it the names behind tokens are lost, so put it back from a copy or from a sensor's `key_file`; to go on with a new one all the same, make it there with `chartwatch-sensor keygen --out`", file = .0.display())]
    Gone(PathBuf),
    /// A file cannot be read or made.
    #[error("{file}: {source}; let the collector's user read it, or correct privacy.key_file", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner can read or write it.
    #[error("{file}: mode {mode:04o} lets others read or change the key; run `chmod 600 {file}`", file = file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("{file}: is not one line of 128 hexadecimal digits; copy the hospital's key again", file = .0.display())]
    Form(PathBuf),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Key {
    /// Reads a key file. Permissions are those of the file that was opened, not of whatever has its name later.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be read, is open to others, or holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| io(path, source);
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => failed(error),
        })?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let file = path.to_owned();
            return Err(KeyError::Open { file, mode });
        }
        let mut text = Vec::new();
        let limit = 2 * KEY_BYTES as u64 + 2;
        file.take(limit).read_to_end(&mut text).map_err(failed)?;
        Self::parse(&text).ok_or_else(|| KeyError::Form(path.to_owned()))
    }

    /// Makes a key and writes it to a new file of mode 0600, in a directory that only its owner can enter.
    ///
    /// # Errors
    ///
    /// There is a file already, or it cannot be made.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        let mut key = Self([0; KEY_BYTES]);
        SystemRandom::new()
            .fill(&mut key.0)
            .map_err(|_| KeyError::Random)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let write = || {
            if path.try_exists()? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            durable::make_directory(directory, 0o700)?;
            // What an attempt that was cut off has left is no key that anybody was given.
            match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(format!("{}\n", hex(&key.0)).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, path)?;
            durable::sync_directory(directory)
        };
        write().map_err(|source| io(path, source))?;
        Ok(key)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(key))
    }

    /// By what it is named: nobody finds a key of 512 bits by its hash.
    pub fn mark(&self) -> String {
        hex(&digest(&SHA256, &self.0).as_ref()[..8])
    }

    /// The key itself, for who is to have it.
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn io(file: &Path, source: io::Error) -> KeyError {
    let file = file.to_owned();
    KeyError::Io { file, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_reads_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys/token.key");
        assert!(matches!(Key::read(&path), Err(KeyError::Missing(_))));
        let made = Key::make(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(Key::read(&path).unwrap(), made);
        assert!(Key::make(&path).is_err());
        assert_eq!(Key::read(&path).unwrap(), made);
        assert_eq!(format!("{made:?}"), "Key(..)");
    }

    #[test]
    fn what_is_no_key_or_open_to_others_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.key");
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
    }
}
