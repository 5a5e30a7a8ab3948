//! Conversations over the network.

use super::header::Header;
use super::limits::PAYLOAD_MAX;
use super::proc::Process;

/// This host connected, or sent first.
pub const CONNECTED: u8 = 1;
/// This host accepted.
pub const ACCEPTED: u8 = 2;
/// IANA protocol number of TCP.
pub const TCP: u8 = 6;
/// IANA protocol number of UDP.
pub const UDP: u8 = 17;
/// IANA protocol number of DCCP.
pub const DCCP: u8 = 33;
/// IANA protocol number of SCTP.
pub const SCTP: u8 = 132;
/// IANA protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IANA protocol number of `ICMPv6`.
pub const ICMP6: u8 = 58;

/// Both ends of a conversation. An IPv4 address stands in the first four bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Address of this host, network order.
    pub local: [u32; 4],
    /// Address of the other end, network order.
    pub remote: [u32; 4],
    /// Port of this host, host order.
    pub local_port: u16,
    /// Port of the other end, host order.
    pub remote_port: u16,
    /// 4 or 6; 0 when it is no conversation over IP.
    pub version: u8,
    /// [`TCP`], [`UDP`], or another IANA protocol number; of what is no IP the socket's address family.
    pub protocol: u8,
    /// [`CONNECTED`] or [`ACCEPTED`].
    pub direction: u8,
    /// Zero.
    pub pad: u8,
}

/// An open TCP socket of a process that holds records; found by its cookie.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Socket {
    /// The owner: who connected, accepted, or first sent on it as a holder.
    pub process: Process,
    /// When it was first seen as the owner's, boot clock, nanoseconds.
    pub opened_ns: u64,
    /// Address of its `struct sock`, to look at its counters while it is open.
    pub sk: u64,
    /// Payload bytes that others had sent, or had ready to be sent, when the owner first sent on it.
    pub before: u64,
    /// Payload bytes sent since, when last looked at.
    pub out: u64,
    /// Payload bytes received, when last looked at.
    pub r#in: u64,
    /// Its ends.
    pub ends: Ends,
}

/// Names a conversation without a connection, of a process that holds records.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramKey {
    /// Cookie of the socket.
    pub cookie: u64,
    /// Address of the other end, network order.
    pub remote: [u32; 4],
    /// Port of the other end, host order; 0 for protocols without.
    pub remote_port: u16,
    /// 4 or 6; 0 when it is no conversation over IP.
    pub version: u8,
    /// Zero.
    pub pad: [u8; 5],
}

/// A conversation without a connection: UDP, echoes, raw IP, and what goes past IP.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Datagrams {
    /// Who sends.
    pub process: Process,
    /// First datagram, boot clock, nanoseconds.
    pub opened_ns: u64,
    /// Last datagram, boot clock, nanoseconds.
    pub last_ns: u64,
    /// Payload bytes sent.
    pub out: u64,
    /// Payload bytes received.
    pub r#in: u64,
    /// Its ends.
    pub ends: Ends,
    /// Zero.
    pub pad: u64,
}

/// A TCP conversation of a process that holds records began or ended.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Kind [`FLOW`](super::header::kind::FLOW).
    pub header: Header,
    /// Cookie of the socket.
    pub cookie: u64,
    /// What is known of it.
    pub socket: Socket,
    /// 1 when it ended, else 0.
    pub closed: u32,
    /// Zero.
    pub pad: u32,
}

/// Names a conversation within the machine, TCP or UDP, by its sender's ends.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalKey {
    /// As [`Ends::local`].
    pub local: [u32; 4],
    /// As [`Ends::remote`].
    pub remote: [u32; 4],
    /// As [`Ends::local_port`].
    pub local_port: u16,
    /// As [`Ends::remote_port`].
    pub remote_port: u16,
    /// As [`Ends::protocol`].
    pub protocol: u32,
}

/// A holder's conversation whose other end is on this machine, too.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Local {
    /// The holder.
    pub process: Process,
    /// Stores whose records it held: bit `n % 64` for store `n`.
    pub stores: u64,
}

/// What holders have sent to a UDP socket of this machine, or written to the other end of a pseudo terminal.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// The holder that sent last.
    pub process: Process,
    /// Stores whose records were held by those who sent.
    pub stores: u64,
    /// Payload bytes that have come for it.
    pub came: u64,
    /// Those of them that were received.
    pub taken: u64,
}

/// Who sent to a unix socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// The holder that sent last.
    pub process: Process,
    /// Stores whose records were held by those who sent.
    pub stores: u64,
}

/// Path of a unix socket whose talk carries no records by nature, then zeroes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietName {
    /// At most 107 bytes of path (`sockaddr_un.sun_path`).
    pub name: [u8; 112],
}

/// How many more packets' payload of a socket is kept.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    /// Of those that leave.
    pub out: u32,
    /// Of those that come in.
    pub r#in: u32,
}

/// What a conversation of a process that holds records begins with; names are found in it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Payload {
    /// Kind [`PAYLOAD`](super::header::kind::PAYLOAD).
    pub header: Header,
    /// Names the conversation; of TCP the cookie alone does.
    pub key: DatagramKey,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// 1 when it came in, 0 when it left.
    pub incoming: u8,
    /// Zero.
    pub pad: u16,
    /// Bytes that are kept.
    pub len: u32,
    /// The first bytes of the payload; what follows is of older records.
    pub bytes: [u8; PAYLOAD_MAX],
}

/// Where names are asked for and given.
pub const DNS_PORT: u16 = 53;

const _: () = assert!(size_of::<Talk>() == 8);
const _: () = assert!(size_of::<LocalKey>() == 40);
const _: () = assert!(size_of::<Local>() == 24);
const _: () = assert!(size_of::<Waiting>() == 40);
const _: () = assert!(size_of::<Given>() == 24);
const _: () = assert!(size_of::<QuietName>() == 112);
const _: () = assert!(core::mem::offset_of!(Payload, len) == 52);
const _: () = assert!(size_of::<Payload>() == 16 + 32 + 8 + PAYLOAD_MAX);
const _: () = assert!(size_of::<Ends>() == 40);
// No padding but the named: the last field ends where the struct does.
const _: () =
    assert!(core::mem::offset_of!(Socket, ends) + size_of::<Ends>() == size_of::<Socket>());
const _: () = assert!(core::mem::offset_of!(Datagrams, pad) + 8 == size_of::<Datagrams>());
const _: () = assert!(core::mem::offset_of!(DatagramKey, pad) + 5 == size_of::<DatagramKey>());
const _: () = assert!(core::mem::offset_of!(Flow, closed) == 120);
const _: () = assert!(size_of::<Socket>() == 96);
const _: () = assert!(size_of::<DatagramKey>() == 32);
const _: () = assert!(size_of::<Datagrams>() == 96);
const _: () = assert!(size_of::<Flow>() == 16 + 8 + 96 + 8);
