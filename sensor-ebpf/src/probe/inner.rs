//! The kernel reads or writes a file on behalf of somebody: overlayfs the file below, nfsd the one it serves, sendfile and splice the one
//! that a pipe is emptied into.
//!
//! Hook:   fexit/vfs_iter_read, fexit/vfs_iocb_iter_read, fexit/vfs_iter_write, fexit/vfs_iocb_iter_write,
//!         fexit/iter_file_splice_write (lsm and fentry)
//! Proto:  5.10..latest  fs/read_write.c  ssize_t vfs_iter_read(struct file *, struct iov_iter *, loff_t *, rwf_t)
//!         5.10..latest  fs/read_write.c  ssize_t vfs_iocb_iter_read(struct file *, struct kiocb *, struct iov_iter *)
//!         and the same for writing; before Linux 6.8 splice wrote by vfs_iter_write too
//!         6.8..latest  fs/splice.c  ssize_t iter_file_splice_write(struct pipe_inode_info *, struct file *out, loff_t *, size_t,
//!         unsigned int)
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome},
    kernel::{file::File, read::Probed, task::current_tid},
    maps::COPIES,
    observe::access::{self, Act},
};

#[fexit(function = "vfs_iter_read")]
fn fexit_iter_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Read, || {
        access::touched(File::<Probed>::new(ctx.arg(0)), Act::Read, ctx.arg(4))
    });
    0
}

#[fexit(function = "vfs_iocb_iter_read")]
fn fexit_iocb_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Read, || {
        access::touched(File::<Probed>::new(ctx.arg(0)), Act::Read, ctx.arg(3))
    });
    0
}

#[fexit(function = "vfs_iter_write")]
fn fexit_iter_write(ctx: FExitContext) -> i32 {
    wrote(ctx.arg(0), ctx.arg(4));
    0
}

#[fexit(function = "vfs_iocb_iter_write")]
fn fexit_iocb_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::touched(File::<Probed>::new(ctx.arg(0)), Act::Write, ctx.arg(3))
    });
    0
}

#[fexit(function = "iter_file_splice_write")]
fn fexit_splice_write(ctx: FExitContext) -> i32 {
    wrote(ctx.arg(1), ctx.arg(5));
    0
}

/// So much was written to a file, unless it is part of a copy: where a file system cannot copy a range by itself the bytes are spliced,
/// and the copy counts them.
#[inline(always)]
fn wrote(file: *const u8, bytes: i64) {
    count::run(Hook::Write, || {
        if COPIES.get_ptr(current_tid()).is_some() {
            return Ok(Outcome::Ignored);
        }
        access::touched(File::<Probed>::new(file), Act::Write, bytes)
    });
}
