//! Is this file a record, and of which store?
//!
//! Identity is the inode. The answer comes from the memory of answers or, if there is none, from what is remembered of
//! the file's directory, or from walking up to a store's root. A record found by walking is named in the bulk ring.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use sensor_ebpf::layout::{
    access::{CARRIER_FILE, Inode, MOVED, Mark, NO_STORE, Name, QUIET_PROGRAM},
    config::Control,
    count::Error,
    header::kind,
    limits::{DEPTH_MAX, HINTS_BITS, NAME_MAX, PATH_LARGE, PATH_SMALL},
};

use crate::{
    count::Trouble,
    emit,
    kernel::{
        file::{Entry, File, Inode as FileInode, Kind},
        read::Reach,
        task::Task,
    },
    maps::{self, BULK, DISKS, LINKED, MARKS, ROOTS},
};

use super::{
    answer::{NOWHERE, Slot},
    carrier,
};

/// True when the current process runs a program that carries no records by nature.
#[inline(never)]
pub(crate) fn runs_quiet_program() -> Result<bool, Error> {
    Ok(told_of_program(Task::current())? == QUIET_PROGRAM)
}

/// What the sensor has told of the program that a process runs: a number as of a store, or `NO_STORE`.
#[inline(always)]
pub(crate) fn told_of_program(task: Task) -> Result<u32, Error> {
    let Some(program) = task.program()? else {
        return Ok(NO_STORE);
    };
    // SAFETY: the value is one word.
    Ok(unsafe { LINKED.get(program) }.copied().unwrap_or(NO_STORE))
}

/// A record.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// Its identity.
    pub(crate) file: Inode,
    /// Its store.
    pub(crate) store: u32,
}

/// What a file is.
#[derive(Clone, Copy)]
pub(crate) enum Judged {
    /// Nobody's business.
    Outside,
    /// A directory, in a store or not.
    Directory,
    /// A record.
    Record(Record),
}

impl Judged {
    /// The record, if it is one.
    #[inline(always)]
    pub(crate) fn record(self) -> Option<Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Outside | Self::Directory => None,
        }
    }
}

/// What the sensor tells the programs.
#[inline(always)]
pub(crate) fn control() -> Result<&'static Control, Error> {
    // SAFETY: the value of a map is always there; the sensor writes its words one by one.
    Ok(unsafe { &*maps::control() })
}

/// Finds out what a file is; a directory of a store is a record when it is `listed`.
#[inline(always)]
pub(crate) fn judge<R: Reach>(file: File<R>, listed: bool) -> Result<Judged, Error> {
    let inode = file.inode()?;
    judge_by(inode, listed, || file.entry(inode))
}

/// Finds out what it is that a name stands for.
#[inline(always)]
pub(crate) fn judge_entry<R: Reach>(entry: Entry<R>) -> Result<Judged, Error> {
    judge_by(entry.inode()?, false, || Ok(Some(entry)))
}

/// What is remembered of a regular file: its store, or `NO_STORE`, and of a record its device.
#[inline(always)]
pub(crate) fn remembered<R: Reach>(file: File<R>) -> Result<Option<(u32, u32)>, Error> {
    let inode = file.inode()?;
    if !matches!(inode.kind()?, Kind::Regular) {
        return Ok(None);
    }
    let (here, generation) = (inode.here()?, generation()?);
    let slot = Slot::of(&here)?;
    Ok(slot.recall(&here, generation, slot.seen()))
}

