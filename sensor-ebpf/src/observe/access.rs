//! What processes do with records, and who holds them.

use sensor_ebpf::layout::{
    access::{
        AccessKey, CANARY_STORE, CARRIER_FILE, Inode, NO_STORE, OWN_FILES, QUIET_PROGRAM, SERVICES,
    },
    config::Holder,
    count::Error,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, lost},
    kernel::{
        file::{Entry, File, Kind},
        read::Reach,
        task::{Task, current_tid},
    },
    maps::{HOLDERS, KEPT, ROOTS},
};

pub(crate) use super::sum::Act;
use super::{
    carrier::{self, Passing, may_be_holder},
    record::{Judged, Record, control, judge, judge_entry, link, remembered},
    share, sum, tamper,
};

/// Something is done with a file; `result` is what the call gave: bytes, or a negative error number.
///
/// Told so by the sensor, a file that is opened is a store's root, and one outside that is mapped is a file of the sensor's
/// own. Of a mapping the whole file counts, since what is touched of it cannot be seen.
#[inline(always)]
pub(crate) fn touched<R: Reach>(file: File<R>, act: Act, result: i64) -> Result<Outcome, Trouble> {
    if matches!(act, Act::Read | Act::Write) && result <= 0 {
        return Ok(Outcome::Ignored);
    }
    let record = match judge(file, matches!(act, Act::List))? {
        Judged::Outside if matches!(act, Act::Write) && may_be_holder() => {
            match carrier::spread(file)? {
                NO_STORE => return Ok(Outcome::Ignored),
                store => Record {
                    file: file.inode()?.key()?,
                    store,
                },
            }
        }
        // A named pipe, ahead of what goes into it.
        Judged::Outside if matches!(act, Act::Open) && may_be_holder() && file.is_writable()? => {
            return carrier::filled(file);
        }
        Judged::Outside if matches!(act, Act::Map) && is_armed()? => {
            return armed(&file.inode()?.key()?);
        }
        Judged::Outside => return Ok(Outcome::Ignored),
        Judged::Directory if !matches!(act, Act::Open) || !is_armed()? => {
            return Ok(Outcome::Ignored);
        }
        Judged::Directory => return armed(&file.inode()?.key()?),
        Judged::Record(record) if matches!(act, Act::Open) && is_armed()? => {
            return armed(&record.file);
        }
        Judged::Record(record) => record,
    };
    let amount = match act {
        Act::Map => file.inode()?.size()?,
        Act::Read | Act::Write => result as u64,
        Act::Open | Act::Change | Act::Delete | Act::List => 1,
    };
    counted::<R>(&record, act, amount)
}

/// Something is done with a record that was found by what can be read so.
#[inline(always)]
fn counted<R: Reach>(record: &Record, act: Act, amount: u64) -> Result<Outcome, Trouble> {
    // VERIFIER: of sys_exit, where memory is probed, the frame has no room for it on 6.1.
    if !R::COMPUTED && added(record, act, amount)? {
        return Ok(Outcome::Summed);
    }
    record_touched(record, act, amount)
}

/// Adds to a sum that has been begun, without a call and all that is handed over by it.
#[inline(always)]
fn added(record: &Record, act: Act, amount: u64) -> Result<bool, Error> {
    let (process, control) = (Task::current().process()?, control()?);
    let key = AccessKey {
        file: record.file,
        process,
    };
    Ok(process.pid != control.own_pid && sum::add_up(control, &key, act, amount))
}

/// Bytes go into a pipe, or out of one; files of other kinds are ignored.
#[inline(always)]
pub(crate) fn piped<R: Reach>(file: File<R>, act: Act, result: i64) -> Result<Outcome, Trouble> {
    match file.inode()?.kind()? {
        Kind::Pipe => touched(file, act, result),
        Kind::Regular | Kind::Directory | Kind::Disk | Kind::Socket | Kind::Other => {
            Ok(Outcome::Ignored)
        }
    }
}

/// A file is mapped; `shared` if so that what is written there is written to it.
// VERIFIER: functions side by side, for the stack of what they call (512 bytes in all on 6.1). What is known of most files takes
// none of them: to call one costs as much as half of what it would find.
#[inline(always)]
pub(crate) fn mapped<R: Reach>(file: File<R>, shared: bool) -> Result<Outcome, Trouble> {
    if shared {
        return share(file);
    }
    match remembered(file)? {
        Some((NO_STORE, _)) if !is_armed()? => Ok(Outcome::Ignored),
        Some((store, dev)) if store != NO_STORE => record_mapped(file, store, dev),
        _ => only_mapped(file),
    }
}

