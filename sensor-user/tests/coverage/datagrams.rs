//! Ways to send what was read without a connection.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::streams::{messages, parts};
use crate::sys::{at, call};
use crate::way::{Expect, Peer, Place, Way, unsupported, way};

const SENT: &[Expect] = &[Expect::Sent(17)];
const RECEIVER: Peer = Peer::Udp("127.0.0.1:0");
/// Bytes of one datagram.
const PART: usize = 1024;
/// Bytes of a packet that the process makes itself: all of it is its own, the header too.
const FRAME: usize = 20 + PART;

pub(crate) const WAYS: &[Way] = &[
    way("udp-sendto-v4", sendto, SENT).with(RECEIVER),
    way("udp-sendto-v6", sendto6, SENT).with(Peer::Udp("[::1]:0")),
    way("udp-connected", connected, SENT).with(RECEIVER),
    way("udp-v4-mapped-v6", mapped, SENT).with(RECEIVER),
    way("udp-sendmmsg", sendmmsg, SENT).with(RECEIVER),
    way("udp-segmented-by-kernel", segmented, SENT).with(RECEIVER),
    way("udp-fragmented", fragmented, SENT).with(RECEIVER),
    way("icmp-echo", icmp, &[Expect::AnySent(PART as u64)]),
    way("raw-ip", raw, &[Expect::AnySent(PART as u64)]),
    way("raw-ip-as-tcp", raw_as_tcp, &[Expect::AnySent(PART as u64)]),
    way("sctp", sctp, &[Expect::AnySent(PART as u64)]),
    way("packet-socket", packet, &[Expect::AnySent(FRAME as u64)]),
];

/// Reads the record, and sends it in parts by the function.
fn in_parts(
    place: &Place,
    socket: &UdpSocket,
    mut send: impl FnMut(&UdpSocket, &[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    for part in place.hold()?.chunks(PART) {
        send(socket, part)?;
    }
    Ok(())
}

fn sendto(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    in_parts(place, &socket, |s, part| s.send_to(part, place.peer))
}

fn sendto6(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("[::]:0")?;
    in_parts(place, &socket, |s, part| s.send_to(part, place.peer))
}

fn connected(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(place.peer)?;
    in_parts(place, &socket, UdpSocket::send)
}

fn mapped(place: &Place) -> io::Result<()> {
    let SocketAddr::V4(peer) = place.peer else {
        return Err(io::Error::other("the peer is no IPv4 one"));
    };
    let mapped = SocketAddr::from((peer.ip().to_ipv6_mapped(), peer.port()));
    let socket = UdpSocket::bind("[::]:0")?;
    in_parts(place, &socket, |s, part| s.send_to(part, mapped))
}

fn sendmmsg(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let content = place.hold()?;
    let parts: Vec<[usize; 2]> = content.chunks(PART).map(parts).collect();
    messages(
        socket.as_raw_fd(),
        &parts,
        Some(&SockAddr::from(place.peer)),
    )
}

/// One call, many datagrams: the kernel cuts (`UDP_SEGMENT`).
fn segmented(place: &Place) -> io::Result<()> {
    const UDP_SEGMENT: usize = 103;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let size = PART as i32;
    let fd = socket.as_raw_fd() as usize;
    let level = libc::SOL_UDP as usize;
    call(
        libc::SYS_setsockopt,
        &[fd, level, UDP_SEGMENT, at(&size), size_of::<i32>()],
    )?;
    socket.send_to(&place.hold()?, place.peer)?;
    Ok(())
}

/// A datagram longer than any packet of the wire.
fn fragmented(place: &Place) -> io::Result<()> {
    let mut content = place.hold()?;
    content.extend_from_within(..);
    content.extend_from_within(..);
    UdpSocket::bind("0.0.0.0:0")?.send_to(&content, place.peer)?;
    Ok(())
}

fn loopback() -> SockAddr {
    SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))
}

/// The record's beginning as the payload of an echo request.
fn icmp(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1];
    message.extend_from_slice(&content[..PART]);
    let sum = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    socket.send_to(&message, &loopback())?;
    // The answer shows that it went out.
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut buffer = [MaybeUninit::uninit(); PART * 2];
    socket.recv_from(&mut buffer).map(drop)
}

/// A protocol number for experiments (RFC 3692).
fn raw(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(253)))?;
    socket.send_to(&content[..PART], &loopback()).map(drop)
}

/// The same, by a number that says it was TCP.
fn raw_as_tcp(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
    socket.send_to(&content[..PART], &loopback()).map(drop)
}

/// A message over a connection of another protocol than TCP.
fn sctp(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let protocol = Some(Protocol::from(libc::IPPROTO_SCTP));
    let listener = match Socket::new(Domain::IPV4, Type::STREAM, protocol) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Err(unsupported("this kernel has no SCTP"));
        }
        other => other?,
    };
    listener.bind(&loopback())?;
    listener.listen(1)?;
    let sender = Socket::new(Domain::IPV4, Type::STREAM, protocol)?;
    sender.connect(&listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    sender.send(&content[..PART])?;
    let mut found = [MaybeUninit::uninit(); PART];
    if receiver.recv(&mut found)? == PART {
        Ok(())
    } else {
        Err(io::Error::other("not all of it came"))
    }
}

/// A frame made by the process itself, past the protocols of the kernel.
fn packet(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let kind = Type::from(libc::SOCK_DGRAM);
    let protocol = i32::from((libc::ETH_P_IP as u16).to_be());
    let socket = match Socket::new(
        Domain::from(libc::AF_PACKET),
        kind,
        Some(Protocol::from(protocol)),
    ) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            return Err(unsupported("this kernel has no packet sockets"));
        }
        other => other?,
    };
    let total = FRAME as u16;
    let mut frame = vec![0x45, 0];
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 0, 64, 253, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    frame.extend_from_slice(&content[..PART]);
    let interface = std::fs::read_to_string("/sys/class/net/lo/ifindex")?;
    let mut address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: interface.trim().parse().map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let [frame_at, frame_len] = parts(&frame);
    call(
        libc::SYS_sendto,
        &[
            socket.as_raw_fd() as usize,
            frame_at,
            frame_len,
            0,
            crate::sys::at_mut(&mut address),
            size_of_val(&address),
        ],
    )?;
    Ok(())
}
