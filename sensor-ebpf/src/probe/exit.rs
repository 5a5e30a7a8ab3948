//! A process ends, that is, its last thread does.
//!
//! Hook:   tp_btf/sched_process_exit, in all backends
//! Proto:  5.10..6.15  include/trace/events/sched.h  (struct task_struct *p)
//!         6.16..latest  (struct task_struct *p, bool group_dead)
//! Kernel: 5.10
//! Emits:  layout::proc::Exit
//! Reads:  task_struct.{signal, tgid, group_leader, start_boottime}, signal_struct.live
//! Counts: seen, reported, ignored, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::count::Hook;

use crate::{count, kernel::task::Task, observe::proc};

#[btf_tracepoint(function = "sched_process_exit")]
fn exit(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Exit, || proc::exited(Task::new(ctx.arg(0))));
    0
}
