//! What records are called: a bounded table from identity to path below the store.
//!
//! The kernel programs name a record again only when they have forgotten it, and they forget first what is used least; so a
//! name that is in use stays here too, however many others come.
//!
//! **Invariant:** never more than the given number of names; the oldest that was not asked for since it was last passed
//! over makes room and is counted. Names are kept as they were seen and leave only through [`Privacy`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt as _};

use crate::event::RecordId;
use crate::privacy::{Privacy, escape};
use crate::report::Image;

/// Most names kept: about 8 MB at 80 bytes a name.
pub(super) const NAMES_MAX: usize = 65_536;
/// The same of carriers.
pub(super) const CARRIERS_MAX: usize = 16_384;
/// Shorter file names are too common among arguments to be taken for a record's.
const TELLING_BYTES_MIN: usize = 4;

/// The table.
#[derive(Debug)]
pub(super) struct Names {
    paths: HashMap<RecordId, Path>,
    order: VecDeque<RecordId>,
    /// Records by the hash of the last part of their path; of several the one seen last.
    by_file_name: HashMap<u64, RecordId>,
    hasher: RandomState,
    max: usize,
}

/// A record's path below its store.
#[derive(Debug)]
struct Path {
    untrusted: Box<[u8]>,
    /// Asked for since it was last passed over.
    used: Cell<bool>,
}

impl Names {
    pub(super) fn new(max: usize) -> Self {
        Self {
            paths: HashMap::new(),
            order: VecDeque::new(),
            by_file_name: HashMap::new(),
            hasher: RandomState::default(),
            max,
        }
    }

    pub(super) fn get(&self, record: RecordId) -> Option<&[u8]> {
        let path = self.paths.get(&record)?;
        path.used.set(true);
        Some(&path.untrusted)
    }

    /// Takes a name, in the place of an earlier one of the record; answers how many were put out for it. A `telling` one is looked for in
    /// arguments.
    pub(super) fn insert(
        &mut self,
        record: RecordId,
        untrusted_path: Vec<u8>,
        telling: bool,
    ) -> u64 {
        let hash = self.hash(&untrusted_path);
        if telling {
            self.by_file_name.insert(hash, record);
        }
        let path = Path {
            untrusted: untrusted_path.into(),
            used: Cell::new(false),
        };
        if let Some(old) = self.paths.insert(record, path) {
            if self.hash(&old.untrusted) != hash {
                self.forget_file_name(&old.untrusted, record);
            }
            return 0;
        }
        let is_full = self.order.len() >= self.max;
        if is_full {
            self.make_room();
        }
        self.order.push_back(record);
        u64::from(is_full)
    }

    /// Puts out the oldest name that was not asked for; those that were are passed over, and have to be asked for anew.
    fn make_room(&mut self) {
        while let Some(oldest) = self.order.pop_front() {
            if self.paths.get(&oldest).is_some_and(|path| path.used.take()) {
                self.order.push_back(oldest);
                continue;
            }
            if let Some(path) = self.paths.remove(&oldest) {
                self.forget_file_name(&path.untrusted, oldest);
            }
            return;
        }
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

    /// A text with the file names of known records in it made tokens; none when it has none.
    pub(super) fn hide(&self, argument: &str, privacy: &Privacy) -> Option<String> {
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
        assert_eq!(names.insert(record(1), b"a/one.dcm".to_vec(), true), 0);
        assert_eq!(names.insert(record(2), b"a/two.dcm".to_vec(), true), 0);
        assert_eq!(names.insert(record(2), b"b/new.dcm".to_vec(), true), 0);
        assert_eq!(names.insert(record(3), b"three.dcm".to_vec(), true), 1);
        assert_eq!(names.get(record(1)), None);
        assert_eq!(names.get(record(2)), Some(&b"b/new.dcm"[..]));
        assert_eq!(names.by_file_name.len(), 2);
    }

    #[test]
    fn a_name_in_use_stays_however_many_come() {
        let mut names = Names::new(3);
        names.insert(record(0), b"in-use.dcm".to_vec(), true);
        for other in 1..100 {
            names.insert(record(other), b"other.dcm".to_vec(), true);
            assert!(names.get(record(0)).is_some(), "after {other}");
            assert!(names.paths.len() <= 3);
        }
        // All asked for: the oldest goes.
        let mut names = Names::new(2);
        for one in 0..3 {
            names.insert(record(one), b"one.dcm".to_vec(), true);
            assert!(names.get(record(one)).is_some());
        }
        assert!(names.get(record(0)).is_none());
        assert_eq!(names.order.len(), 2);
    }
}
