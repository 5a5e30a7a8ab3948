//! What processes have open and mapped when the sensor starts, and what they run. Attached to nothing: the sensor runs each when the
//! stores have been told, and the last again when it knows of more programs that serve records.
//!
//! Hook:   iter/task_file, iter/task_vma, iter/task, in all backends
//! Proto:  5.10..latest  kernel/bpf/task_iter.c  bpf_iter_task_file(struct bpf_iter_meta *meta, struct task_struct *task,
//!         u32 fd, struct file *file)
//!         5.12..latest  kernel/bpf/task_iter.c  bpf_iter_task_vma(struct bpf_iter_meta *meta, struct task_struct *task,
//!         struct vm_area_struct *vma); after the last one task, file and vma are NULL
//!         5.8..latest  kernel/bpf/task_iter.c  bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
//! Kernel: 5.10 for what is open, 5.12 for what is mapped
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  as probe/open.rs, and file.f_mode, vm_area_struct.vm_file, inode.i_size,
//!         task_struct.{pid, tgid, group_leader, mm, start_boottime}, mm_struct.exe_file, as probe/exec.rs of units
//! Counts: seen, reported, summed, ignored, failed, dropped

use core::ffi::c_void;

use aya_ebpf::programs::FEntryContext;
use sensor_ebpf::layout::count::Hook;

use crate::{count, observe::baseline};

// aya-ebpf has no macro for iterators. Their context is one of typed arguments in slots of eight bytes, as fentry's is
// (btf_ctx_access() of kernel/bpf/btf.c).

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn open_at_start(ctx: *mut c_void) -> i32 {
    let ctx = FEntryContext::new(ctx);
    count::run(Hook::Baseline, || baseline::opened(ctx.arg(1), ctx.arg(3)));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn running(ctx: *mut c_void) -> i32 {
    let ctx = FEntryContext::new(ctx);
    count::run(Hook::Baseline, || baseline::runs(ctx.arg(1)));
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
extern "C" fn mapped_at_start(ctx: *mut c_void) -> i32 {
    let ctx = FEntryContext::new(ctx);
    count::run(Hook::Baseline, || baseline::mapped(ctx.arg(1), ctx.arg(2)));
    0
}
