//! Conversations over the network.

use std::net::{IpAddr, SocketAddr};

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
    /// What the other end is called, as far as the process's own conversations say.
    pub name: Option<FlowName>,
}

/// A name of the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName {
    /// The name, without capitals; what no name is made of is escaped or left out.
    pub name: String,
    /// Where it comes from.
    pub source: NameSource,
}

/// Where a name comes from; the better, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameSource {
    /// An answer of DNS that gave the address, to a question of a process that holds records.
    Answer,
    /// The question that was asked over this flow, which is one of DNS.
    Question,
    /// The TLS hello in this flow: what the process asked for, which need not be what answers there.
    Server,
}

/// What a conversation said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The flow.
    pub flow: u64,
    /// What was heard.
    pub heard: Heard,
}

/// A name that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// None.
    Nothing,
    /// The server of a TLS hello.
    Server(String),
    /// What was asked of DNS.
    Question(String),
    /// What was asked, and the addresses that were given.
    Answer(String, Vec<IpAddr>),
}
