//! A file is changed other than by writing: truncated, a hole made in it, its mode, owner, times or attributes set, a name
//! added or removed.
//!
//! Hook:   fexit/notify_change, fexit/vfs_fallocate, fexit/vfs_link, fexit/__vfs_setxattr_noperm, fentry/vfs_unlink (lsm and
//!         fentry) | tp_btf/sys_exit of ftruncate, fchmod, fchown, fsetxattr, fremovexattr, fallocate (probe/syscall.rs)
//!         Four of them took no mnt_userns before 5.12, which moves what comes after: those have a program for either.
//! Proto:  5.12..latest  fs/attr.c  int notify_change(mnt_userns or idmap, struct dentry *, struct iattr *,
//!         struct inode **)
//!         5.12..latest  fs/namei.c  int vfs_link(struct dentry *old, mnt_userns or idmap, struct inode *, struct dentry *,
//!         struct inode **)
//!         5.12..latest  fs/xattr.c  int __vfs_setxattr_noperm(mnt_userns or idmap, struct dentry *, const char *,
//!         const void *, size_t, int)
//!         5.12..latest  fs/namei.c  int vfs_unlink(mnt_userns or idmap, struct inode *, struct dentry *, struct inode **)
//!         5.10..latest  fs/open.c  int vfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES; entries in LINKED
//! Reads:  dentry.{d_inode, d_parent, d_name}, and inodes as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        file::{Entry, File},
        read::Typed,
    },
    observe::access::{self, Act},
};

/// Where `mnt_userns`, or the later `idmap`, stands among the arguments, what comes after it is one further.
const USERNS: usize = 1;

#[inline(always)]
fn done<const RESULT: usize, const ENTRY: usize>(
    ctx: &FExitContext,
    then: impl FnOnce(Entry<Typed>) -> Result<Outcome, Trouble>,
) -> i32 {
    count::run(Hook::Change, || {
        if ctx.arg::<i32>(RESULT) != 0 {
            return Ok(Outcome::Ignored);
        }
        then(Entry::new(ctx.arg(ENTRY)))
    });
    0
}

#[inline(always)]
fn changed(entry: Entry<Typed>) -> Result<Outcome, Trouble> {
    access::touched_entry(entry, Act::Change)
}

#[fexit(function = "notify_change")]
fn fexit_change(ctx: FExitContext) -> i32 {
    done::<{ 3 + USERNS }, USERNS>(&ctx, changed)
}

#[fexit(function = "notify_change")]
fn fexit_change_3(ctx: FExitContext) -> i32 {
    done::<3, 0>(&ctx, changed)
}

#[fexit(function = "vfs_fallocate")]
fn fexit_allocate(ctx: FExitContext) -> i32 {
    count::run(Hook::Change, || {
        if ctx.arg::<i32>(4) != 0 {
            return Ok(Outcome::Ignored);
        }
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Change, 0)
    });
    0
}

#[fexit(function = "__vfs_setxattr_noperm")]
fn fexit_xattr(ctx: FExitContext) -> i32 {
    done::<{ 5 + USERNS }, USERNS>(&ctx, changed)
}

#[fexit(function = "__vfs_setxattr_noperm")]
fn fexit_xattr_5(ctx: FExitContext) -> i32 {
    done::<5, 0>(&ctx, changed)
}

#[fexit(function = "vfs_link")]
fn fexit_link(ctx: FExitContext) -> i32 {
    done::<{ 4 + USERNS }, 0>(&ctx, access::linked)
}

#[fexit(function = "vfs_link")]
fn fexit_link_4(ctx: FExitContext) -> i32 {
    done::<4, 0>(&ctx, access::linked)
}

/// Looked at before it is done, because afterwards the name stands for nothing; one that is then refused counts, too.
#[inline(always)]
fn unlinking(entry: Entry<Typed>) -> i32 {
    count::run(Hook::Change, || access::touched_entry(entry, Act::Delete));
    0
}

#[fentry(function = "vfs_unlink")]
fn fentry_unlink(ctx: FEntryContext) -> i32 {
    unlinking(Entry::new(ctx.arg(1 + USERNS)))
}

#[fentry(function = "vfs_unlink")]
fn fentry_unlink_3(ctx: FEntryContext) -> i32 {
    unlinking(Entry::new(ctx.arg(1)))
}
