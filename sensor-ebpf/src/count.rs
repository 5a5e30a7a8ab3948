//! Keeps the books: every run of a hook ends in exactly one outcome, counted on its CPU.

use core::arch::asm;

use sensor_ebpf::layout::{
    count::{Counts, Error, Hook},
    news::News,
};

use crate::{
    maps::{COUNTS, ERRORS},
    news,
    observe::share,
};

/// How a run ended well.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// In a record in a ring.
    Reported,
    /// In a sum or a mark.
    Summed,
    /// The same, and the process holds records from now on.
    Began,
    /// It had nothing to do with a record.
    Ignored,
}

/// How a run ended badly.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    /// It could not find out what it needed.
    Failed(Error),
    /// It had something to say and no room to say it.
    Dropped(Error),
}

impl From<Error> for Trouble {
    #[inline(always)]
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs a hook's body and books its outcome. True when a process has become a holder of records by it.
#[inline(always)]
pub(crate) fn run(hook: Hook, body: impl FnOnce() -> Result<Outcome, Trouble>) -> bool {
    let Some(counts) = COUNTS.get_ptr_mut(hook as u32) else {
        return false;
    };
    // SAFETY: a value of a per-CPU array is valid for as long as the program runs; it is only ever added to, atomically,
    // since another program may preempt this one on the same CPU.
    let counts = unsafe { &mut *counts };
    add(&mut counts.seen, 1);
    match body() {
        Ok(Outcome::Reported) => add(&mut counts.reported, 1),
        Ok(Outcome::Summed) => add(&mut counts.summed, 1),
        Ok(Outcome::Began) => {
            add(&mut counts.summed, 1);
            share::began();
            return true;
        }
        Ok(Outcome::Ignored) => add(&mut counts.ignored, 1),
        Err(Trouble::Failed(error)) => book(counts, false, error),
        Err(Trouble::Dropped(error)) => book(counts, true, error),
    }
    false
}

/// Counts a loss beside the outcome of the run it happened in.
#[inline(always)]
pub(crate) fn lost(error: Error) {
    if let Some(n) = ERRORS.get_ptr_mut(error as u32) {
        // SAFETY: as in `run`.
        add(unsafe { &mut *n }, 1);
        news::tell(News::Loss);
    }
}

#[inline(always)]
fn book(counts: &mut Counts, dropped: bool, error: Error) {
    add(
        if dropped {
            &mut counts.dropped
        } else {
            &mut counts.failed
        },
        1,
    );
    lost(error);
}

/// Adds to a number in a map, against preemption and other CPUs.
#[inline(always)]
pub(crate) fn add(number: &mut u64, n: u64) {
    // SAFETY: BPF_ATOMIC | BPF_ADD (BPF_XADD in all kernels) on an aligned number that is valid for the borrow. Written
    // out because this target has no compare-and-swap, so `AtomicU64` has no `fetch_add` here.
    unsafe { asm!("lock *(u64 *)({number} + 0) += {n}", number = in(reg) number, n = in(reg) n) };
}
