//! The tracepoint backend: everything about files, seen when a system call returns.
//!
//! It takes the kernel's own objects (descriptor → file → inode), never a path string from user memory, so the only race
//! left is that of a thread that closes and re-uses a descriptor while another is inside a call with it.
//!
//! Hook:   tp_btf/sys_exit (tracepoint)
//! Proto:  5.10..latest  include/trace/events/syscalls.h  (struct pt_regs *regs, long ret)
//! Kernel: 5.11, x86-64
//! Emits:  as probe/open.rs, read.rs, write.rs, mmap.rs, copy.rs, change.rs, list.rs, rename.rs, accept.rs, memory.rs, tamper.rs
//! Reads:  pt_regs.{orig_ax, di, dx, r8}, task_struct.{files, thread_info.status}, files_struct.fdt,
//!         fdtable.{max_fds, fd}, and as the files named above, by bpf_probe_read_kernel
//! Counts: under the hook that the call belongs to: seen, reported, summed, ignored, failed, dropped

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::layout::{
    count::{Error, Hook},
    edge::{MEMORY_CALL, PROC_MEM, PTRACE},
    tamper::{LINK, MAP, PROGRAM},
};

use crate::{
    count::{self, Outcome, Trouble},
    kernel::{
        file::File,
        object,
        read::Probed,
        regs::Regs,
        sock::Sock,
        task::{self, Task},
    },
    observe::{
        access::{self, Act},
        edge, flow, record,
        tamper::{self, Fate},
    },
};

/// Numbers of the system calls, x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
mod nr {
    pub(crate) const READ: u64 = 0;
    pub(crate) const WRITE: u64 = 1;
    pub(crate) const OPEN: u64 = 2;
    pub(crate) const MMAP: u64 = 9;
    pub(crate) const PREAD64: u64 = 17;
    pub(crate) const PWRITE64: u64 = 18;
    pub(crate) const READV: u64 = 19;
    pub(crate) const WRITEV: u64 = 20;
    pub(crate) const SENDFILE: u64 = 40;
    pub(crate) const ACCEPT: u64 = 43;
    pub(crate) const FTRUNCATE: u64 = 77;
    pub(crate) const GETDENTS: u64 = 78;
    pub(crate) const RENAME: u64 = 82;
    pub(crate) const CREAT: u64 = 85;
    pub(crate) const FCHMOD: u64 = 91;
    pub(crate) const FCHOWN: u64 = 93;
    pub(crate) const PTRACE: u64 = 101;
    pub(crate) const FSETXATTR: u64 = 190;
    pub(crate) const FREMOVEXATTR: u64 = 199;
    pub(crate) const GETDENTS64: u64 = 217;
    pub(crate) const OPENAT: u64 = 257;
    pub(crate) const RENAMEAT: u64 = 264;
    pub(crate) const SPLICE: u64 = 275;
    pub(crate) const FALLOCATE: u64 = 285;
    pub(crate) const ACCEPT4: u64 = 288;
    pub(crate) const PREADV: u64 = 295;
    pub(crate) const PWRITEV: u64 = 296;
    pub(crate) const OPEN_BY_HANDLE_AT: u64 = 304;
    pub(crate) const PROCESS_VM_READV: u64 = 310;
    pub(crate) const BPF: u64 = 321;
    pub(crate) const RENAMEAT2: u64 = 316;
    pub(crate) const COPY_FILE_RANGE: u64 = 326;
    pub(crate) const PREADV2: u64 = 327;
    pub(crate) const PWRITEV2: u64 = 328;
    pub(crate) const OPENAT2: u64 = 437;
}

#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs = Regs::new(ctx.arg(0));
    let result: i64 = ctx.arg(1);
    // A call that failed has touched no record.
    if result < 0 {
        return 0;
    }
    let Ok(number) = regs.number() else { return 0 };
    match number {
        nr::RENAME | nr::RENAMEAT | nr::RENAMEAT2 => count::run(Hook::Rename, || {
            record::forget_all()?;
            Ok(Outcome::Summed)
        }),
        nr::PROCESS_VM_READV => count::run(Hook::Memory, || {
            edge::read_number(regs.first()? as u32, MEMORY_CALL, result)
        }),
        nr::PTRACE => {
            count::run(Hook::Memory, || peeked(regs));
            count::run(Hook::Tamper, || traced(regs));
        }
        nr::BPF => count::run(Hook::Tamper, || taken(regs, result as u64)),
        nr::ACCEPT | nr::ACCEPT4 => count::run(Hook::Accept, || accept(result as u64)),
        _ => on_file(number, regs, result),
    }
    0
}

/// Calls with one descriptor, or with two, between which bytes move.
#[inline(always)]
fn on_file(number: u64, regs: Regs, result: i64) {
    let Ok((hook, act, fd)) = first_file(number, regs, result) else {
        return;
    };
    count::run(hook, || touched(act, fd, result));
    if let Some(output) = second_file(number, regs) {
        count::run(Hook::Write, || touched(Act::Write, output, result));
    }
}

