//! A read or write of Linux AIO is submitted.
//!
//! Its completion runs in an interrupt, where nobody can say whose it is, so the bytes are those asked for, up to the
//! end of the file; of vectors, whose length the request does not tell, none are counted.
//!
//! Hook:   fexit/aio_read, fexit/aio_write (lsm and fentry)
//! Proto:  5.10..latest  fs/aio.c  int aio_read(struct kiocb *req, const struct iocb *iocb, bool vectored, bool compat)
//!         5.10..latest  fs/aio.c  int aio_write(struct kiocb *req, const struct iocb *iocb, bool vectored, bool compat)
//! Kernel: 5.10, trampolines, built with AIO
//! Emits:  layout::access::Name at first sight of a record; sums in ACCESSES
//! Reads:  kiocb.ki_filp, iocb.{aio_nbytes, aio_offset}, inode.i_size, and as probe/open.rs
//! Counts: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::fexit, programs::FExitContext};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count::{self, Outcome, Trouble},
    kernel::request::{iocb_span, kiocb_file},
    observe::access::{self, Act},
};

#[fexit(function = "aio_read")]
fn fexit_aio_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Read, || submitted(&ctx, Act::Read));
    0
}

#[fexit(function = "aio_write")]
fn fexit_aio_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || submitted(&ctx, Act::Write));
    0
}

#[inline(always)]
fn submitted(ctx: &FExitContext, act: Act) -> Result<Outcome, Trouble> {
    let (vectored, result): (u8, i32) = (ctx.arg(2), ctx.arg(4));
    if result < 0 || vectored != 0 {
        return Ok(Outcome::Ignored);
    }
    let file = kiocb_file(ctx.arg(0))?;
    let (bytes, offset) = iocb_span(ctx.arg(1))?;
    let bytes = if matches!(act, Act::Read) {
        let left = file.inode()?.size()?.saturating_sub(offset);
        if bytes < left { bytes } else { left }
    } else {
        bytes
    };
    access::touched(file, act, bytes as i64)
}
