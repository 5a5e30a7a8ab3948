//! Bytes are written to a file.
//!
//! Hook:   fexit/vfs_write, fexit/vfs_writev (lsm and fentry) | tp_btf/sys_exit of write, pwrite64, writev, pwritev,
//!         pwritev2 (probe/syscall.rs)
//! Proto:  5.10..latest  fs/read_write.c  ssize_t vfs_write(struct file *, const char __user *, size_t, loff_t *)
//!         5.10..latest  fs/read_write.c  ssize_t vfs_writev(struct file *, const struct iovec __user *, unsigned long,
//!         loff_t *, rwf_t)
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{file::File, read::Typed},
    observe::access::{self, Act},
};

#[fexit(function = "vfs_write")]
fn fexit_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Write, ctx.arg(4))
    });
    0
}

#[fexit(function = "vfs_writev")]
fn fexit_writev(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Write, ctx.arg(5))
    });
    0
}
