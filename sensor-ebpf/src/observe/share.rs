//! Memory that a process shares with others and mapped before it held a record.
//!
//! What a holder maps so that it can write there is a carrier from then on. What it had mapped before becomes one when the process
//! becomes a holder, and for that it is noted by process: fork hands the notes on, exec and exit drop them. Whoever else
//! has mapped a carrier finds it when it is asked whether it holds records, ahead of what it does with them. That a mapping ends is not
//! seen, so that what is shared counts until the process ends.

use sensor_ebpf::layout::{
    access::{
        Access, CARRIER_FILE, CARRIER_MEMORY, Inode, MEMORY_DEV, SEGMENT, SUM_READY, Share, Shares,
    },
    count::Error,
    header::kind,
    limits::SHARES_EACH,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, add, lost},
    emit,
    kernel::{
        file::{File, Kind},
        read::Reach,
        task::{Task, current_pid},
    },
    maps::{BULK, CARRIERS, SEGMENTS, SHARES},
};

use super::{
    access::{held, hold, noted},
    carrier::{hint_sharer, mark, may_be_carrier, may_share},
    record::{control, forget_all, runs_quiet_program},
};

/// What a process has when its first piece is noted.
// VERIFIER: as large as half of a program's stack, so it is not made there.
static NOTHING: Shares = Shares::NONE;

/// The current process, which is no holder, has mapped a file so that it can write there.
#[inline(never)]
pub(crate) fn mapped<R: Reach>(file: File<R>) -> Result<Outcome, Trouble> {
    let inode = file.inode()?;
    match inode.kind()? {
        Kind::Regular => note(inode.key()?, inode.size()?),
        Kind::Pipe | Kind::Directory | Kind::Disk | Kind::Socket | Kind::Other => {
            Ok(Outcome::Ignored)
        }
    }
}

/// The current process has mapped so many bytes of memory without a file, which those that it starts share with it.
#[inline(never)]
pub(crate) fn mapped_memory(bytes: u64) -> Result<Outcome, Trouble> {
    let generation = current_pid();
    let file = Inode {
        ino: emit::now(),
        dev: MEMORY_DEV,
        generation,
    };
    note(file, bytes)
}

/// A segment of System V memory was made, or found, and has to have so many bytes; 0: it is only looked for.
#[inline(always)]
pub(crate) fn segment_made(id: u32, bytes: u64) -> Result<Outcome, Trouble> {
    if bytes == 0 || SEGMENTS.get_ptr(id).is_some() {
        return Ok(Outcome::Ignored);
    }
    SEGMENTS
        .insert(id, &bytes, 0)
        .map(|()| Outcome::Summed)
        .map_err(|_| Trouble::Dropped(Error::SharesFull))
}

/// The current process has mapped a segment. One that was made before the programs were there has no size that is known, and is left
/// out.
#[inline(always)]
pub(crate) fn attached(id: u32) -> Result<Outcome, Trouble> {
    // SAFETY: the value is one word.
    let Some(bytes) = (unsafe { SEGMENTS.get(id) }).copied() else {
        return Ok(Outcome::Ignored);
    };
    let file = Inode {
        ino: u64::from(id),
        dev: MEMORY_DEV,
        generation: SEGMENT,
    };
    let process = Task::current().process()?;
    let Some(stores) = noted(&process) else {
        return note(file, bytes);
    };
    let share = Share {
        state: SUM_READY,
        file,
        bytes,
    };
    if CARRIERS.get_ptr(file).is_some() {
        tell(&process, &raw const share, Way::From);
    }
    mark(&file, stores)?;
    tell(&process, &raw const share, Way::To);
    Ok(Outcome::Summed)
}

