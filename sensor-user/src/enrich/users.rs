//! Names of users, from the user database file alone.
//!
//! The name service is not asked: it may go over the network, block, and read stores. A user that only a directory
//! service knows goes by number.
//!
//! **Invariant:** the file is read again only after it has changed.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

/// What tells one state of the file from another: inode, modification in seconds and nanoseconds, size.
type State = (u64, i64, i64, u64);

/// The users of the host.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    state: Option<State>,
    names: HashMap<u32, Arc<str>>,
}

impl Users {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: None,
            names: HashMap::new(),
        }
    }

    /// Reads the file if it is another than before. One that cannot be read leaves what was known.
    pub(super) fn refresh(&mut self) {
        let Ok(meta) = self.path.metadata() else {
            return;
        };
        let state = Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()));
        if state == self.state {
            return;
        }
        match std::fs::read(&self.path) {
            Ok(text) => {
                self.names = parse(&text);
                self.state = state;
            }
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the user database cannot be read, users go by number");
            }
        }
    }

    /// Name of a user, empty when there is none.
    pub(super) fn name(&self, uid: u32) -> Arc<str> {
        self.names.get(&uid).cloned().unwrap_or_default()
    }
}

/// Lines of passwd(5). Of several names of one user the first stands, as in getpwuid(3).
fn parse(untrusted_text: &[u8]) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(untrusted_text).lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let Ok(uid) = uid.parse() {
            names.entry(uid).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn users_are_read_again_when_the_file_has_changed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("passwd");
        std::fs::write(&path, "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n# no\nodd:x:nine\n\nmeier:x:1000:1000:::\n").unwrap();
        let mut users = Users::new(path.clone());
        assert_eq!(&*users.name(0), "");
        users.refresh();
        assert_eq!(
            (&*users.name(0), &*users.name(1000), &*users.name(9)),
            ("root", "meier", "")
        );
        std::fs::write(&path, "huber-neu:x:1000:1000:::\n").unwrap();
        users.refresh();
        assert_eq!((&*users.name(0), &*users.name(1000)), ("", "huber-neu"));
        std::fs::remove_file(&path).unwrap();
        users.refresh();
        assert_eq!(&*users.name(1000), "huber-neu");
    }
}
