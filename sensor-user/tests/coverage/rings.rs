//! Ways through `io_uring`, where no system call names the file.

use std::io;
use std::os::fd::AsRawFd as _;

use io_uring::{IoUring, opcode, squeue, types};

use crate::reads::open_direct;
use crate::way::{Expect, LEN, Peer, Place, Way, content, finish, unsupported, way, whole};

const READ: &[Expect] = &[Expect::Read(LEN as u64)];
const SENT: &[Expect] = &[Expect::Sent(6)];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");

pub(crate) const WAYS: &[Way] = &[
    way("io-uring-read", read, READ),
    way("io-uring-readv", readv, READ),
    way("io-uring-fixed-buffer", fixed_buffer, READ),
    way("io-uring-registered-file", registered_file, READ),
    way("io-uring-sqpoll", polled, READ),
    way("io-uring-worker", worker, READ),
    way("io-uring-without-completion", silent, READ),
    way("io-uring-direct-without-completion", silent_direct, READ),
    way(
        "io-uring-write-without-completion",
        silent_write,
        &[Expect::Written(LEN as u64)],
    ),
    way("io-uring-file-from-ring", from_ring, READ),
    way("io-uring-splice", splice, READ),
    way("io-uring-openat", openat, READ),
    way("io-uring-write", write, &[Expect::Written(LEN as u64)]),
    way("io-uring-send", send, SENT).with(LISTENER),
    way("io-uring-connect", connect, SENT).with(LISTENER),
];

fn ring() -> io::Result<IoUring> {
    IoUring::new(8).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => unsupported("io_uring is switched off"),
        _ => error,
    })
}

/// Has one request done, and gives its result.
fn run(ring: &mut IoUring, request: &squeue::Entry) -> io::Result<usize> {
    // SAFETY: what the request points to lives in the caller until this returns, when the result is there.
    unsafe { ring.submission().push(request) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next();
    let result = done
        .ok_or_else(|| io::Error::other("no completion"))?
        .result();
    if result < 0 {
        Err(io::Error::from_raw_os_error(-result))
    } else {
        Ok(result as usize)
    }
}

/// A request that reads the whole record into a buffer.
fn read_with(place: &Place, ring: &mut IoUring, flags: squeue::Flags) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0; LEN];
    let request = opcode::Read::new(types::Fd(file.as_raw_fd()), found.as_mut_ptr(), LEN as u32)
        .build()
        .flags(flags);
    run(ring, &request)?;
    whole(&found)
}

fn read(place: &Place) -> io::Result<()> {
    read_with(place, &mut ring()?, squeue::Flags::empty())
}

/// A thread of the kernel takes the requests.
fn polled(place: &Place) -> io::Result<()> {
    let mut ring = IoUring::builder()
        .setup_sqpoll(1000)
        .build(8)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => unsupported("io_uring is switched off"),
            _ => error,
        })?;
    read_with(place, &mut ring, squeue::Flags::empty())
}

/// A worker thread does the request.
fn worker(place: &Place) -> io::Result<()> {
    read_with(place, &mut ring()?, squeue::Flags::ASYNC)
}

/// Has a request done that completes in silence when it succeeds; one that follows it tells that it has.
fn run_silently(request: squeue::Entry) -> io::Result<()> {
    let mut ring = ring()?;
    if !ring.params().is_feature_skip_cqe_on_success() {
        return Err(unsupported("this kernel always tells completions"));
    }
    let request = request.flags(squeue::Flags::SKIP_SUCCESS | squeue::Flags::IO_LINK);
    // SAFETY: what the request points to lives in the caller until the one linked to it has completed.
    unsafe { ring.submission().push(&request) }.map_err(io::Error::other)?;
    run(&mut ring, &opcode::Nop::new().build()).map(drop)
}

fn silent(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0; LEN];
    let fd = types::Fd(file.as_raw_fd());
    run_silently(opcode::Read::new(fd, found.as_mut_ptr(), LEN as u32).build())?;
    whole(&found)
}

/// Read past the page cache, so that it has to wait for the disk.
fn silent_direct(place: &Place) -> io::Result<()> {
    let (file, mut pages) = open_direct(place)?;
    let fd = types::Fd(file.as_raw_fd());
    run_silently(opcode::Read::new(fd, pages.0.as_mut_ptr(), LEN as u32).build())?;
    whole(&pages.0)
}

fn silent_write(place: &Place) -> io::Result<()> {
    let file = std::fs::File::options().write(true).open(place.record())?;
    let content = content(LEN);
    let fd = types::Fd(file.as_raw_fd());
    run_silently(opcode::Write::new(fd, content.as_ptr(), LEN as u32).build())
}

