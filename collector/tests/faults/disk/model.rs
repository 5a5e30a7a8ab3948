//! What a disk holds: what programs see, what would be left if the power went now, and what lies between the two.
//!
//! The rules are those of POSIX and no better: `fsync` of a file makes its contents durable and not its name, `fsync` of a directory
//! makes the names in it durable and not the contents. Changes of names are kept in order, as file systems with a journal keep
//! them: a cut leaves the first few of those that are not durable. Of the contents it leaves any sectors of any writes; a later
//! write to a sector is never undone in favour of an earlier one, since what waits in memory is the newest. Inodes and modes are durable at once.
//!
//! Nothing here knows FUSE, time, or threads.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// What a disk writes as one.
pub(crate) const SECTOR: usize = 512;
/// The first directory.
pub(crate) const ROOT: u64 = 1;

/// Files and directories by inode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<u64, Vec<u8>>,
    pub(crate) directories: BTreeMap<u64, BTreeMap<OsString, u64>>,
}

impl Tree {
    /// Inode of a name.
    pub(crate) fn named(&self, directory: u64, name: &OsString) -> Option<u64> {
        self.directories.get(&directory)?.get(name).copied()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Data { inode, at, bytes } => {
                let file = self.files.entry(*inode).or_default();
                let end = at + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*at..end].copy_from_slice(bytes);
            }
            Change::Size { inode, size } => {
                self.files.entry(*inode).or_default().resize(*size, 0);
            }
            Change::Names(names) => {
                for (directory, name, inode) in names {
                    let Some(entries) = self.directories.get_mut(directory) else {
                        continue;
                    };
                    match inode {
                        Some(inode) => entries.insert(name.clone(), *inode),
                        None => entries.remove(name),
                    };
                }
            }
        }
    }
}

/// Something done to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes written at a place of a file.
    Data {
        inode: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    /// A file cut short, or made longer with zeros.
    Size { inode: u64, size: usize },
    /// Names (directory, name) that point to another inode, or to none: all at once.
    Names(Vec<(u64, OsString, Option<u64>)>),
}

impl Change {
    fn is_of(&self, inode: u64) -> bool {
        match self {
            Self::Data { inode: own, .. } | Self::Size { inode: own, .. } => *own == inode,
            Self::Names(names) => names.iter().any(|(directory, ..)| *directory == inode),
        }
    }
}

/// What becomes of what is not durable when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of it is lost.
    All,
    /// Some of it is, by the throw of this dice.
    Some(u64),
}

/// The disk.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) now: Tree,
    durable: Tree,
    pending: Vec<Change>,
    pub(crate) modes: BTreeMap<u64, u32>,
    newest: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let directories = BTreeMap::from([(ROOT, BTreeMap::new())]);
        let tree = Tree {
            files: BTreeMap::new(),
            directories,
        };
        Self {
            now: tree.clone(),
            durable: tree,
            pending: Vec::new(),
            modes: BTreeMap::from([(ROOT, 0o755)]),
            newest: ROOT,
        }
    }

    /// A new inode that has no name yet.
    pub(crate) fn make(&mut self, mode: u32, is_directory: bool) -> u64 {
        self.newest += 1;
        for tree in [&mut self.now, &mut self.durable] {
            if is_directory {
                tree.directories.insert(self.newest, BTreeMap::new());
            } else {
                tree.files.insert(self.newest, Vec::new());
            }
        }
        self.modes.insert(self.newest, mode);
        self.newest
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.pending.push(change);
    }

    /// Makes what was done to a file, or to the names in a directory, durable.
    pub(crate) fn sync(&mut self, inode: u64) {
        let of = |change: &mut Change| change.is_of(inode);
        for change in self.pending.extract_if(.., of) {
            self.durable.apply(&change);
        }
    }

    /// A sync that failed: what waited is forgotten as if it had been written, as Linux does.
    pub(crate) fn sync_failed(&mut self, inode: u64) {
        self.pending.retain(|change| !change.is_of(inode));
    }

    /// The power goes, and comes again.
    pub(crate) fn cut(&mut self, cut: Cut) {
        let pending = std::mem::take(&mut self.pending);
        if let Cut::Some(seed) = cut {
            let mut dice = Dice(seed);
            let is_names = |change: &&Change| matches!(change, Change::Names(_));
            let mut names_left = dice.below(pending.iter().filter(is_names).count() + 1);
            for change in &pending {
                match change {
                    Change::Names(_) if names_left > 0 => {
                        names_left -= 1;
                        self.durable.apply(change);
                    }
                    Change::Size { .. } if dice.below(2) == 0 => self.durable.apply(change),
                    Change::Names(_) | Change::Size { .. } => {}
                    Change::Data { inode, at, bytes } => {
                        for (at, bytes) in torn(*at, bytes, &mut dice) {
                            let (inode, bytes) = (*inode, bytes.to_vec());
                            self.durable.apply(&Change::Data { inode, at, bytes });
                        }
                    }
                }
            }
        }
        self.now = self.durable.clone();
    }
}

