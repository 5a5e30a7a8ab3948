//! Something is tried on the sensor itself: a signal that ends or stops it, or a descriptor of one of its maps, programs or
//! links, through which they could be written or detached. To trace it is seen by probe/memory.rs.
//!
//! With `guard = "deny"` the lsm programs refuse it.
//!
//! Hook:   lsm/task_kill | fentry/security_task_kill | tp_btf/signal_generate; lsm/bpf_map, bpf_prog, bpf |
//!         fentry/security_bpf_map, security_bpf_prog, security_bpf | tp_btf/sys_exit of bpf (probe/syscall.rs)
//! Proto:  5.10..latest  security/security.c  int security_task_kill(struct task_struct *p, struct kernel_siginfo *info,
//!         int sig, const struct cred *cred)
//!         5.10..latest  include/trace/events/signal.h  signal_generate(int sig, struct kernel_siginfo *info,
//!         struct task_struct *task, int group, int result)
//!         5.10..latest  security/security.c  int security_bpf_map(struct bpf_map *map, fmode_t fmode)
//!         5.10..latest  security/security.c  int security_bpf_prog(struct bpf_prog *prog)
//!         5.10..latest  security/security.c  int security_bpf(int cmd, union bpf_attr *attr, unsigned int size), a fourth
//!         argument `bool kernel` from 6.16 on
//! Kernel: 5.10; lsm needs `bpf` in the LSM list, fentry needs trampolines
//! Emits:  nothing; sums in TAMPERS
//! Reads:  task_struct.{tgid, group_leader, start_boottime}, kernel_siginfo.si_code, bpf_map.id, bpf_prog.aux,
//!         bpf_prog_aux.id
//! Counts: seen, summed, ignored, failed, dropped

use core::arch::asm;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, lsm},
    programs::{BtfTracePointContext, FEntryContext, LsmContext},
};
use sensor_ebpf::layout::{
    count::Hook,
    tamper::{LINK, MAP, PROGRAM},
};

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        fields, object,
        read::{Probed, Reach as _, Typed},
        task::Task,
    },
    observe::tamper::{self, Fate},
};

/// `BPF_LINK_GET_FD_BY_ID` of include/uapi/linux/bpf.h.
const LINK_BY_ID: i32 = 30;

/// Books what a hook that may refuse finds; gives its verdict.
#[inline(always)]
pub(crate) fn verdict(body: impl FnOnce() -> Result<(Outcome, bool), Trouble>) -> i32 {
    let mut refuse = false;
    count::run(Hook::Tamper, || {
        let (outcome, refused) = body()?;
        refuse = refused;
        Ok(outcome)
    });
    if refuse { eperm() } else { 0 }
}

/// Minus `EPERM` of include/uapi/asm-generic/errno-base.h.
#[inline(always)]
fn eperm() -> i32 {
    let value: i64;
    // VERIFIER: 6.12 wants to know what an lsm program gives (R0 in [-4095, 0]); of the negation that the compiler would make
    // of a plain choice it knows nothing.
    // SAFETY: sets one register.
    unsafe { asm!("{value} = -1", value = out(reg) value, options(nomem, nostack)) };
    value as i32
}

#[lsm(hook = "task_kill")]
fn lsm_kill(ctx: LsmContext) -> i32 {
    verdict(|| tamper::signalled(Task::new(ctx.arg(0)), ctx.arg(2), Fate::Guarded))
}

#[fentry(function = "security_task_kill")]
fn fentry_kill(ctx: FEntryContext) -> i32 {
    verdict(|| tamper::signalled(Task::new(ctx.arg(0)), ctx.arg(2), Fate::Open));
    0
}

#[btf_tracepoint(function = "signal_generate")]
fn signal(ctx: BtfTracePointContext) -> i32 {
    verdict(|| {
        if is_from_kernel(ctx.arg(1))? {
            return Ok((Outcome::Ignored, false));
        }
        tamper::signalled(Task::new(ctx.arg(2)), ctx.arg(0), Fate::Open)
    });
    0
}

/// `SEND_SIG_PRIV` stands for the kernel, `SEND_SIG_NOINFO` for a process (include/linux/sched/signal.h); else si_code
/// tells, which is above zero for what the kernel sends.
#[inline(always)]
fn is_from_kernel(info: *const u8) -> Result<bool, Trouble> {
    if info.is_null() {
        return Ok(false);
    }
    // VERIFIER: 6.13 and newer want the check against null by itself before they let it be reckoned with.
    let info = core::hint::black_box(info);
    if info.addr() == 1 {
        return Ok(true);
    }
    // SAFETY: what is none of the two is a kernel_siginfo.
    let code: i32 = unsafe { Probed::get(info, fields::SIGINFO_CODE.load())? };
    Ok(code > 0)
}

#[lsm(hook = "bpf_map")]
fn lsm_map(ctx: LsmContext) -> i32 {
    verdict(|| map(ctx.arg(0), Fate::Guarded))
}

#[fentry(function = "security_bpf_map")]
fn fentry_map(ctx: FEntryContext) -> i32 {
    verdict(|| map(ctx.arg(0), Fate::Open));
    0
}

#[lsm(hook = "bpf_prog")]
fn lsm_program(ctx: LsmContext) -> i32 {
    verdict(|| program(ctx.arg(0), Fate::Guarded))
}

#[fentry(function = "security_bpf_prog")]
fn fentry_program(ctx: FEntryContext) -> i32 {
    verdict(|| program(ctx.arg(0), Fate::Open));
    0
}

#[lsm(hook = "bpf")]
fn lsm_link(ctx: LsmContext) -> i32 {
    if ctx.arg::<i32>(0) != LINK_BY_ID {
        return 0;
    }
    verdict(|| link(ctx.arg(1), Fate::Guarded))
}

#[fentry(function = "security_bpf")]
fn fentry_link(ctx: FEntryContext) -> i32 {
    if ctx.arg::<i32>(0) == LINK_BY_ID {
        verdict(|| link(ctx.arg(1), Fate::Open));
    }
    0
}

#[inline(always)]
fn map(map: *const u8, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    // SAFETY: the first argument is a typed bpf_map.
    tamper::taken(MAP, unsafe { object::map_id::<Typed>(map)? }, fate)
}

#[inline(always)]
fn program(program: *const u8, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    // SAFETY: the first argument is a typed bpf_prog.
    let id = unsafe { object::program_id::<Typed>(program)? };
    tamper::taken(PROGRAM, id, fate)
}

#[inline(always)]
fn link(attributes: *const u8, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    // SAFETY: of this command, the kernel's own copy of the attributes begins with the link's id.
    tamper::taken(LINK, unsafe { Probed::get(attributes, 0)? }, fate)
}
