//! Bytes go into a pipe, or out of one, without read or write: splice, tee, vmsplice, and sendfile into one. And all of
//! these and a write to one begin: who reads at the other end may be faster than the call that writes returns.
//!
//! What is read of a record by these is counted by probe/copy.rs; here it is only the pipe's end.
//!
//! Hook:   fentry/pipe_write, fentry/anon_pipe_write, fentry and fexit/do_splice, do_tee, __x64_sys_sendfile64, __x64_sys_vmsplice (lsm and fentry) | tp_btf/sys_exit of
//!         splice, tee, sendfile, vmsplice (probe/syscall.rs)
//! Proto:  5.10..6.14    fs/pipe.c  ssize_t pipe_write(struct kiocb *, struct iov_iter *)
//!         6.15..latest  fs/pipe.c  ssize_t anon_pipe_write(struct kiocb *, struct iov_iter *)
//!         5.10..latest  fs/splice.c  long do_splice(struct file *in, loff_t *, struct file *out, loff_t *, size_t, unsigned int)
//!         5.10..latest  fs/splice.c  long do_tee(struct file *in, struct file *out, size_t, unsigned int)
//!         5.10..latest  fs/read_write.c  long __x64_sys_sendfile64(const struct pt_regs *)
//!         5.10..latest  fs/splice.c  long __x64_sys_vmsplice(const struct pt_regs *)
//! Kernel: 5.10, trampolines
//! Emits:  nothing; sums in ACCESSES, entries in CARRIERS and HOLDERS
//! Reads:  inode.{i_mode, i_ino, i_generation, i_sb}, super_block.s_dev, file.f_mode, pt_regs.{di}, task_struct.files
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::{Error, Hook};

use crate::{
    count::{self, Outcome},
    kernel::{
        file::File,
        read::{Probed, Reach, Typed},
        regs::Regs,
        request::kiocb_file,
        task::Task,
    },
    observe::{
        access::{self, Act},
        carrier::{self, may_be_holder},
    },
};

#[fentry(function = "pipe_write")]
fn fentry_pipe_write(ctx: FEntryContext) -> i32 {
    begins(|| kiocb_file(ctx.arg(0)));
    0
}

#[fentry(function = "anon_pipe_write")]
fn fentry_pipe_write_anon(ctx: FEntryContext) -> i32 {
    begins(|| kiocb_file(ctx.arg(0)));
    0
}

#[fentry(function = "do_splice")]
fn fentry_pipe_splice(ctx: FEntryContext) -> i32 {
    begins(|| Ok(File::<Typed>::new(ctx.arg(2))));
    0
}

#[fentry(function = "do_tee")]
fn fentry_pipe_tee(ctx: FEntryContext) -> i32 {
    begins(|| Ok(File::<Typed>::new(ctx.arg(1))));
    0
}

#[fentry(function = "__x64_sys_sendfile64")]
fn fentry_pipe_sendfile(ctx: FEntryContext) -> i32 {
    begins(|| called(ctx.arg(0)));
    0
}

#[fentry(function = "__x64_sys_vmsplice")]
fn fentry_pipe_vmsplice(ctx: FEntryContext) -> i32 {
    begins(|| called(ctx.arg(0)));
    0
}

/// Something is about to go into a file: if it is a pipe and the process a holder, the pipe is a carrier from now on.
#[inline(always)]
fn begins<R: Reach>(file: impl Fn() -> Result<File<R>, Error>) {
    count::run(Hook::Hand, || {
        if may_be_holder() {
            carrier::filled(file()?)
        } else {
            Ok(Outcome::Ignored)
        }
    });
}

#[fexit(function = "do_splice")]
fn fexit_pipe_splice(ctx: FExitContext) -> i32 {
    let bytes: i64 = ctx.arg(6);
    count::run(Hook::Copy, || {
        access::piped(File::<Typed>::new(ctx.arg(0)), Act::Read, bytes)
    });
    count::run(Hook::Write, || {
        access::piped(File::<Typed>::new(ctx.arg(2)), Act::Write, bytes)
    });
    0
}

#[fexit(function = "do_tee")]
fn fexit_pipe_tee(ctx: FExitContext) -> i32 {
    let bytes: i64 = ctx.arg(4);
    count::run(Hook::Copy, || {
        access::piped(File::<Typed>::new(ctx.arg(0)), Act::Read, bytes)
    });
    count::run(Hook::Write, || {
        access::piped(File::<Typed>::new(ctx.arg(1)), Act::Write, bytes)
    });
    0
}

#[fexit(function = "__x64_sys_sendfile64")]
fn fexit_pipe_sendfile(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::piped(called(ctx.arg(0))?, Act::Write, ctx.arg(1))
    });
    0
}

#[fexit(function = "__x64_sys_vmsplice")]
fn fexit_pipe_vmsplice(ctx: FExitContext) -> i32 {
    count::run(Hook::Write, || {
        access::piped(called(ctx.arg(0))?, Act::Write, ctx.arg(1))
    });
    0
}

/// The file of a system call's first argument.
#[inline(always)]
fn called(regs: *const u8) -> Result<File<Probed>, Error> {
    let file = Task::current().file(Regs::new(regs).first()? as u32)?;
    Ok(File::new(file))
}
