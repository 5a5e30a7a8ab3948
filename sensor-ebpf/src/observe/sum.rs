//! Adds up what processes do with records.
//!
//! A sum lies in a slot that is found by arithmetic from record and process; adding to it is a few instructions and takes
//! no lock. Who finds a slot free makes it his own: adds one to its state, goes on only if nobody else did, writes key
//! and sum, and says so in the state. Who finds another's key there, or comes at the same time, uses a hash map, and
//! what finds no room there either is told by itself.
//!
//! There are two halves, as there are two hash maps: the sensor makes the other one active, waits until no program can
//! still write to this one, and takes what is in it, so no addition is lost.

use core::arch::asm;

use sensor_ebpf::layout::{
    access::{Access, AccessKey, AccessSum, SUM_READY, SumSlot},
    config::Control,
    count::Error,
    header::kind,
    limits::{SUMS_BITS, USED_WORDS},
};

use crate::{
    count::{Outcome, Trouble, add},
    emit,
    maps::{ACCESSES_0, ACCESSES_1, BULK, LOST_BYTES, SUMS, USED},
};

/// What is done with a record; the number is that of its field among the amounts of [`AccessSum`].
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Act {
    /// It is opened.
    Open = 0,
    /// Bytes are read.
    Read = 1,
    /// It is mapped.
    Map = 2,
    /// Bytes are written.
    Write = 3,
    /// It is changed other than by writing.
    Change = 4,
    /// A name of it is removed.
    Delete = 5,
    /// The names in it are asked for, it being a directory.
    List = 6,
}

/// Where the amounts begin.
const AMOUNTS: usize = core::mem::offset_of!(AccessSum, opens);
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(AccessSum, read) == AMOUNTS + 8 * Act::Read as usize);
    assert!(offset_of!(AccessSum, mapped) == AMOUNTS + 8 * Act::Map as usize);
    assert!(offset_of!(AccessSum, written) == AMOUNTS + 8 * Act::Write as usize);
    assert!(offset_of!(AccessSum, changed) == AMOUNTS + 8 * Act::Change as usize);
    assert!(offset_of!(AccessSum, deleted) == AMOUNTS + 8 * Act::Delete as usize);
    assert!(offset_of!(AccessSum, listed) == AMOUNTS + 8 * Act::List as usize);
    assert!(size_of::<AccessSum>() >= AMOUNTS + 8 * 8);
};

/// Adds to a sum that has been begun. False when there is none in its slot.
#[inline(always)]
pub(crate) fn add_up(control: &Control, key: &AccessKey, act: Act, amount: u64) -> bool {
    let Some(slot) = slot(control, index(key)) else {
        return false;
    };
    // SAFETY: a value of an array map is always there. The state is read first, and once it says so the key stays.
    let ready = unsafe { (&raw const (*slot).state).read_volatile() } >= SUM_READY
        && unsafe { is_key(&raw const (*slot).key, key) };
    if ready {
        // SAFETY: as above.
        unsafe { increase(&raw mut (*slot).sum, act, amount) };
    }
    ready
}

/// Begins a sum, or adds to one that did not find its slot free. The first of these is to be told apart: `begun` runs when
/// the process had no sum for this record.
#[inline(always)]
pub(crate) fn begin(
    control: &Control,
    key: &AccessKey,
    store: u32,
    act: Act,
    amount: u64,
    begun: impl FnOnce(),
) -> Result<Outcome, Trouble> {
    let sums = if control.active == 0 {
        &ACCESSES_0
    } else {
        &ACCESSES_1
    };
    if let Some(sum) = sums.get_ptr_mut(key) {
        // SAFETY: the value stays while this buffer is active or a program may still write to it; the sensor waits.
        unsafe { increase(sum, act, amount) };
        return Ok(Outcome::Summed);
    }
    begun();
    let sum = first(store, act, amount);
    if claim(control, key, &sum) {
        return Ok(Outcome::Summed);
    }
    used(control, USED_WORDS - 1, 1);
    // BPF_NOEXIST: another thread of the process may have come first.
    if sums.insert(key, &sum, 1).is_ok() {
        return Ok(Outcome::Summed);
    }
    if let Some(sum) = sums.get_ptr_mut(key) {
        // SAFETY: as above.
        unsafe { increase(sum, act, amount) };
        return Ok(Outcome::Summed);
    }
    let told = emit::record(&BULK, Error::BulkRingFull, |out: *mut Access| {
        // SAFETY: `out` is an Access in the ring.
        unsafe {
            out.write(Access {
                header: emit::header(kind::ACCESS),
                key: *key,
                sum,
            })
        }
    });
    if told.is_err() {
        lose(act, amount);
    }
    told
}

