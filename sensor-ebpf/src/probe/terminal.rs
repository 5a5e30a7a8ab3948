//! A process writes to a terminal or reads from one: what a holder of records writes to a pseudo terminal has then who reads at its
//! other end.
//!
//! Hook:   fentry and fexit/n_tty_write, fexit/tty_read, fentry/pty_cleanup (lsm and fentry)
//! Proto:  5.10..latest  drivers/tty/n_tty.c  ssize_t n_tty_write(struct tty_struct *, struct file *, const u8 *buf, size_t nr)
//!         5.12..latest  drivers/tty/tty_io.c  ssize_t tty_read(struct kiocb *iocb, struct iov_iter *to)
//!         5.10..5.11    drivers/tty/tty_io.c  ssize_t tty_read(struct file *, char __user *buf, size_t count, loff_t *)
//!         5.10..latest  drivers/tty/pty.c  void pty_cleanup(struct tty_struct *tty)
//! Kernel: 5.10, trampolines
//! Emits:  nothing; entries in WAITING, sums in EDGES, entries in HOLDERS
//! Reads:  tty_struct.link, kiocb.ki_filp, file.private_data, tty_file_private.tty, task_struct.{tgid, group_leader, start_boottime}
//! Counts: seen, summed, ignored, failed, dropped

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sensor_ebpf::layout::count::Hook;

use crate::{
    count,
    kernel::{
        file::File,
        request::kiocb_file,
        terminal::{Terminal, opened},
    },
    observe::terminal,
};

#[fentry(function = "n_tty_write")]
fn fentry_terminal_write(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || {
        terminal::written(Terminal::new(ctx.arg(0)), ctx.arg(3))
    });
    0
}

#[fexit(function = "n_tty_write")]
fn fexit_terminal_write(ctx: FExitContext) -> i32 {
    count::run(Hook::Hand, || {
        terminal::done(Terminal::new(ctx.arg(0)), ctx.arg(3), ctx.arg(4))
    });
    0
}

#[fexit(function = "tty_read")]
fn fexit_terminal_read(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        terminal::read(opened(kiocb_file(ctx.arg(0))?)?, ctx.arg(2))
    });
    0
}

#[fexit(function = "tty_read")]
fn fexit_terminal_read_4(ctx: FExitContext) -> i32 {
    count::run(Hook::Receive, || {
        terminal::read(opened(File::new(ctx.arg(0)))?, ctx.arg(4))
    });
    0
}

#[fentry(function = "pty_cleanup")]
fn fentry_terminal_gone(ctx: FEntryContext) -> i32 {
    count::run(Hook::Hand, || terminal::gone(Terminal::new(ctx.arg(0))));
    0
}
