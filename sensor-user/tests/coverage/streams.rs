//! Ways to send what was read over a connection.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::{UnixListener, UnixStream};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::handed;
use crate::sys::{Helper, at, call};
use crate::way::{
    self, Act, BYTES, Expect, LEN, Peer, Place, Way, content, finish, unsupported, way,
};

const SENT: &[Expect] = &[Expect::Sent(6)];
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");

pub(crate) const WAYS: &[Way] = &[
    way("tcp-connect-v4", upload, SENT).with(LISTENER),
    way("tcp-connect-v6", upload, SENT).with(Peer::Tcp("[::1]:0")),
    way("tcp-v4-mapped-v6", mapped, SENT).with(LISTENER),
    way("tcp-fast-open", fast_open, SENT).with(LISTENER),
    way("tcp-accepted", accepted, &[Expect::Served]).with(Peer::Client),
    way("tcp-sendmsg", sendmsg, SENT).with(LISTENER),
    way("tcp-sendmmsg", sendmmsg, SENT).with(LISTENER),
    way("tcp-kernel-tls", kernel_tls, SENT).with(LISTENER),
    way("tcp-multipath", multipath, SENT).with(LISTENER),
    way("tcp-connected-before-reading", connected_first, SENT).with(LISTENER),
    way("tcp-connected-before-start", connected_early, SENT)
        .early()
        .with(LISTENER),
    way("tcp-socket-passed-on", passed_on, SENT).with(LISTENER),
    way("tcp-socket-inherited", inherited, SENT).with(LISTENER),
];

/// What second processes do.
pub(crate) const HELPERS: &[(&str, Act)] = &[
    ("connect-and-pass", connect_and_pass),
    ("send-on-standard-output", send_on_standard_output),
];

fn upload(place: &Place) -> io::Result<()> {
    place.hold()?;
    place.upload(BYTES)
}

/// An IPv6 socket that connects to an IPv4 address.
fn mapped(place: &Place) -> io::Result<()> {
    place.hold()?;
    let SocketAddr::V4(peer) = place.peer else {
        return Err(io::Error::other("the peer is no IPv4 one"));
    };
    let mapped = SocketAddr::from((peer.ip().to_ipv6_mapped(), peer.port()));
    let mut socket = TcpStream::connect(mapped)?;
    socket.write_all(&content(BYTES))?;
    finish(&socket)
}

/// The first bytes go with the first packet, without connect.
fn fast_open(place: &Place) -> io::Result<()> {
    place.hold()?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let content = content(BYTES);
    let sent = socket.send_to_with_flags(&content, &SockAddr::from(place.peer), libc::MSG_FASTOPEN);
    let sent = match sent {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return Err(unsupported("fast open is switched off"));
        }
        other => other?,
    };
    let mut socket = TcpStream::from(socket);
    socket.write_all(&content[sent..])?;
    finish(&socket)
}

fn accepted(place: &Place) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    way::listens(listener.local_addr()?.port())?;
    let (mut socket, _) = listener.accept()?;
    let content = place.hold()?;
    socket.read_exact(&mut [0; 3])?;
    socket.write_all(&content)
}

fn connect(place: &Place) -> io::Result<(Vec<u8>, TcpStream)> {
    Ok((place.hold()?, TcpStream::connect(place.peer)?))
}

fn sendmsg(place: &Place) -> io::Result<()> {
    let (content, socket) = connect(place)?;
    let (first, second) = content.split_at(LEN / 3);
    let socket = Socket::from(socket);
    socket.send_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
    finish(&socket.into())
}

fn sendmmsg(place: &Place) -> io::Result<()> {
    let (content, socket) = connect(place)?;
    let parts = content.chunks(LEN / 3).map(parts).collect::<Vec<_>>();
    messages(socket.as_raw_fd(), &parts, None)?;
    finish(&socket)
}

/// Address and length of some bytes.
pub(crate) fn parts(bytes: &[u8]) -> [usize; 2] {
    [bytes.as_ptr() as usize, bytes.len()]
}

