//! A process sends to another of the machine over a unix socket: what holds records passes them on by that.
//!
//! Seen before it is done: who receives may be faster than the call returns. Of streams the receiver is the socket's peer; a datagram may go to any socket, which is known where the kernel asks
//! whether it may.
//!
//! Hook:   fentry/unix_stream_sendmsg, fentry/unix_stream_sendpage, fentry/unix_seqpacket_sendmsg (lsm and fentry); lsm/unix_may_send |
//!         fentry/security_unix_may_send | tp_btf/sock_send_length (tracepoint, in probe/send.rs)
//! Proto:  5.10..latest  net/unix/af_unix.c  int unix_stream_sendmsg(struct socket *, struct msghdr *, size_t)
//!         5.10..latest  net/unix/af_unix.c  int unix_seqpacket_sendmsg(struct socket *, struct msghdr *, size_t)
//!         5.10..6.4     net/unix/af_unix.c  ssize_t unix_stream_sendpage(struct socket *, struct page *, int offset,
//!         size_t size, int flags)
//!         5.10..latest  security/security.c  int security_unix_may_send(struct socket *sock, struct socket *other)
//! Kernel: 5.16 (bpf_skc_to_unix_sock), trampolines
//! Emits:  nothing; marks in GIVEN
//! Reads:  socket.sk, unix_sock.{peer, addr}, unix_address.name, task_struct.{tgid, group_leader, start_boottime}
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, lsm},
    programs::{FEntryContext, LsmContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{read::Typed, sock::Sock},
    observe::hand,
};

#[fentry(function = "unix_stream_sendmsg")]
fn fentry_unix_stream(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || sends(ctx.arg(0)));
    0
}

#[fentry(function = "unix_seqpacket_sendmsg")]
fn fentry_unix_packet(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || sends(ctx.arg(0)));
    0
}

#[fentry(function = "unix_stream_sendpage")]
fn fentry_unix_page(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || sends(ctx.arg(0)));
    0
}

#[lsm(hook = "unix_may_send")]
fn lsm_may_send(ctx: LsmContext) -> i32 {
    count::run(Hook::Hand, || hand::handed(Sock::<Typed>::of(ctx.arg(1))?));
    0
}

#[fentry(function = "security_unix_may_send")]
fn fentry_may_send(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || hand::handed(Sock::<Typed>::of(ctx.arg(1))?));
    0
}

/// `socket` is a typed struct socket that is about to be given something.
#[inline(always)]
fn sends(socket: *const u8) -> Result<Outcome, Trouble> {
    hand::handed_to_peer(Sock::<Typed>::of(socket)?)
}
