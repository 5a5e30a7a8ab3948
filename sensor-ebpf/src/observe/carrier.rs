//! What carries data of records from one process to another: files outside of the stores, pipes, shared memory.
//!
//! What a holder of records writes to becomes a carrier, and whoever reads from it becomes a holder. Both are added up like
//! accesses to a record. For all other processes and files nothing is looked up: a word for each of many processes, and one
//! for each of many files, tells that there is nothing to find.
//!
//! **Invariant:** who finds a carrier's answer finds the carrier.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use sensor_ebpf::layout::{
    access::{CARRIER_FILE, CARRIER_PIPE, Carrier, Inode, NO_STORE, carrier_hint},
    count::Error,
    limits::{AHEAD_MAX, HOLDER_HINTS_MAX},
};

use crate::{
    count::{Outcome, Trouble},
    emit,
    kernel::{
        file::{File, Inode as FileInode, Kind},
        read::{Probed, Reach},
        sock::Sock,
        task::{Task, current_pid},
    },
    maps::{self, CARRIER_HINTS, CARRIERS},
};

use super::{
    access::{Act, held, hold, noted},
    answer::Slot,
    hand::note_local,
    record::{self, Judged, Record, control},
};

/// Whether something done with a carrier passes data on.
#[derive(Clone, Copy)]
pub(crate) enum Passing {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does, and the process holds records from now on.
    Begins,
}

/// True when the current process may hold records, or what it shares memory with may.
#[inline(always)]
pub(crate) fn may_be_holder() -> bool {
    is_hinted(current_pid())
}

/// The same of a process with such a number.
#[inline(always)]
pub(crate) fn is_hinted(pid: u32) -> bool {
    // SAFETY: the value of a map is always there; volatile, because another CPU may set it.
    unsafe { hints(pid).read_volatile() != 0 }
}

/// Notes that a process may hold records.
#[inline(always)]
pub(crate) fn hint_holder(pid: u32) {
    // SAFETY: the value of a map is always there, and each half is only ever set to one.
    unsafe { hints(pid).cast::<u16>().write_volatile(1) };
}

/// Notes that a process shares memory.
#[inline(always)]
pub(crate) fn hint_sharer(pid: u32) {
    // SAFETY: as above.
    unsafe { hints(pid).cast::<u16>().add(1).write_volatile(1) };
}

/// True when a process with such a number may share memory.
#[inline(always)]
pub(crate) fn may_share(pid: u32) -> bool {
    // SAFETY: as in `is_hinted`.
    unsafe { hints(pid).cast::<u16>().add(1).read_volatile() != 0 }
}

/// The word that tells of processes with such a number.
#[inline(always)]
fn hints(pid: u32) -> *mut u32 {
    // SAFETY: there are as many as the mask can number.
    unsafe { maps::holder_hints().add((pid & (HOLDER_HINTS_MAX - 1)) as usize) }
}

/// Store number of a file outside of all stores: that of carriers, if it is one.
#[inline(always)]
pub(crate) fn file_store(file: &Inode) -> u32 {
    if may_be_carrier(file.ino) && CARRIERS.get_ptr(file).is_some() {
        CARRIER_FILE
    } else {
        NO_STORE
    }
}

/// What a pipe is.
#[inline(always)]
pub(crate) fn judge_pipe<R: Reach>(pipe: FileInode<R>) -> Result<Judged, Error> {
    if !may_be_carrier(pipe.number()?) {
        return Ok(Judged::Outside);
    }
    // VERIFIER: of sys_exit, where memory is probed, the frame has no room for it on 6.1.
    let found = if R::COMPUTED {
        let file = pipe.key()?;
        CARRIERS.get_ptr(file).map(|_| file)
    } else {
        carrier_by_answer(pipe)?
    };
    let store = CARRIER_PIPE;
    Ok(found.map_or(Judged::Outside, |file| {
        Judged::Record(Record { file, store })
    }))
}

/// A pipe that is a carrier is remembered as files are: to look it up costs more than all else that is done with it.
#[inline(always)]
fn carrier_by_answer<R: Reach>(pipe: FileInode<R>) -> Result<Option<Inode>, Error> {
    let (here, generation) = (pipe.here()?, record::generation()?);
    let slot = Slot::of(&here)?;
    let seen = slot.seen();
    if let Some((CARRIER_PIPE, dev)) = slot.recall(&here, generation, seen) {
        return Ok(Some(here.key_on(dev)));
    }
    let file = here.key()?;
    Ok(CARRIERS.get_ptr(file).map(|_| {
        // A memory only.
        let _unremembered = slot.remember(&here, (CARRIER_PIPE, file.dev), generation, seen);
        file
    }))
}

/// A file outside of the stores, or a pipe, is written to, or mapped so that it can be: if by a holder, it is a carrier from
/// now on. Gives the store number of carriers then, else none.
// VERIFIER: on its own, for the stack of its callers.
#[inline(never)]
pub(crate) fn spread<R: Reach>(file: File<R>) -> Result<u32, Trouble> {
    let Some(stores) = held(&Task::current().process()?) else {
        return Ok(NO_STORE);
    };
    let inode = file.inode()?;
    let store = match inode.kind()? {
        Kind::Regular => CARRIER_FILE,
        Kind::Pipe => CARRIER_PIPE,
        Kind::Directory | Kind::Disk | Kind::Socket | Kind::Other => return Ok(NO_STORE),
    };
    let key = inode.key()?;
    mark(&key, stores)?;
    if store == CARRIER_FILE {
        record::forget(inode)?;
        record::name_carrier(file, key)?;
    }
    Ok(store)
}

