//! What records are called: a bounded table from identity to path below the store.
//!
//! **Invariant:** never more than the given number of names; the oldest makes room and is counted. Names are kept as
//! they were seen and leave only through [`Privacy`].

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::event::RecordId;
use crate::privacy::{Privacy, escape};
use crate::report::Image;

/// Most names kept: about 8 MB at 80 bytes a name.
pub(super) const NAMES_MAX: usize = 65_536;
/// Shorter file names are too common among arguments to be taken for a record's.
const TELLING_BYTES_MIN: usize = 4;

/// The table.
#[derive(Debug)]
pub(super) struct Names {
    paths: HashMap<RecordId, Box<[u8]>>,
    order: VecDeque<RecordId>,
    /// Records by the hash of the last part of their path; of several the one seen last.
    by_file_name: HashMap<u64, RecordId>,
    hasher: RandomState,
    max: usize,
}

impl Names {
    pub(super) fn new(max: usize) -> Self {
        Self {
            paths: HashMap::new(),
            order: VecDeque::new(),
            by_file_name: HashMap::new(),
            hasher: RandomState::new(),
            max,
        }
    }

    pub(super) fn get(&self, record: RecordId) -> Option<&[u8]> {
        self.paths.get(&record).map(AsRef::as_ref)
    }

    /// Takes a name, in the place of an earlier one of the record; answers how many were put out for it.
    pub(super) fn insert(&mut self, record: RecordId, untrusted_path: &[u8]) -> u64 {
        let hash = self.hash(untrusted_path);
        self.by_file_name.insert(hash, record);
        if let Some(old) = self.paths.insert(record, untrusted_path.into()) {
            if self.hash(&old) != hash {
                self.forget_file_name(&old, record);
            }
            return 0;
        }
        self.order.push_back(record);
        if self.order.len() <= self.max {
            return 0;
        }
        if let Some(oldest) = self.order.pop_front()
            && let Some(path) = self.paths.remove(&oldest)
        {
            self.forget_file_name(&path, oldest);
        }
        1
    }

    /// An image with the file names of known records in its arguments made tokens: the net under the rules for paths,
    /// for programs whose working directory could not be asked, and for copies that keep the name.
    pub(super) fn hide_known(&self, image: &Arc<Image>, privacy: &Privacy) -> Arc<Image> {
        let hidden: Vec<Option<String>> = image
            .arguments
            .iter()
            .map(|argument| self.hide(argument, privacy))
            .collect();
        if hidden.iter().all(Option::is_none) {
            return Arc::clone(image);
        }
        let arguments = image.arguments.iter().zip(hidden);
        let arguments = arguments
            .map(|(shown, hidden)| hidden.unwrap_or_else(|| shown.clone()))
            .collect();
        Arc::new(Image {
            executable: image.executable.clone(),
            arguments,
            truncated: image.truncated,
        })
    }

    fn hide(&self, argument: &str, privacy: &Privacy) -> Option<String> {
        privacy.known_names(argument, |name| self.by_file_name(name))
    }

    fn by_file_name(&self, name: &str) -> Option<&[u8]> {
        if name.len() < TELLING_BYTES_MIN {
            return None;
        }
        let record = self.by_file_name.get(&self.hasher.hash_one(name))?;
        self.get(*record).filter(|path| file_name(path) == name)
    }

    fn forget_file_name(&mut self, path: &[u8], record: RecordId) {
        let hash = self.hash(path);
        if self.by_file_name.get(&hash) == Some(&record) {
            self.by_file_name.remove(&hash);
        }
    }

    fn hash(&self, path: &[u8]) -> u64 {
        self.hasher.hash_one(file_name(path).as_ref())
    }
}

fn file_name(path: &[u8]) -> std::borrow::Cow<'_, str> {
    escape(path.rsplit(|b| *b == b'/').next().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(inode: u64) -> RecordId {
        RecordId {
            device: 1,
            inode,
            generation: 0,
        }
    }

    #[test]
    fn the_oldest_name_makes_room_and_a_new_name_replaces_the_old() {
        let mut names = Names::new(2);
        assert_eq!(names.insert(record(1), b"a/one.dcm"), 0);
        assert_eq!(names.insert(record(2), b"a/two.dcm"), 0);
        assert_eq!(names.insert(record(2), b"b/new.dcm"), 0);
        assert_eq!(names.insert(record(3), b"three.dcm"), 1);
        assert_eq!(names.get(record(1)), None);
        assert_eq!(names.get(record(2)), Some(&b"b/new.dcm"[..]));
        assert_eq!(names.by_file_name.len(), 2);
    }
}
