//! Ways in which the kernel moves a record's bytes without handing them to the process.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::TcpStream;

use rustix::pipe::{IoSliceRaw, SpliceFlags, pipe, splice, tee, vmsplice};

use crate::way::{Expect, LEN, Peer, Place, Way, finish, unsupported, way, whole};

const READ: &[Expect] = &[Expect::Read(LEN as u64)];
const READ_AND_SENT: &[Expect] = &[Expect::Read(LEN as u64), Expect::Sent(6)];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");

pub(crate) const WAYS: &[Way] = &[
    way("sendfile-to-file", sendfile_to_file, READ),
    way("sendfile-to-pipe", sendfile_to_pipe, READ),
    way("sendfile-to-socket", sendfile_to_socket, READ_AND_SENT).with(LISTENER),
    way("splice-to-pipe", splice_to_pipe, READ),
    way("splice-to-socket", splice_to_socket, READ_AND_SENT).with(LISTENER),
    way("splice-then-tee", tee_then_read, READ),
    way("splice-then-vmsplice", vmsplice_then_read, READ),
    way("copy-file-range", copy_file_range, READ),
    way("reflink", reflink, READ),
];

/// Repeats a call that moves some of the bytes until all have moved.
fn all(mut step: impl FnMut(usize) -> rustix::io::Result<usize>) -> io::Result<()> {
    let mut left = LEN;
    while left > 0 {
        match step(left)? {
            0 => return Err(io::Error::other("the record ended early")),
            moved => left -= moved,
        }
    }
    Ok(())
}

fn copy(place: &Place) -> io::Result<File> {
    File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(place.outside().join("copy"))
}

fn check(place: &Place) -> io::Result<()> {
    whole(&std::fs::read(place.outside().join("copy"))?)
}

fn sendfile_to_file(place: &Place) -> io::Result<()> {
    let (from, to) = (place.open()?, copy(place)?);
    all(|left| rustix::fs::sendfile(&to, &from, None, left))?;
    check(place)
}

fn sendfile_to_pipe(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let (out, into) = pipe()?;
    all(|left| rustix::fs::sendfile(&into, &from, None, left))?;
    drop(into);
    let mut found = Vec::new();
    File::from(out).read_to_end(&mut found)?;
    whole(&found)
}

fn sendfile_to_socket(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let socket = TcpStream::connect(place.peer)?;
    all(|left| rustix::fs::sendfile(&socket, &from, None, left))?;
    finish(&socket)
}

fn splice_to_pipe(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let (out, into) = pipe()?;
    all(|left| splice(&from, None, &into, None, left, SpliceFlags::empty()))?;
    drop(into);
    let mut found = Vec::new();
    File::from(out).read_to_end(&mut found)?;
    whole(&found)
}

fn splice_to_socket(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let socket = TcpStream::connect(place.peer)?;
    let (out, into) = pipe()?;
    all(|left| splice(&from, None, &into, None, left, SpliceFlags::empty()))?;
    all(|left| splice(&out, None, &socket, None, left, SpliceFlags::empty()))?;
    finish(&socket)
}

fn tee_then_read(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let (out, into) = pipe()?;
    let (secondout, second_into) = pipe()?;
    all(|left| splice(&from, None, &into, None, left, SpliceFlags::empty()))?;
    if tee(&out, &second_into, LEN, SpliceFlags::empty())? != LEN {
        return Err(io::Error::other("tee gave less"));
    }
    drop(second_into);
    let mut found = Vec::new();
    File::from(secondout).read_to_end(&mut found)?;
    whole(&found)
}

/// Taken out of the pipe into memory by a call that reads no file.
fn vmsplice_then_read(place: &Place) -> io::Result<()> {
    let from = place.open()?;
    let (out, into) = pipe()?;
    all(|left| splice(&from, None, &into, None, left, SpliceFlags::empty()))?;
    let mut found = vec![0; LEN];
    // SAFETY: the memory is ours, is written to by this call only, and is not given to the pipe.
    let moved = unsafe {
        let parts = [IoSliceRaw::from_slice_mut(&mut found)];
        vmsplice(&out, &parts, SpliceFlags::empty())?
    };
    if moved == LEN {
        whole(&found)
    } else {
        Err(io::Error::other("vmsplice gave less"))
    }
}

fn copy_file_range(place: &Place) -> io::Result<()> {
    let (from, to) = (place.open()?, copy(place)?);
    all(|left| rustix::fs::copy_file_range(&from, None, &to, None, left))?;
    check(place)
}

fn reflink(place: &Place) -> io::Result<()> {
    let (from, to) = (place.open()?, copy(place)?);
    match rustix::fs::ioctl_ficlone(&to, &from) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOTTY | rustix::io::Errno::INVAL) => {
            Err(unsupported("this file system shares no blocks"))
        }
        other => {
            other?;
            check(place)
        }
    }
}
