//! Approved ways: the hospital's normal work, each a full tuple and never just a program's name.
//!
//! **Invariant:** a way approves one executable, one user, one store and one destination together, at its hours and up to its bytes, so a copy of the program
//! under another path or the same program run by somebody else is not approved. A way without a reader approves what the
//! executable has read itself, and sends itself or has a program send that it starts, as rsync has ssh; else a way names the
//! one that sends and, as its reader, the one that reads.

use std::net::IpAddr;
use std::str::FromStr;

use super::Schedule;
use crate::event::Medium;

/// One approved way of moving records off a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedWay {
    /// What the hospital calls it.
    pub name: String,
    /// The store whose records may go.
    pub store: String,
    /// Absolute path of the executable that sends, or without a reader has one send that it starts.
    pub executable: String,
    /// Absolute path of the executable that reads the records, where it is not the one that sends them.
    pub reader: Option<String>,
    /// User name, or the number where the host has no name for it.
    pub user: String,
    /// Where they may go.
    pub destination: Whereto,
    /// When they may; `None`: at any time.
    pub schedule: Option<Schedule>,
    /// Most bytes that may go there within 24 hours, all processes of the way together; `None`: any number.
    pub bytes_max: Option<u64>,
}

/// Where records may go on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereto {
    /// A network.
    Network(Network),
    /// Files on such a medium, below a directory if one is meant.
    Files(Medium, Option<String>),
}

impl Whereto {
    /// True when a connection leads there.
    pub fn contains(&self, address: IpAddr, port: u16) -> bool {
        matches!(self, Self::Network(network) if network.contains(address, port))
    }

    /// True when files in a directory of such a medium lie there.
    pub fn holds(&self, medium: Medium, directory: Option<&str>) -> bool {
        let Self::Files(own, below) = self else {
            return false;
        };
        let lies = |below: &String| {
            let rest = directory.and_then(|directory| directory.strip_prefix(below.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        *own == medium && below.as_ref().is_none_or(lies)
    }
}

impl FromStr for Whereto {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        let (kind, below) = text
            .split_once(':')
            .map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let media = [Medium::Removable, Medium::Image, Medium::Network];
        let Some(medium) = media.into_iter().find(|medium| medium.name() == kind) else {
            return text.parse().map(Self::Network);
        };
        match below.map(|below| below.trim_end_matches('/')) {
            Some(below) if !below.starts_with('/') => Err(WayError::Directory),
            below => Ok(Self::Files(medium, below.map(str::to_owned))),
        }
    }
}

impl std::fmt::Display for Whereto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Files(medium, None) => f.write_str(medium.name()),
            Self::Files(medium, Some(below)) => write!(f, "{}:{below}", medium.name()),
        }
    }
}

/// A network, and a port if only one is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
    port: Option<u16>,
}

/// A destination that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// No address.
    #[error(
        "no IP address; write CIDR or CIDR:port, with [brackets] around IPv6 before a port, or removable, image or network and a directory, as removable:/media/backup"
    )]
    Address,
    /// What stands behind a medium is no absolute path.
    #[error("no absolute directory behind the medium; write it as removable:/media/backup")]
    Directory,
    /// The prefix is no number, or too long for the address.
    #[error("the prefix length is no number from 0 to {max}")]
    Prefix {
        /// Longest prefix of the address family.
        max: u8,
    },
    /// Bits are set behind the prefix, so it is not clear which network is meant.
    #[error("bits are set behind the prefix; the network is {network}/{prefix}")]
    HostBits {
        /// What the prefix leaves of it.
        network: IpAddr,
        /// The prefix.
        prefix: u8,
    },
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl Network {
    /// True when the end lies in the network and, if a port is meant, has that port.
    pub fn contains(&self, address: IpAddr, port: u16) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        same_family
            && masked(address, self.prefix) == self.address
            && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Network {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        let (cidr, port) = split_port(text)?;
        let (address, prefix) = cidr
            .split_once('/')
            .map_or((cidr, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| WayError::Address)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => max,
            Some(text) => text
                .parse()
                .ok()
                .filter(|bits| *bits <= max)
                .ok_or(WayError::Prefix { max })?,
        };
        let network = masked(address, prefix);
        if network != address {
            return Err(WayError::HostBits { network, prefix });
        }
        Ok(Self {
            address,
            prefix,
            port,
        })
    }
}

/// Cuts a port off the end. A bare IPv6 address has colons of its own, so there a port needs brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), WayError> {
    let (cidr, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(WayError::Address)?;
        match after.strip_prefix(':') {
            Some(port) => (inside, Some(port)),
            None if after.is_empty() => (inside, None),
            None => return Err(WayError::Address),
        }
    } else {
        match text.split_once(':') {
            Some((cidr, port)) if !port.contains(':') => (cidr, Some(port)),
            _ => (text, None),
        }
    };
    let port = port
        .map(|text| {
            text.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(WayError::Port)
        })
        .transpose()?;
    Ok((cidr, port))
}

/// The address with the bits behind the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, prefix) = (self.address, self.prefix);
        match (self.port, address.is_ipv6()) {
            (None, _) => write!(f, "{address}/{prefix}"),
            (Some(port), false) => write!(f, "{address}/{prefix}:{port}"),
            (Some(port), true) => write!(f, "[{address}/{prefix}]:{port}"),
        }
    }
}
