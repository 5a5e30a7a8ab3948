//! A TCP socket changes its state: connections begin and end here, in every namespace.
//!
//! Hook:   tp_btf/inet_sock_set_state, in all backends
//! Proto:  5.10..latest  include/trace/events/sock.h  (const struct sock *sk, const int oldstate, const int newstate)
//! Kernel: 5.10; before 5.12 probe/socket.rs gives the cookies
//! Emits:  layout::flow::Flow; entries in SOCKETS, marks in TALKING
//! Reads:  sock.__sk_common.{skc_family, skc_daddr, skc_rcv_saddr, skc_v6_daddr, skc_v6_rcv_saddr, skc_dport, skc_num,
//!         skc_cookie, skc_flags}, tcp_sock.{bytes_sent, bytes_retrans, bytes_received}
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::count::Hook;

use crate::{count, kernel::sock::Sock, observe::flow};

#[btf_tracepoint(function = "inet_sock_set_state")]
fn flow_state(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Flow, || {
        flow::changed(Sock::new(ctx.arg(0)), ctx.arg(1), ctx.arg(2))
    });
    0
}