/// The parts of a write that reach the disk: all, none, or some of its sectors.
fn torn<'a>(at: usize, bytes: &'a [u8], dice: &mut Dice) -> Vec<(usize, &'a [u8])> {
    let how = dice.below(3);
    let mut parts = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let to = (((at + from) / SECTOR + 1) * SECTOR - at).min(bytes.len());
        let reaches = match how {
            0 => false,
            1 => true,
            _ => dice.below(2) == 0,
        };
        if reaches {
            parts.push((at + from, &bytes[from..to]));
        }
        from = to;
    }
    parts
}

/// Numbers that look random and are the same for the same seed: `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// The model keeps what was synced and nothing else that it should not, or the tests on it say nothing.
pub(crate) fn keeps_what_was_synced() {
    let name = |name: &str| OsString::from(name);
    let data = |inode, at, byte, length| Change::Data {
        inode,
        at,
        bytes: vec![byte; length],
    };
    let mut disk = Model::new();
    let kept = disk.make(0o600, false);
    disk.change(Change::Names(vec![(ROOT, name("kept"), Some(kept))]));
    disk.change(data(kept, 0, 1, 2000));
    disk.sync(kept);
    let mut without_name = disk.clone();
    without_name.cut(Cut::All);
    assert_eq!(without_name.now.named(ROOT, &name("kept")), None);
    disk.sync(ROOT);
    disk.change(data(kept, 0, 2, 2000));
    disk.change(Change::Names(vec![
        (ROOT, name("kept"), None),
        (ROOT, name("moved"), Some(kept)),
    ]));

    let mut old = disk.clone();
    old.cut(Cut::All);
    assert_eq!(old.now.named(ROOT, &name("kept")), Some(kept));
    assert_eq!(old.now.named(ROOT, &name("moved")), None);
    assert_eq!(old.now.files[&kept], vec![1; 2000]);

    let (mut sectors, mut moved) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..1000 {
        let mut some = disk.clone();
        some.cut(Cut::Some(seed));
        let file = &some.now.files[&kept];
        sectors.insert(file.chunks(SECTOR).map(|s| s[0]).collect::<Vec<_>>());
        assert!(file.chunks(SECTOR).all(|s| s.iter().all(|b| *b == s[0])));
        let names = ["kept", "moved"].map(|of| some.now.named(ROOT, &name(of)).is_some());
        assert_ne!(names[0], names[1], "a rename is one");
        moved.insert(names[1]);
    }
    assert_eq!((sectors.len(), moved.len()), (16, 2), "anything happens");

    disk.sync_failed(kept);
    disk.sync(kept);
    disk.cut(Cut::All);
    assert_eq!(
        disk.now.files[&kept],
        vec![1; 2000],
        "a second sync saves nothing"
    );
}
