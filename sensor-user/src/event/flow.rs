//! Conversations over the network.

use std::net::SocketAddr;

use super::ProcessKey;

/// Who began a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This host connected, or sent the first datagram.
    Connected,
    /// This host accepted.
    Accepted,
}

/// One socket's conversation with one remote end. Amounts are totals since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Names the flow within one boot.
    pub id: u64,
    /// The process it belongs to.
    pub process: ProcessKey,
    /// IANA protocol number: 6 TCP, 17 UDP, 1 and 58 echo requests, any other for raw IP.
    pub protocol: u8,
    /// Address family (`AF_*`) of a conversation that is none over IP, which then has protocol 0 and no known ends; else 0.
    pub family: u8,
    /// Who began it.
    pub direction: Direction,
    /// This host's end. An IPv4-mapped IPv6 address is given as IPv4.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Payload bytes sent, retransmissions not counted.
    pub bytes_out: u64,
    /// Payload bytes that had been sent on it when the process first did so as a holder; not in `bytes_out`.
    pub bytes_out_before: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// When it began, boot clock.
    pub opened_boot_ns: u64,
    /// True in the last event of a flow.
    pub closed: bool,
}
