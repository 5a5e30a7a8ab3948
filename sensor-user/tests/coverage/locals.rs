//! Ways to hand a record to another process of the machine, which then sends it away.
//!
//! The process under test never opens a record: it gets the bytes from a helper, and sends them on. Its flow must be
//! reported, for it holds what is a record's.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::actor;
use crate::pty;
use crate::sys::{Helper, at, call};
use crate::way::{self, Act, Expect, LEN, Peer, Place, Road, Way, unsupported, way, whole};

const HOLDER: &[Expect] = &[Expect::Holder];
const BY_PIPE: &[Expect] = &[Expect::Holder, Expect::Got(Road::Pipe, LEN as u64)];
const BY_UNIX: &[Expect] = &[Expect::Holder, Expect::Got(Road::Unix, LEN as u64)];
const BY_LOOPBACK: &[Expect] = &[Expect::Holder, Expect::Got(Road::Loopback, LEN as u64)];
const BY_TERMINAL: &[Expect] = &[Expect::Holder, Expect::Got(Road::Terminal, LEN as u64)];
const BY_FILE: &[Expect] = &[Expect::Holder, Expect::Got(Road::File, LEN as u64)];
const BY_MAP: &[Expect] = &[Expect::Holder, Expect::Got(Road::Map, LEN as u64)];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");
/// Bytes of one datagram.
const PART: usize = 1024;

pub(crate) const WAYS: &[Way] = &[
    way("handed-by-pipe", pipe, BY_PIPE).with(LISTENER),
    way("handed-by-vmsplice", vmsplice, BY_PIPE).with(LISTENER),
    way("handed-by-sendfile-to-pipe", sendfile, BY_PIPE).with(LISTENER),
    way("handed-by-named-pipe", named_pipe, BY_PIPE).with(LISTENER),
    way("handed-by-unix-stream", unix_stream, BY_UNIX).with(LISTENER),
    way("handed-by-unix-datagram", unix_datagram, BY_UNIX).with(LISTENER),
    way("handed-by-unix-abstract", unix_abstract, BY_UNIX).with(LISTENER),
    way("handed-by-loopback", loopback, BY_LOOPBACK).with(LISTENER),
    way("handed-by-udp", udp, BY_LOOPBACK).with(LISTENER),
    way("handed-by-terminal", terminal, BY_TERMINAL).with(LISTENER),
    way("handed-by-file", file, BY_FILE).with(LISTENER),
    way("handed-by-renamed-file", renamed, BY_FILE).with(LISTENER),
    way("handed-by-shared-mapping", shared_mapping, BY_MAP).with(LISTENER),
    way("handed-by-fork", fork, HOLDER).with(LISTENER),
    way("vsock", vsock, &[Expect::AnySent(LEN as u64)]),
];

/// What second processes do.
pub(crate) const HELPERS: &[(&str, Act)] = &[
    ("write-to-standard-output", write_to_standard_output),
    ("splice-to-standard-output", splice_to_standard_output),
    ("send-to-standard-output", send_to_standard_output),
    ("write-to-named-pipe", write_to_named_pipe),
    ("write-to-mapping", write_to_mapping),
    ("write-to-unix-stream", write_to_unix_stream),
    ("write-to-unix-datagram", write_to_unix_datagram),
    ("write-to-unix-abstract", write_to_unix_abstract),
    ("write-to-loopback", write_to_loopback),
    ("send-datagrams", send_datagrams),
    ("write-to-terminal", write_to_terminal),
    ("write-to-file", write_to_file),
    ("only-upload", only_upload),
];

fn send_on(place: &Place, mut from: impl io::Read) -> io::Result<()> {
    let mut found = Vec::new();
    from.read_to_end(&mut found)?;
    whole(&found)?;
    place.upload(LEN)
}

fn pipe(place: &Place) -> io::Result<()> {
    from_output_of("write-to-standard-output", place)
}

fn vmsplice(place: &Place) -> io::Result<()> {
    from_output_of("splice-to-standard-output", place)
}

fn sendfile(place: &Place) -> io::Result<()> {
    from_output_of("send-to-standard-output", place)
}

