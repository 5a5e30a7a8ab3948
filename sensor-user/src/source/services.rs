//! Programs of which something is known, while the sensor runs: an update puts another file in the place of one, and one that serves
//! records may come later.
//!
//! The directories they may come in are watched, so that a program is known before it is first run.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify;

use crate::config::{MATCHES_MAX, matches};
use crate::load::{AttemptError, Kernel, Programs};
use std::os::fd::AsFd as _;

/// How often they are looked for without a word from their directories, nanoseconds: those further up may have been renamed.
const LOOK_NS: u64 = 60_000_000_000;

/// The programs, and the directories they may come in.
#[derive(Debug)]
pub(super) struct Services {
    programs: Programs,
    /// Absent where no program serves records, or the kernel has no more of them to give.
    directories: Option<OwnedFd>,
    changed: bool,
    looked_ns: Option<u64>,
}

impl Services {
    pub(super) fn new(programs: Programs) -> Self {
        let mut services = Self {
            directories: open(&programs),
            programs,
            // What came while nobody watched.
            changed: true,
            looked_ns: None,
        };
        services.watch();
        services
    }

    /// What becomes readable when something came into one of the directories.
    pub(super) fn directories(&self) -> Option<BorrowedFd<'_>> {
        self.directories
            .as_ref()
            .map(|directories| directories.as_fd())
    }

    /// Something came, or went.
    pub(super) fn change(&mut self) {
        self.changed = true;
        let Some(directories) = &self.directories else {
            return;
        };
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(directories, &mut room);
        // What came does not matter, all is looked at; it ends when there is nothing more to read.
        while reader.next().is_ok() {}
    }

    pub(super) fn tick(&mut self, kernel: &mut Kernel, now_ns: u64) -> Result<(), AttemptError> {
        let is_due = (self.looked_ns).is_none_or(|then| now_ns.saturating_sub(then) >= LOOK_NS);
        if !self.changed && !is_due {
            return Ok(());
        }
        (self.changed, self.looked_ns) = (false, Some(now_ns));
        // First, so that what comes meanwhile is told of again.
        self.watch();
        self.programs.tell(kernel)
    }

    /// Watches the directories that there are now; to watch one again is nothing.
    fn watch(&mut self) {
        use inotify::WatchFlags as Flags;
        let Some(watch) = &self.directories else {
            return;
        };
        let flags = Flags::CREATE
            | Flags::MOVED_TO
            | Flags::ATTRIB
            | Flags::DELETE_SELF
            | Flags::MOVE_SELF
            | Flags::ONLYDIR;
        let directories: BTreeSet<PathBuf> =
            self.programs.serving().flat_map(directories).collect();
        for directory in directories.iter().take(MATCHES_MAX) {
            // One that is gone again is found when another comes.
            if let Err(error) = inotify::add_watch(watch, directory, flags) {
                tracing::debug!(%error, directory = %directory.display(), "a directory of programs is not watched");
            }
        }
    }
}

fn open(programs: &Programs) -> Option<OwnedFd> {
    programs.serving().next()?;
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    inotify::init(flags)
        .inspect_err(|error| {
            tracing::warn!(%error, "new programs that serve records are known a minute late");
        })
        .ok()
}

/// Directories in which something must come or go before a pattern stands for another file than now: the last ones, and on the way
/// there those in which a part is a pattern or not there yet.
fn directories(pattern: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut above = PathBuf::from("/");
    let parts: Vec<&str> = Path::new(pattern)
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    for (at, part) in parts.iter().enumerate() {
        let there = matches(&above.to_string_lossy());
        let below = above.join(part);
        let is_last = at + 1 == parts.len();
        if is_last || part.contains(['*', '?', '[']) || matches(&below.to_string_lossy()).is_empty()
        {
            found.extend(there.into_iter().filter(|path| path.is_dir()));
        }
        above = below;
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn directories_in_which_a_program_may_come() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let at = |path: &str| root.join(path);
        let of = |pattern: &str| directories(&format!("{}/{pattern}", root.display()));
        assert_eq!(of("lib/*/bin/serve"), [root.to_owned()]);
        std::fs::create_dir_all(at("lib/14/bin")).unwrap();
        std::fs::create_dir_all(at("lib/15")).unwrap();
        let expected = [at("lib"), at("lib/14/bin")];
        assert_eq!(of("lib/*/bin/serve"), expected);
        assert_eq!(of("lib/15/bin/serve"), [at("lib/15")]);
        assert_eq!(of("lib/14/bin/serve"), [at("lib/14/bin")]);
    }
}
