//! A process reads another's memory: where that one holds records, so does the reader from now on; where it is the sensor,
//! that is an attempt on it.
//!
//! Whose memory it is, is known where the kernel decides whether it may be read; how much, where it was. `ptrace` and
//! `/proc/PID/mem` name the process again there, `process_vm_readv` does not: it is the one its thread was just let at.
//!
//! Hook:   lsm/ptrace_access_check | fexit/security_ptrace_access_check; fexit/ptrace_access_vm, fexit/mem_read,
//!         fexit/__x64_sys_process_vm_readv (lsm and fentry) | tp_btf/sys_exit of process_vm_readv, ptrace, and the opening of
//!         /proc/PID/mem (probe/syscall.rs)
//! Proto:  5.10..latest  security/security.c  int security_ptrace_access_check(struct task_struct *child,
//!         unsigned int mode)
//!         5.10..latest  kernel/ptrace.c  int ptrace_access_vm(struct task_struct *tsk, unsigned long addr, void *buf,
//!         int len, unsigned int gup_flags)
//!         5.10..latest  fs/proc/base.c  ssize_t mem_read(struct file *, char __user *, size_t, loff_t *)
//!         5.10..latest  mm/process_vm_access.c  long __x64_sys_process_vm_readv(const struct pt_regs *)
//! Kernel: 5.10; lsm needs `bpf` in the LSM list, fexit needs trampolines; mem_read needs CONFIG_MEMCG
//! Emits:  nothing; sums in EDGES and TAMPERS, entries in HOLDERS
//! Reads:  task_struct.{tgid, group_leader, start_boottime, thread_pid}, pid.level, file.private_data, mm_struct.owner
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fexit, lsm},
    programs::{FExitContext, LsmContext},
};
use sensor_ebpf::layout::{
    count::Hook,
    edge::{MEMORY_CALL, PROC_MEM, PTRACE},
};

use crate::{
    count::{self, Outcome},
    kernel::{
        file::File,
        read::Typed,
        task::{self, Task},
    },
    observe::{
        edge,
        tamper::{self, Fate},
    },
};

use super::tamper::verdict;

/// `FOLL_WRITE` of include/linux/mm_types.h.
const FOLL_WRITE: u32 = 1;

#[lsm(hook = "ptrace_access_check")]
fn lsm_ptrace(ctx: LsmContext) -> i32 {
    let (target, mode) = (Task::new(ctx.arg(0)), ctx.arg(1));
    count::run(Hook::Memory, || edge::let_at(target, mode));
    verdict(|| tamper::traced(target, mode, Fate::Guarded))
}

#[fexit(function = "security_ptrace_access_check")]
fn fexit_ptrace(ctx: FExitContext) -> i32 {
    let (target, mode) = (Task::new(ctx.arg(0)), ctx.arg(1));
    let fate = if ctx.arg::<i32>(2) == 0 {
        count::run(Hook::Memory, || edge::let_at(target, mode));
        Fate::Open
    } else {
        Fate::Denied
    };
    verdict(|| tamper::traced(target, mode, fate));
    0
}

#[fexit(function = "ptrace_access_vm")]
fn fexit_peek(ctx: FExitContext) -> i32 {
    count::run(Hook::Memory, || {
        if ctx.arg::<u32>(4) & FOLL_WRITE != 0 {
            return Ok(Outcome::Ignored);
        }
        let target = Task::new(ctx.arg(0)).process()?;
        edge::read_from(target, PTRACE, i64::from(ctx.arg::<i32>(5)))
    });
    0
}

#[fexit(function = "mem_read")]
fn fexit_mem(ctx: FExitContext) -> i32 {
    count::run(Hook::Memory, || {
        let memory = File::<Typed>::new(ctx.arg(0)).private()?;
        match task::owner(memory)? {
            Some(target) => edge::read_from(target, PROC_MEM, ctx.arg(4)),
            None => Ok(Outcome::Ignored),
        }
    });
    0
}

#[fexit(function = "__x64_sys_process_vm_readv")]
fn fexit_vm_readv(ctx: FExitContext) -> i32 {
    count::run(Hook::Memory, || edge::read_target(MEMORY_CALL, ctx.arg(1)));
    0
}
