//! What processes do with records, added up in maps.

use sensor_ebpf::layout::{
    access::{Access, AccessKey, AccessSum, CANARY_STORE, Inode},
    config::Holder,
    count::Error,
    header::kind,
    proc::Process,
};

use crate::{
    count::{Outcome, Trouble, add, lost},
    emit,
    kernel::{file::Entry, file::File, read::Reach, task::Task, task::current_tid},
    maps::{ACCESSES_0, ACCESSES_1, BULK, HOLDERS, ROOTS},
};

use super::record::{Record, control, judge, judge_entry, link};

/// What is done with a file.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// It is opened.
    Open,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// It is mapped.
    Map,
    /// It is changed other than by writing.
    Change,
    /// A name of it is removed.
    Delete,
}

/// One touch of a record.
#[derive(Clone, Copy)]
struct Touch {
    opens: u64,
    read: u64,
    mapped: u64,
    written: u64,
    changed: u64,
    deleted: u64,
}

impl Touch {
    #[inline(always)]
    fn new(act: Act, amount: u64) -> Self {
        let of = |wanted: bool, amount| if wanted { amount } else { 0 };
        Self {
            opens: of(matches!(act, Act::Open), 1),
            read: of(matches!(act, Act::Read), amount),
            mapped: of(matches!(act, Act::Map), amount),
            written: of(matches!(act, Act::Write), amount),
            changed: of(matches!(act, Act::Change), 1),
            deleted: of(matches!(act, Act::Delete), 1),
        }
    }
}

/// Something is done with a file; `result` is what the call gave: bytes, or a negative error number.
///
/// Told so by the sensor, a file that is opened is a store's root. Of a mapping the whole file counts, since what is
/// touched of it cannot be seen.
#[inline(always)]
pub(crate) fn touched<R: Reach>(file: File<R>, act: Act, result: i64) -> Result<Outcome, Trouble> {
    if matches!(act, Act::Read | Act::Write) && result <= 0 {
        return Ok(Outcome::Ignored);
    }
    let record = judge(file)?;
    if matches!(act, Act::Open) && may_be_told(file, record.is_some())? && is_armed()? {
        return armed(file.inode()?.key()?);
    }
    let Some(record) = record else {
        return Ok(Outcome::Ignored);
    };
    let amount = if matches!(act, Act::Map) {
        file.inode()?.size()?
    } else {
        result as u64
    };
    record_touched(&record, &Touch::new(act, amount))
}

/// Something is done with what a name stands for.
#[inline(always)]
pub(crate) fn touched_entry<R: Reach>(entry: Entry<R>, act: Act) -> Result<Outcome, Trouble> {
    match judge_entry(entry)? {
        Some(record) => record_changed(&record, act),
        None => Ok(Outcome::Ignored),
    }
}

/// Something is done with a record, of which no bytes are counted.
#[inline(always)]
pub(crate) fn record_changed(record: &Record, act: Act) -> Result<Outcome, Trouble> {
    record_touched(record, &Touch::new(act, 0))
}

/// A record got a further name.
#[inline(always)]
pub(crate) fn linked<R: Reach>(entry: Entry<R>) -> Result<Outcome, Trouble> {
    let Some(record) = judge_entry(entry)? else {
        return Ok(Outcome::Ignored);
    };
    link(&record)?;
    record_changed(&record, Act::Change)
}

/// The sensor tells directories, and records.
#[inline(always)]
fn may_be_told<R: Reach>(file: File<R>, is_record: bool) -> Result<bool, Error> {
    Ok(is_record || file.inode()?.is_directory()?)
}

#[inline(always)]
fn is_armed() -> Result<bool, Error> {
    let control = control()?;
    Ok(control.arming_tid != 0 && control.arming_tid == current_tid())
}

/// The sensor tells a store's root, or a record that has several names.
#[inline(always)]
fn armed(file: Inode) -> Result<Outcome, Trouble> {
    let control = control()?;
    let store = control.arming_store;
    if control.arming_linked != 0 {
        link(&Record { file, store })?;
    } else if ROOTS.insert(&file, &store, 0).is_err() {
        return Err(Trouble::Dropped(Error::RootsFull));
    }
    Ok(Outcome::Summed)
}

