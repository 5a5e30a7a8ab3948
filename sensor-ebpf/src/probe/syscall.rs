//! The tracepoint backend: everything about files, seen when a system call returns.
//!
//! It takes the kernel's own objects (descriptor → file → inode), never a path string from user memory, so the only race
//! left is that of a thread that closes and re-uses a descriptor while another is inside a call with it.
//!
//! Hook:   tp_btf/sys_exit (tracepoint)
//! Proto:  5.10..latest  include/trace/events/syscalls.h  (struct pt_regs *regs, long ret)
//! Kernel: 5.10, x86-64
//! Emits:  as probe/open.rs, read.rs, write.rs, mmap.rs, copy.rs, change.rs, list.rs, rename.rs, accept.rs, memory.rs, tamper.rs
//! Reads:  pt_regs.{orig_ax, di, si, dx, r10, r8}, task_struct.{files, thread_info.status}, files_struct.fdt,
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
        carrier::{look_ahead, may_be_holder, pipe_made},
        edge, flow, record, share,
        tamper::{self, Fate},
    },
};

use super::mmap::is_shared;

/// Numbers of the system calls, x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
mod nr {
    /// read, pread64, readv, preadv, preadv2
    pub(crate) const READS: &[u64] = &[0, 17, 19, 295, 327];
    /// write, pwrite64, writev, pwritev, pwritev2
    pub(crate) const WRITES: &[u64] = &[1, 18, 20, 296, 328];
    /// open, creat, openat, open_by_handle_at, openat2
    pub(crate) const OPENS: &[u64] = &[2, 85, 257, 304, OPENAT2];
    pub(crate) const MMAP: u64 = 9;
    pub(crate) const SHMGET: u64 = 29;
    pub(crate) const SHMAT: u64 = 30;
    pub(crate) const SENDFILE: u64 = 40;
    /// accept, accept4
    pub(crate) const ACCEPTS: &[u64] = &[43, 288];
    /// getdents, getdents64
    pub(crate) const LISTS: &[u64] = &[78, 217];
    /// ftruncate, fchmod, fchown, fsetxattr, fremovexattr, fallocate
    pub(crate) const CHANGES: &[u64] = &[77, 91, 93, 190, 199, 285];
    /// rename, renameat, renameat2
    pub(crate) const RENAMES: &[u64] = &[82, 264, 316];
    pub(crate) const PTRACE: u64 = 101;
    /// splice, copy_file_range
    pub(crate) const COPIES: &[u64] = &[275, 326];
    /// pipe, pipe2
    pub(crate) const PIPES: &[u64] = &[22, 293];
    pub(crate) const TEE: u64 = 276;
    pub(crate) const VMSPLICE: u64 = 278;
    pub(crate) const PROCESS_VM_READV: u64 = 310;
    pub(crate) const BPF: u64 = 321;
    /// The last one that is looked at.
    pub(crate) const OPENAT2: u64 = 437;
}

/// Where a call has a descriptor.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Place {
    First,
    Second,
    Third,
    Fifth,
    Result,
}

/// What a call is about.
#[derive(Clone, Copy)]
enum Call {
    /// Nothing that is looked at.
    Other,
    /// A file, and perhaps another that the bytes go to.
    File(Hook, Act, Place, Option<Place>),
    /// Names.
    Rename,
    /// Another process's memory, by process_vm_readv.
    Memory,
    /// Another process, by ptrace.
    Trace,
    /// A map, program or link.
    Object,
    /// A connection.
    Accept,
    /// A new pipe.
    Pipe,
    /// A segment of System V memory.
    Segment,
    /// Such a segment, mapped.
    Attached,
}

/// What each call is about, by its number.
// VERIFIER: what comes out of this table is a number of any size to it, so that what follows is walked through once and
// not once for each call: 6.1 and 6.12 gave up on a `match` (1,000,001 instructions).
static CALLS: [Call; nr::OPENAT2 as usize + 1] = calls();

