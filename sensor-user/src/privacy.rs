//! Names inside a store identify patients: here they become tokens before anything leaves the host.
//!
//! What a token is stands in `proto/TOKENS.md`. It is deterministic: equal names give equal tokens, so records can be told
//! apart and counted, and only the holder of the hospital's key can turn one back. Names of stores that are configured as plain leave as
//! they are, in arguments and paths too.
//!
//! In arguments and paths a token is written `token:...` in the place of the name, so that `-F file=@/srv/pacs/doe.dcm`
//! leaves as `-F file=@/srv/pacs/token:...`. What is found and what is not is said in [`text`] and [`relative`].
//!
//! **Invariant:** nothing but this room turns a record's name into what is sent, and in the form `token` it never
//! gives a name back as it was.

mod escape;
mod key;
mod relative;
mod text;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Mutex;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use escape::escape;
pub use key::{Key, KeyError, Placed, generate};
use text::Root;

use crate::config::Store;
use crate::event::StoreId;

/// What stands before a token in arguments and paths, so that a reader can tell it from a name.
pub const TOKEN_PREFIX: &str = "token:";

/// How the name of a record is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// As a token.
    Token,
    /// As it is; what is no UTF-8 in it is written so that nothing is lost, see [`escape`].
    Plain,
}

/// Turns names into what may leave the host.
pub struct Privacy {
    /// None: names leave as they are. A mutex because the cipher keeps scratch state; nothing waits under it.
    cipher: Option<Mutex<Aes256Siv>>,
    roots: Vec<Root>,
    /// By place in the configuration: whose names leave as they are.
    plain: Vec<bool>,
}

impl fmt::Debug for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privacy")
            .field("has_key", &self.cipher.is_some())
            .finish_non_exhaustive()
    }
}

impl Privacy {
    /// Names leave as tokens under `key`.
    #[must_use]
    pub fn token(key: &Key, stores: &[Store]) -> Self {
        Self {
            cipher: Some(Mutex::new(Aes256Siv::new(key.bytes().into()))),
            roots: text::roots(stores),
            plain: stores.iter().map(|store| store.plain).collect(),
        }
    }

    /// Names leave as they are.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            cipher: None,
            roots: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Whether the names below a store leave as they are. One that is not known is none of these.
    #[must_use]
    pub fn is_plain(&self, StoreId(number): StoreId) -> bool {
        let index = (number as usize).checked_sub(1);
        let plain = index.and_then(|index| self.plain.get(index).copied());
        self.cipher.is_none() || plain.unwrap_or(false)
    }

    /// The name of a record, given its store and its path below the store's root.
    #[must_use]
    pub fn name(&self, store: StoreId, untrusted_below: &[u8]) -> (String, NameForm) {
        match &self.cipher {
            Some(cipher) if !self.is_plain(store) => {
                (token(cipher, untrusted_below), NameForm::Token)
            }
            Some(_) | None => (escape(untrusted_below).into_owned(), NameForm::Plain),
        }
    }

    /// A text that may mention records by absolute path: an argument, the path of an executable.
    #[must_use]
    pub fn text(&self, untrusted_text: &[u8]) -> String {
        let Some(cipher) = &self.cipher else {
            return escape(untrusted_text).into_owned();
        };
        text::replace(&self.roots, untrusted_text, &|below| marked(cipher, below))
    }

    /// The arguments of a process whose working directory is `cwd`, where that is known. Directories in stores that the
    /// arguments themselves mention (`tar -C`, `cd`) count as working directories too.
    #[must_use]
    pub fn arguments(&self, untrusted: &[&[u8]], cwd: Option<PathBuf>) -> Vec<String> {
        let Some(cipher) = &self.cipher else {
            return untrusted
                .iter()
                .map(|argument| self.text(argument))
                .collect();
        };
        let token = |below: &[u8]| marked(cipher, below);
        let mentioned = untrusted
            .iter()
            .flat_map(|argument| text::places(&self.roots, argument));
        let mentioned = mentioned.map(|path| PathBuf::from(OsString::from_vec(path)));
        let mut places: Vec<PathBuf> = mentioned.filter(|path| path.is_dir()).chain(cwd).collect();
        places.sort_unstable();
        places.dedup();
        let argument = |argument: &&[u8]| {
            let shown = places.iter().fold(argument.to_vec(), |shown, place| {
                relative::replace(&self.roots, &shown, place, &token).unwrap_or(shown)
            });
            self.text(&shown)
        };
        untrusted.iter().map(argument).collect()
    }

    /// Whether arguments have to be looked at with the working directory in mind.
    #[must_use]
    pub fn wants_cwd(&self) -> bool {
        self.cipher.is_some()
    }

    /// A text of which a word is, or ends in, the file name of a record that is known: `below` gives the path of a record
    /// by its file name. The name becomes the record's token. None when there is no such word.
    #[must_use]
    pub fn known_names<'a>(
        &self,
        text: &str,
        below: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Option<String> {
        let cipher = self.cipher.as_ref()?;
        text::replace_file_names(text, &|name| below(name).map(|path| marked(cipher, path)))
    }
}

fn marked(cipher: &Mutex<Aes256Siv>, below: &[u8]) -> String {
    format!("{TOKEN_PREFIX}{}", token(cipher, below))
}

fn token(cipher: &Mutex<Aes256Siv>, below: &[u8]) -> String {
    let mut cipher = cipher
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // SIV fails only for more headers than it allows (126); there are none. Should it fail all the same, the name stays here.
    cipher
        .encrypt(NO_HEADERS, below)
        .map_or_else(|_| String::new(), |sealed| URL_SAFE_NO_PAD.encode(sealed))
}

const NO_HEADERS: [&[u8]; 0] = [];

#[cfg(test)]
mod tests;
