//! Memory that two processes shared before one of them held a record: who reads it afterwards holds the record, too.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use sensor_user::event::{CarrierKind, Edge, EdgeKind, End, What};
use sensor_user::load::hooks;

use crate::actor;
use crate::watch::{QUIET, Watch, same, skipped};

/// Bytes of the record, and of what is shared: whole pages.
const LEN: usize = 256 * 1024;

/// A process shares memory with the one it starts; that one reads a record into it and ends, and the first one writes it out.
pub(crate) fn before(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::UNSIZED) {
        return skipped("memory that is no file's is not followed here");
    }
    let command = actor::command("share-memory", &places(watch)?)?;
    handed_on(watch, command, CarrierKind::Memory)
}

/// The same with a file that both have mapped.
pub(crate) fn file_before(watch: &mut Watch) -> Result<(), Failed> {
    let mut arguments = places(watch)?.to_vec();
    arguments.push(watch.elsewhere().join("shared").into());
    let command = actor::command("share-file", &arguments)?;
    handed_on(watch, command, CarrierKind::File)
}

/// The same with a segment of System V memory, which is a file where its file is seen.
pub(crate) fn system_v(watch: &mut Watch) -> Result<(), Failed> {
    let command = actor::command("share-segment", &places(watch)?)?;
    let kind = match watch.backend.as_str() {
        "tracepoint" => CarrierKind::Memory,
        _ => CarrierKind::File,
    };
    handed_on(watch, command, kind)
}

/// What such a program shares is not followed, and nothing is said of it.
pub(crate) fn quiet(watch: &mut Watch) -> Result<(), Failed> {
    let arguments = places(watch)?;
    let mut command = Command::new(watch.elsewhere().join(QUIET));
    command.args(["--act", "share-memory"]).args(arguments);
    watch.run(&mut command)?;
    let mapped = |edge: &&&Edge| edge.kind == EdgeKind::Map;
    match edges(watch).iter().find(mapped) {
        None => Ok(()),
        Some(edge) => Err(format!("it was followed: {edge:?}").into()),
    }
}

fn places(watch: &Watch) -> Result<[std::ffi::OsString; 2], Failed> {
    let record = watch.store().join("shared.dcm");
    std::fs::write(&record, vec![b'm'; LEN])?;
    Ok([record.into(), watch.elsewhere().join("out").into()])
}

fn edges(watch: &Watch) -> Vec<&Edge> {
    let edges = watch.events.iter().filter_map(|event| match &event.what {
        What::Edge(edge) => Some(edge),
        _ => None,
    });
    edges.collect()
}

fn handed_on(watch: &mut Watch, mut command: Command, kind: CarrierKind) -> Result<(), Failed> {
    let first = watch.run(&mut command)?;
    let edges = edges(watch);
    let is_first = |end: &End| matches!(end, End::Process(process) if process.pid == first);
    let is_shared = |end: &End| matches!(end, End::Carrier(of, _) if *of == kind);
    let put: Vec<_> = (edges.iter())
        .filter(|edge| edge.kind == EdgeKind::Map && is_shared(&edge.to) && !is_first(&edge.from))
        .map(|edge| (edge.to, edge.bytes))
        .collect();
    let [(shared, bytes)] = put.as_slice() else {
        return Err(format!("one process was to put something into {kind:?}: {edges:?}").into());
    };
    same("put into it", bytes, &(LEN as u64))?;
    let got = (edges.iter())
        .filter(|edge| edge.kind == EdgeKind::Map && edge.from == *shared && is_first(&edge.to));
    same(
        "got out of it",
        &got.map(|edge| edge.bytes).sum::<u64>(),
        &(LEN as u64),
    )?;
    let written =
        (edges.iter()).filter(|edge| edge.kind == EdgeKind::Write && is_first(&edge.from));
    same(
        "written out",
        &written.map(|edge| edge.bytes).sum::<u64>(),
        &(LEN as u64),
    )
}

/// With memory that has no file.
pub(crate) fn memory(record: &Path, out: &Path) -> io::Result<()> {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping at an address the kernel chooses.
    let shared = unsafe { mmap_anonymous(std::ptr::null_mut(), LEN, protection, flags)? };
    share(shared.cast(), record, out)
}

/// With a file.
pub(crate) fn file(record: &Path, out: &Path, shared: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(shared)?;
    file.set_len(LEN as u64)?;
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: as above; the file is nobody else's.
    let shared = unsafe { mmap(std::ptr::null_mut(), LEN, protection, flags, &file, 0)? };
    share(shared.cast(), record, out)
}

/// With a segment of System V memory, which is marked for removal as soon as both have it.
pub(crate) fn segment(record: &Path, out: &Path) -> io::Result<()> {
    // SAFETY: a new segment of this process's own, mapped where the kernel chooses.
    let shared = unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, LEN, 0o600);
        if id == -1 {
            return Err(io::Error::last_os_error());
        }
        let shared = libc::shmat(id, std::ptr::null(), 0);
        let removed = libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        if shared as isize == -1 || removed == -1 {
            return Err(io::Error::last_os_error());
        }
        shared
    };
    share(shared.cast(), record, out)
}

fn share(shared: *mut u8, record: &Path, out: &Path) -> io::Result<()> {
    // SAFETY: of this process's threads there is one. The memory is LEN bytes long, and the one process reads it after the other has
    // ended.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                let memory = std::slice::from_raw_parts_mut(shared, LEN);
                let read =
                    File::open(record).and_then(|mut file| io::Read::read_exact(&mut file, memory));
                libc::_exit(i32::from(read.is_err()));
            }
            child => {
                let mut status = 0;
                if libc::waitpid(child, &raw mut status, 0) != child || status != 0 {
                    return Err(io::Error::other("the record was not read"));
                }
            }
        }
        std::fs::write(out, std::slice::from_raw_parts(shared, LEN))
    }
}
