//! From a token back to the name (`proto/TOKENS.md`).

use std::fmt::Write as _;

use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Key;

/// What stands before a token in arguments and paths.
pub const TOKEN_PREFIX: &str = "token:";
/// Bytes that come before the name: the synthetic initialization vector (RFC 5297, 2.4).
const VECTOR_BYTES: usize = 16;
/// Longest token: of a path as long as the kernel takes it.
const TOKEN_MAX: usize = 8 * 1024;
const NO_HEADERS: [&[u8]; 0] = [];

/// Turns tokens back.
pub struct Names {
    cipher: Aes256Siv,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names(..)")
    }
}

/// What is not turned back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token stands there.
    #[error(
        "{0:?} holds no token: tokens are the names in alerts, and what follows `token:` in paths and arguments"
    )]
    None(String),
    /// It has not the form of one.
    #[error(
        "{0:?} is no token: too short, or not letters, digits, `-` and `_` only; copy the whole of it"
    )]
    Form(String),
    /// It is not of this key.
    #[error(
        "{0:?} is no token of this key: it was cut off or changed, or its sensor has another key"
    )]
    Key(String),
}

impl Names {
    /// Of the hospital's key.
    pub fn new(key: &Key) -> Self {
        Self {
            cipher: Aes256Siv::new(key.bytes().into()),
        }
    }

    /// The name behind one token, with or without what stands before it in texts. A path below the store's root, any bytes.
    ///
    /// # Errors
    ///
    /// It is no token, or none of this key.
    pub fn name(&mut self, untrusted_token: &str) -> Result<Vec<u8>, TokenError> {
        let token = untrusted_token
            .strip_prefix(TOKEN_PREFIX)
            .unwrap_or(untrusted_token);
        let form = || TokenError::Form(shortened(untrusted_token));
        if token.len() > TOKEN_MAX {
            return Err(form());
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| form())?;
        if sealed.len() < VECTOR_BYTES {
            return Err(form());
        }
        self.cipher
            .decrypt(NO_HEADERS, &sealed)
            .map_err(|_| TokenError::Key(shortened(untrusted_token)))
    }

    /// A text with every `token:...` in it turned back, as text; without one it must be a token itself.
    ///
    /// # Errors
    ///
    /// There is no token in it, or one is none of this key.
    pub fn text(&mut self, untrusted: &str) -> Result<String, TokenError> {
        let untrusted = untrusted.trim();
        if !untrusted.contains(TOKEN_PREFIX) {
            let might_be = !untrusted.is_empty() && untrusted.bytes().all(is_of_token);
            if !might_be {
                return Err(TokenError::None(shortened(untrusted)));
            }
            return self.name(untrusted).map(|name| as_text(&name));
        }
        let mut out = String::new();
        let mut rest = untrusted;
        while let Some(at) = rest.find(TOKEN_PREFIX) {
            out += &rest[..at];
            let token = &rest[at + TOKEN_PREFIX.len()..];
            let length = token.bytes().take_while(|byte| is_of_token(*byte)).count();
            out += &as_text(&self.name(&token[..length])?);
            rest = &token[length..];
        }
        Ok(out + rest)
    }
}

/// The tokens that a text mentions, without what stands before them.
pub(crate) fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(TOKEN_PREFIX).map(|(at, prefix)| {
        let token = &text[at + prefix.len()..];
        let length = token.bytes().take_while(|byte| is_of_token(*byte)).count();
        &token[..length]
    })
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// A name as text that loses nothing, as `proto/TOKENS.md` has it: a byte that is no text is written `\xHH`.
pub(crate) fn as_text(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        out += chunk.valid();
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            write!(out, "\\x{byte:02x}").ok();
        }
    }
    out
}

/// Enough of it to know it again.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../../proto/vectors/tokens.txt");

    fn names() -> (Names, Vec<(Vec<u8>, &'static str)>) {
        let mut lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
        let key = lines.next().unwrap().strip_prefix("key ").unwrap();
        let names = Names::new(&Key::parse(key.as_bytes()).unwrap());
        let unhex = |hex: &str| {
            let pairs = (0..hex.len()).step_by(2);
            pairs
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        };
        let vectors = lines.map(|line| {
            let (name, token) = line.split_once(' ').unwrap();
            (unhex(name), token)
        });
        (names, vectors.collect())
    }

    #[test]
    fn the_tokens_of_the_common_vectors_turn_back() {
        let (mut names, vectors) = names();
        assert!(vectors.len() >= 5);
        for (name, token) in vectors {
            assert_eq!(names.name(token).unwrap(), name, "{token}");
            let marked = format!("{TOKEN_PREFIX}{token}");
            assert_eq!(names.name(&marked).unwrap(), name, "{token}");
        }
    }

    #[test]
    fn texts_are_turned_back_whole_or_not_at_all() {
        let (mut names, vectors) = names();
        let token = vectors[1].1;
        let name = String::from_utf8(vectors[1].0.clone()).unwrap();
        let cases = [
            (token.to_owned(), name.clone()),
            (format!("  {token}\n"), name.clone()),
            (
                format!("file=@/srv/pacs/token:{token};type=x /srv/token:{token}"),
                format!("file=@/srv/pacs/{name};type=x /srv/{name}"),
            ),
        ];
        for (text, expect) in cases {
            assert_eq!(names.text(&text).unwrap(), expect);
        }
        for bad in ["", "/srv/pacs/doe.dcm", "ä", "a b"] {
            assert!(
                matches!(names.text(bad), Err(TokenError::None(_))),
                "{bad:?}"
            );
        }
        for bad in ["abc", "token:", "token:!", "token:ab"] {
            assert!(
                matches!(names.text(bad), Err(TokenError::Form(_))),
                "{bad:?}"
            );
        }
        let cut = &token[..token.len() - 4];
        assert!(matches!(names.text(cut), Err(TokenError::Key(_))));
        let half = format!("token:{token} token:{cut}");
        assert!(matches!(names.text(&half), Err(TokenError::Key(_))));
        let other = Key::make(&tempfile::tempdir().unwrap().path().join("k")).unwrap();
        assert!(matches!(
            Names::new(&other).text(token),
            Err(TokenError::Key(_))
        ));
        assert!(names.text(&"a".repeat(100_000)).is_err());
    }

    #[test]
    fn a_name_that_is_no_text_loses_nothing() {
        assert_eq!(as_text(b"M\xfcller.dcm"), r"M\xfcller.dcm");
        assert_eq!(as_text("Müller".as_bytes()), "Müller");
    }
}
