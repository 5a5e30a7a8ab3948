//! What processes have open and mapped when the sensor starts.
//!
//! A record that is open then counts as opened then, and one that is mapped as mapped then: when it really was, and how
//! much of it was read before, nobody knows any more. The sensor runs these programs itself, so the process is that of
//! the task that is handed over, not the current one.

use sensor_ebpf::layout::count::Error;

use crate::{
    count::{Outcome, Trouble},
    kernel::{
        file::{File, mapped_file},
        read::{Probed, Reach, Typed},
        task::Task,
    },
};

use super::{
    access::{self, Act},
    record::{self, control, judge},
    unit,
};

/// A descriptor of a task; task and file are null after the last one. Threads that share their descriptors with the first of
/// their process are left out by the kernel (task_seq_get_next() of kernel/bpf/task_iter.c, 5.10).
#[inline(always)]
pub(crate) fn opened(task: *const u8, file: *const u8) -> Result<Outcome, Trouble> {
    if task.is_null() || file.is_null() {
        return Ok(Outcome::Ignored);
    }
    let file = File::<Typed>::new(file);
    // Of a path without an opening nothing can be read.
    if file.is_path()? {
        return Ok(Outcome::Ignored);
    }
    had(Task::new(task), file, Act::Open)
}

/// A mapping of a task; task and vma are null after the last one. Reads of the file are probed: what an overlay maps goes by a
/// name that is not its own.
#[inline(always)]
pub(crate) fn mapped(task: *const u8, vma: *const u8) -> Result<Outcome, Trouble> {
    if task.is_null() || vma.is_null() {
        return Ok(Outcome::Ignored);
    }
    let file = mapped_file(vma)?;
    let task = Task::new(task);
    // A thread with descriptors of its own is not left out by the kernel, but its memory is that of its process.
    if file.is_null() || task.has_memory_of_first()? {
        return Ok(Outcome::Ignored);
    }
    had(task, File::<Probed>::new(file), Act::Map)
}

/// A task; null after the last one. Who runs a program, or is in a unit, that serves records holds them, and who held some when the
/// sensor stopped.
#[inline(always)]
pub(crate) fn runs(task: *const u8) -> Result<Outcome, Trouble> {
    if task.is_null() {
        return Ok(Outcome::Ignored);
    }
    let task = Task::new(task);
    if task.is_thread()? {
        return Ok(Outcome::Ignored);
    }
    let in_unit = unit::found(task)?;
    let program = record::told_of_program(task)?;
    let process = match task.process() {
        // It began before the kernel had a clock, and is none that runs a program; or it is gone.
        Err(Error::NoTask) => return Ok(Outcome::Ignored),
        process => process?,
    };
    let runs = access::runs(&process, program)?;
    let held = access::held_before(&process);
    Ok(if in_unit || runs || held {
        Outcome::Began
    } else {
        Outcome::Ignored
    })
}

#[inline(always)]
fn had<R: Reach>(task: Task, file: File<R>, act: Act) -> Result<Outcome, Trouble> {
    if task.pid()? == control()?.own_pid {
        return Ok(Outcome::Ignored);
    }
    let Some(record) = judge(file, false)?.record() else {
        return Ok(Outcome::Ignored);
    };
    let amount = match act {
        Act::Map => file.inode()?.size()?,
        _ => 1,
    };
    access::record_had(&task.process()?, &record, act, amount)
}