#[inline(never)]
fn record_mapped<R: Reach>(file: File<R>, store: u32, dev: u32) -> Result<Outcome, Trouble> {
    let inode = file.inode()?;
    let file = inode.here()?.key_on(dev);
    counted::<R>(&Record { file, store }, Act::Map, inode.size()?)
}

#[inline(never)]
fn only_mapped<R: Reach>(file: File<R>) -> Result<Outcome, Trouble> {
    touched(file, Act::Map, 0)
}

/// A file is mapped so that what is written there is written to it.
#[inline(never)]
pub(crate) fn share<R: Reach>(file: File<R>) -> Result<Outcome, Trouble> {
    let size = file.inode()?.size()?;
    let record = match judge(file, false)? {
        Judged::Outside if !may_be_holder() => return share::mapped(file),
        Judged::Outside => match carrier::spread(file)? {
            NO_STORE => return share::mapped(file),
            store => Record {
                file: file.inode()?.key()?,
                store,
            },
        },
        Judged::Record(record) => {
            let outcome = record_touched(&record, Act::Map, size)?;
            if !(CARRIER_FILE..OWN_FILES).contains(&record.store) {
                return Ok(outcome);
            }
            record
        }
        Judged::Directory => return Ok(Outcome::Ignored),
    };
    record_touched(&record, Act::List, size)
}

/// Something is done with what a name stands for.
#[inline(always)]
pub(crate) fn touched_entry<R: Reach>(entry: Entry<R>, act: Act) -> Result<Outcome, Trouble> {
    match judge_entry(entry)? {
        Judged::Record(record) => record_changed(&record, act),
        Judged::Outside | Judged::Directory => Ok(Outcome::Ignored),
    }
}

/// Something is done with a record, of which no bytes are counted.
#[inline(always)]
pub(crate) fn record_changed(record: &Record, act: Act) -> Result<Outcome, Trouble> {
    record_touched(record, act, 1)
}

/// A record got a further name.
#[inline(always)]
pub(crate) fn linked<R: Reach>(entry: Entry<R>) -> Result<Outcome, Trouble> {
    let Judged::Record(record) = judge_entry(entry)? else {
        return Ok(Outcome::Ignored);
    };
    link(&record)?;
    record_changed(&record, Act::Change)
}

#[inline(always)]
fn is_armed() -> Result<bool, Error> {
    let control = control()?;
    Ok(control.arming_tid != 0 && control.arming_tid == current_tid())
}

/// The sensor tells a store's root, or a record that has several names.
// VERIFIER: on its own, for the stack of its callers.
#[inline(never)]
fn armed(file: &Inode) -> Result<Outcome, Trouble> {
    let control = control()?;
    let store = control.arming_store;
    if control.arming_linked != 0 {
        link(&Record { file: *file, store })?;
    } else if ROOTS.insert(file, &store, 0).is_err() {
        return Err(Trouble::Dropped(Error::RootsFull));
    }
    Ok(Outcome::Summed)
}

#[inline(always)]
fn record_touched(record: &Record, act: Act, amount: u64) -> Result<Outcome, Trouble> {
    // VERIFIER: two functions side by side, since one within the other takes more stack than 6.1 allows (512 bytes).
    if record.store >= OWN_FILES {
        own_file_touched(record.store - OWN_FILES, act)
    } else if record.store >= CARRIER_FILE {
        match carrier::passes(record, act)? {
            Passing::No => Ok(Outcome::Ignored),
            Passing::Yes => summed(record, act, amount),
            Passing::Begins => summed(record, act, amount).map(|_| Outcome::Began),
        }
    } else if record.store >= SERVICES {
        served(Task::current().process()?, record, act)
    } else {
        summed(record, act, amount)
    }
}

/// Who runs a program that serves the records of a store holds them, whatever it has of them in memory.
#[inline(always)]
fn served(process: Process, record: &Record, act: Act) -> Result<Outcome, Trouble> {
    // A program is mapped when it is run (load_elf_binary() of fs/binfmt_elf.c).
    if !matches!(act, Act::Map) || record.store == QUIET_PROGRAM {
        return Ok(Outcome::Ignored);
    }
    Ok(if runs(&process, record.store)? {
        Outcome::Began
    } else {
        Outcome::Summed
    })
}

