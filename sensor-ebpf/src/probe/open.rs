//! A file is opened: decides whether it is a record, and counts the opening.
//!
//! Hook:   lsm/file_open | fentry/security_file_open | tp_btf/sys_exit of open, openat, openat2, creat,
//!         open_by_handle_at (probe/syscall.rs)
//! Proto:  5.10..latest  security/security.c  int security_file_open(struct file *file)
//! Kernel: 5.10; lsm needs `bpf` in the LSM list, fentry needs trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  file.{f_inode, f_path}, inode.{i_mode, i_ino, i_generation, i_sb, i_nlink}, super_block.s_dev,
//!         dentry.{d_parent, d_inode, d_name}
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, lsm},
    programs::{FEntryContext, LsmContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{file::File, read::Typed},
    observe::access::{self, Act},
};

#[lsm(hook = "file_open")]
fn lsm_open(ctx: LsmContext) -> i32 {
    count::run(Hook::Open, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Open, 0)
    });
    0
}

#[fentry(function = "security_file_open")]
fn fentry_open(ctx: FEntryContext) -> i32 {
    count::run(Hook::Open, || {
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::Open, 0)
    });
    0
}