#[inline(never)]
fn note(file: Inode, bytes: u64) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    // Who holds records starts others that hold them, too.
    if process.pid == control()?.own_pid || held(&process).is_some() || runs_quiet_program()? {
        return Ok(Outcome::Ignored);
    }
    hint_sharer(process.pid);
    let shares = match SHARES.get_ptr_mut(process) {
        Some(shares) => shares,
        None => {
            // BPF_NOEXIST: another thread may have come first.
            let _there = SHARES.insert(process, &NOTHING, 1);
            SHARES
                .get_ptr_mut(process)
                .ok_or(Trouble::Dropped(Error::SharesFull))?
        }
    };
    put(shares, file, bytes);
    Ok(Outcome::Summed)
}

/// Puts a piece into the first free place, or into any.
#[inline(always)]
fn put(shares: *mut Shares, file: Inode, bytes: u64) {
    let mut number = 0;
    while number < SHARES_EACH {
        let share = place(shares, number);
        // SAFETY: a place of a value in a map; its state is only ever added to, atomically, and the rest is written by the one
        // who moved it from 0 to 1.
        unsafe {
            let state = &raw mut (*share).state;
            if state.read_volatile() == 0 {
                add(&mut *state, 1);
                if state.read_volatile() == 1 {
                    write(share, file, bytes);
                    add(&mut *state, SUM_READY);
                    return;
                }
            } else if is_of(share, file) {
                return;
            }
        }
        number += 1;
    }
    // SAFETY: as above; who reads it meanwhile finds a file that is none.
    unsafe { write(place(shares, emit::now() as usize), file, bytes) };
}

#[inline(always)]
fn place(shares: *mut Shares, number: usize) -> *mut Share {
    // SAFETY: within the value, by the mask.
    unsafe {
        (&raw mut (*shares).places)
            .cast::<Share>()
            .add(number & (SHARES_EACH - 1))
    }
}

/// # Safety
/// `share` must be a place of a value in a map.
#[inline(always)]
unsafe fn write(share: *mut Share, file: Inode, bytes: u64) {
    // SAFETY: by the caller.
    unsafe {
        (&raw mut (*share).file).write_volatile(file);
        (&raw mut (*share).bytes).write_volatile(bytes);
    }
}

/// # Safety
/// As of `write`.
#[inline(always)]
unsafe fn is_of(share: *const Share, file: Inode) -> bool {
    // SAFETY: by the caller.
    unsafe { (&raw const (*share).file).read_volatile() == file }
}

/// A process that was started shares what the one that started it does.
#[inline(always)]
pub(crate) fn inherited(parent: &Process, child: &Process) -> Result<(), Trouble> {
    if !may_share(parent.pid) {
        return Ok(());
    }
    // SAFETY: the value is only read, and is copied by the kernel.
    let Some(shares) = (unsafe { SHARES.get(parent) }) else {
        return Ok(());
    };
    hint_sharer(child.pid);
    SHARES
        .insert(child, shares, 0)
        .map_err(|_| Trouble::Dropped(Error::SharesFull))
}

/// A process has other memory from now on, or none.
#[inline(always)]
pub(crate) fn dropped(process: &Process) {
    if may_share(process.pid) {
        // That it shared nothing is fine.
        let _absent = SHARES.remove(process);
    }
}

/// The stores whose records memory that the process shares may carry: it holds them from now on.
#[inline(always)]
pub(crate) fn reached(process: &Process) -> Option<u64> {
    if !may_share(process.pid) {
        return None;
    }
    // VERIFIER: one after the other, since one within the other takes more stack than there is (512 bytes in all).
    match shared_carriers(process.pid, process.start_ns) {
        0 => None,
        stores => {
            spread(process.pid, process.start_ns, stores);
            Some(stores)
        }
    }
}