/// Counts the bytes that there was no room for.
#[inline(always)]
fn lose(act: Act, amount: u64) {
    let Some(bytes) = LOST_BYTES.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a value of a per-CPU array is valid for as long as the program runs; it is only added to, atomically.
    let bytes = unsafe { &mut *bytes };
    match act {
        Act::Read => add(&mut bytes.read, amount),
        Act::Map => add(&mut bytes.mapped, amount),
        Act::Write => add(&mut bytes.written, amount),
        Act::Open | Act::Change | Act::Delete | Act::List => {}
    }
}

/// Takes a free slot. False when it is not free, or somebody else is taking it.
#[inline(always)]
fn claim(control: &Control, key: &AccessKey, sum: &AccessSum) -> bool {
    let index = index(key);
    let Some(slot) = slot(control, index) else {
        return false;
    };
    // SAFETY: a value of an array map is always there; its state is only ever added to, atomically, and the rest is
    // written by the one who moved it from 0 to 1.
    unsafe {
        let state = &raw mut (*slot).state;
        if state.read_volatile() != 0 {
            return false;
        }
        add(&mut *state, 1);
        let alone = state.read_volatile() == 1;
        if alone {
            (&raw mut (*slot).key).write_volatile(*key);
            (&raw mut (*slot).sum).write_volatile(*sum);
            // A slot is taken once, so that adding sets its bit.
            used(control, index / 64, 1 << (index & 63));
        }
        add(&mut *state, if alone { SUM_READY } else { u64::MAX });
        alone
    }
}

/// Tells the sensor that there is something to take.
#[inline(always)]
fn used(control: &Control, word: u32, bits: u64) {
    if let Some(word) = USED.get_ptr_mut((control.active & 1) * USED_WORDS + word) {
        // SAFETY: the value of an array map is always there.
        add(unsafe { &mut *word }, bits);
    }
}

/// Where a key belongs, in either half.
#[inline(always)]
fn index(key: &AccessKey) -> u32 {
    let (file, pid) = (key.file, u64::from(key.process.pid));
    // As in observe/answer.rs.
    let mixed =
        (file.ino ^ (u64::from(file.dev) << 32) ^ (pid << 16)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SUMS_BITS)) as u32
}

#[inline(always)]
fn slot(control: &Control, index: u32) -> Option<*mut SumSlot> {
    SUMS.get_ptr_mut(index | (control.active & 1) << SUMS_BITS)
}

/// # Safety
/// `key` must be that of a slot.
#[inline(always)]
unsafe fn is_key(key: *const AccessKey, wanted: &AccessKey) -> bool {
    // SAFETY: by the caller; volatile, because another CPU may have written it just now.
    unsafe {
        (&raw const (*key).file.ino).read_volatile() == wanted.file.ino
            && (&raw const (*key).file.dev).read_volatile() == wanted.file.dev
            && (&raw const (*key).file.generation).read_volatile() == wanted.file.generation
            && (&raw const (*key).process.start_ns).read_volatile() == wanted.process.start_ns
            && (&raw const (*key).process.pid).read_volatile() == wanted.process.pid
    }
}

#[inline(always)]
fn first(store: u32, act: Act, amount: u64) -> AccessSum {
    let tick = emit::tick();
    let of = |wanted: Act| {
        if wanted as u32 == act as u32 {
            amount
        } else {
            0
        }
    };
    AccessSum {
        first_ns: emit::now(),
        first_tick: tick,
        last_tick: tick,
        opens: of(Act::Open),
        read: of(Act::Read),
        mapped: of(Act::Map),
        written: of(Act::Write),
        changed: of(Act::Change),
        deleted: of(Act::Delete),
        listed: of(Act::List),
        store,
        pad: 0,
    }
}

/// # Safety
/// `sum` must be a sum in a map.
#[inline(always)]
unsafe fn increase(sum: *mut AccessSum, act: Act, amount: u64) {
    // SAFETY: by the caller; each amount is one word, and so is the time, of which any CPU's will do.
    unsafe {
        (&raw mut (*sum).last_tick).write_volatile(emit::tick());
        // VERIFIER: in sys_exit the act is a number of any size to it, and the compiler would drop a mask it can prove
        // useless.
        let mut act = act as usize;
        asm!("{0} &= 7", inout(reg) act, options(pure, nomem, nostack));
        let place: *mut u64 = sum.byte_add(AMOUNTS + 8 * act).cast();
        add(&mut *place, amount);
    }
}