fn from_output_of(helper: &str, place: &Place) -> io::Result<()> {
    let mut writer = actor::command(helper, &place.arguments())?.spawn()?;
    let out = writer.stdout.take();
    send_on(place, out.ok_or_else(|| io::Error::other("no pipe"))?)?;
    writer.wait().map(drop)
}

fn write_to_standard_output(place: &Place) -> io::Result<()> {
    io::stdout().write_all(&place.hold()?)
}

fn splice_to_standard_output(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let pieces = [content.as_ptr() as usize, content.len()];
    let given = call(libc::SYS_vmsplice, &[1, at(&pieces), 1, 0])?;
    if given == LEN {
        Ok(())
    } else {
        Err(io::Error::other("the pipe did not take all of it"))
    }
}

fn send_to_standard_output(place: &Place) -> io::Result<()> {
    let record = place.open()?;
    let given = call(
        libc::SYS_sendfile,
        &[1, record.as_raw_fd() as usize, 0, LEN],
    )?;
    if given == LEN {
        Ok(())
    } else {
        Err(io::Error::other("the pipe did not take all of it"))
    }
}

fn named_pipe(place: &Place) -> io::Result<()> {
    let path = place.outside().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )?;
    let mut writer = actor::command("write-to-named-pipe", &place.arguments())?.spawn()?;
    send_on(place, File::open(path)?)?;
    writer.wait().map(drop)
}

fn write_to_named_pipe(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let path = place.outside().join("pipe");
    File::options().write(true).open(path)?.write_all(&content)
}

fn unix_stream(place: &Place) -> io::Result<()> {
    let listener = UnixListener::bind(place.outside().join("socket"))?;
    let (helper, _) = Helper::start("write-to-unix-stream", place)?;
    send_on(place, listener.accept()?.0)?;
    helper.end()
}

fn write_to_unix_stream(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    UnixStream::connect(place.outside().join("socket"))?.write_all(&content)?;
    way::pause()
}

fn unix_datagram(place: &Place) -> io::Result<()> {
    let socket = UnixDatagram::bind(place.outside().join("socket"))?;
    let (helper, _) = Helper::start("write-to-unix-datagram", place)?;
    let mut found = vec![0; LEN];
    let len = socket.recv(&mut found)?;
    helper.end()?;
    send_on(place, &found[..len])
}

fn write_to_unix_datagram(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    UnixDatagram::unbound()?.send_to(&content, place.outside().join("socket"))?;
    way::pause()
}

/// A name that no other run uses.
fn abstract_name(place: &Place) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(place.outside().as_os_str().as_encoded_bytes())
}

fn unix_abstract(place: &Place) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&abstract_name(place)?)?;
    let (helper, _) = Helper::start("write-to-unix-abstract", place)?;
    send_on(place, listener.accept()?.0)?;
    helper.end()
}

fn write_to_unix_abstract(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    UnixStream::connect_addr(&abstract_name(place)?)?.write_all(&content)?;
    way::pause()
}

fn loopback(place: &Place) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let own = Place::clone(place).with_peer(listener.local_addr()?);
    let (helper, _) = Helper::start("write-to-loopback", &own)?;
    send_on(place, listener.accept()?.0)?;
    helper.end()
}

fn write_to_loopback(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let mut socket = TcpStream::connect(place.peer)?;
    socket.write_all(&content)?;
    socket.shutdown(Shutdown::Write)?;
    way::pause()
}

fn udp(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let own = Place::clone(place).with_peer(socket.local_addr()?);
    let (helper, _) = Helper::start("send-datagrams", &own)?;
    let mut found = vec![0; LEN];
    for part in found.chunks_mut(PART) {
        socket.recv(part)?;
    }
    helper.end()?;
    send_on(place, found.as_slice())
}

fn send_datagrams(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for part in place.hold()?.chunks(PART) {
        socket.send_to(part, place.peer)?;
    }
    way::pause()
}

/// The helper's standard output is a pseudo terminal, as in a login.
fn terminal(place: &Place) -> io::Result<()> {
    let (mut terminal, other) = pty::open()?;
    std::os::unix::fs::symlink(other, place.outside().join("terminal"))?;
    // It holds less than is written, and the helper is ready only once all is.
    let reader = std::thread::spawn(move || {
        let mut found = vec![0; LEN];
        terminal.read_exact(&mut found).map(|()| found)
    });
    let (helper, _) = Helper::start("write-to-terminal", place)?;
    let found = reader
        .join()
        .map_err(|_| io::Error::other("the reader panicked"))??;
    helper.end()?;
    send_on(place, found.as_slice())
}

