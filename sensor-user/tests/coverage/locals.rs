//! Ways to hand a record to another process of the machine, which then sends it away.
//!
//! The process under test never opens a record: it gets the bytes from a helper, and sends them on. Its flow must be
//! reported, for it holds what is a record's.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use crate::actor;
use crate::sys::{Helper, at, call};
use crate::way::{self, Act, Expect, LEN, Peer, Place, Way, unsupported, way, whole};

const HOLDER: &[Expect] = &[Expect::Holder];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");

pub(crate) const WAYS: &[Way] = &[
    way("handed-by-pipe", pipe, HOLDER).with(LISTENER),
    way("handed-by-unix-stream", unix_stream, HOLDER).with(LISTENER),
    way("handed-by-unix-datagram", unix_datagram, HOLDER).with(LISTENER),
    way("handed-by-unix-abstract", unix_abstract, HOLDER).with(LISTENER),
    way("handed-by-loopback", loopback, HOLDER).with(LISTENER),
    way("handed-by-file", file, HOLDER).with(LISTENER),
    way("handed-by-fork", fork, HOLDER).with(LISTENER),
    way("vsock", vsock, &[Expect::AnySent(LEN as u64)]),
];

/// What second processes do.
pub(crate) const HELPERS: &[(&str, Act)] = &[
    ("write-to-standard-output", write_to_standard_output),
    ("write-to-unix-stream", write_to_unix_stream),
    ("write-to-unix-datagram", write_to_unix_datagram),
    ("write-to-unix-abstract", write_to_unix_abstract),
    ("write-to-loopback", write_to_loopback),
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
    let mut writer = actor::command("write-to-standard-output", &place.arguments())?.spawn()?;
    let out = writer.stdout.take();
    send_on(place, out.ok_or_else(|| io::Error::other("no pipe"))?)?;
    writer.wait().map(drop)
}

fn write_to_standard_output(place: &Place) -> io::Result<()> {
    io::stdout().write_all(&place.hold()?)
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

fn file(place: &Place) -> io::Result<()> {
    let (helper, _) = Helper::start("write-to-file", place)?;
    helper.end()?;
    send_on(place, File::open(place.outside().join("copy"))?)
}

fn write_to_file(place: &Place) -> io::Result<()> {
    std::fs::write(place.outside().join("copy"), place.hold()?)?;
    way::pause()
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
