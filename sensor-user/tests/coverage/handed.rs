//! A record's descriptor, or its bytes in memory, come from another process or from before the sensor's start.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::actor;
use crate::sys::{Helper, at, at_mut, call};
use crate::way::{self, Act, Expect, LEN, Peer, Place, Road, Way, unsupported, way, whole};

const READ: &[Expect] = &[Expect::Read(LEN as u64)];
const HOLDER: &[Expect] = &[Expect::Holder];
const MEMORY: &[Expect] = &[Expect::Holder, Expect::Got(Road::Memory, LEN as u64)];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");

pub(crate) const WAYS: &[Way] = &[
    way("opened-before-start", opened_early, READ).early(),
    way("inherited-by-exec", inherited, READ),
    way("passed-by-scm-rights", passed, READ),
    way("taken-by-pidfd-getfd", taken, READ),
    way("read-before-start", read_early, HOLDER)
        .early()
        .with(LISTENER),
    way("memory-by-process-vm-readv", vm_readv, MEMORY).with(LISTENER),
    way("memory-by-ptrace", ptrace, MEMORY).with(LISTENER),
    way("memory-by-proc-mem", proc_mem, MEMORY).with(LISTENER),
];

/// What second processes do.
pub(crate) const HELPERS: &[(&str, Act)] = &[
    ("read-standard-input", read_standard_input),
    ("pass", pass),
    ("keep-open", keep_open),
    ("keep-in-memory", keep_in_memory),
];

fn opened_early(place: &Place) -> io::Result<()> {
    let mut file = place.open()?;
    way::pause()?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    whole(&found)
}

/// What was read before the sensor's start cannot be known; that this process holds a record can, as the descriptor is
/// still open.
fn read_early(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0; LEN];
    file.read_exact_at(&mut found, 0)?;
    way::pause()?;
    place.upload(LEN)
}

/// One process opens, another, forked and become a new program, reads.
fn inherited(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut reader = actor::command("read-standard-input", &place.arguments())?
        .stdin(file)
        .spawn()?;
    way::watch_process(reader.id())?;
    if reader.wait()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("the reader failed"))
    }
}

fn read_standard_input(_place: &Place) -> io::Result<()> {
    let mut found = Vec::new();
    io::stdin().lock().read_to_end(&mut found)?;
    whole(&found)
}

/// Sends a descriptor over a unix socket.
pub(crate) fn send(socket: &UnixStream, what: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [what];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(b"x")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Takes one from there.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::empty(),
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::Error::other("no descriptor came"))
}

fn passed(place: &Place) -> io::Result<()> {
    let listener = UnixListener::bind(place.outside().join("socket"))?;
    let (helper, _) = Helper::start("pass", place)?;
    let (socket, _) = listener.accept()?;
    let mut found = Vec::new();
    File::from(receive(&socket)?).read_to_end(&mut found)?;
    helper.end()?;
    whole(&found)
}

fn pass(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let socket = UnixStream::connect(place.outside().join("socket"))?;
    send(&socket, file.as_fd())?;
    way::pause()
}

fn taken(place: &Place) -> io::Result<()> {
    let (helper, words) = Helper::start("keep-open", place)?;
    let [_, descriptor] = words.as_slice() else {
        return Err(io::Error::other("the helper did not say its descriptor"));
    };
    let descriptor: usize = descriptor.parse().map_err(io::Error::other)?;
    let process = call(libc::SYS_pidfd_open, &[helper.id() as usize, 0])?;
    let own = call(libc::SYS_pidfd_getfd, &[process, descriptor, 0])?;
    let mut found = Vec::new();
    // SAFETY: the kernel has just given it to us.
    File::from(unsafe { OwnedFd::from_raw_fd(own as i32) }).read_to_end(&mut found)?;
    helper.end()?;
    whole(&found)
}

fn keep_open(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    tell(&format!("descriptor {}", file.as_raw_fd()))
}

fn keep_in_memory(place: &Place) -> io::Result<()> {
    let found = place.hold()?;
    tell(&format!("address {}", found.as_ptr() as usize))
}

/// Says something, and stays until the other process is done.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
}

/// A process that holds a record, and the address where.
fn victim(place: &Place) -> io::Result<(Helper, usize)> {
    let (helper, words) = Helper::start("keep-in-memory", place)?;
    let [_, address] = words.as_slice() else {
        return Err(io::Error::other("the helper did not say its address"));
    };
    Ok((helper, address.parse().map_err(io::Error::other)?))
}

fn steal(
    place: &Place,
    how: impl FnOnce(&Helper, usize, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (helper, address) = victim(place)?;
    let mut found = vec![0; LEN];
    how(&helper, address, &mut found)?;
    helper.end()?;
    whole(&found)?;
    place.upload(LEN)
}

fn vm_readv(place: &Place) -> io::Result<()> {
    steal(place, |helper, address, found| {
        let local = [found.as_mut_ptr() as usize, LEN];
        let remote = [address, LEN];
        let arguments = [helper.id() as usize, at(&local), 1, at(&remote), 1, 0];
        match call(libc::SYS_process_vm_readv, &arguments) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                Err(unsupported("this kernel has no process_vm_readv"))
            }
            other => other.map(drop),
        }
    })
}

fn ptrace(place: &Place) -> io::Result<()> {
    steal(place, |helper, address, found| {
        let pid = helper.id() as usize;
        let request = |request: u32, address: usize, data: usize| {
            call(libc::SYS_ptrace, &[request as usize, pid, address, data])
        };
        request(libc::PTRACE_ATTACH, 0, 0)?;
        let mut status = 0_i32;
        call(libc::SYS_wait4, &[pid, at_mut(&mut status), 0, 0])?;
        for (n, word) in found.chunks_exact_mut(8).enumerate() {
            // The system call, other than the library's function, writes the word where `data` points.
            request(
                libc::PTRACE_PEEKDATA,
                address + n * 8,
                word.as_mut_ptr() as usize,
            )?;
        }
        request(libc::PTRACE_DETACH, 0, 0).map(drop)
    })
}

fn proc_mem(place: &Place) -> io::Result<()> {
    steal(place, |helper, address, found| {
        File::open(format!("/proc/{}/mem", helper.id()))?.read_exact_at(found, address as u64)
    })
}