const fn calls() -> [Call; nr::OPENAT2 as usize + 1] {
    use Call::File;
    use Place::{Fifth, First, Result, Second, Third};
    let of = [
        (File(Hook::Read, Act::Read, First, None), nr::READS),
        (File(Hook::Write, Act::Write, First, None), nr::WRITES),
        (File(Hook::Open, Act::Open, Result, None), nr::OPENS),
        (File(Hook::List, Act::List, First, None), nr::LISTS),
        (File(Hook::Change, Act::Change, First, None), nr::CHANGES),
        // mmap(addr, length, prot, flags, fd, offset)
        (File(Hook::Mmap, Act::Map, Fifth, None), &[nr::MMAP]),
        // splice(in, .., out, ..), copy_file_range(in, .., out, ..)
        (File(Hook::Copy, Act::Read, First, Some(Third)), nr::COPIES),
        // sendfile(out, in, ..)
        (
            File(Hook::Copy, Act::Read, Second, Some(First)),
            &[nr::SENDFILE],
        ),
        // tee(in, out, ..), vmsplice(pipe, ..)
        (File(Hook::Copy, Act::Read, First, Some(Second)), &[nr::TEE]),
        (File(Hook::Write, Act::Write, First, None), &[nr::VMSPLICE]),
        (Call::Rename, nr::RENAMES),
        (Call::Memory, &[nr::PROCESS_VM_READV]),
        (Call::Trace, &[nr::PTRACE]),
        (Call::Object, &[nr::BPF]),
        (Call::Accept, nr::ACCEPTS),
        (Call::Pipe, nr::PIPES),
        // shmget(key, size, flags), shmat(id, ..)
        (Call::Segment, &[nr::SHMGET]),
        (Call::Attached, &[nr::SHMAT]),
    ];
    let mut calls = [Call::Other; nr::OPENAT2 as usize + 1];
    let mut row = 0;
    while row < of.len() {
        let (call, numbers): (Call, &[u64]) = of[row];
        let mut i = 0;
        while i < numbers.len() {
            calls[numbers[i] as usize] = call;
            i += 1;
        }
        row += 1;
    }
    calls
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
    let Some(call) = CALLS.get(number as usize) else {
        return 0;
    };
    match *call {
        Call::Other => {}
        Call::File(_, Act::Map, ..) if maps_shared(regs) => on_shared(regs),
        Call::Pipe if may_be_holder() => on_pipe(regs),
        Call::Segment => on_segment(regs, result as u64),
        Call::Attached => on_attached(regs),
        Call::File(hook, act, from, to) => {
            let began = on_file(hook, act, descriptor(regs, from, result), result) != 0;
            if began {
                look_ahead();
            }
            if let Some(to) = to {
                let fd = descriptor(regs, to, result);
                on_file(Hook::Write, Act::Write, fd, result);
                if began {
                    on_sent(fd, result as u64);
                }
            }
        }
        call => {
            if on_other(call, regs, result) {
                look_ahead();
            }
        }
    }
    0
}

#[inline(always)]
fn descriptor(regs: Regs, place: Place, result: i64) -> u64 {
    let read = match place {
        Place::First => regs.first(),
        Place::Second => regs.second(),
        Place::Third => regs.third(),
        Place::Fifth => regs.fifth(),
        Place::Result => Ok(result as u64),
    };
    // No process has a descriptor of that number.
    read.unwrap_or(u64::MAX)
}

/// Something is done with the file behind a descriptor. Not 0 when the process holds records from now on.
// VERIFIER: exported, so that it is a global function of the program: it is verified once and on its own, whoever calls.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn on_file(hook: Hook, act: Act, fd: u64, result: i64) -> u32 {
    u32::from(count::run(hook, || touched(act, fd, result)))
}

