//! What holders of records have sent that waits to be received, where the receiver does not learn from whom it is.
//!
//! Of several senders the last one counts as the giver of all. What others have sent to the same receiver does not count: of what is
//! received as much is a holder's as holders had sent and was not taken yet. What was sent and never came, for want of room, may so
//! be put down to what comes later.

use sensor_ebpf::layout::{count::Error, flow::Waiting, proc::Process};

use crate::{
    count::{Outcome, Trouble, add, lost},
    maps::WAITING,
};

use super::edge;

/// A holder has sent so many bytes to what has this key.
#[inline(always)]
pub(super) fn put(key: u64, process: Process, stores: u64, bytes: u64) {
    if let Some(known) = WAITING.get_ptr_mut(key) {
        // SAFETY: a value of a map is valid for as long as the program runs, and another one's at worst.
        let known = unsafe { &mut *known };
        known.process = process;
        known.stores |= stores;
        add(&mut known.came, bytes);
        return;
    }
    let first = Waiting {
        process,
        stores,
        came: bytes,
        taken: 0,
    };
    // Two that come at once to a new one count as the later.
    if WAITING.insert(key, &first, 0).is_err() {
        lost(Error::LocalsFull);
    }
}

/// The current process has received so many bytes, whoever sent them, of what has this key.
#[inline(never)]
pub(super) fn take(key: u64, bytes: u64, kind: u32) -> Result<Outcome, Trouble> {
    let Some(waiting) = WAITING.get_ptr_mut(key) else {
        return Ok(Outcome::Ignored);
    };
    // SAFETY: as in `put`. Two that receive at once may take the same bytes; who comes next is then given as much less.
    let waiting = unsafe { &mut *waiting };
    let taken = bytes.min(waiting.came.saturating_sub(waiting.taken));
    if taken == 0 {
        return Ok(Outcome::Ignored);
    }
    add(&mut waiting.taken, taken);
    edge::got_of(waiting.process, waiting.stores, kind, taken)
}
