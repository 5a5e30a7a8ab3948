//! A process starts another; new threads of a process are ignored.
//!
//! Hook:   tp_btf/sched_process_fork, in all backends
//! Proto:  5.10..latest  include/trace/events/sched.h  (struct task_struct *parent, struct task_struct *child)
//! Kernel: 5.10
//! Emits:  layout::proc::Fork
//! Reads:  task_struct.{pid, tgid, group_leader, start_boottime}
//! Counts: seen, reported, ignored, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::count::Hook;

use crate::{count, kernel::task::Task, observe::proc};

#[btf_tracepoint(function = "sched_process_fork")]
fn fork(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Fork, || {
        proc::forked(Task::new(ctx.arg(0)), Task::new(ctx.arg(1)))
    });
    0
}
