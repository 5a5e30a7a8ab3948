//! With `guard = "deny"`: a file of the sensor's own is about to be opened for writing, truncated, removed, renamed or replaced.
//!
//! Attached only then: without a guard the hooks that see what has been done to a record tell of these files, too
//! (observe/access.rs).
//!
//! Hook:   lsm/file_open, lsm/path_truncate, lsm/inode_unlink, lsm/inode_rename (lsm)
//! Proto:  5.10..latest  include/linux/lsm_hook_defs.h  int file_open(struct file *file)
//!         5.10..latest  include/linux/lsm_hook_defs.h  int path_truncate(const struct path *path)
//!         5.10..latest  include/linux/lsm_hook_defs.h  int inode_unlink(struct inode *dir, struct dentry *dentry)
//!         5.10..latest  include/linux/lsm_hook_defs.h  int inode_rename(struct inode *old_dir, struct dentry *old_dentry,
//!         struct inode *new_dir, struct dentry *new_dentry)
//! Kernel: 5.10; needs `bpf` in the LSM list, and SECURITY_PATH for path_truncate
//! Emits:  nothing; sums in TAMPERS
//! Reads:  file.f_mode, path.dentry, and as probe/open.rs
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{macros::lsm, programs::LsmContext};

use crate::{
    count::{Outcome, Trouble},
    kernel::{
        file::{Entry, File, path_entry},
        read::Typed,
    },
    observe::{record, tamper},
};

use super::tamper::verdict;

#[lsm(hook = "file_open")]
fn lsm_guard_open(ctx: LsmContext) -> i32 {
    verdict(|| {
        let file = File::<Typed>::new(ctx.arg(0));
        if !file.is_writable()? {
            return Ok((Outcome::Ignored, false));
        }
        tamper::editing(record::judge(file, false)?)
    })
}

#[lsm(hook = "path_truncate")]
fn lsm_guard_truncate(ctx: LsmContext) -> i32 {
    verdict(|| editing(path_entry(ctx.arg(0))?))
}

#[lsm(hook = "inode_unlink")]
fn lsm_guard_unlink(ctx: LsmContext) -> i32 {
    verdict(|| editing(Entry::new(ctx.arg(1))))
}

#[lsm(hook = "inode_rename")]
fn lsm_guard_rename(ctx: LsmContext) -> i32 {
    let moved = verdict(|| editing(Entry::new(ctx.arg(1))));
    if moved != 0 {
        return moved;
    }
    verdict(|| editing(Entry::new(ctx.arg(3))))
}

/// What a name stands for, which may be nothing yet.
#[inline(always)]
fn editing(entry: Entry<Typed>) -> Result<(Outcome, bool), Trouble> {
    if entry.inode().is_err() {
        return Ok((Outcome::Ignored, false));
    }
    tamper::editing(record::judge_entry(entry)?)
}
