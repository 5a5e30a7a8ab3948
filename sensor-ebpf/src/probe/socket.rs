//! A socket is made, or a connection comes in: it is given a cookie, where tracing programs cannot give it one later.
//!
//! Hook:   cgroup/sock_create and sockops on the root of the cgroup2 hierarchy, in all backends, before Linux 5.12
//! Proto:  5.10..5.11  struct bpf_sock, struct bpf_sock_ops, include/uapi/linux/bpf.h
//! Kernel: 5.10
//! Emits:  nothing
//! Reads:  bpf_sock_ops.op
//! Counts: seen, ignored

use aya_ebpf::{
    helpers::generated::bpf_get_socket_cookie,
    macros::{cgroup_sock, sock_ops},
    programs::{SockContext, SockOpsContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::count::{self, Outcome};

/// Lets the process have the socket.
const ALLOW: i32 = 1;
/// `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB` of include/uapi/linux/bpf.h: asked of the new socket before it can be accepted
/// (tcp_rcv_state_process, net/ipv4/tcp_input.c). It has no cookie of its listener's (sk_clone_lock).
const CAME_IN: u32 = 5;
/// The reply stays as it was, which is none.
const AS_EVER: u32 = 1;

#[cgroup_sock(sock_create)]
fn socket_made(ctx: SockContext) -> i32 {
    count::run(Hook::Flow, || {
        // SAFETY: the helper takes the context of a program for sockets.
        let _cookie = unsafe { bpf_get_socket_cookie(ctx.sock.cast()) };
        Ok(Outcome::Ignored)
    });
    ALLOW
}

#[sock_ops]
fn connection_came(ctx: SockOpsContext) -> u32 {
    if ctx.op() == CAME_IN {
        count::run(Hook::Flow, || {
            // SAFETY: the helper takes the context of such a program, too.
            let _cookie = unsafe { bpf_get_socket_cookie(ctx.ops.cast()) };
            Ok(Outcome::Ignored)
        });
    }
    AS_EVER
}
