//! Processes: how they begin, what they become, how they end.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use sensor_ebpf::layout::{
    count::Error,
    header::kind,
    limits::{ARGUMENTS_FEW, ARGUMENTS_LARGE, ARGUMENTS_SMALL, FILENAME_MAX, FILENAME_SHORT},
    proc::{Exec, Exit, Fork, Process},
};

use crate::{
    count::{Outcome, Trouble},
    emit,
    kernel::task::{Given, Task},
    maps::CRITICAL,
};

use super::{
    access::{held, hold},
    carrier::is_hinted,
    share, unit,
};

/// A process, or one of its threads, started another.
#[inline(always)]
pub(crate) fn forked(parent: Task, child: Task) -> Result<Outcome, Trouble> {
    let Some(child) = child.first_of()? else {
        return Ok(Outcome::Ignored);
    };
    let parent = parent.process()?;
    let stores = if is_hinted(parent.pid) {
        share::inherited(&parent, &child)?;
        inherited(&parent, &child)
    } else {
        0
    };
    emit::quietly(&CRITICAL, Error::CriticalRingFull, |out: *mut Fork| {
        // SAFETY: `out` is a Fork in the ring.
        unsafe {
            out.write(Fork {
                // The kernel has just looked at the clock for it (copy_process).
                header: emit::header_at(kind::FORK, child.start_ns),
                child,
                parent,
                stores,
            })
        }
    })
}

/// A process is a copy of the one that started it, with all that one holds.
// VERIFIER: on its own, since one with its caller takes more stack than 6.1 allows (512 bytes).
#[inline(never)]
fn inherited(parent: &Process, child: &Process) -> u64 {
    let Some(stores) = held(parent) else { return 0 };
    hold(*child, stores);
    stores
}

/// A thread ended; with the last one, the process.
#[inline(always)]
pub(crate) fn exited(task: Task) -> Result<Outcome, Trouble> {
    if task.live_threads()? > 0 {
        return Ok(Outcome::Ignored);
    }
    let process = task.process()?;
    share::dropped(&process);
    emit::quietly(&CRITICAL, Error::CriticalRingFull, |out: *mut Exit| {
        // SAFETY: `out` is an Exit in the ring.
        unsafe {
            out.write(Exit {
                header: emit::header(kind::EXIT),
                process,
            })
        }
    })
}

/// A process became another program, `filename` the address of the name it was called by.
#[inline(always)]
pub(crate) fn executed(task: Task, filename: *const u8) -> Result<Outcome, Trouble> {
    let process = task.process()?;
    // Its memory is new.
    share::dropped(&process);
    let found = unit::found(task);
    let told = executed_with(task, process, filename);
    // That it is not known to serve must not keep it from being told.
    found?;
    told
}

#[inline(always)]
fn executed_with(task: Task, process: Process, filename: *const u8) -> Result<Outcome, Trouble> {
    let given = task.given()?;
    let by = (process, task.parent()?, task.user()?);
    if given.arguments_len <= ARGUMENTS_SMALL as u64 {
        exec_of_size::<ARGUMENTS_SMALL>(by, filename, given, kind::EXEC_SMALL)
    } else {
        exec_of_size::<ARGUMENTS_LARGE>(by, filename, given, kind::EXEC_LARGE)
    }
}

#[inline(always)]
fn exec_of_size<const A: usize>(
    (process, parent, user): (Process, Process, u32),
    filename: *const u8,
    given: Given,
    kind: u32,
) -> Result<Outcome, Trouble> {
    let environment = given.environment_len.min(u64::from(u32::MAX)) as u32;
    let all = given.arguments_len.min(u64::from(u32::MAX)) as u32;
    emit::record(&CRITICAL, Error::CriticalRingFull, |out: *mut Exec<A>| {
        // SAFETY: `out` is an Exec<A> in the ring; of name and arguments so much is written as their lengths say.
        unsafe {
            (&raw mut (*out).header).write(emit::header(kind));
            (&raw mut (*out).process).write(process);
            (&raw mut (*out).parent).write(parent);
            (&raw mut (*out).uid).write(user);
            (&raw mut (*out).arguments_len).write(all);
            (&raw mut (*out).environment_len).write(environment);
            let len = copy_name((&raw mut (*out).filename).cast(), filename);
            (&raw mut (*out).filename_len).write(len);
            let arguments: *mut u64 = (&raw mut (*out).arguments).cast();
            if all < ARGUMENTS_FEW as u32 {
                copy_few(arguments, all, given.arguments);
            } else {
                copy_many::<A>(arguments.cast(), all, given.arguments);
            }
        }
    })
}