/// A process runs a program of which the sensor has told this. True when it is a holder since now.
#[inline(always)]
pub(crate) fn runs(process: &Process, told: u32) -> Result<bool, Error> {
    if !(SERVICES..QUIET_PROGRAM).contains(&told) || process.pid == control()?.own_pid {
        return Ok(false);
    }
    Ok(hold(*process, 1 << ((told - SERVICES) & 63)))
}

/// True when a process is a holder since now because it, or who started it, was one when the sensor stopped.
#[inline(always)]
pub(crate) fn held_before(process: &Process) -> bool {
    // SAFETY: the sensor changes nothing while the programs look.
    match unsafe { KEPT.get(process.pid) } {
        Some(kept) if (kept.from_ns..=kept.to_ns).contains(&process.start_ns) => {
            hold(*process, kept.stores)
        }
        _ => false,
    }
}

#[inline(never)]
fn summed(record: &Record, act: Act, amount: u64) -> Result<Outcome, Trouble> {
    touched_by(Task::current().process()?, record, act, amount)
}

/// A process was found to have a record open or mapped; that it has a file of the sensor's own is nothing.
#[inline(never)]
pub(crate) fn record_had(
    process: &Process,
    record: &Record,
    act: Act,
    amount: u64,
) -> Result<Outcome, Trouble> {
    if record.store >= CARRIER_FILE {
        return Ok(Outcome::Ignored);
    }
    if record.store >= SERVICES {
        return served(*process, record, act);
    }
    touched_by(*process, record, act, amount)
}

#[inline(always)]
fn touched_by(
    process: Process,
    record: &Record,
    act: Act,
    amount: u64,
) -> Result<Outcome, Trouble> {
    let control = control()?;
    if process.pid == control.own_pid && record.store != CANARY_STORE {
        return Ok(Outcome::Ignored);
    }
    let key = AccessKey {
        file: record.file,
        process,
    };
    if sum::add_up(control, &key, act, amount) {
        return Ok(Outcome::Summed);
    }
    let mut began = false;
    let told = sum::begin(control, &key, record.store, act, amount, || {
        // The canary is no patient's: who sings it, the sensor, is no holder, and its own flows stay its own.
        // What a carrier brings depends on what it carries.
        if record.store != CANARY_STORE && record.store < CARRIER_FILE {
            began = hold(process, 1 << (record.store & 63));
        }
    });
    if began {
        told.map(|_| Outcome::Began)
    } else {
        told
    }
}

/// A file of the sensor's own may be read by anybody who can; what changes it is an attempt on the sensor.
#[inline(never)]
fn own_file_touched(file: u32, act: Act) -> Result<Outcome, Trouble> {
    match act {
        // The hook of a removal comes before it is done, and a guard refuses it after that.
        Act::Delete if control()?.guard != 0 => Ok(Outcome::Ignored),
        Act::Write | Act::Change | Act::Delete => tamper::edited(file),
        Act::Open | Act::Read | Act::Map | Act::List => Ok(Outcome::Ignored),
    }
}

/// Notes that a process holds data of stores, from which on its flows are reported. True when it held none before.
#[inline(always)]
pub(crate) fn hold(process: Process, stores: u64) -> bool {
    if let Some(holder) = HOLDERS.get_ptr_mut(process.pid) {
        // SAFETY: the sensor removes a holder only when its process is gone.
        let holder = unsafe { &mut *holder };
        if holder.process.start_ns == process.start_ns {
            // Two threads that come at once with different stores: the later access sets the bit again.
            holder.stores |= stores;
            return false;
        }
    }
    carrier::hint_holder(process.pid);
    if HOLDERS
        .insert(process.pid, &Holder { process, stores }, 0)
        .is_err()
    {
        lost(Error::HoldersFull);
        return false;
    }
    true
}

/// True when the process has touched a record.
#[inline(always)]
pub(crate) fn is_holder(process: &Process) -> bool {
    held(process).is_some()
}

/// The stores a process holds records of; absent when it holds none. Memory that it shares with a holder makes it one.
#[inline(always)]
pub(crate) fn held(process: &Process) -> Option<u64> {
    match noted(process) {
        None => share::reached(process),
        stores => stores,
    }
}

/// The same of what is noted already, without a look at what it shares.
#[inline(always)]
pub(crate) fn noted(process: &Process) -> Option<u64> {
    // SAFETY: the value is only read; a later process under the same pid has another start.
    match unsafe { HOLDERS.get(process.pid) } {
        Some(holder) if holder.process.start_ns == process.start_ns => Some(holder.stores),
        _ => None,
    }
}