fn write_to_terminal(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let terminal = File::options()
        .write(true)
        .open(place.outside().join("terminal"));
    terminal?.write_all(&content)?;
    way::pause()
}

fn file(place: &Place) -> io::Result<()> {
    let (helper, _) = Helper::start("write-to-file", place)?;
    helper.end()?;
    send_on(place, File::open(place.outside().join("copy"))?)
}

fn write_to_file(place: &Place) -> io::Result<()> {
    std::fs::write(place.outside().join("copy"), place.hold()?)?;
    way::pause()
}

/// The name it gets afterwards says nothing of where it comes from.
fn renamed(place: &Place) -> io::Result<()> {
    let (helper, _) = Helper::start("write-to-file", place)?;
    helper.end()?;
    let (old, new) = (place.outside().join("copy"), place.outside().join(".cache"));
    std::fs::rename(old, &new)?;
    send_on(place, File::open(new)?)
}

/// One process writes to memory that is a file's, another maps the same file later.
fn shared_mapping(place: &Place) -> io::Result<()> {
    let (helper, _) = Helper::start("write-to-mapping", place)?;
    let file = File::open(place.outside().join("memory"))?;
    let found = map(&file, ProtFlags::READ)?;
    // SAFETY: LEN bytes are mapped there, and nobody writes to them any more.
    let result = whole(unsafe { std::slice::from_raw_parts(found.cast(), LEN) });
    helper.end()?;
    result?;
    place.upload(LEN)
}

fn write_to_mapping(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.outside().join("memory"))?;
    file.set_len(LEN as u64)?;
    let memory = map(&file, ProtFlags::READ | ProtFlags::WRITE)?;
    // SAFETY: LEN bytes are mapped there, and `content` has as many.
    unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), memory.cast(), LEN) };
    way::pause()
}

fn map(file: &File, protection: ProtFlags) -> io::Result<*mut std::ffi::c_void> {
    // SAFETY: a new mapping at an address the kernel chooses; it stays until the process ends.
    Ok(unsafe {
        mmap(
            std::ptr::null_mut(),
            LEN,
            protection,
            MapFlags::SHARED,
            file,
            0,
        )
    }?)
}

/// The parent reads; the child, which has the same memory until it becomes a new program, sends.
fn fork(place: &Place) -> io::Result<()> {
    place.hold()?;
    let mut child = actor::command("only-upload", &place.arguments())?.spawn()?;
    way::watch_process(child.id())?;
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("the child failed"))
    }
}

fn only_upload(place: &Place) -> io::Result<()> {
    place.upload(LEN)
}

/// A socket between a virtual machine and its host; here from this machine to itself.
fn vsock(place: &Place) -> io::Result<()> {
    use socket2::{Domain, SockAddr, Socket, Type};
    /// The own machine, and any port.
    const LOCAL: u32 = 1;
    const ANY_PORT: u32 = u32::MAX;
    let content = place.hold()?;
    let socket = || match Socket::new(Domain::VSOCK, Type::STREAM, None) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            Err(unsupported("this kernel has no vsock"))
        }
        other => other,
    };
    let listener = socket()?;
    listener
        .bind(&SockAddr::vsock(LOCAL, ANY_PORT))
        .map_err(absent)?;
    listener.listen(1)?;
    let address = listener.local_addr()?;
    let sender = socket()?;
    sender.connect(&address).map_err(absent)?;
    let (receiver, _) = listener.accept()?;
    // What one call takes fits into the receiver's buffer.
    let fd = sender.as_raw_fd() as usize;
    let arguments = [fd, at(content.as_slice()), content.len(), 0, 0, 0];
    call(libc::SYS_sendto, &arguments)?;
    drop(sender);
    let mut found = Vec::new();
    (&receiver).read_to_end(&mut found)?;
    whole(&found)
}

/// Without the module for it the own machine has no address.
fn absent(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ECONNRESET) => {
            unsupported("this kernel has no vsock to itself")
        }
        _ => error,
    }
}
