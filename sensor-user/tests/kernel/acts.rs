//! What the tests have done by this very binary, in a process of its own: calls that no everyday tool makes alone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::actor::{address, number, path};
use crate::{hands, restart, services, shares};

/// Does what a process was started for.
pub(crate) fn perform(act: &str, rest: &[OsString]) -> io::Result<()> {
    match act {
        "mmap" => mmap(&path(rest, 0)?),
        "hang-up" => refused(rest, signal(rest, Signal::HUP)),
        "kill" => refused(rest, signal(rest, Signal::KILL)),
        "ask" => signal(rest, Signal::WINCH),
        "seize" => refused(rest, seize(number(rest, 0)?)),
        "take-bpf" => refused(rest, take_bpf()),
        "threads" => threads(&path(rest, 0)?),
        "keep" => keep(&path(rest, 0)?),
        "vectors" => vectors(&path(rest, 0)?),
        "sendfile" => sendfile(&path(rest, 0)?, address(rest, 1)?),
        "upload" => upload(
            Some(&path(rest, 0)?),
            address(rest, 1)?,
            number(rest, 2)?,
            false,
        ),
        "move" => hands::move_into(rest, &path(rest, 1)?, &path(rest, 2)?),
        "give" => hands::give(),
        "share-memory" => shares::memory(&path(rest, 0)?, &path(rest, 1)?),
        "share-segment" => shares::segment(&path(rest, 0)?, &path(rest, 1)?),
        "share-file" => shares::file(&path(rest, 0)?, &path(rest, 1)?, &path(rest, 2)?),
        "serve-input" => hands::serve_input(&path(rest, 0)?),
        "serve-tcp" => services::serve(),
        "receive-tcp" => services::receive(address(rest, 0)?),
        "watch-terminal" => hands::watch_terminal(number(rest, 0)?),
        "type" => hands::type_record(&path(rest, 0)?),
        "receive-datagrams" => hands::receive_datagrams(address(rest, 0)?, number(rest, 1)?),
        "receive-unix" => hands::receive(&path(rest, 0)?),
        "upload-only" => upload(None, address(rest, 0)?, number(rest, 1)?, false),
        "upload-after" => {
            appears(&path(rest, 0)?)?;
            upload(None, address(rest, 1)?, number(rest, 2)?, false)
        }
        "upload-around" => restart::upload_around(
            &path(rest, 0)?,
            &path(rest, 1)?,
            address(rest, 2)?,
            number(rest, 3)?,
        ),
        "connect-first" => upload(
            Some(&path(rest, 0)?),
            address(rest, 1)?,
            number(rest, 2)?,
            true,
        ),
        "trickle" => trickle(&path(rest, 0)?, address(rest, 1)?, number(rest, 2)?),
        "serve" => serve(&path(rest, 0)?),
        "datagrams" => datagrams(&path(rest, 0)?, address(rest, 1)?, number(rest, 2)?),
        "datagrams-only" => send_datagrams(address(rest, 0)?, number(rest, 1)?),
        other => Err(io::Error::other(format!("no act is called {other}"))),
    }
}

/// Maps every file below a directory and touches each page.
fn mmap(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            mmap(&path)?;
        } else {
            std::hint::black_box(touch_pages(&File::open(&path)?)?);
        }
    }
    Ok(())
}

fn touch_pages(file: &File) -> io::Result<u64> {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let len = file.metadata()?.len() as usize;
    if len == 0 {
        return Ok(0);
    }
    // SAFETY: a new private mapping at an address the kernel chooses, of an open file, as long as the file is; it is read
    // only within its length, and unmapped once, after the last read.
    unsafe {
        let start = mmap(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file,
            0,
        )?;
        let sum = (0..len)
            .step_by(4096)
            .map(|at| u64::from(*start.cast::<u8>().add(at)))
            .sum();
        munmap(start, len)?;
        Ok(sum)
    }
}

