//! A process sends on a socket: where it holds records and the socket is nobody's yet, it owns it from now on. So a
//! connection is seen that another process opened, or this one before it held records or before the sensor was there. What
//! goes past IP (frames of its own, the host of a virtual machine) is counted here, by what the call asks for.
//!
//! Hook:   lsm/socket_sendmsg | fentry/security_socket_sendmsg | tp_btf/sock_send_length (tracepoint);
//!         fentry/kernel_sendpage (lsm, fentry) where the kernel has it: there sendfile and splice pass by the others
//! Proto:  5.10..latest  security/security.c  int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size)
//!         6.3..latest   include/trace/events/sock.h  (struct sock *sk, int ret, int flags), when the bytes are taken
//!         5.10..6.4     net/socket.c  int kernel_sendpage(struct socket *sock, struct page *page, int offset, size_t size,
//!         int flags)
//! Kernel: 5.10, where the socket has a cookie (5.12); needs SECURITY_NETWORK; lsm needs `bpf` in the LSM list, fentry needs trampolines
//! Emits:  layout::flow::Flow; entries in SOCKETS, sums in DATAGRAMS
//! Reads:  socket.sk, sock.{sk_type, sk_protocol, sk_max_ack_backlog}, sock.__sk_common.{skc_family, skc_state},
//!         tcp_sock.{bytes_acked, snd_una, write_seq}, as probe/flow.rs of its ends,
//!         task_struct.{tgid, group_leader, start_boottime}
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, lsm},
    programs::{BtfTracePointContext, FEntryContext, LsmContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        read::Typed,
        sock::{Road, Sock},
    },
    observe::{flow, hand},
};

#[lsm(hook = "socket_sendmsg")]
fn lsm_send(ctx: LsmContext) -> i32 {
    count::run(Hook::Send, || sends(ctx.arg(0), ctx.arg(2)));
    0
}

#[fentry(function = "security_socket_sendmsg")]
fn fentry_send(ctx: FEntryContext) -> i32 {
    count::run(Hook::Send, || sends(ctx.arg(0), ctx.arg(2)));
    0
}

#[fentry(function = "kernel_sendpage")]
fn fentry_send_page(ctx: FEntryContext) -> i32 {
    count::run(Hook::Send, || sends(ctx.arg(0), 0));
    0
}

#[btf_tracepoint(function = "sock_send_length")]
fn sent(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Send, || match ctx.arg::<i32>(1) {
        bytes if bytes > 0 => {
            let sock = Sock::<Typed>::new(ctx.arg(0));
            if matches!(sock.road()?, Road::Unix) {
                hand::handed_to_peer(sock)
            } else {
                took(sock, bytes as u64)
            }
        }
        _ => Ok(Outcome::Ignored),
    });
    0
}

/// A socket that is none of unix has taken so many bytes.
// VERIFIER: not inlined, so that what is done for a unix socket has the stack to itself.
#[inline(never)]
fn took(sock: Sock<Typed>, bytes: u64) -> Result<Outcome, Trouble> {
    flow::sends(sock, bytes, true)
}

/// `socket` is a typed struct socket that is about to be given so many bytes.
#[inline(always)]
fn sends(socket: *const u8, bytes: i32) -> Result<Outcome, Trouble> {
    flow::sends(Sock::<Typed>::of(socket)?, u64::from(bytes as u32), false)
}
