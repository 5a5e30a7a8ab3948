//! Attempts on the sensor itself: who, at what, how often, and whether they were refused.
//!
//! The sensor's own doing is none, nor is what the host's first process does: the service manager stops services.

use sensor_ebpf::layout::{
    access::OWN_FILES,
    count::Error,
    news::News,
    tamper::{FILE, Own, SIGNAL, TRACE, TamperKey, TamperSum},
};

use crate::{
    count::{Outcome, Trouble, add},
    emit,
    kernel::task::Task,
    maps::{OWN, TAMPERS},
    news,
};

use super::record::{Judged, control};

/// The first process of the host.
const INIT: u32 = 1;
/// `PTRACE_MODE_ATTACH` of include/linux/ptrace.h.
const ATTACH: u32 = 2;
/// Signals that do no harm: 0 only asks, SIGCHLD, SIGCONT, SIGURG and SIGWINCH are ignored unless wanted.
const HARMLESS: u32 = 1 | 1 << 17 | 1 << 18 | 1 << 23 | 1 << 28;

/// What becomes of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The hook looks on: how it ends is not known.
    Open,
    /// The hook decides, by the sensor's settings.
    Guarded,
    /// It was refused by somebody else.
    Denied,
}

/// A signal is sent to a thread. True when it is to be refused.
#[inline(always)]
pub(crate) fn signalled(target: Task, signal: u32, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    if signal < 32 && HARMLESS >> signal & 1 == 1 || !is_own_process(target)? {
        return Ok((Outcome::Ignored, false));
    }
    tried(SIGNAL, signal, fate)
}

/// The current process wants to look into another. True when that is to be refused.
#[inline(always)]
pub(crate) fn traced(target: Task, mode: u32, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    if mode & ATTACH == 0 || !is_own_process(target)? {
        return Ok((Outcome::Ignored, false));
    }
    tried(TRACE, 0, fate)
}

/// The current process looks into the process of this number, the kernel's own.
#[inline(always)]
pub(crate) fn traced_number(pid: u32) -> Result<Outcome, Trouble> {
    if pid != control()?.own_pid {
        return Ok(Outcome::Ignored);
    }
    tried(TRACE, 0, Fate::Open).map(|(outcome, _)| outcome)
}

/// The current process takes a descriptor of a map, program or link. True when that is to be refused.
#[inline(always)]
pub(crate) fn taken(what: u32, id: u32, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    // SAFETY: the value is never looked at.
    if unsafe { OWN.get(Own { what, id }) }.is_none() {
        return Ok((Outcome::Ignored, false));
    }
    tried(what, id, fate)
}

/// The current process changes a file of the sensor's own.
#[inline(always)]
pub(crate) fn edited(file: u32) -> Result<Outcome, Trouble> {
    tried(FILE, file, Fate::Open).map(|(outcome, _)| outcome)
}

/// The current process is about to change what this is. True when that is to be refused.
#[inline(always)]
pub(crate) fn editing(what: Judged) -> Result<(Outcome, bool), Trouble> {
    match what.record() {
        Some(record) if record.store >= OWN_FILES => {
            tried(FILE, record.store - OWN_FILES, Fate::Guarded)
        }
        _ => Ok((Outcome::Ignored, false)),
    }
}

#[inline(always)]
fn is_own_process(task: Task) -> Result<bool, Error> {
    Ok(task.pid()? == control()?.own_pid)
}

#[inline(always)]
fn tried(what: u32, number: u32, fate: Fate) -> Result<(Outcome, bool), Trouble> {
    let control = control()?;
    let process = Task::current().process()?;
    if process.pid == control.own_pid || process.pid == INIT {
        return Ok((Outcome::Ignored, false));
    }
    let refuse = fate == Fate::Guarded && control.guard != 0;
    let denied = refuse || fate == Fate::Denied;
    let key = TamperKey {
        process,
        what,
        number,
    };
    // That it finds no room does not let it through.
    match note(&key, u64::from(denied)) {
        Ok(outcome) => Ok((outcome, refuse)),
        Err(_) if refuse => {
            crate::count::lost(Error::TampersFull);
            Ok((Outcome::Ignored, true))
        }
        Err(trouble) => Err(trouble),
    }
}

#[inline(never)]
fn note(key: &TamperKey, denied: u64) -> Result<Outcome, Trouble> {
    let now = emit::now();
    let first = TamperSum {
        first_ns: now,
        last_ns: now,
        times: emit::nought(),
        denied: emit::nought(),
    };
    // BPF_NOEXIST: that it is there already is fine.
    let _there = TAMPERS.insert(key, &first, 1);
    let Some(sum) = TAMPERS.get_ptr_mut(key) else {
        return Err(Trouble::Dropped(Error::TampersFull));
    };
    // SAFETY: the sensor removes an entry only when its process is gone.
    let sum = unsafe { &mut *sum };
    sum.last_ns = now;
    add(&mut sum.times, 1);
    add(&mut sum.denied, denied);
    news::tell(News::Tamper);
    Ok(Outcome::Summed)
}
