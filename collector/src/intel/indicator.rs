//! One indicator, out of the many ways in which people write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// Longest text that is looked at, bytes.
pub(super) const TEXT_MAX: usize = 2_048;
/// Longest name of the DNS as text (RFC 1035, 3.1).
const NAME_MAX: usize = 253;
/// Longest label of one.
const LABEL_MAX: usize = 63;
/// Networks wider than these would list a good part of the Internet.
const PREFIX_MIN: (u8, u8) = (8, 16);

/// What a feed lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indicator {
    /// One address.
    Address(IpAddr),
    /// A network.
    Network(IpNet),
    /// One name and none below it, in lower case: the host of a URL.
    Host(String),
    /// A name and everything below it, in lower case.
    Name(String),
}

/// Why an entry is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Nothing that could be looked up.
    #[error("no address, network or name")]
    Form,
    /// Longer than any of them.
    #[error("longer than 2,048 bytes")]
    Long,
    /// A network that lists a good part of the Internet.
    #[error("wider than /8 (IPv4) or /16 (IPv6)")]
    Wide,
    /// A name of one label would list a whole top-level domain.
    #[error("a name of one label")]
    OneLabel,
    /// A pattern of STIX that is more than alternatives of addresses and names.
    #[error("a pattern that cannot be looked up")]
    Pattern,
    /// A kind of thing that no connection has.
    #[error("of a type that is not looked up")]
    Type,
    /// An object without what it has to have.
    #[error("an object without what an indicator has")]
    Object,
    /// No time of RFC 3339.
    #[error("a time that cannot be read")]
    Time,
    /// No address to which anything could go.
    #[error("an address of nobody or of the host itself")]
    Own,
    /// What stands behind the slash is no prefix or netmask.
    #[error("a network whose prefix or netmask cannot be read")]
    Prefix,
}

/// Reads an address, network, name or URL, defanged or not, with a port or without.
pub(super) fn read(untrusted: &str) -> Result<Indicator, Bad> {
    if untrusted.len() > TEXT_MAX {
        return Err(Bad::Long);
    }
    let text = untrusted
        .trim()
        .replace("[.]", ".")
        .replace("(.)", ".")
        .replace("[:]", ":");
    if let Some(network) = network(&text) {
        return network;
    }
    let (host, is_url) = host(&text);
    if let Ok(address) = host.parse::<IpAddr>() {
        return address_of(address).map(Indicator::Address);
    }
    if is_url {
        name(host).map(Indicator::Host)
    } else {
        name(host).map(Indicator::Name)
    }
}

/// An address, a slash, and digits or a netmask.
fn network(text: &str) -> Option<Result<Indicator, Bad>> {
    let (address, size) = text.split_once('/')?;
    let address = address.parse::<IpAddr>().ok()?;
    if size.is_empty() || !size.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let network = match size.parse::<IpAddr>() {
        Ok(mask) => IpNet::with_netmask(address, mask),
        Err(_) => IpNet::new(address, size.parse().unwrap_or(u8::MAX)),
    };
    Some(network.map_err(|_| Bad::Prefix).and_then(network_of))
}

/// The host of a URL, or of an address and a port, and whether it is one of many things there: a URL with a path.
fn host(text: &str) -> (&str, bool) {
    let (text, has_scheme) = match text.split_once("://") {
        Some((_, rest)) => (rest, true),
        None => (text, false),
    };
    let (text, path) = text.split_once(['/', '?', '#']).unwrap_or((text, ""));
    // Without a scheme it is the address of somebody's mail, and lists nothing.
    let text = match text.rsplit_once('@') {
        Some((_, host)) if has_scheme => host,
        _ => text,
    };
    (without_port(text), !path.is_empty())
}

fn without_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').map_or(text, |(address, _)| address);
    }
    match text.split_once(':') {
        // An IPv6 address has more colons than one.
        Some((host, port)) if !port.contains(':') && port.parse::<u16>().is_ok() => host,
        _ => text,
    }
}

/// An IPv6 address that stands for an IPv4 one is that one.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn address_of(address: IpAddr) -> Result<IpAddr, Bad> {
    let address = plain(address);
    if is_own(address) {
        return Err(Bad::Own);
    }
    Ok(address)
}

