//! A request of an `io_uring` is completed: what was read or written without a system call.
//!
//! Looked at where the completion is posted, because only there the bytes are known for requests that had to wait; the
//! request still holds its file, registered ones included. It is posted by a thread of the process that owns the ring:
//! the submitter, a worker, or the polling thread. A request that asked for no completion when it succeeds
//! (`IOSQE_CQE_SKIP_SUCCESS`) is not seen.
//!
//! Hook:   tp_btf/io_uring_complete, in all backends
//! Proto:  5.10..6.14  include/trace/events/io_uring.h  (void *ctx, void *req, u64 user_data, int res, unsigned cflags,
//!         u64 extra1, u64 extra2)
//!         6.15..latest  (struct io_ring_ctx *ctx, void *req, struct io_uring_cqe *cqe)
//! Kernel: 5.19, built with io_uring
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  io_kiocb.{file, opcode}, io_uring_cqe.res, and as probe/open.rs, by bpf_probe_read_kernel
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::request::{self, Request},
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
