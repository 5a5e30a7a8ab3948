//! A file or directory is renamed: a change of a record, the loss of one that is replaced, and a reason to void remembered
//! answers about it, or below it.
//!
//! Answers are voided when it is done, not before it: one found in between would be remembered. Each of the two names has
//! programs of its own, because two walks are too much for one.
//!
//! Hook:   fentry and fexit/vfs_rename, two each (lsm and fentry) | tp_btf/sys_exit of rename, renameat, renameat2
//!         (probe/syscall.rs, which makes every remembered answer void, since it does not know what was renamed)
//! Proto:  5.12..latest  fs/namei.c  int vfs_rename(struct renamedata *rd)
//! Kernel: 5.12, or a stable 5.10 that has renamedata; trampolines
//! Emits:  layout::access::Name of a record; sums in ACCESSES; entries in LINKED and ROOTS; forgets marks
//! Reads:  renamedata.{old_dentry, new_dentry, flags}, dentry.{d_inode, d_parent, d_name}, and inodes as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{count, kernel::file::Rename, observe::rename};

#[fentry(function = "vfs_rename")]
fn fentry_rename(ctx: FEntryContext) -> i32 {
    count::run(Hook::Rename, || {
        rename::leaving(Rename::new(ctx.arg(0)).old()?)
    });
    0
}

#[fentry(function = "vfs_rename")]
fn fentry_replace(ctx: FEntryContext) -> i32 {
    count::run(Hook::Rename, || {
        rename::leaving(Rename::new(ctx.arg(0)).new_entry()?)
    });
    0
}

#[fexit(function = "vfs_rename")]
fn fexit_rename(ctx: FExitContext) -> i32 {
    count::run(Hook::Rename, || {
        rename::arrived(Rename::new(ctx.arg(0)).old()?, ctx.arg(1))
    });
    0
}

#[fexit(function = "vfs_rename")]
fn fexit_replace(ctx: FExitContext) -> i32 {
    count::run(Hook::Rename, || {
        let rename = Rename::new(ctx.arg(0));
        if rename.is_exchange()? {
            rename::arrived(rename.new_entry()?, ctx.arg(1))
        } else {
            rename::replaced(rename.new_entry()?, ctx.arg(1))
        }
    });
    0
}
