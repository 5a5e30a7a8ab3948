//! A process receives what another of the machine has sent: where that one holds records, so does this one from now on.
//!
//! Hook:   fexit/unix_stream_recvmsg, fexit/unix_dgram_recvmsg, fexit/unix_stream_splice_read, fexit/inet_recvmsg, fexit/inet6_recvmsg (lsm and fentry) |
//!         tp_btf/sock_recv_length (tracepoint)
//! Proto:  5.10..latest  net/unix/af_unix.c  int unix_stream_recvmsg(struct socket *, struct msghdr *, size_t, int flags)
//!         5.10..latest  net/unix/af_unix.c  int unix_dgram_recvmsg(struct socket *, struct msghdr *, size_t, int flags)
//!         5.10..latest  net/unix/af_unix.c  ssize_t unix_stream_splice_read(struct socket *, loff_t *,
//!         struct pipe_inode_info *, size_t, unsigned int)
//!         5.10..latest  net/ipv4/af_inet.c  int inet_recvmsg(struct socket *, struct msghdr *, size_t, int flags)
//!         5.10..latest  net/ipv6/af_inet6.c  int inet6_recvmsg(struct socket *, struct msghdr *, size_t, int flags)
//!         6.3..latest   include/trace/events/sock.h  (struct sock *sk, int ret, int flags)
//! Kernel: 5.10, 5.16 for unix sockets, trampolines
//! Emits:  nothing; sums in EDGES, entries in HOLDERS
//! Reads:  socket.sk, sock.{sk_type, sk_protocol}, sock.__sk_common.{skc_family, skc_cookie}, as probe/flow.rs of its ends,
//!         task_struct.{tgid, group_leader, start_boottime}
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{
        read::Typed,
        sock::{Road, Sock},
    },
    observe::{carrier::look_ahead, datagram, hand},
};

#[fexit(function = "unix_stream_recvmsg")]
fn fexit_unix_received(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        hand::received_unix(Sock::<Typed>::of(ctx.arg(0))?, i64::from(ctx.arg::<i32>(4)))
    });
    0
}

#[fexit(function = "unix_dgram_recvmsg")]
fn fexit_unix_datagram(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        hand::received_unix(Sock::<Typed>::of(ctx.arg(0))?, i64::from(ctx.arg::<i32>(4)))
    });
    0
}

#[fexit(function = "unix_stream_splice_read")]
fn fexit_unix_spliced(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        hand::received_unix(Sock::<Typed>::of(ctx.arg(0))?, ctx.arg(5))
    });
    0
}

#[fexit(function = "inet_recvmsg")]
fn fexit_inet_received(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        hand::received_inet(Sock::<Typed>::of(ctx.arg(0))?, i64::from(ctx.arg::<i32>(4)))
    });
    0
}

#[fexit(function = "inet6_recvmsg")]
fn fexit_inet6_received(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        hand::received_inet(Sock::<Typed>::of(ctx.arg(0))?, i64::from(ctx.arg::<i32>(4)))
    });
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
fn received(ctx: BtfTracePointContext) -> i32 {
    let began = count::run(Hook::Receive, || {
        let (sock, bytes) = (Sock::<Typed>::new(ctx.arg(0)), i64::from(ctx.arg::<i32>(1)));
        match sock.road()? {
            Road::Unix => hand::received_unix(sock, bytes),
            Road::Tcp => hand::received_tcp(sock, bytes),
            Road::Packets => datagram::received(sock, bytes),
            Road::Multipath | Road::Connected(_) | Road::Past(_) | Road::Inner => {
                Ok(count::Outcome::Ignored)
            }
        }
    });
    if began {
        look_ahead();
    }
    0
}
