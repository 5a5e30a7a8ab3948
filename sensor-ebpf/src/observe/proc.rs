//! Processes: how they begin, what they become, how they end.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use sensor_ebpf::layout::{
    count::Error,
    header::kind,
    limits::{ARGUMENTS_LARGE, ARGUMENTS_SMALL, FILENAME_MAX},
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
            let name: *mut u8 = (&raw mut (*out).filename).cast();
            let read = bpf_probe_read_kernel_str(name.cast(), FILENAME_MAX as u32, filename.cast());
            (&raw mut (*out).filename_len).write(if read > 0 { read as u32 - 1 } else { 0 });
            let arguments: *mut u8 = (&raw mut (*out).arguments).cast();
            // The last byte that is kept is the last argument's NUL, there or cut off.
            arguments.add(A - 1).write(0);
            let kept = if all >= A as u32 { A as u32 - 1 } else { all };
            // VERIFIER: 6.1 loses the bound above ("R2 min value is negative"), so it is said again by a mask.
            let kept = core::hint::black_box(kept) & (A as u32 - 1);
            // A failed read leaves zeroes (bpf_probe_read_user_common, kernel/trace/bpf_trace.c), which the sensor tells from
            // arguments by `arguments_len`.
            let _unreadable =
                bpf_probe_read_user(arguments.cast(), kept, given.arguments as *const _);
        }
    })
}
