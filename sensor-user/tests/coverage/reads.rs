//! Ways to read a record through its descriptor.

use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::io::ReadWriteFlags;

use crate::sys::{at, at_mut, call};
use crate::way::{self, Expect, LEN, Place, Way, unsupported, way, whole};

pub(crate) const WAYS: &[Way] = &[
    way("read", read, &[Expect::Read(LEN as u64)]),
    way(
        "read-one-byte-each",
        read_bytes,
        &[Expect::Read(LEN as u64)],
    ),
    way("pread", pread, &[Expect::Read(LEN as u64)]),
    way("readv", readv, &[Expect::Read(LEN as u64)]),
    way("preadv", preadv, &[Expect::Read(LEN as u64)]),
    way("preadv2", preadv2, &[Expect::Read(LEN as u64)]),
    way("direct", direct, &[Expect::Read(LEN as u64)]),
    way("path-then-reopen", reopen, &[Expect::Read(LEN as u64)]),
    way("linux-aio", aio, &[Expect::Read(LEN as u64)]),
    way("getdents", getdents, &[Expect::Listed]),
    way("exec", exec, &[Expect::Whole]),
];

fn read(place: &Place) -> io::Result<()> {
    whole(&fs::read(place.record())?)
}

fn read_bytes(place: &Place) -> io::Result<()> {
    let mut file = place.open()?;
    let mut found = vec![0; LEN];
    for byte in &mut found {
        file.read_exact(std::slice::from_mut(byte))?;
    }
    whole(&found)
}

fn pread(place: &Place) -> io::Result<()> {
    let mut found = vec![0; LEN];
    place.open()?.read_exact_at(&mut found, 0)?;
    whole(&found)
}

/// The record in two parts.
fn in_parts(
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut found = vec![0; LEN];
    let (first, second) = found.split_at_mut(LEN / 3);
    if read(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])? != LEN {
        return Err(io::Error::other("short read"));
    }
    whole(&found)
}

fn readv(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    in_parts(|parts| rustix::io::readv(&file, parts))
}

fn preadv(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    in_parts(|parts| rustix::io::preadv(&file, parts, 0))
}

fn preadv2(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    in_parts(|parts| rustix::io::preadv2(&file, parts, 0, ReadWriteFlags::empty()))
}

/// A buffer as direct reads want it.
#[repr(C, align(4096))]
pub(crate) struct Pages(pub(crate) [u8; LEN]);

/// Opens the record so that it is read past the page cache, and makes room for it.
pub(crate) fn open_direct(place: &Place) -> io::Result<(File, Box<Pages>)> {
    let flags = OFlags::RDONLY | OFlags::DIRECT;
    let file = match rustix::fs::open(place.record(), flags, Mode::empty()) {
        Err(rustix::io::Errno::INVAL) => {
            return Err(unsupported("this file system has no direct reads"));
        }
        other => File::from(other?),
    };
    Ok((file, Box::new(Pages([0; LEN]))))
}

fn direct(place: &Place) -> io::Result<()> {
    let (file, mut pages) = open_direct(place)?;
    file.read_exact_at(&mut pages.0, 0)?;
    whole(&pages.0)
}

/// Opened as a path only, which no hook sees, and then by the link in /proc.
fn reopen(place: &Place) -> io::Result<()> {
    let path = rustix::fs::open(place.record(), OFlags::PATH, Mode::empty())?;
    whole(&fs::read(format!("/proc/self/fd/{}", path.as_raw_fd()))?)
}

/// `struct iocb` of `include/uapi/linux/aio_abi.h`.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    flags: u32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event_descriptor: u32,
}

fn aio(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0_u8; LEN];
    let mut context = 0_usize;
    call(libc::SYS_io_setup, &[1, at_mut(&mut context)])?;
    // Opcode 0 is IOCB_CMD_PREAD.
    let request = Iocb {
        descriptor: file.as_raw_fd() as u32,
        buffer: found.as_mut_ptr() as u64,
        bytes: LEN as u64,
        ..Iocb::default()
    };
    call(libc::SYS_io_submit, &[context, 1, at(&[at(&request)])])?;
    let mut event = [0_u64; 4];
    call(
        libc::SYS_io_getevents,
        &[context, 1, 1, at_mut(&mut event), 0],
    )?;
    call(libc::SYS_io_destroy, &[context])?;
    whole(&found)
}

/// The names of the records say who the patients are.
fn getdents(place: &Place) -> io::Result<()> {
    way::watch_file(&place.inside())?;
    match fs::read_dir(place.inside())?.count() {
        1 => Ok(()),
        other => Err(io::Error::other(format!("{other} entries"))),
    }
}

/// A program that lies in the store is run.
fn exec(place: &Place) -> io::Result<()> {
    let program = ["/bin/true", "/usr/bin/true", "/usr/lib/busybox/true"]
        .iter()
        .find(|path| fs::exists(path).unwrap_or(false))
        .ok_or_else(|| unsupported("there is no program `true`"))?;
    let own = place.inside().join("true");
    // Written by another process: one that runs must not be open for writing, here or in a child on its way to exec.
    let copied = Command::new("cp")
        .arg("-L")
        .arg(program)
        .arg(&own)
        .status()?;
    if !copied.success() {
        return Err(io::Error::other("cp failed"));
    }
    way::watch_file(&own)?;
    let mut child = Command::new(&own).spawn()?;
    way::watch_process(child.id())?;
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("the program failed"))
    }
}