#[inline(never)]
fn record_touched(record: &Record, touch: &Touch) -> Result<Outcome, Trouble> {
    let process = Task::current().process()?;
    let control = control()?;
    if process.pid == control.own_pid && record.store != CANARY_STORE {
        return Ok(Outcome::Ignored);
    }
    let sums = if control.active == 0 {
        &ACCESSES_0
    } else {
        &ACCESSES_1
    };
    let key = AccessKey {
        file: record.file,
        process,
    };
    if let Some(sum) = sums.get_ptr_mut(&key) {
        // SAFETY: the value stays while this buffer is active or a program may still write to it; the sensor waits.
        unsafe { add_up(&mut *sum, touch) };
        return Ok(Outcome::Summed);
    }
    // The canary is no patient's: who sings it, the sensor, is no holder, and its own flows stay its own.
    if record.store != CANARY_STORE {
        hold(process, 1 << (record.store & 63));
    }
    let now = emit::now();
    let sum = AccessSum {
        first_ns: now,
        last_ns: now,
        opens: touch.opens,
        read: touch.read,
        mapped: touch.mapped,
        written: touch.written,
        changed: touch.changed,
        deleted: touch.deleted,
        store: record.store,
        pad: 0,
    };
    // BPF_NOEXIST: another thread of the process may have come first.
    if sums.insert(&key, &sum, 1).is_ok() {
        return Ok(Outcome::Summed);
    }
    if let Some(sum) = sums.get_ptr_mut(&key) {
        // SAFETY: as above.
        unsafe { add_up(&mut *sum, touch) };
        return Ok(Outcome::Summed);
    }
    emit::record(&BULK, Error::BulkRingFull, |out: *mut Access| {
        // SAFETY: `out` is an Access in the ring.
        unsafe {
            out.write(Access {
                header: emit::header(kind::ACCESS),
                key,
                sum,
            })
        }
    })
}

#[inline(always)]
fn add_up(sum: &mut AccessSum, touch: &Touch) {
    sum.last_ns = emit::now();
    if touch.opens != 0 {
        add(&mut sum.opens, touch.opens);
    }
    if touch.read != 0 {
        add(&mut sum.read, touch.read);
    }
    if touch.mapped != 0 {
        add(&mut sum.mapped, touch.mapped);
    }
    if touch.written != 0 {
        add(&mut sum.written, touch.written);
    }
    if touch.changed != 0 {
        add(&mut sum.changed, touch.changed);
    }
    if touch.deleted != 0 {
        add(&mut sum.deleted, touch.deleted);
    }
}

/// Notes that a process holds data of stores, from which on its flows are reported.
#[inline(always)]
pub(crate) fn hold(process: Process, stores: u64) {
    if let Some(holder) = HOLDERS.get_ptr_mut(process.pid) {
        // SAFETY: the sensor removes a holder only when its process is gone.
        let holder = unsafe { &mut *holder };
        if holder.process.start_ns == process.start_ns {
            // Two threads that come at once with different stores: the later access sets the bit again.
            holder.stores |= stores;
            return;
        }
    }
    if HOLDERS
        .insert(process.pid, &Holder { process, stores }, 0)
        .is_err()
    {
        lost(Error::HoldersFull);
    }
}

/// True when the process has touched a record.
#[inline(always)]
pub(crate) fn is_holder(process: &Process) -> bool {
    held(process).is_some()
}

/// The stores a process holds records of; absent when it holds none.
#[inline(always)]
pub(crate) fn held(process: &Process) -> Option<u64> {
    // SAFETY: the value is only read; a later process under the same pid has another start.
    match unsafe { HOLDERS.get(process.pid) } {
        Some(holder) if holder.process.start_ns == process.start_ns => Some(holder.stores),
        _ => None,
    }
}
