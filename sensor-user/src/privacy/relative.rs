//! Names of records given relative to a working directory inside a store.
//!
//! Looked at are the argument, what follows the last `@` or `=` in it (`file=@doe.dcm`) or its option letter (`-odoe.dcm`),
//! and in an argument with blanks (`sh -c "cat doe.dcm | nc host 1"`) each word alike. Such a piece is taken for a name if
//! it leads to something below the store's root and either has a slash in it (and is no URL), or something by that name
//! is there. That is asked of the file system when the program starts, for processes whose working directory lies inside
//! a store only.
//!
//! **Not found here:** names without a slash that nothing has when the program starts (a file it is yet to write, one
//! that is gone already); several names in one word; what a shell has yet to put together, and names after a `cd` in
//! the same text of commands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::TOKEN_PREFIX;
use super::text::{Root, parts};

/// What ends a word in a text of commands.
const WORD_ENDS: &[u8] = b" \t\r\n'\"`;|&<>()";

/// The argument with the names in it replaced; none if it names nothing in the store that `cwd` lies in.
pub(super) fn replace(
    roots: &[Root],
    argument: &[u8],
    cwd: &Path,
    token: &dyn Fn(&[u8]) -> String,
) -> Option<Vec<u8>> {
    let place = Place::of(roots, cwd.as_os_str().as_bytes())?;
    if let Some(replaced) = place.replace(argument, token) {
        return Some(replaced);
    }
    let mut out = Vec::new();
    let mut changed = false;
    for piece in argument.split_inclusive(|b| WORD_ENDS.contains(b)) {
        let end = piece.len() - usize::from(piece.last().is_some_and(|b| WORD_ENDS.contains(b)));
        let replaced = place.replace(&piece[..end], token);
        changed |= replaced.is_some();
        out.extend(replaced.unwrap_or_else(|| piece[..end].to_vec()));
        out.extend(&piece[end..]);
    }
    changed.then_some(out)
}

/// A directory inside a store.
struct Place<'a> {
    root: &'a Root,
    /// The parts of its path below the root.
    below: Vec<Vec<u8>>,
}

impl<'a> Place<'a> {
    fn of(roots: &'a [Root], directory: &[u8]) -> Option<Self> {
        // Of most processes it lies in no store, which is found out without a copy.
        let root = roots.iter().find(|root| {
            let begin = parts(directory).take(root.parts.len());
            begin.eq(root.parts.iter().map(Vec::as_slice))
        })?;
        let below = parts(directory).skip(root.parts.len());
        Some(Self {
            root,
            below: below.map(<[u8]>::to_vec).collect(),
        })
    }

    /// One word with the name in it replaced.
    fn replace(&self, word: &[u8], token: &dyn Fn(&[u8]) -> String) -> Option<Vec<u8>> {
        // Done already, with another directory in mind.
        if word
            .windows(TOKEN_PREFIX.len())
            .any(|w| w == TOKEN_PREFIX.as_bytes())
        {
            return None;
        }
        let value = word
            .iter()
            .rposition(|b| b"@=".contains(b))
            .map_or(0, |at| at + 1);
        if word[value..].starts_with(b"/") {
            return None;
        }
        let option = if word.starts_with(b"-") {
            word.len().min(2)
        } else {
            0
        };
        [value, option, 0].into_iter().find_map(|from| {
            let candidate = &word[from..];
            let name = self.resolve(candidate)?;
            let taken = self.is_path(candidate) || self.exists(&name);
            taken.then(|| [&word[..from], token(&name).as_bytes()].concat())
        })
    }

    /// The path below the root that a name leads to; none if it leads out, or nowhere else than here.
    fn resolve(&self, name: &[u8]) -> Option<Vec<u8>> {
        if name.is_empty() || name.starts_with(b"/") || name.starts_with(b"-") {
            return None;
        }
        let mut path = self.below.clone();
        for part in parts(name) {
            if part == b".." {
                path.pop()?;
            } else {
                path.push(part.to_vec());
            }
        }
        (!path.is_empty() && path != self.below).then(|| path.join(&b'/'))
    }

    /// True for what has a slash in it and is neither a URL nor a command followed by paths.
    fn is_path(&self, candidate: &[u8]) -> bool {
        let Some(slash) = candidate.iter().position(|b| *b == b'/') else {
            return false;
        };
        let first = &candidate[..slash];
        let word = !first.iter().any(|b| WORD_ENDS.contains(b));
        let there = || self.resolve(first).is_some_and(|name| self.exists(&name));
        !candidate.windows(3).any(|w| w == b"://") && (word || there())
    }

    fn exists(&self, name: &[u8]) -> bool {
        let mut path = vec![b'/'];
        path.extend(self.root.parts.join(&b'/'));
        path.push(b'/');
        path.extend(name);
        Path::new(OsStr::from_bytes(&path))
            .symlink_metadata()
            .is_ok()
    }
}
