//! A process takes a connection that has come in, and if it holds records owns it from now on.
//!
//! Hook:   lsm/sock_graft | fentry/security_sock_graft | tp_btf/sys_exit of accept, accept4 (probe/syscall.rs)
//! Proto:  5.10..latest  security/security.c  void security_sock_graft(struct sock *sk, struct socket *parent)
//! Kernel: 5.10, where the socket has a cookie (5.12); needs SECURITY_NETWORK; lsm needs `bpf` in the LSM list, fentry needs trampolines
//! Emits:  layout::flow::Flow; entries in SOCKETS
//! Reads:  sock.{sk_type, sk_protocol}, as probe/flow.rs of its ends, task_struct.{tgid, group_leader, start_boottime}
//! Counts: seen, reported, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, lsm},
    programs::{FEntryContext, LsmContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{read::Typed, sock::Sock},
    observe::flow,
};

#[lsm(hook = "sock_graft")]
fn lsm_accept(ctx: LsmContext) -> i32 {
    count::run(Hook::Accept, || {
        flow::accepted(Sock::<Typed>::new(ctx.arg(0)))
    });
    0
}

#[fentry(function = "security_sock_graft")]
fn fentry_accept(ctx: FEntryContext) -> i32 {
    count::run(Hook::Accept, || {
        flow::accepted(Sock::<Typed>::new(ctx.arg(0)))
    });
    0
}