/// Copies the name that a program was called by; gives in how many bytes it is, at the first NUL among them or to their end.
///
/// # Safety
/// `FILENAME_MAX` bytes from `to` must be writable.
#[inline(always)]
unsafe fn copy_name(to: *mut u64, name: *const u8) -> u32 {
    /// Every byte's lowest bit, and its highest.
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Most names are short, and the kernel looks for the end of a string byte by byte.
    // SAFETY: by the caller; any address may be read.
    unsafe {
        let size = FILENAME_SHORT as u32;
        let failed = bpf_probe_read_kernel(to.cast(), size, name.cast()) != 0;
        let mut ends = 0;
        let mut at = 0;
        while at < FILENAME_SHORT / size_of::<u64>() {
            let word = to.add(at).read_volatile();
            // A byte that is zero, if there is one, has its highest bit set in this, and no other has where there is none.
            ends |= word.wrapping_sub(LOW) & !word & HIGH;
            at += 1;
        }
        if ends != 0 && !failed {
            return size;
        }
        let read = bpf_probe_read_kernel_str(to.cast(), FILENAME_MAX as u32, name.cast());
        if read > 0 { read as u32 - 1 } else { 0 }
    }
}

/// Copies arguments of less than `ARGUMENTS_FEW` bytes, and zeroes behind them. They go over the stack: before it writes to memory
/// such as a ring's, 6.1 looks up whose it is (check_heap_object(), mm/usercopy.c), which takes longer than all else.
///
/// # Safety
/// `ARGUMENTS_FEW` bytes from `to` must be writable.
#[inline(always)]
unsafe fn copy_few(to: *mut u64, all: u32, from: u64) {
    const WORDS: usize = ARGUMENTS_FEW / size_of::<u64>();
    let mut held = MaybeUninit::<[u64; WORDS]>::uninit();
    let words: *mut u64 = held.as_mut_ptr().cast();
    // VERIFIER: word by word, since the compiler would call memset and memcpy, which go byte by byte.
    // SAFETY: `words` has room for WORDS; the rest by the caller. Any address may be read.
    unsafe {
        let mut at = 0;
        while at < WORDS {
            words.add(at).write_volatile(0);
            at += 1;
        }
        // VERIFIER: as in `copy_many`.
        let kept = core::hint::black_box(all) & (ARGUMENTS_FEW as u32 - 1);
        // A failed read leaves zeroes, as there.
        let _unreadable = bpf_probe_read_user(words.cast(), kept, from as *const _);
        let mut at = 0;
        while at < WORDS {
            to.add(at).write_volatile(words.add(at).read_volatile());
            at += 1;
        }
    }
}

/// Copies so much of the arguments as there is room for.
///
/// # Safety
/// `A` bytes from `to` must be writable.
#[inline(always)]
unsafe fn copy_many<const A: usize>(to: *mut u8, all: u32, from: u64) {
    // SAFETY: by the caller; any address may be read.
    unsafe {
        // The last byte that is kept is the last argument's NUL, there or cut off.
        to.add(A - 1).write(0);
        let kept = if all >= A as u32 { A as u32 - 1 } else { all };
        // VERIFIER: 6.1 loses the bound above ("R2 min value is negative"), so it is said again by a mask.
        let kept = core::hint::black_box(kept) & (A as u32 - 1);
        // A failed read leaves zeroes (bpf_probe_read_user_common, kernel/trace/bpf_trace.c), which the sensor tells from
        // arguments by `arguments_len`.
        let _unreadable = bpf_probe_read_user(to.cast(), kept, from as *const _);
    }
}
