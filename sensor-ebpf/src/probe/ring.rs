//! A request of an `io_uring` is completed: what was read or written without a system call.
//!
//! Looked at where the completion is posted, because only there the bytes are known for requests that had to wait; the
//! request still holds its file, registered ones included. It is posted by a thread of the process that owns the ring:
//! the submitter, a worker, or the polling thread. A request that asked for no completion when it succeeds
//! (`IOSQE_CQE_SKIP_SUCCESS`) is looked at where its result is there: when it has been issued or, if it had to wait, when
//! the waiting is over. It keeps the wish only while it has not failed, so none is counted twice. A splice names the
//! file it reads by descriptor; only the tracepoint backend looks at it here, the others do where it is done.
//!
//! Hook:   tp_btf/io_uring_complete, in all backends; fexit/io_read, fexit/io_write, fentry/io_req_rw_complete (lsm and
//!         fentry)
//! Proto:  5.10..6.14  include/trace/events/io_uring.h  (void *ctx, void *req, u64 user_data, int res, unsigned cflags,
//!         u64 extra1, u64 extra2)
//!         6.15..latest  (struct io_ring_ctx *ctx, void *req, struct io_uring_cqe *cqe)
//!         6.0..latest  io_uring/rw.c  int io_read(struct io_kiocb *req, unsigned int issue_flags), io_write
//!         6.0..latest  io_uring/rw.c  void io_req_rw_complete(struct io_kiocb *req, ...)
//! Kernel: 5.19, built with io_uring
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  io_kiocb.{file, opcode, flags, cqe.res}, io_splice.{splice_fd_in, flags}, io_uring_cqe.res, and as
//!         probe/open.rs, by bpf_probe_read_kernel
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        file::File,
        read::Probed,
        request::{self, Request},
        task::Task,
    },
    observe::access::{self, Act},
};

/// `IORING_OP_*` that read or write a file (include/uapi/linux/io_uring.h).
mod op {
    pub(crate) const READV: u8 = 1;
    pub(crate) const WRITEV: u8 = 2;
    pub(crate) const READ_FIXED: u8 = 4;
    pub(crate) const WRITE_FIXED: u8 = 5;
    pub(crate) const READ: u8 = 22;
    pub(crate) const WRITE: u8 = 23;
    pub(crate) const SPLICE: u8 = 30;
    pub(crate) const READ_MULTISHOT: u8 = 49;
}

#[btf_tracepoint(function = "io_uring_complete")]
fn ring(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Ring, || completed(ctx.arg(1), ctx.arg::<i32>(3)));
    0
}

#[btf_tracepoint(function = "io_uring_complete")]
fn ring_cqe(ctx: BtfTracePointContext) -> i32 {
    count::run(Hook::Ring, || {
        completed(ctx.arg(1), request::result(ctx.arg(2))?)
    });
    0
}

#[btf_tracepoint(function = "io_uring_complete")]
fn ring_splice(ctx: BtfTracePointContext) -> i32 {
    spliced(ctx.arg(1), ctx.arg::<i32>(3));
    0
}

#[btf_tracepoint(function = "io_uring_complete")]
fn ring_cqe_splice(ctx: BtfTracePointContext) -> i32 {
    if let Ok(result) = request::result(ctx.arg(2)) {
        spliced(ctx.arg(1), result);
    }
    0
}

/// Whoever has no hook on splicing itself looks the descriptor up again, as for system calls (probe/syscall.rs).
#[inline(always)]
fn spliced(request: *const u8, result: i32) {
    let Some(request) = Request::new(request) else {
        return;
    };
    if !matches!(request.opcode(), Ok(op::SPLICE)) {
        return;
    }
    count::run(Hook::Copy, || {
        if result <= 0 {
            return Ok(Outcome::Ignored);
        }
        let file = Task::current().file(request.splice_from()?)?;
        access::touched(File::<Probed>::new(file), Act::Read, i64::from(result))
    });
}

#[fexit(function = "io_read")]
fn fexit_ring_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Ring, || issued(ctx.arg(0), ctx.arg(2)));
    0
}

#[fexit(function = "io_write")]
fn fexit_ring_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Ring, || issued(ctx.arg(0), ctx.arg(2)));
    0
}

#[fentry(function = "io_req_rw_complete")]
fn fentry_ring_waited(ctx: FEntryContext) -> i32 {
    count::run(Hook::Ring, || silent(ctx.arg(0)));
    0
}

/// A request has been issued; when that gave zero, its result is there.
#[inline(always)]
fn issued(request: *const u8, status: i32) -> Result<Outcome, Trouble> {
    if status == 0 {
        silent(request)
    } else {
        Ok(Outcome::Ignored)
    }
}

#[inline(always)]
fn silent(request: *const u8) -> Result<Outcome, Trouble> {
    match Request::new(request) {
        Some(wanted) if wanted.is_silent()? => completed(request, wanted.result()?),
        _ => Ok(Outcome::Ignored),
    }
}

#[inline(always)]
fn completed(request: *const u8, result: i32) -> Result<Outcome, Trouble> {
    let Some(request) = Request::new(request) else {
        return Ok(Outcome::Ignored);
    };
    let act = match request.opcode()? {
        op::READV | op::READ_FIXED | op::READ | op::READ_MULTISHOT => Act::Read,
        op::WRITEV | op::WRITE_FIXED | op::WRITE => Act::Write,
        _ => return Ok(Outcome::Ignored),
    };
    if result <= 0 {
        return Ok(Outcome::Ignored);
    }
    access::touched(request.file()?, act, i64::from(result))
}
