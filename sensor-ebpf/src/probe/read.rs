//! Bytes are read from a file.
//!
//! The `security_file_permission` hook would see more callers but not how many bytes came, so `lsm` and `fentry` look at
//! the functions behind the system calls when they return.
//!
//! Hook:   fexit/vfs_read, fexit/vfs_readv (lsm and fentry) | tp_btf/sys_exit of read, pread64, readv, preadv, preadv2
//!         (probe/syscall.rs)
//! Proto:  5.10..latest  fs/read_write.c  ssize_t vfs_read(struct file *, char __user *, size_t, loff_t *)
//!         5.10..latest  fs/read_write.c  ssize_t vfs_readv(struct file *, const struct iovec __user *, unsigned long,
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

#[fexit(function = "vfs_read")]
fn fexit_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Read, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Read, ctx.arg(4))
    });
    0
}

#[fexit(function = "vfs_readv")]
fn fexit_readv(ctx: FExitContext) -> i32 {
    count::run(Hook::Read, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Read, ctx.arg(5))
    });
    0
}