/// Addresses of "this network" and of the host (RFC 6890, 2.2.2), and those that version 6 has for them.
fn is_own(address: IpAddr) -> bool {
    let this_network = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0);
    this_network || address.is_unspecified() || address.is_loopback()
}

fn network_of(network: IpNet) -> Result<Indicator, Bad> {
    let network = network.trunc();
    if network.prefix_len() == network.max_prefix_len() {
        return address_of(network.addr()).map(Indicator::Address);
    }
    let (v4, v6) = PREFIX_MIN;
    let least = if network.addr().is_ipv4() { v4 } else { v6 };
    if network.prefix_len() < least {
        return Err(Bad::Wide);
    }
    let mapped = matches!(network.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if mapped || is_own(network.addr()) {
        return Err(Bad::Own);
    }
    Ok(Indicator::Network(network))
}

/// A name as it is looked up: lower case, without dots at its ends or a `*` before it.
pub(super) fn name(untrusted: &str) -> Result<String, Bad> {
    let name = untrusted.trim_start_matches("*.").trim_matches('.');
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() <= LABEL_MAX && label.bytes().all(plain)
    };
    if name.len() > NAME_MAX || !name.split('.').all(label) {
        return Err(Bad::Form);
    }
    if !name.contains('.') {
        return Err(Bad::OneLabel);
    }
    // What ends in a number is an address that is written wrong (RFC 3696, 2).
    if name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(Bad::Form);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shown(text: &str) -> String {
        match read(text) {
            Ok(Indicator::Address(address)) => format!("address {address}"),
            Ok(Indicator::Network(network)) => format!("network {network}"),
            Ok(Indicator::Host(name)) => format!("host {name}"),
            Ok(Indicator::Name(name)) => format!("name {name}"),
            Err(bad) => format!("bad {bad:?}"),
        }
    }

    #[test]
    fn indicators_are_read_as_people_write_them() {
        for (text, expected) in [
            ("203.0.113.9", "address 203.0.113.9"),
            ("203.0.113[.]9:443", "address 203.0.113.9"),
            ("::ffff:203.0.113.9", "address 203.0.113.9"),
            ("[2001:db8::1]:443", "address 2001:db8::1"),
            ("2001:db8::1", "address 2001:db8::1"),
            ("203.0.113.77/24", "network 203.0.113.0/24"),
            ("203.0.113.7/32", "address 203.0.113.7"),
            ("2001:db8::/32", "network 2001:db8::/32"),
            ("Evil.Example.ORG.", "name evil.example.org"),
            ("*.evil.example", "name evil.example"),
            (
                "hxxps://user@evil[.]example:8443/a/b?c#d",
                "host evil.example",
            ),
            ("http://203.0.113.9/x", "address 203.0.113.9"),
            ("203.0.113.9/x", "address 203.0.113.9"),
            ("evil.example/path", "host evil.example"),
            ("https://evil.example/", "name evil.example"),
            ("evil.example:443", "name evil.example"),
            ("somebody@good.example", "bad Form"),
            ("198.51.100.7/255.255.255.0", "network 198.51.100.0/24"),
            ("198.51.100.0/255.0.255.0", "bad Prefix"),
            ("198.51.100.0/300", "bad Prefix"),
            ("198.51.100.0/33", "bad Prefix"),
            ("0.0.0.0/0", "bad Wide"),
            ("0.0.0.0/8", "bad Own"),
            ("0.1.2.3", "bad Own"),
            ("127.0.5.0/24", "bad Own"),
            ("::/0", "bad Wide"),
            ("127.0.0.1", "bad Own"),
            ("0.0.0.0", "bad Own"),
            ("com", "bad OneLabel"),
            ("1.2.3.400", "bad Form"),
            ("a b.example", "bad Form"),
            ("", "bad Form"),
            ("-\u{202e}.example", "bad Form"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown(&"a.".repeat(2_000)), "bad Long");
        assert_eq!(shown(&format!("{}.example", "a".repeat(64))), "bad Form");
    }
}