/// Something is about to go into a file of any kind by the current process, which may be a holder.
#[inline(always)]
pub(crate) fn filled<R: Reach>(file: File<R>) -> Result<Outcome, Trouble> {
    match file.inode()?.kind()? {
        Kind::Pipe => spread(file).map(|_| Outcome::Summed),
        Kind::Regular | Kind::Directory | Kind::Disk | Kind::Socket | Kind::Other => {
            Ok(Outcome::Ignored)
        }
    }
}

/// Whether something done with a carrier passes data on: reading makes a holder, writing as a holder may bring data of more
/// stores.
// VERIFIER: on its own, for the stack of its callers.
#[inline(never)]
pub(crate) fn passes(record: &Record, act: Act) -> Result<Passing, Error> {
    let Some(carrier) = CARRIERS.get_ptr_mut(record.file) else {
        return Ok(Passing::No);
    };
    let process = Task::current().process()?;
    match act {
        Act::Read | Act::Map => {
            if process.pid == control()?.own_pid
                || (matches!(act, Act::Map) && record::runs_quiet_program()?)
            {
                return Ok(Passing::No);
            }
            // SAFETY: a carrier is removed by the sensor only, and then its memory is another carrier's at worst.
            let stores = unsafe { (&raw const (*carrier).stores).read_volatile() };
            Ok(if hold(process, stores) {
                Passing::Begins
            } else {
                Passing::Yes
            })
        }
        Act::Write | Act::List => {
            let Some(stores) = held(&process) else {
                return Ok(Passing::No);
            };
            // SAFETY: as above; two writers at once with different stores: the later one sets its bits again.
            let carrier = unsafe { &mut *carrier };
            carrier.stores |= stores;
            carrier.last_ns = emit::now();
            Ok(Passing::Yes)
        }
        Act::Open | Act::Change | Act::Delete => Ok(Passing::No),
    }
}

/// True when a file or pipe with such an inode number may be a carrier.
#[inline(always)]
pub(super) fn may_be_carrier(ino: u64) -> bool {
    let Some(word) = CARRIER_HINTS.get_ptr(carrier_hint(ino)) else {
        return false;
    };
    // SAFETY: as in `may_be_holder`.
    unsafe { word.read_volatile() != 0 }
}

/// What the current process has open that leads to others is marked ahead of the first byte, where a call is seen only when it
/// returns: who reads at the other end may be faster.
#[inline(always)]
pub(crate) fn look_ahead() {
    let mut fd = 0;
    while fd < AHEAD_MAX {
        open_ahead(fd);
        fd += 1;
    }
}

/// The current process, which may be a holder, has made a pipe, whose two descriptors are at this address of its own memory.
#[inline(always)]
pub(crate) fn pipe_made(descriptors: u64) -> Result<Outcome, Trouble> {
    let mut fds = [0_u32; 2];
    // SAFETY: any address may be read; what is not there stays 0.
    let _unreadable =
        unsafe { bpf_probe_read_user((&raw mut fds).cast(), 8, descriptors as *const _) };
    // The second one is written to (pipe2(2)).
    open_ahead(u64::from(fds[1]));
    Ok(Outcome::Summed)
}

/// One descriptor of the current process.
// VERIFIER: exported, so that it is a global function of the program: it is verified once, and not once for each.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn open_ahead(fd: u64) -> u32 {
    u32::from(ahead(fd).is_ok())
}

#[inline(always)]
fn ahead(fd: u64) -> Result<(), Trouble> {
    let task = Task::current();
    let file = File::<Probed>::new(task.file(fd as u32)?);
    let inode = file.inode()?;
    match inode.kind()? {
        Kind::Pipe if file.is_writable()? => {
            let process = task.process()?;
            match noted(&process) {
                Some(stores) => mark(&inode.key()?, stores),
                None => Ok(()),
            }
        }
        Kind::Socket => {
            let sock = Sock::<Probed>::of(file.private()?)?;
            if sock.is_tcp()? && sock.is_open()? {
                note_local(&sock.ends(0)?, &task.process()?);
            }
            Ok(())
        }
        Kind::Pipe | Kind::Regular | Kind::Directory | Kind::Disk | Kind::Other => Ok(()),
    }
}

/// Puts a carrier into the map; one that is there may carry records of more stores from now on.
#[inline(always)]
pub(super) fn mark(file: &Inode, stores: u64) -> Result<(), Trouble> {
    if let Some(carrier) = CARRIERS.get_ptr_mut(file) {
        // SAFETY: as in `passes`.
        unsafe { (*carrier).stores |= stores };
        return Ok(());
    }
    let word = CARRIER_HINTS
        .get_ptr_mut(carrier_hint(file.ino))
        .ok_or(Error::NoControl)?;
    // SAFETY: as in `hint_holder`.
    unsafe { word.write_volatile(1) };
    let last_ns = emit::now();
    CARRIERS
        .insert(file, &Carrier { stores, last_ns }, 0)
        .map_err(|_| Trouble::Dropped(Error::CarriersFull))
}