/// The file a call reads, writes, opens or maps; an error for calls that do nothing of it.
#[inline(always)]
fn first_file(number: u64, regs: Regs, result: i64) -> Result<(Hook, Act, u64), Error> {
    Ok(match number {
        nr::READ | nr::PREAD64 | nr::READV | nr::PREADV | nr::PREADV2 => {
            (Hook::Read, Act::Read, regs.first()?)
        }
        nr::WRITE | nr::PWRITE64 | nr::WRITEV | nr::PWRITEV | nr::PWRITEV2 => {
            (Hook::Write, Act::Write, regs.first()?)
        }
        nr::OPEN | nr::OPENAT | nr::OPENAT2 | nr::CREAT | nr::OPEN_BY_HANDLE_AT => {
            (Hook::Open, Act::Open, result as u64)
        }
        nr::GETDENTS | nr::GETDENTS64 => (Hook::List, Act::List, regs.first()?),
        nr::FTRUNCATE
        | nr::FCHMOD
        | nr::FCHOWN
        | nr::FSETXATTR
        | nr::FREMOVEXATTR
        | nr::FALLOCATE => (Hook::Change, Act::Change, regs.first()?),
        // mmap(addr, length, prot, flags, fd, offset)
        nr::MMAP => (Hook::Mmap, Act::Map, regs.fifth()?),
        // splice(in, .., out, ..), copy_file_range(in, .., out, ..)
        nr::SPLICE | nr::COPY_FILE_RANGE => (Hook::Copy, Act::Read, regs.first()?),
        // sendfile(out, in, ..)
        nr::SENDFILE => (Hook::Copy, Act::Read, regs.second()?),
        _ => return Err(Error::NoFile),
    })
}

/// The file a call that moves bytes between two of them writes to.
#[inline(always)]
fn second_file(number: u64, regs: Regs) -> Option<u64> {
    match number {
        nr::SPLICE | nr::COPY_FILE_RANGE => regs.third().ok(),
        nr::SENDFILE => regs.first().ok(),
        _ => None,
    }
}

#[inline(never)]
fn touched(act: Act, fd: u64, result: i64) -> Result<Outcome, Trouble> {
    // Anonymous memory is mapped with descriptor -1.
    if matches!(act, Act::Map) && fd as i32 == -1 {
        return Ok(Outcome::Ignored);
    }
    let file = file(fd)?;
    if matches!(act, Act::Open) && file.is_memory()? {
        count::run(Hook::Memory, || opened_memory(file));
        count::run(Hook::Tamper, || match task::owner(file.private()?)? {
            Some(target) => tamper::traced_number(target.pid),
            None => Ok(Outcome::Ignored),
        });
    }
    access::touched(file, act, result)
}

/// ptrace(request, pid, ..): a peek gives eight bytes.
#[inline(always)]
fn peeked(regs: Regs) -> Result<Outcome, Trouble> {
    /// `PTRACE_PEEKTEXT` and `PTRACE_PEEKDATA` of include/uapi/linux/ptrace.h.
    const PEEKS: [u64; 2] = [1, 2];
    if !PEEKS.contains(&regs.first()?) {
        return Ok(Outcome::Ignored);
    }
    edge::read_number(regs.second()? as u32, PTRACE, 8)
}

/// ptrace(request, pid, ..)
#[inline(always)]
fn traced(regs: Regs) -> Result<Outcome, Trouble> {
    /// `PTRACE_ATTACH` and `PTRACE_SEIZE` of include/uapi/linux/ptrace.h.
    const ATTACHES: [u64; 2] = [16, 0x4206];
    if !ATTACHES.contains(&regs.first()?) || !Task::current().in_first_namespace()? {
        return Ok(Outcome::Ignored);
    }
    tamper::traced_number(regs.second()? as u32)
}

/// bpf(command, ..): gives a descriptor of a program, map or link of which only the id was known.
#[inline(always)]
fn taken(regs: Regs, fd: u64) -> Result<Outcome, Trouble> {
    /// `BPF_*_GET_FD_BY_ID` of include/uapi/linux/bpf.h.
    const PROGRAM_BY_ID: u64 = 13;
    const MAP_BY_ID: u64 = 14;
    const LINK_BY_ID: u64 = 30;
    let command = regs.first()?;
    if !matches!(command, PROGRAM_BY_ID | MAP_BY_ID | LINK_BY_ID) {
        return Ok(Outcome::Ignored);
    }
    let object = file(fd)?.private()?;
    // SAFETY: any address may be probed; of such a descriptor it is the object's.
    let (what, id) = unsafe {
        match command {
            PROGRAM_BY_ID => (PROGRAM, object::program_id::<Probed>(object)?),
            MAP_BY_ID => (MAP, object::map_id::<Probed>(object)?),
            _ => (LINK, object::link_id::<Probed>(object)?),
        }
    };
    tamper::taken(what, id, Fate::Open).map(|(outcome, _)| outcome)
}

/// Another process's memory is opened as a file; how much is then read of it this backend does not see.
#[inline(always)]
fn opened_memory(file: File<Probed>) -> Result<Outcome, Trouble> {
    match task::owner(file.private()?)? {
        Some(target) => edge::got(target, PROC_MEM, 0),
        None => Ok(Outcome::Ignored),
    }
}

/// The current process's file behind a descriptor.
#[inline(always)]
fn file(fd: u64) -> Result<File<Probed>, Error> {
    let task = Task::current();
    // 32-bit calls have other numbers; `number` was none of the table above.
    if task.in_compat_call()? {
        return Err(Error::Compat);
    }
    task.file(fd as u32).map(File::new)
}

#[inline(always)]
fn accept(fd: u64) -> Result<Outcome, Trouble> {
    match file(fd)?.socket()? {
        Some(socket) => flow::accepted(Sock::<Probed>::of(socket)?),
        None => Ok(Outcome::Ignored),
    }
}
