//! What holders of records write to pseudo terminals, which who reads at the other end has then: a terminal's window, a server of
//! sessions, a recorder.
//!
//! The bytes are those that the writer gives; what the terminal makes of them on the way (`\r` before `\n`) is not counted. An
//! echo is written by the kernel and is nobody's.

use sensor_ebpf::layout::edge::TERMINAL;

use crate::{
    count::{Outcome, Trouble, add},
    kernel::{task::Task, terminal::Terminal},
    maps::WAITING,
};

use super::{access::held, carrier::may_be_holder, waiting};

/// The current process is about to write so many bytes.
#[inline(always)]
pub(crate) fn written(terminal: Terminal, bytes: u64) -> Result<Outcome, Trouble> {
    if !may_be_holder() {
        return Ok(Outcome::Ignored);
    }
    match terminal.other_end()? {
        0 => Ok(Outcome::Ignored),
        end => give(end, bytes),
    }
}

#[inline(never)]
fn give(end: u64, bytes: u64) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    let Some(stores) = held(&process) else {
        return Ok(Outcome::Ignored);
    };
    waiting::put(end, process, stores, bytes);
    Ok(Outcome::Summed)
}

/// It has written `result` of them, or failed to.
#[inline(always)]
pub(crate) fn done(terminal: Terminal, bytes: u64, result: i64) -> Result<Outcome, Trouble> {
    let taken = if result > 0 { result as u64 } else { 0 };
    if taken >= bytes || !may_be_holder() {
        return Ok(Outcome::Ignored);
    }
    match terminal.other_end()? {
        0 => Ok(Outcome::Ignored),
        end => take_back(end, bytes - taken),
    }
}

#[inline(never)]
fn take_back(end: u64, bytes: u64) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    if held(&process).is_none() {
        return Ok(Outcome::Ignored);
    }
    let Some(known) = WAITING.get_ptr_mut(end) else {
        return Ok(Outcome::Ignored);
    };
    // SAFETY: as in `waiting::put`.
    let known = unsafe { &mut *known };
    // It came a moment ago, but for a process that was no holder then.
    let waiting = known.came.saturating_sub(known.taken);
    add(&mut known.came, bytes.min(waiting).wrapping_neg());
    Ok(Outcome::Summed)
}

/// The current process has read so many bytes from the terminal at this address.
#[inline(always)]
pub(crate) fn read(end: u64, bytes: i64) -> Result<Outcome, Trouble> {
    if bytes <= 0 || end == 0 {
        return Ok(Outcome::Ignored);
    }
    waiting::take(end, bytes as u64, TERMINAL)
}

/// A terminal is no more; another one may come to have its address.
#[inline(always)]
pub(crate) fn gone(terminal: Terminal) -> Result<Outcome, Trouble> {
    Ok(match WAITING.remove(terminal.address()) {
        Ok(()) => Outcome::Summed,
        Err(_) => Outcome::Ignored,
    })
}
