//! A file is mapped into a process's memory. Where a file system maps another file in its place, as overlayfs does the one
//! below, that one counts, too.
//!
//! Hook:   lsm/mmap_file | fentry/security_mmap_file | tp_btf/sys_exit of mmap (probe/syscall.rs); fentry/vma_set_file
//!         (lsm and fentry)
//! Proto:  5.10..latest  include/linux/lsm_hook_defs.h  int mmap_file(struct file *file, unsigned long reqprot,
//!         unsigned long prot, unsigned long flags); file is NULL for anonymous memory
//!         5.10..latest  security/security.c  int security_mmap_file(struct file *file, unsigned long prot,
//!         unsigned long flags)
//!         5.11..latest  mm/util.c  void vma_set_file(struct vm_area_struct *vma, struct file *file)
//! Kernel: 5.10, 5.15 for memory that is no file's (bpf_task_pt_regs); lsm needs `bpf` in the LSM list, fentry needs trampolines
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs, and inode.i_size, pt_regs.si of mmap(2)
//! Counts: seen, reported, summed, ignored, failed, dropped

use core::arch::asm;

use aya_ebpf::{
    macros::{fentry, lsm},
    programs::{FEntryContext, LsmContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        file::File,
        read::{Probed, Typed},
        task::Task,
    },
    observe::{
        access::{self, Act},
        share,
    },
};

#[lsm(hook = "mmap_file")]
fn lsm_mmap(ctx: LsmContext) -> i32 {
    count::run(Hook::Mmap, || {
        let file: *const u8 = ctx.arg(0);
        if is_none(file) {
            return without_file(ctx.arg(2), ctx.arg(3));
        }
        mapped(File::new(file), ctx.arg(2), ctx.arg(3))
    });
    0
}

/// True for an argument that is no address.
#[inline(always)]
fn is_none(file: *const u8) -> bool {
    let address: u64;
    // VERIFIER: 6.12 takes it that an argument of an lsm hook is never null, and leaves out what would run if it were equal to zero. It
    // leaves in what would run if it were below another number, and the first page is nobody's. 7.3 knows better, and wants the
    // check in `mapped`, which the compiler would leave out if it knew of this one.
    // SAFETY: copies one register to another.
    unsafe {
        asm!("{address} = {file}", address = out(reg) address, file = in(reg) file,
            options(pure, nomem, nostack, preserves_flags));
    }
    address < 4096
}

#[fentry(function = "security_mmap_file")]
fn fentry_mmap(ctx: FEntryContext) -> i32 {
    count::run(Hook::Mmap, || {
        mapped(File::new(ctx.arg(0)), ctx.arg(1), ctx.arg(2))
    });
    0
}

#[fentry(function = "vma_set_file")]
fn fentry_mmap_below(ctx: FEntryContext) -> i32 {
    count::run(Hook::Mmap, || {
        access::touched(File::<Probed>::new(ctx.arg(1)), Act::Map, 0)
    });
    0
}

#[inline(always)]
fn mapped(file: File<Typed>, protection: u64, flags: u64) -> Result<Outcome, Trouble> {
    if file.is_absent() {
        without_file(protection, flags)
    } else {
        access::mapped(file, is_shared(protection, flags))
    }
}

/// Memory is mapped that is no file's. How much it is the hook is not told.
#[inline(never)]
fn without_file(protection: u64, flags: u64) -> Result<Outcome, Trouble> {
    if !is_shared(protection, flags) {
        return Ok(Outcome::Ignored);
    }
    match Task::current().registers() {
        Some(registers) => share::mapped_memory(registers.second()?),
        None => Ok(Outcome::Ignored),
    }
}

/// True for a mapping by which the file is written.
#[inline(always)]
pub(super) fn is_shared(protection: u64, flags: u64) -> bool {
    /// `PROT_WRITE` and `MAP_SHARED` of include/uapi/asm-generic/mman-common.h and include/uapi/linux/mman.h.
    const WRITE: u64 = 2;
    const SHARED: u64 = 1;
    protection & WRITE != 0 && flags & SHARED != 0
}
