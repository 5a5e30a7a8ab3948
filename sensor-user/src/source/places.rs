//! What is mounted at the stores, while the sensor runs: a file system may go away, and come back.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use crate::event::{Event, Gap, GapReason, What};
use crate::load::{Kernel, Roots};
use crate::mounts::{self, Mounts};

/// The stores, and the kernel's table of mounts, which says when it changes.
#[derive(Debug)]
pub(super) struct Places {
    roots: Roots,
    table: File,
    /// Until when the stores are known to have been watched as they were, boot clock.
    good_ns: u64,
    changed: bool,
}

impl Places {
    pub(super) fn new(roots: Roots, now_ns: u64) -> std::io::Result<Self> {
        Ok(Self {
            roots,
            table: File::open(mounts::TABLE)?,
            good_ns: now_ns,
            changed: false,
        })
    }

    /// The table of mounts has changed.
    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    /// Follows a change, and looks for stores that are missing. What was done with records before may not have been seen.
    pub(super) fn look(&mut self, kernel: &mut Kernel, now_ns: u64, events: &mut Vec<Event>) {
        if self.changed || self.roots.is_any_missing() {
            self.changed = false;
            for store in self.roots.follow(kernel, &Mounts::read()) {
                let gap = Gap {
                    reason: GapReason::Blind,
                    count: 0,
                    from_boot_ns: self.good_ns,
                    to_boot_ns: now_ns,
                    detail: format!("what is mounted at the store `{store}` has changed"),
                };
                events.push(Event {
                    boot_ns: now_ns,
                    what: What::Gap(gap),
                });
            }
        }
        if !self.roots.is_any_missing() {
            self.good_ns = now_ns;
        }
    }
}

impl AsFd for Places {
    /// Becomes exceptional, as poll calls it, when the table changes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.table.as_fd()
    }
}
