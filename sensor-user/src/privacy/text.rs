//! Mentions of records by absolute path, anywhere in a text.
//!
//! A mention is the root of a store, as configured or with its symbolic links resolved, also with `//` or `/./` between
//! its parts, followed by `/` and a name. Whatever comes before it is kept (`file=@`, `-o`, `host:`). The name ends
//! - before the next mention in the same text, with the separators between them (`/srv/a:/srv/b`);
//! - before `;word=`, as in curl's form fields;
//! - in a text that is a command line of its own (blanks or quotes before the mention, as in `sh -c "cat /srv/a | nc h"`):
//!   at the closing quote, or at the next blank or shell operator that no backslash protects;
//! - else at the end of the text: a name may hold blanks, colons and commas.
//!
//! In doubt more becomes a token than had to: a token too long hides a word, a token too short shows a patient.
//!
//! **Not found here:** names reached through another symbolic link, bind mount or `..`; percent-encoded and otherwise
//! encoded paths; names a shell has yet to put together from variables and patterns.

use super::escape;
use crate::config::Store;

/// A store's root, in parts.
pub(super) struct Root {
    pub(super) parts: Vec<Vec<u8>>,
}

/// The roots to look for, of stores whose names leave as tokens: longest first, so that a resolved root inside another's spelling is found first.
pub(super) fn roots(stores: &[Store]) -> Vec<Root> {
    use std::os::unix::ffi::OsStrExt;
    let mut paths: Vec<&[u8]> = Vec::new();
    for store in stores
        .iter()
        .filter(|store| store.service.is_none() && !store.plain)
    {
        paths.push(store.path.as_os_str().as_bytes());
        paths.push(store.canonical.as_os_str().as_bytes());
    }
    paths.sort_by_key(|path| (usize::MAX - path.len(), *path));
    paths.dedup();
    paths.into_iter().map(Root::new).collect()
}

impl Root {
    pub(super) fn new(path: &[u8]) -> Self {
        Self {
            parts: parts(path).map(<[u8]>::to_vec).collect(),
        }
    }

    /// If the root is spelled at the start of `text` and a slash follows: where the name below it begins.
    fn at(&self, text: &[u8]) -> Option<usize> {
        let end = self.spelled(text)?;
        Some(end + slashes(&text[end..])?)
    }

    /// If the root is spelled at the start of `text`: where it ends.
    fn spelled(&self, text: &[u8]) -> Option<usize> {
        let mut position = 0;
        for part in &self.parts {
            position += slashes(&text[position..])?;
            position += text[position..].starts_with(part).then_some(part.len())?;
        }
        Some(position)
    }
}

/// The paths in stores that a text mentions, the roots themselves among them: where `cd`, `-C` and the like may lead.
pub(super) fn places(roots: &[Root], text: &[u8]) -> Vec<Vec<u8>> {
    let starts = (0..text.len()).filter(|i| text[*i] == b'/');
    let place = |begin: usize| {
        roots.iter().find_map(|root| {
            let end = begin + root.spelled(&text[begin..])?;
            let mut path = vec![b'/'];
            path.extend(root.parts.join(&b'/'));
            if let Some(gap) = slashes(&text[end..]) {
                let name = end + gap;
                let length = name_length(roots, text, begin, name);
                path.push(b'/');
                path.extend(unescaped(
                    &text[name..name + length],
                    quoted_by(text, begin),
                ));
            }
            Some(path)
        })
    };
    starts.filter_map(place).collect()
}

/// The parts of a path that name something.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// Length of a run of `/` and `/./`; none if there is no slash.
fn slashes(text: &[u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        match &text[length..] {
            [b'/', ..] => length += 1,
            [b'.', b'/', ..] if length > 0 => length += 2,
            _ => return (length > 0).then_some(length),
        }
    }
}

/// The text with every name below a root replaced.
pub(super) fn replace(roots: &[Root], text: &[u8], token: &dyn Fn(&[u8]) -> String) -> String {
    let mut out = String::new();
    let mut done = 0;
    while let Some((begin, name)) = mention(roots, text, done) {
        let end = name + name_length(roots, text, begin, name);
        out.push_str(&escape(&text[done..name]));
        let trimmed = text[name..end]
            .iter()
            .rposition(|b| *b != b'/')
            .map_or(0, |last| last + 1);
        if trimmed > 0 {
            out.push_str(&token(&unescaped(
                &text[name..name + trimmed],
                quoted_by(text, begin),
            )));
        }
        done = name + trimmed;
    }
    out + &escape(&text[done..])
}

