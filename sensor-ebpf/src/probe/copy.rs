//! Bytes of a file are moved inside the kernel: sendfile, splice, copy_file_range; or shared by two files: FICLONE.
//!
//! `vfs_copy_file_range` falls back to splicing where a file system cannot do better, so a thread inside it is
//! remembered and the splice it causes is left to the outer function.
//!
//! Hook:   fentry and fexit/vfs_copy_file_range, fexit/do_splice_to or fexit/do_splice_read, fexit/vfs_clone_file_range
//!         (lsm and fentry) | tp_btf/sys_exit of sendfile, splice, copy_file_range (probe/syscall.rs)
//! Proto:  5.10..latest  fs/read_write.c  ssize_t vfs_copy_file_range(struct file *in, loff_t, struct file *out, loff_t,
//!         size_t, unsigned int)
//!         5.10..latest  fs/remap_range.c  loff_t vfs_clone_file_range(struct file *in, loff_t, struct file *out, loff_t,
//!         loff_t, unsigned int)
//!         5.10..6.4  fs/splice.c  long do_splice_to(struct file *in, loff_t *, struct pipe_inode_info *, size_t,
//!         unsigned int)
//!         6.8..latest  fs/splice.c  ssize_t do_splice_read(struct file *in, loff_t *, struct pipe_inode_info *, size_t,
//!         unsigned int)
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome},
    kernel::{file::File, read::Typed, task::current_tid},
    maps::COPIES,
    observe::{
        access::{self, Act},
        carrier::may_be_holder,
        record::{self, Judged},
    },
};

#[fentry(function = "vfs_copy_file_range")]
fn fentry_copy(ctx: FEntryContext) -> i32 {
    count::run(Hook::Copy, || {
        // What a holder copies is counted too, whatever it is.
        if !may_be_holder() {
            let Judged::Record(_) = record::judge(File::<Typed>::new(ctx.arg(0)), false)? else {
                return Ok(Outcome::Ignored);
            };
        }
        // An LRU map takes it always; were it forgotten, bytes would count twice rather than not at all.
        let _full = COPIES.insert(current_tid(), 1, 0);
        Ok(Outcome::Summed)
    });
    0
}

#[fexit(function = "vfs_copy_file_range")]
fn fexit_copy(ctx: FExitContext) -> i32 {
    let _absent = COPIES.remove(current_tid());
    count::run(Hook::Copy, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Read, ctx.arg(6))
    });
    count::run(Hook::Write, || {
        access::touched(File::<Typed>::new(ctx.arg(2)), Act::Write, ctx.arg(6))
    });
    0
}

#[fexit(function = "vfs_clone_file_range")]
fn fexit_clone(ctx: FExitContext) -> i32 {
    count::run(Hook::Copy, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Read, ctx.arg(6))
    });
    count::run(Hook::Write, || {
        access::touched(File::<Typed>::new(ctx.arg(2)), Act::Write, ctx.arg(6))
    });
    0
}

#[fexit(function = "do_splice_to")]
fn fexit_splice(ctx: FExitContext) -> i32 {
    count::run(Hook::Copy, || {
        if COPIES.get_ptr(current_tid()).is_some() {
            return Ok(Outcome::Ignored);
        }
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Read, ctx.arg(5))
    });
    0
}
