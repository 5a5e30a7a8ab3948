//! The names in a directory are asked for: those of records say who the patients are.
//!
//! Hook:   fexit/iterate_dir (lsm and fentry) | tp_btf/sys_exit of getdents, getdents64 (probe/syscall.rs)
//! Proto:  5.10..latest  fs/readdir.c  int iterate_dir(struct file *file, struct dir_context *ctx)
//! Kernel: 5.10, trampolines
//! Emits:  layout::access::Name at first sight of a directory; sums in ACCESSES
//! Reads:  as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome},
    kernel::{file::File, read::Typed},
    observe::access::{self, Act},
};

#[fexit(function = "iterate_dir")]
fn fexit_list(ctx: FExitContext) -> i32 {
    count::run(Hook::List, || {
        if ctx.arg::<i32>(2) < 0 {
            return Ok(Outcome::Ignored);
        }
        access::touched(File::<Typed>::new(ctx.arg(0)), Act::List, 0)
    });
    0
}
