//! A packet leaves, or comes in: payload of UDP, echoes and raw IP of processes that hold records is counted, and what their
//! conversations begin with is kept for the names in it. Datagrams of theirs that come in again are counted for who receives.
//!
//! Hook:   cgroup_skb/egress and cgroup_skb/ingress on the root of the cgroup2 hierarchy, in all backends
//! Proto:  5.10..latest  struct __sk_buff, include/uapi/linux/bpf.h; data begins with the network header
//! Kernel: 5.10
//! Emits:  layout::flow::Payload; sums in DATAGRAMS and WAITING, entries in LOCALS, marks in TALKING
//! Reads:  task_struct.{tgid, group_leader, start_boottime}, packet headers
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{macros::cgroup_skb, programs::SkBuffContext};
use sensor_ebpf::layout::count::Hook;

use crate::{count, observe::packet};

/// Lets the packet pass.
const PASS: i32 = 1;

#[cgroup_skb(egress)]
fn packet_out(ctx: SkBuffContext) -> i32 {
    count::run(Hook::PacketOut, || packet::left(&ctx));
    PASS
}

#[cgroup_skb(ingress)]
fn packet_in(ctx: SkBuffContext) -> i32 {
    count::run(Hook::PacketIn, || packet::came(&ctx));
    PASS
}