#[inline(always)]
fn judge_by<R: Reach>(
    inode: FileInode<R>,
    listed: bool,
    entry: impl Fn() -> Result<Option<Entry<R>>, Error>,
) -> Result<Judged, Error> {
    match inode.kind()? {
        Kind::Regular if !listed => {}
        Kind::Directory if listed => {
            // SAFETY: see `walk`.
            if let Some(store) = unsafe { ROOTS.get(inode.key()?) } {
                return known(inode.key()?, *store & !MOVED);
            }
        }
        Kind::Directory => return Ok(Judged::Directory),
        Kind::Disk => return disk(inode),
        Kind::Pipe => return carrier::judge_pipe(inode),
        Kind::Regular | Kind::Socket | Kind::Other => return Ok(Judged::Outside),
    }
    let here = inode.here()?;
    let generation = generation()?;
    let slot = Slot::of(&here)?;
    let seen = slot.seen();
    if let Some((store, dev)) = slot.recall(&here, generation, seen) {
        return known(here.key_on(dev), store);
    }
    let Some(entry) = entry()? else {
        return Ok(Judged::Outside);
    };
    let key = here.key()?;
    // A directory has one name, whatever its count of links.
    let linked = !listed && inode.is_linked()?;
    let Look { store, named } = look(key, generation, linked, entry)?;
    // A file with several names may be outside under one and inside under another.
    if named && (store != NO_STORE || !linked) {
        // A memory only: that another CPU was at the slot costs another look.
        let _unremembered = slot.remember(&here, (store, key.dev), generation, seen);
    }
    known(key, store)
}

/// A disk that a store lies on is a record of it that has no name: all of the store.
#[inline(always)]
fn disk<R: Reach>(inode: FileInode<R>) -> Result<Judged, Error> {
    // SAFETY: disks are told once, and the value is one word.
    match unsafe { DISKS.get(inode.disk()?) } {
        Some(store) => known(inode.key()?, *store),
        None => Ok(Judged::Outside),
    }
}

/// What was found the long way.
#[derive(Clone, Copy)]
struct Look {
    store: u32,
    /// False when the record's name found no room.
    named: bool,
}

impl Look {
    /// Where there is nothing to name.
    #[inline(always)]
    const fn of(store: u32) -> Self {
        Self { store, named: true }
    }
}

/// Finds a file's store the long way.
#[inline(always)]
fn look<R: Reach>(
    key: Inode,
    generation: u32,
    linked: bool,
    entry: Entry<R>,
) -> Result<Look, Error> {
    let Some(parent) = entry.parent()? else {
        // It lies in no directory (memfd_create), but may have been written to.
        return Ok(Look::of(carrier::file_store(&key)));
    };
    let directory = parent.inode()?.here()?;
    let slot = Slot::of(&directory)?;
    let seen = slot.seen();
    if !linked && slot.is_outside(&directory, generation, seen) {
        return Ok(Look::of(lone_store(&key)));
    }
    // SAFETY: a mark that is replaced meanwhile reads as the old or the new one.
    let before = match unsafe { MARKS.get(&key) } {
        Some(mark) if mark.generation == generation => return Ok(Look::of(mark.store)),
        Some(mark) => mark.store,
        None => NO_STORE,
    };
    let found = walk(entry)?;
    if found.store == NO_STORE {
        let _unremembered = slot.remember(&directory, NOWHERE, generation, seen);
        if !linked {
            return Ok(Look::of(lone_store(&key)));
        }
    }
    let store = match found.store {
        NO_STORE => match linked_store(&key, before) {
            NO_STORE => carrier::file_store(&key),
            store => store,
        },
        store => store,
    };
    // A record whose name found no room is not remembered, so that its next access tries to name it again.
    let named = found.parts == 0 || name(entry, key, &found)?;
    if named && store != NO_STORE {
        let _unremembered = MARKS.insert(&key, &Mark { store, generation }, 0);
    }
    Ok(Look { store, named })
}

/// Store of a file with several names that is reached by one outside of all stores: that which it is known to belong to
/// or, where the backend does not see links being made, the one it was last found in.
#[inline(always)]
fn linked_store(file: &Inode, before: u32) -> u32 {
    // SAFETY: entries are only ever added, and their value is one word.
    match unsafe { LINKED.get(file) } {
        Some(store) => *store,
        None => before,
    }
}