/// The call by which a process has come to hold records may have sent them: the hooks of sockets had been passed by then.
#[inline(never)]
fn on_sent(fd: u64, bytes: u64) {
    count::run(Hook::Copy, || match file(fd)?.socket()? {
        Some(socket) => flow::sent_file(Sock::<Probed>::of(socket)?, bytes),
        None => Ok(Outcome::Ignored),
    });
}

/// True for an mmap by which what is mapped is written.
#[inline(always)]
fn maps_shared(regs: Regs) -> bool {
    let (Ok(protection), Ok(flags)) = (regs.third(), regs.fourth()) else {
        return false;
    };
    is_shared(protection, flags)
}

/// A process has mapped a file, or memory without one, so that it can write there and others can see it.
#[inline(never)]
fn on_shared(regs: Regs) {
    count::run(Hook::Mmap, || match regs.fifth()? {
        fd if fd as i32 == -1 => share::mapped_memory(regs.second()?),
        fd => access::share(file(fd)?),
    });
}

/// A process has a segment of System V memory.
#[inline(never)]
fn on_segment(regs: Regs, id: u64) {
    count::run(Hook::Mmap, || {
        own_call()?;
        share::segment_made(id as u32, regs.second()?)
    });
}

/// A process has mapped such a segment, of which this backend sees no file.
#[inline(never)]
fn on_attached(regs: Regs) {
    count::run(Hook::Mmap, || {
        own_call()?;
        share::attached(regs.first()? as u32)
    });
}

/// Who may be a holder has made a pipe.
// VERIFIER: not with the others below, for the stack of what it calls.
#[inline(never)]
fn on_pipe(regs: Regs) {
    count::run(Hook::Hand, || pipe_made(regs.first()?));
}

/// Calls that are about something other than one file. True when the process holds records from now on.
#[inline(never)]
fn on_other(call: Call, regs: Regs, result: i64) -> bool {
    match call {
        Call::Rename => count::run(Hook::Rename, || {
            record::forget_all()?;
            Ok(Outcome::Summed)
        }),
        Call::Memory => count::run(Hook::Memory, || {
            edge::read_number(regs.first()? as u32, MEMORY_CALL, result)
        }),
        Call::Trace => {
            count::run(Hook::Tamper, || traced(regs));
            count::run(Hook::Memory, || peeked(regs))
        }
        Call::Object => count::run(Hook::Tamper, || taken(regs, result as u64)),
        Call::Accept => count::run(Hook::Accept, || accept(result as u64)),
        Call::Segment | Call::Attached | Call::Pipe | Call::Other | Call::File(..) => false,
    }
}

#[inline(always)]
fn touched(act: Act, fd: u64, result: i64) -> Result<Outcome, Trouble> {
    // Anonymous memory is mapped with descriptor -1.
    if matches!(act, Act::Map) && fd as i32 == -1 {
        return Ok(Outcome::Ignored);
    }
    let file = file(fd)?;
    if matches!(act, Act::Open) && file.is_memory()? {
        on_memory(file);
    }
    access::touched(file, act, result)
}

/// Another process's memory is opened as a file.
#[inline(never)]
fn on_memory(file: File<Probed>) {
    count::run(Hook::Memory, || opened_memory(file));
    count::run(Hook::Tamper, || match task::owner(file.private()?)? {
        Some(target) => tamper::traced_number(target.pid),
        None => Ok(Outcome::Ignored),
    });
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
    own_call()?;
    Task::current().file(fd as u32).map(File::new)
}

/// 32-bit calls have other numbers; theirs was none of the table above.
#[inline(always)]
fn own_call() -> Result<(), Error> {
    if Task::current().in_compat_call()? {
        return Err(Error::Compat);
    }
    Ok(())
}

#[inline(always)]
fn accept(fd: u64) -> Result<Outcome, Trouble> {
    match file(fd)?.socket()? {
        Some(socket) => flow::accepted(Sock::<Probed>::of(socket)?),
        None => Ok(Outcome::Ignored),
    }
}
