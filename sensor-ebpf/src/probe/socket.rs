//! A socket is made: it is given a cookie, where tracing programs cannot give it one later.
//!
//! Hook:   cgroup/sock_create on the root of the cgroup2 hierarchy, in all backends, before Linux 5.12
//! Proto:  5.10..5.11  struct bpf_sock, include/uapi/linux/bpf.h
//! Kernel: 5.10
//! Emits:  nothing
//! Reads:  nothing
//! Counts: seen, ignored

use aya_ebpf::{
    helpers::generated::bpf_get_socket_cookie, macros::cgroup_sock, programs::SockContext,
};
use sensor_ebpf::layout::count::Hook;

use crate::count::{self, Outcome};

/// Lets the process have the socket.
const ALLOW: i32 = 1;

#[cgroup_sock(sock_create)]
fn socket_made(ctx: SockContext) -> i32 {
    count::run(Hook::Flow, || {
        // SAFETY: the helper takes the context of a program for sockets.
        let _cookie = unsafe { bpf_get_socket_cookie(ctx.sock.cast()) };
        Ok(Outcome::Ignored)
    });
    ALLOW
}
