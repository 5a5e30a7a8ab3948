//! The kernel reads or writes a file on behalf of somebody: overlayfs the file below, nfsd the one it serves.
//!
//! Hook:   fexit/vfs_iter_read, fexit/vfs_iocb_iter_read, fexit/vfs_iter_write, fexit/vfs_iocb_iter_write
//!         (lsm and fentry)
//! Proto:  5.10..latest  fs/read_write.c  ssize_t vfs_iter_read(struct file *, struct iov_iter *, loff_t *, rwf_t)
//!         5.10..latest  fs/read_write.c  ssize_t vfs_iocb_iter_read(struct file *, struct kiocb *, struct iov_iter *)
//!         and the same for writing
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{file::File, read::Probed},
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
    count::run(Hook::Write, || {
        access::touched(File::<Probed>::new(ctx.arg(0)), Act::Write, ctx.arg(4))
    });
    0
}

#[fexit(function = "vfs_iocb_iter_write")]
fn fexit_iocb_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::touched(File::<Probed>::new(ctx.arg(0)), Act::Write, ctx.arg(3))
    });
    0
}
