//! The sensor asks for the counters of an open TCP socket. Attached to nothing: run by BPF_PROG_TEST_RUN on each tick
//! for the flows that matter, so that a busy connection costs nothing per packet.
//!
//! Hook:   none; a raw tracepoint program whose first argument is the socket's cookie, in all backends
//! Proto:  5.10..latest  net/bpf/test_run.c  bpf_prog_test_run_raw_tp()
//! Kernel: 5.10
//! Emits:  nothing; updates SOCKETS
//! Reads:  sock.__sk_common.{skc_cookie, skc_flags}, tcp_sock.{bytes_sent, bytes_retrans, bytes_received}
//! Counts: nothing: it is the sensor's own question, not something seen

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{count, observe::flow};

#[raw_tracepoint]
fn refresh(ctx: RawTracePointContext) -> i32 {
    if let Err(count::Trouble::Failed(error) | count::Trouble::Dropped(error)) =
        flow::refreshed(ctx.arg(0))
    {
        count::lost(error);
    }
    0
}