/// The text with file names replaced that `token` has an answer for: whole words, or what follows the last of `/@=` in
/// one. None when there is none. Tokens that stand there already are left alone.
pub(super) fn replace_file_names(
    text: &str,
    token: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    // A name with blanks in it is only found as the whole of an argument.
    let whole = file_name(text, token);
    if whole.is_some() {
        return whole;
    }
    let mut out = String::new();
    let mut changed = false;
    for piece in text.split_inclusive(WORD_ENDS) {
        let word = piece.trim_end_matches(WORD_ENDS);
        let replaced = file_name(word, token);
        changed |= replaced.is_some();
        out.push_str(replaced.as_deref().unwrap_or(word));
        out.push_str(&piece[word.len()..]);
    }
    changed.then_some(out)
}

/// What ends a word in a text of commands.
const WORD_ENDS: [char; 14] = [
    ' ', '\t', '\r', '\n', '\'', '"', '`', ';', '|', '&', '<', '>', '(', ')',
];

fn file_name(word: &str, token: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let name = word.rsplit(['/', '@', '=']).next()?;
    let head = &word[..word.len() - name.len()];
    (!name.starts_with(super::TOKEN_PREFIX))
        .then(|| token(name))?
        .map(|token| format!("{head}{token}"))
}

/// The next mention from `from` on: where it begins and where its name does.
fn mention(roots: &[Root], text: &[u8], from: usize) -> Option<(usize, usize)> {
    (from..text.len())
        .filter(|i| text[*i] == b'/')
        .find_map(|i| {
            roots
                .iter()
                .find_map(|root| root.at(&text[i..]))
                .map(|length| (i, i + length))
        })
}

/// How the mention at `begin` is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The text is no command line.
    Alone,
    /// In a command line, between these quotes.
    Quotes(u8),
    /// In a command line, bare.
    Bare,
}

fn quoted_by(text: &[u8], begin: usize) -> Quoting {
    let before = &text[..begin];
    if !before
        .iter()
        .any(|b| b.is_ascii_whitespace() || b"'\"`".contains(b))
    {
        return Quoting::Alone;
    }
    let mut open: Option<(usize, u8)> = None;
    for (at, b) in before.iter().enumerate() {
        match open {
            None if b"'\"`".contains(b) => open = Some((at, *b)),
            Some((_, quote)) if quote == *b => open = None,
            _ => {}
        }
    }
    // Quotes with a blank before the mention hold a command line themselves.
    let own = open.filter(|(at, _)| !before[*at..].iter().any(u8::is_ascii_whitespace));
    own.map_or(Quoting::Bare, |(_, quote)| Quoting::Quotes(quote))
}

fn name_length(roots: &[Root], text: &[u8], begin: usize, name: usize) -> usize {
    let rest = &text[name..];
    let natural = match quoted_by(text, begin) {
        Quoting::Alone => form_field(rest).unwrap_or(rest.len()),
        Quoting::Quotes(quote) => protected_until(rest, |b| b == quote),
        Quoting::Bare => protected_until(rest, |b| {
            b.is_ascii_whitespace() || b"'\"`;|&<>()".contains(&b)
        }),
    };
    let next = mention(roots, text, name).map_or(natural, |(next, _)| next - name);
    if next >= natural {
        return natural;
    }
    // Another mention inside the name: what separates the two belongs to neither.
    rest[..next]
        .iter()
        .rposition(|b| !b" ,:;'\"=@".contains(b))
        .map_or(0, |last| last + 1)
}

/// Where `;word=` begins.
fn form_field(text: &[u8]) -> Option<usize> {
    (0..text.len()).filter(|i| text[*i] == b';').find(|i| {
        let word = text[i + 1..]
            .iter()
            .take_while(|b| b.is_ascii_alphabetic())
            .count();
        word > 0 && text.get(i + 1 + word) == Some(&b'=')
    })
}

/// Bytes up to the first for which `ends` and before which no backslash stands.
fn protected_until(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut i = 0;
    while i < text.len() && !ends(text[i]) {
        i += if text[i] == b'\\' { 2 } else { 1 };
    }
    i.min(text.len())
}

/// The name a shell would make of it.
fn unescaped(name: &[u8], quoting: Quoting) -> Vec<u8> {
    if matches!(quoting, Quoting::Alone | Quoting::Quotes(b'\'')) {
        return name.to_vec();
    }
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(b) = bytes.next() {
        out.push(if *b == b'\\' {
            *bytes.next().unwrap_or(b)
        } else {
            *b
        });
    }
    out
}
