//! Conversations over the network.

use std::net::SocketAddr;

use super::ProcessKey;

/// From here on [`Flow::protocol`] is an address family (`AF_*` of Linux): a conversation that goes past IP.
pub const PAST_IP: u16 = 256;

/// Who began a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Not known.
    Unknown,
    /// The host connected, or sent the first datagram.
    Connected,
    /// The host accepted.
    Accepted,
}

/// One socket's conversation with one remote end. Amounts are totals since it began: the newest event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Names the flow within one boot.
    pub id: u64,
    /// The process it belongs to.
    pub process: ProcessKey,
    /// IANA protocol number: 6 TCP, 17 UDP; of what is no IP, [`PAST_IP`] and its address family.
    pub protocol: u16,
    /// Who began it.
    pub direction: Direction,
    /// The host's own end; `None` when the sensor did not see it.
    pub local: Option<SocketAddr>,
    /// The other end. An IPv4-mapped IPv6 address is kept as IPv4.
    pub remote: SocketAddr,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes that had been sent on the connection when the process first sent on it as a holder of records.
    pub bytes_out_before: u64,
    /// When it began, nanoseconds since the Unix epoch.
    pub opened_ns: u64,
    /// Last time anything was seen of it, nanoseconds since the Unix epoch.
    pub last_ns: u64,
    /// True in the last event of a flow.
    pub closed: bool,
    /// What the other end is called.
    pub name: Option<FlowName>,
}

/// A name of the other end, as the conversations of processes that hold records say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName {
    /// Where it comes from.
    pub source: NameSource,
    /// The name.
    pub name: String,
}

/// Where a name comes from; the better, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameSource {
    /// Not known.
    Unknown,
    /// An answer of DNS that gave the address.
    Answer,
    /// The question that was asked over this flow, which is one of DNS.
    Question,
    /// The TLS hello in this flow: what the process asked for, which need not be what answers there.
    Server,
}

impl NameSource {
    /// As people say it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "not said by what",
            Self::Answer => "an answer of DNS gave this address for it",
            Self::Question => "asked over DNS",
            Self::Server => "asked for in the TLS hello",
        }
    }
}