/// Store of a file with one name, outside of all stores: that which it was moved out of, or had another name in.
#[inline(always)]
fn lone_store(file: &Inode) -> u32 {
    // SAFETY: the value of a map is always there; volatile, because another CPU may set it.
    let linked = if unsafe { hint(file).read_volatile() } == 0 {
        NO_STORE
    } else {
        linked_store(file, NO_STORE)
    };
    if linked == NO_STORE {
        carrier::file_store(file)
    } else {
        linked
    }
}

/// Where the hint for a file is.
#[inline(always)]
fn hint(file: &Inode) -> *mut u32 {
    // As in observe/answer.rs.
    let number = file.ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HINTS_BITS);
    // SAFETY: there are as many as the upper bits can number.
    unsafe { maps::linked_hints().add(number as usize) }
}

/// Notes that names outside of its store lead to a record.
#[inline(always)]
pub(crate) fn link(record: &Record) -> Result<(), Trouble> {
    LINKED
        .insert(&record.file, &record.store, 0)
        .map_err(|_| Trouble::Dropped(Error::LinkedFull))?;
    // SAFETY: the value of a map is always there, and is only ever set to one.
    unsafe { hint(&record.file).write_volatile(1) };
    Ok(())
}

/// Forgets the answer for one file.
#[inline(always)]
pub(crate) fn forget<R: Reach>(file: FileInode<R>) -> Result<(), Error> {
    let here = file.here()?;
    // That it was not remembered is fine.
    let _absent = MARKS.remove(here.key()?);
    let generation = generation()?;
    let slot = Slot::of(&here)?;
    // Written even if the slot is another file's: whoever looks for this one's answer right now must not remember it.
    if slot.remember(&here, NOWHERE, generation.wrapping_sub(1), slot.seen()) {
        Ok(())
    } else {
        forget_all()
    }
}

/// Makes every remembered answer void.
#[inline(always)]
pub(crate) fn forget_all() -> Result<(), Error> {
    let generation = maps::generation();
    // SAFETY: the value of a map is always there. Two renames at once may move the number by one only, which
    // voids the answers just as well: it only has to differ.
    unsafe { *generation = (*generation).wrapping_add(1) };
    Ok(())
}

/// Which answers hold.
#[inline(always)]
pub(super) fn generation() -> Result<u32, Error> {
    // SAFETY: as above; volatile, because another CPU may change it.
    Ok(unsafe { maps::generation().read_volatile() })
}

#[inline(always)]
fn known(file: Inode, store: u32) -> Result<Judged, Error> {
    Ok(if store == NO_STORE {
        Judged::Outside
    } else {
        Judged::Record(Record { file, store })
    })
}

/// Where a walk up from a name has ended.
pub(crate) struct Found {
    /// The store whose root was met, or `NO_STORE`.
    pub(crate) store: u32,
    /// Names between the store's root and the file, the file's own included.
    parts: u32,
    /// Their bytes, NULs included.
    len: u32,
}

/// Walks up from a name to a store's root.
#[inline(always)]
pub(crate) fn walk<R: Reach>(file: Entry<R>) -> Result<Found, Error> {
    let mut entry = file;
    let mut len = 0_u32;
    let mut parts = 0_u32;
    while (parts as usize) < DEPTH_MAX {
        len = len.wrapping_add(entry.name_len()?).wrapping_add(1);
        parts += 1;
        let Some(parent) = entry.parent()? else {
            return Ok(Found {
                store: NO_STORE,
                parts: 0,
                len: 0,
            });
        };
        // SAFETY: their value is one word; that of a root that goes away may be another root's.
        if let Some(store) = unsafe { ROOTS.get(parent.inode()?.key()?) } {
            return Ok(Found {
                store: *store & !MOVED,
                parts,
                len,
            });
        }
        entry = parent;
    }
    Err(Error::Depth)
}