/// What was tried succeeds or, where that is asked for, fails for want of permission.
fn refused(rest: &[OsString], tried: io::Result<()>) -> io::Result<()> {
    match (rest.get(1), tried) {
        (None, tried) => tried,
        (Some(_), Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        (Some(_), other) => Err(io::Error::other(format!("it was not refused: {other:?}"))),
    }
}

fn signal(rest: &[OsString], signal: Signal) -> io::Result<()> {
    let pid = Pid::from_raw(number(rest, 0)? as i32).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

/// Traces a process without stopping it, until this one ends.
fn seize(pid: usize) -> io::Result<()> {
    // SAFETY: of this request, all arguments are numbers.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid as i32, 0, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes a descriptor of every map, program and link there is; gives the last refusal.
fn take_bpf() -> io::Result<()> {
    let mut result = Ok(());
    let text = |error: &dyn std::fmt::Display| {
        let denied = error.to_string().contains("os error 1)");
        let kind = if denied {
            io::ErrorKind::PermissionDenied
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(kind, error.to_string())
    };
    for error in aya::maps::loaded_maps().filter_map(Result::err) {
        result = Err(text(&chain(&error)));
    }
    for error in aya::programs::loaded_programs().filter_map(Result::err) {
        result = Err(text(&chain(&error)));
    }
    for error in aya::programs::loaded_links().filter_map(Result::err) {
        result = Err(text(&chain(&error)));
    }
    result
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Reads a file byte by byte, in four threads at once.
fn threads(file: &Path) -> io::Result<()> {
    let read = || {
        io::BufReader::with_capacity(1, File::open(file)?)
            .bytes()
            .try_for_each(|byte| byte.map(drop))
    };
    std::thread::scope(|scope| {
        let readers = [(); 4].map(|()| scope.spawn(read));
        for reader in readers {
            reader
                .join()
                .map_err(|_| io::Error::other("a reader panicked"))??;
        }
        Ok(())
    })
}

/// Reads a record, says where in memory it lies, and keeps it until its standard input ends.
fn keep(record: &Path) -> io::Result<()> {
    let content = std::fs::read(record)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", content.as_ptr().addr())?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    std::hint::black_box(content);
    Ok(())
}

/// Reads a file's first bytes by readv (10 + 20), then by pread (100), then by preadv (30 + 40).
fn vectors(file: &Path) -> io::Result<()> {
    let file = File::open(file)?;
    let mut parts = [[0; 10].to_vec(), [0; 20].to_vec()];
    let got = rustix::io::readv(&file, &mut parts.each_mut().map(|p| IoSliceMut::new(p)))?;
    file.read_exact_at(&mut [0; 100], 5)?;
    let mut parts = [[0; 30].to_vec(), [0; 40].to_vec()];
    let more = rustix::io::preadv(&file, &mut parts.each_mut().map(|p| IoSliceMut::new(p)), 0)?;
    if (got, more) == (30, 70) {
        Ok(())
    } else {
        Err(io::Error::other("short read"))
    }
}

/// Sends a whole file over TCP without reading it.
fn sendfile(file: &Path, to: SocketAddr) -> io::Result<()> {
    let file = File::open(file)?;
    let mut left = file.metadata()?.len() as usize;
    let socket = TcpStream::connect(to)?;
    while left > 0 {
        left -= rustix::fs::sendfile(&socket, &file, None, left)?;
    }
    finish(&socket)
}

/// Reads a record, and sends so many bytes; the other end answers with one byte.
fn upload(
    record: Option<&Path>,
    to: SocketAddr,
    bytes: usize,
    connect_first: bool,
) -> io::Result<()> {
    let early = if connect_first {
        Some(TcpStream::connect(to)?)
    } else {
        None
    };
    if let Some(record) = record {
        let _content = std::fs::read(record)?;
    }
    let mut socket = early.map_or_else(|| TcpStream::connect(to), Ok)?;
    socket.write_all(&vec![b'x'; bytes])?;
    finish(&socket)
}

/// Waits until a file is there.
pub(crate) fn appears(file: &Path) -> io::Result<()> {
    for _ in 0..2_400 {
        if file.exists() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(io::Error::other("the file did not appear"))
}

/// Says that all is sent, and waits for the answer.
pub(crate) fn finish(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if answer == b"k" {
        Ok(())
    } else {
        Err(io::Error::other("no answer"))
    }
}

/// Reads a record and sends some bytes, then holds the connection open until its standard input ends.
fn trickle(record: &Path, to: SocketAddr, bytes: usize) -> io::Result<()> {
    let _content = std::fs::read(record)?;
    let mut socket = TcpStream::connect(to)?;
    socket.write_all(&vec![b'x'; bytes])?;
    io::stdin().read_to_end(&mut Vec::new())?;
    finish(&socket)
}

/// Says its port, accepts one connection, and sends it a record.
fn serve(record: &Path) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    let (mut socket, _) = listener.accept()?;
    let content = std::fs::read(record)?;
    let mut request = [0; 3];
    socket.read_exact(&mut request)?;
    socket.write_all(&content)
}

/// Reads a record, and sends so many datagrams of growing length.
fn datagrams(record: &Path, to: SocketAddr, count: usize) -> io::Result<()> {
    let _content = std::fs::read(record)?;
    send_datagrams(to, count)
}

/// Each datagram is answered by one byte before the next is sent, so that none finds a full buffer.
fn send_datagrams(to: SocketAddr, count: usize) -> io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    for n in 0..count {
        let content = vec![b'x'; datagram_len(n)];
        // One half to a named address, one over a connected socket: two ways through the kernel.
        if n < count / 2 {
            socket.send_to(&content, to)?;
        } else {
            socket.connect(to)?;
            socket.send(&content)?;
        }
        socket.recv(&mut [0; 16])?;
    }
    Ok(())
}

/// Bytes of the n-th datagram: up to 20,000, so that some are sent in fragments.
pub(crate) const fn datagram_len(n: usize) -> usize {
    n * 977 % 20_000 + 1
}