/// Opened for one ring, handed to another, and read there; no process ever has a descriptor of it besides.
fn from_ring(place: &Place) -> io::Result<()> {
    let (mut first, mut second) = (ring()?, ring()?);
    if first.submitter().register_files_sparse(1).is_err() {
        return Err(unsupported("rings open no files of their own here"));
    }
    second.submitter().register_files_sparse(1)?;
    let path = crate::sys::text(place.record())?;
    let slot = |number| types::DestinationSlot::try_from_slot_target(number);
    let slot = slot(0).map_err(|_| io::Error::other("no slot"))?;
    let here = types::Fd(libc::AT_FDCWD);
    let open = opcode::OpenAt::new(here, path.as_ptr()).file_index(Some(slot));
    run(&mut first, &open.build())?;
    let second_fd = types::Fd(second.as_raw_fd());
    let hand = opcode::MsgRingSendFd::new(second_fd, types::Fixed(0), slot, 0).build();
    match run(&mut first, &hand) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            return Err(unsupported("rings hand no files to each other here"));
        }
        other => other?,
    };
    drop(first);
    // The message that the file has come.
    let _message = second.completion().next();
    let mut found = vec![0_u8; LEN];
    let request = opcode::Read::new(types::Fixed(0), found.as_mut_ptr(), LEN as u32).build();
    run(&mut second, &request)?;
    whole(&found)
}

fn readv(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0_u8; LEN];
    let parts = [
        libc::iovec {
            iov_base: found.as_mut_ptr().cast(),
            iov_len: 100,
        },
        libc::iovec {
            iov_base: found[100..].as_mut_ptr().cast(),
            iov_len: LEN - 100,
        },
    ];
    let request = opcode::Readv::new(types::Fd(file.as_raw_fd()), parts.as_ptr(), 2).build();
    run(&mut ring()?, &request)?;
    whole(&found)
}

fn fixed_buffer(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0_u8; LEN];
    let mut ring = ring()?;
    let buffer = libc::iovec {
        iov_base: found.as_mut_ptr().cast(),
        iov_len: LEN,
    };
    // SAFETY: the buffer lives as long as the ring uses it.
    unsafe { ring.submitter().register_buffers(&[buffer]) }?;
    let fd = types::Fd(file.as_raw_fd());
    let request = opcode::ReadFixed::new(fd, found.as_mut_ptr(), LEN as u32, 0).build();
    run(&mut ring, &request)?;
    whole(&found)
}

/// The descriptor is closed before the read: only the ring knows the file.
fn registered_file(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let mut found = vec![0_u8; LEN];
    let mut ring = ring()?;
    ring.submitter().register_files(&[file.as_raw_fd()])?;
    drop(file);
    let request = opcode::Read::new(types::Fixed(0), found.as_mut_ptr(), LEN as u32).build();
    run(&mut ring, &request)?;
    whole(&found)
}

fn splice(place: &Place) -> io::Result<()> {
    let file = place.open()?;
    let (out, into) = rustix::pipe::pipe()?;
    let request = opcode::Splice::new(
        types::Fd(file.as_raw_fd()),
        0,
        types::Fd(into.as_raw_fd()),
        -1,
        LEN as u32,
    )
    .build();
    if run(&mut ring()?, &request)? != LEN {
        return Err(io::Error::other("the splice was short"));
    }
    drop(into);
    let mut found = Vec::new();
    io::Read::read_to_end(&mut std::fs::File::from(out), &mut found)?;
    whole(&found)
}

/// Opened and read without a system call that names file or descriptor.
fn openat(place: &Place) -> io::Result<()> {
    let mut ring = ring()?;
    let path = crate::sys::text(place.record())?;
    let here = types::Fd(libc::AT_FDCWD);
    let descriptor = run(&mut ring, &opcode::OpenAt::new(here, path.as_ptr()).build())?;
    let mut found = vec![0; LEN];
    let fd = types::Fd(descriptor as i32);
    let request = opcode::Read::new(fd, found.as_mut_ptr(), LEN as u32).build();
    run(&mut ring, &request)?;
    whole(&found)
}

fn write(place: &Place) -> io::Result<()> {
    let file = std::fs::File::options().write(true).open(place.record())?;
    let content = content(LEN);
    let fd = types::Fd(file.as_raw_fd());
    let request = opcode::Write::new(fd, content.as_ptr(), LEN as u32).build();
    if run(&mut ring()?, &request)? == LEN {
        Ok(())
    } else {
        Err(io::Error::other("short write"))
    }
}

fn send(place: &Place) -> io::Result<()> {
    let record = place.hold()?;
    let socket = std::net::TcpStream::connect(place.peer)?;
    let fd = types::Fd(socket.as_raw_fd());
    let request = opcode::Send::new(fd, record.as_ptr(), LEN as u32).build();
    run(&mut ring()?, &request)?;
    finish(&socket)
}

fn connect(place: &Place) -> io::Result<()> {
    let record = place.hold()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    let address = socket2::SockAddr::from(place.peer);
    let fd = types::Fd(socket.as_raw_fd());
    let request = opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build();
    let mut ring = ring()?;
    run(&mut ring, &request)?;
    let request = opcode::Send::new(fd, record.as_ptr(), LEN as u32).build();
    run(&mut ring, &request)?;
    finish(&socket.into())
}