/// Tells a record's name.
#[inline(always)]
pub(crate) fn name<R: Reach>(entry: Entry<R>, file: Inode, found: &Found) -> Result<bool, Error> {
    if (found.len as usize) <= PATH_SMALL {
        name_of_size::<R, PATH_SMALL>(entry, file, found, kind::NAME_SMALL)
    } else {
        name_of_size::<R, PATH_LARGE>(entry, file, found, kind::NAME_LARGE)
    }
}

/// Tells where a carrier lies: every name up to its file system's root.
#[inline(never)]
pub(crate) fn name_carrier<R: Reach>(file: File<R>, key: Inode) -> Result<(), Error> {
    if let Some(entry) = file.entry(file.inode()?)? {
        let all = Found {
            store: CARRIER_FILE,
            parts: DEPTH_MAX as u32,
            len: 0,
        };
        // Without a name it is a carrier all the same.
        let _named = name_of_size::<R, PATH_LARGE>(entry, key, &all, kind::NAME_LARGE)?;
    }
    Ok(())
}

/// Writes the name's record; false when there was no room for it. That is counted, but does not stop the access from
/// being seen.
#[inline(always)]
fn name_of_size<R: Reach, const P: usize>(
    entry: Entry<R>,
    file: Inode,
    found: &Found,
    kind: u32,
) -> Result<bool, Error> {
    let Some(mut record) = BULK.reserve::<Name<P>>(0) else {
        crate::count::lost(Error::NameLost);
        return Ok(false);
    };
    let out = record.as_mut_ptr();
    // SAFETY: `out` is a Name<P> in the ring; of its path so much is written as `path_len` says.
    unsafe {
        (&raw mut (*out).header).write(emit::header(kind));
        (&raw mut (*out).file).write(file);
        (&raw mut (*out).store).write(found.store);
        (&raw mut (*out).parts_all).write(found.parts);
        let path: *mut u8 = (&raw mut (*out).path).cast();
        // VERIFIER: 6.1 and 6.12 walk the loop below once for each way out of the walk above (1,000,001 instructions)
        // unless they forget how many parts it found; what is read back from the ring is unknown to them.
        let wanted = (&raw const (*out).parts_all).read_volatile();
        let (parts, len) = copy_parts::<R, P>(entry, wanted, path);
        (&raw mut (*out).parts).write(parts);
        if found.store == CARRIER_FILE {
            (&raw mut (*out).parts_all).write(parts);
        }
        (&raw mut (*out).path_len).write(len);
    }
    emit::submit(record, &BULK);
    Ok(true)
}

/// Copies names upwards from `entry` while they fit; gives how many did and their bytes.
///
/// # Safety
/// `P + NAME_MAX` bytes from `path` must be writable.
#[inline(always)]
unsafe fn copy_parts<R: Reach, const P: usize>(
    first: Entry<R>,
    wanted: u32,
    path: *mut u8,
) -> (u32, u32) {
    let mut entry = first;
    let mut at = 0_usize;
    let mut parts = 0_u32;
    while (parts as usize) < DEPTH_MAX && parts < wanted && at < P {
        let Ok(name) = entry.name() else { break };
        // VERIFIER: 6.1 loses `at < P` over the calls between ("max value is outside of the allowed memory range"), and
        // the compiler would drop a mask it can prove useless.
        let start = core::hint::black_box(at) & (P - 1);
        // SAFETY: `start` is below P, and NAME_MAX bytes follow P.
        let written = unsafe {
            bpf_probe_read_kernel_str(path.add(start).cast(), NAME_MAX as u32, name.cast())
        };
        if written <= 0 || at + written as usize > P {
            break;
        }
        at += written as usize & (NAME_MAX * 2 - 1);
        parts += 1;
        match entry.parent() {
            // The root of a file system has no name.
            Ok(Some(parent)) if matches!(parent.parent(), Ok(Some(_))) => entry = parent,
            _ => break,
        }
    }
    (parts, at as u32)
}