// VERIFIER: exported, so that it is a global function of the program: it is verified once, and not for each who asks.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn shared_carriers(pid: u32, start_ns: u64) -> u64 {
    let process = Process {
        start_ns,
        pid,
        pad: 0,
    };
    let Some(shares) = SHARES.get_ptr_mut(process) else {
        return 0;
    };
    let (mut stores, mut number) = (0, 0);
    while number < SHARES_EACH {
        // SAFETY: a place of a value in a map.
        let share = place(shares, number);
        // SAFETY: as above.
        if may_be_carrier(unsafe { (*share).file.ino }) {
            // SAFETY: the value is only read.
            if let Some(carrier) = unsafe { CARRIERS.get(&(*share).file) } {
                stores |= carrier.stores;
                tell(&process, share, Way::From);
            }
        }
        number += 1;
    }
    if stores != 0 {
        hold(process, stores);
    }
    stores
}

/// The current process holds records from now on: what it shares are carriers.
#[inline(always)]
pub(crate) fn began() {
    let pid = current_pid();
    if may_share(pid) {
        let Ok(process) = Task::current().process() else {
            return lost(Error::NoTask);
        };
        if let Some(stores) = noted(&process) {
            spread(pid, process.start_ns, stores);
        }
    }
}

// VERIFIER: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn spread(pid: u32, start_ns: u64, stores: u64) -> u32 {
    let process = Process {
        start_ns,
        pid,
        pad: 0,
    };
    let Some(shares) = SHARES.get_ptr_mut(process) else {
        return 0;
    };
    let mut number = 0;
    while number < SHARES_EACH {
        let share = place(shares, number);
        // SAFETY: as above.
        if unsafe { (*share).state } >= SUM_READY {
            // SAFETY: as above.
            let begun = begin(unsafe { &(*share).file }, stores);
            if let Err(Trouble::Failed(error) | Trouble::Dropped(error)) = begun {
                lost(error);
            }
            tell(&process, share, Way::To);
        }
        number += 1;
    }
    1
}

/// Makes a carrier of memory that is shared.
#[inline(always)]
fn begin(file: &Inode, stores: u64) -> Result<(), Trouble> {
    let known = CARRIERS.get_ptr(file).is_some();
    mark(file, stores)?;
    if !known && file.dev != MEMORY_DEV {
        // That it is none may be remembered, and only who has the file finds where.
        forget_all()?;
    }
    Ok(())
}

/// Which way records may go.
#[derive(Clone, Copy)]
enum Way {
    /// Out of the memory to the process.
    From,
    /// Into the memory.
    To,
}

/// Tells that a process shares memory that is a carrier.
// VERIFIER: on its own, for the stack of its callers, and written field by field.
#[inline(never)]
fn tell(process: &Process, share: *const Share, way: Way) {
    let told = emit::record(&BULK, Error::BulkRingFull, |out: *mut Access| {
        let (tick, nothing) = (emit::tick(), emit::nought());
        // SAFETY: `out` is an Access in the ring, `share` a place of a value in a map.
        unsafe {
            let (file, bytes) = ((*share).file, (*share).bytes);
            (&raw mut (*out).header).write(emit::header(kind::ACCESS));
            (&raw mut (*out).key.file).write(file);
            (&raw mut (*out).key.process).write(*process);
            let sum = &raw mut (*out).sum;
            (&raw mut (*sum).first_ns).write(emit::now());
            (&raw mut (*sum).first_tick).write(tick);
            (&raw mut (*sum).last_tick).write(tick);
            (&raw mut (*sum).opens).write(nothing);
            (&raw mut (*sum).read).write(nothing);
            (&raw mut (*sum).written).write(nothing);
            (&raw mut (*sum).changed).write(nothing);
            (&raw mut (*sum).deleted).write(nothing);
            let (mapped, listed) = match way {
                Way::From => (bytes, nothing),
                Way::To => (nothing, bytes),
            };
            (&raw mut (*sum).mapped).write(mapped);
            (&raw mut (*sum).listed).write(listed);
            let store = if file.dev == MEMORY_DEV {
                CARRIER_MEMORY
            } else {
                CARRIER_FILE
            };
            (&raw mut (*sum).store).write(store);
            (&raw mut (*sum).pad).write(0);
        }
    });
    if told.is_err() {
        lost(Error::BulkRingFull);
    }
}