/// Sends each part as a message of its own, by one call.
pub(crate) fn messages(socket: i32, parts: &[[usize; 2]], to: Option<&SockAddr>) -> io::Result<()> {
    let (name, name_len) = to.map_or((0, 0), |to| (to.as_ptr() as usize, to.len() as usize));
    // struct mmsghdr of include/linux/socket.h, in words: name, its length, parts, their number, control and its
    // length, flags, and the bytes sent.
    let headers: Vec<[usize; 8]> = parts
        .iter()
        .map(|part| [name, name_len, at(part), 1, 0, 0, 0, 0])
        .collect();
    let arguments = [socket as usize, headers.as_ptr() as usize, headers.len(), 0];
    if call(libc::SYS_sendmmsg, &arguments)? == parts.len() {
        Ok(())
    } else {
        Err(io::Error::other("not every message was sent"))
    }
}

/// `struct tls12_crypto_info_aes_gcm_128` of include/uapi/linux/tls.h: version 1.2, cipher 51, then keys.
fn kernel_tls(place: &Place) -> io::Result<()> {
    const TLS: libc::c_int = 282;
    const TLS_TX: libc::c_int = 1;
    const TCP_ULP: libc::c_int = 31;
    let (content, mut socket) = connect(place)?;
    let option = |level: libc::c_int, name: libc::c_int, value: &[u8]| {
        let fd = socket.as_raw_fd() as usize;
        let [address, len] = parts(value);
        call(
            libc::SYS_setsockopt,
            &[fd, level as usize, name as usize, address, len],
        )
    };
    let mut keys = [0_u8; 40];
    keys[..4].copy_from_slice(&[0x03, 0x03, 51, 0]);
    let on = option(libc::IPPROTO_TCP, TCP_ULP, b"tls").and_then(|_| option(TLS, TLS_TX, &keys));
    if let Err(error) = on {
        return match error.raw_os_error() {
            Some(libc::ENOENT) => Err(unsupported("this kernel has no TLS of its own")),
            _ => Err(error),
        };
    }
    socket.write_all(&content)?;
    finish(&socket)
}

fn multipath(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let protocol = Protocol::from(libc::IPPROTO_MPTCP);
    let socket = match Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
            ) =>
        {
            return Err(unsupported("this kernel has no MPTCP"));
        }
        other => other?,
    };
    socket.connect(&SockAddr::from(place.peer))?;
    let mut socket = TcpStream::from(socket);
    socket.write_all(&content)?;
    finish(&socket)
}

fn connected_first(place: &Place) -> io::Result<()> {
    let mut socket = TcpStream::connect(place.peer)?;
    socket.write_all(&place.hold()?)?;
    finish(&socket)
}

fn connected_early(place: &Place) -> io::Result<()> {
    let mut socket = TcpStream::connect(place.peer)?;
    way::pause()?;
    socket.write_all(&place.hold()?)?;
    finish(&socket)
}

/// Another process connected, and hands the socket to the one that holds the record.
fn passed_on(place: &Place) -> io::Result<()> {
    let listener = UnixListener::bind(place.outside().join("socket"))?;
    let (helper, _) = Helper::start("connect-and-pass", place)?;
    let (from, _) = listener.accept()?;
    let mut socket = TcpStream::from(handed::receive(&from)?);
    helper.end()?;
    socket.write_all(&place.hold()?)?;
    finish(&socket)
}

fn connect_and_pass(place: &Place) -> io::Result<()> {
    let socket = TcpStream::connect(place.peer)?;
    let to = UnixStream::connect(place.outside().join("socket"))?;
    handed::send(&to, socket.as_fd())?;
    way::pause()
}

/// The parent connects, the child reads and sends.
fn inherited(place: &Place) -> io::Result<()> {
    let socket = TcpStream::connect(place.peer)?;
    let mut command = crate::actor::command("send-on-standard-output", &place.arguments())?;
    let mut child = command.stdout(std::os::fd::OwnedFd::from(socket)).spawn()?;
    way::watch_process(child.id())?;
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("the child failed"))
    }
}

fn send_on_standard_output(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let mut socket = TcpStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    socket.write_all(&content)?;
    finish(&socket)
}
