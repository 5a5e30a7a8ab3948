//! A process becomes another program: takes who it is and its arguments.
//!
//! Hook:   tp_btf/sched_process_exec, in all backends; a second program of the tracepoint backend counts the file
//! Proto:  5.10..latest  include/trace/events/sched.h  (struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
//! Kernel: 5.10
//! Emits:  layout::proc::Exec
//! Reads:  task_struct.{tgid, group_leader, start_boottime, real_parent, cred, mm}, cred.uid, mm_struct.{arg_start, arg_end, env_end},
//!         linux_binprm.{filename, file}, task_struct.cgroups, css_set.dfl_cgrp, cgroup.{kn, self}, kernfs_node.name where units serve records
//! Counts: seen, reported, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{
        fields,
        file::File,
        read::{Reach as _, Typed},
        task::Task,
    },
    observe::{
        access::{self, Act},
        proc,
    },
};

/// The tracepoint backend sees no mapping that the kernel makes itself: a program that is a record is mapped here.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_record(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Mmap, || {
        let bprm: *const u8 = ctx.arg(2);
        // SAFETY: the third argument is a typed linux_binprm.
        let file = unsafe { Typed::get(bprm, fields::BPRM_FILE.load())? };
        access::touched(File::<Typed>::new(file), Act::Map, 0)
    });
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
fn exec(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Exec, || {
        let bprm: *const u8 = ctx.arg(2);
        // SAFETY: the third argument is a typed linux_binprm.
        let filename = unsafe { Typed::get(bprm, fields::BPRM_FILENAME.load())? };
        proc::executed(Task::new(ctx.arg(0)), filename)
    });
    0
}
