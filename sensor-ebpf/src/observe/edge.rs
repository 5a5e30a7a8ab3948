//! What goes from a process that holds records to another: the other becomes a holder of the same stores.

use sensor_ebpf::layout::{
    count::Error,
    edge::{EdgeKey, EdgeSum},
    news::News,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, add},
    emit,
    kernel::task::{Task, current_tid},
    maps::{EDGES, HOLDERS, TARGETS},
    news,
};

use super::{
    access::{hold, noted},
    record::control,
};

/// `PTRACE_MODE_ATTACH` of include/linux/ptrace.h: what is asked for lets the asker read memory.
const ATTACH: u32 = 2;

/// The current thread may look into another process.
#[inline(always)]
pub(crate) fn let_at(target: Task, mode: u32) -> Result<Outcome, Trouble> {
    if mode & ATTACH == 0 {
        return Ok(Outcome::Ignored);
    }
    let target = target.process()?;
    if noted(&target).is_none() {
        // What it was let at before is not what it reads next.
        let _absent = TARGETS.remove(current_tid());
        return Ok(Outcome::Ignored);
    }
    TARGETS
        .insert(current_tid(), target, 0)
        .map_err(|_| Trouble::Dropped(Error::EdgesFull))?;
    Ok(Outcome::Summed)
}

/// The current thread has read memory of the process that it was last let at.
#[inline(always)]
pub(crate) fn read_target(kind: u32, bytes: i64) -> Result<Outcome, Trouble> {
    // SAFETY: the entry belongs to this very thread.
    let Some(target) = (unsafe { TARGETS.get(current_tid()) }) else {
        return Ok(Outcome::Ignored);
    };
    let target = *target;
    let _absent = TARGETS.remove(current_tid());
    read_from(target, kind, bytes)
}

/// The current process has read memory of a process by number, which is the kernel's own only in the first namespace.
#[inline(always)]
pub(crate) fn read_number(pid: u32, kind: u32, bytes: i64) -> Result<Outcome, Trouble> {
    if !Task::current().in_first_namespace()? {
        return Ok(Outcome::Ignored);
    }
    // SAFETY: the value is only read.
    match unsafe { HOLDERS.get(pid) } {
        Some(holder) => read_from(holder.process, kind, bytes),
        None => Ok(Outcome::Ignored),
    }
}

/// The current process has read so many bytes of a process's memory, or failed to.
#[inline(always)]
pub(crate) fn read_from(from: Process, kind: u32, result: i64) -> Result<Outcome, Trouble> {
    if result > 0 {
        got(from, kind, result as u64)
    } else {
        Ok(Outcome::Ignored)
    }
}

/// The current process has got something of a process; 0 bytes when it is not known how much.
#[inline(always)]
pub(crate) fn got(from: Process, kind: u32, bytes: u64) -> Result<Outcome, Trouble> {
    match noted(&from) {
        Some(stores) => got_of(from, stores, kind, bytes),
        None => Ok(Outcome::Ignored),
    }
}

/// The same of a process that held records of these stores when it gave, and may be gone.
#[inline(always)]
pub(crate) fn got_of(
    from: Process,
    stores: u64,
    kind: u32,
    bytes: u64,
) -> Result<Outcome, Trouble> {
    let to = Task::current().process()?;
    if to.pid == from.pid || to.pid == control()?.own_pid {
        return Ok(Outcome::Ignored);
    }
    let began = hold(to, stores);
    let told = gave(
        &EdgeKey {
            from,
            to,
            kind,
            pad: 0,
        },
        bytes,
        stores,
    );
    if began {
        told.map(|_| Outcome::Began)
    } else {
        told
    }
}

#[inline(never)]
fn gave(key: &EdgeKey, bytes: u64, stores: u64) -> Result<Outcome, Trouble> {
    let now = emit::now();
    let first = EdgeSum {
        first_ns: now,
        last_ns: now,
        times: emit::nought(),
        bytes: emit::nought(),
        stores,
    };
    // BPF_NOEXIST: that it is there already is the usual case.
    let _there = EDGES.insert(key, &first, 1);
    let Some(sum) = EDGES.get_ptr_mut(key) else {
        return Err(Trouble::Dropped(Error::EdgesFull));
    };
    // SAFETY: the sensor removes an edge only when the process it leads to is gone.
    let sum = unsafe { &mut *sum };
    sum.last_ns = now;
    sum.stores |= stores;
    add(&mut sum.times, 1);
    add(&mut sum.bytes, bytes);
    news::tell(News::Edge);
    Ok(Outcome::Summed)
}
