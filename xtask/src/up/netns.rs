//! A network namespace of our own, joined to the host by a pair of virtual interfaces.
//!
//! It gives the demonstration an address that is not this host's, without any traffic leaving the machine. Addresses
//! are from the networks that are set aside for examples and routed nowhere (RFC 5737).
//!
//! **Invariant:** the namespace, both interfaces and with them the addresses are gone when the value is dropped.

use std::net::Ipv4Addr;
use std::process::{self, Command};

use anyhow::{Context as _, Result};

use crate::step::{capture, find_program, say};

/// TEST-NET-1 to 3 of RFC 5737: the first three bytes of each.
const NETWORKS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];

/// A namespace, with one address on either side.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    interface: String,
    /// The host's address on the way there.
    pub(crate) host: Ipv4Addr,
    /// Address inside the namespace.
    pub(crate) address: Ipv4Addr,
}

impl Namespace {
    /// Makes the namespace and brings its interfaces up. `tag` is one letter that tells several of one process apart.
    ///
    /// # Errors
    /// No network is free, or `ip` failed: no privilege, or a kernel without veth.
    pub(crate) fn make(tag: char) -> Result<Self> {
        let number = process::id();
        let [host, address] = free_addresses()?;
        let namespace = Self {
            name: format!("chartwatch-{number}{tag}"),
            // Interface names have 15 characters at most.
            interface: format!("cw{number}{tag}h"),
            host,
            address,
        };
        let (name, outside, inside) = (
            &namespace.name,
            &namespace.interface,
            format!("cw{number}{tag}n"),
        );
        ip(&format!("netns add {name}"))?;
        ip(&format!(
            "link add {outside} type veth peer name {inside} netns {name}"
        ))?;
        ip(&format!("address add {host}/30 dev {outside}"))?;
        ip(&format!("link set {outside} up"))?;
        ip(&format!(
            "-n {name} address add {}/30 dev {inside}",
            namespace.address
        ))?;
        ip(&format!("-n {name} link set {inside} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(namespace)
    }

    /// A command that runs a program inside.
    ///
    /// # Errors
    /// `ip` is not installed.
    pub(crate) fn command(&self, program: &std::path::Path) -> Result<Command> {
        let mut command = Command::new(tool()?);
        command.args(["netns", "exec", &self.name]).arg(program);
        Ok(command)
    }

    /// How many sockets inside listen, or take datagrams.
    ///
    /// # Errors
    /// `ip` is not installed, or the namespace is gone.
    pub(crate) fn listening(&self) -> Result<usize> {
        let mut command = self.command("/bin/cat".as_ref())?;
        let tables = ["tcp", "tcp6", "udp", "udp6"].map(|table| format!("/proc/self/net/{table}"));
        let text = capture(command.args(tables))?;
        // The state is the fourth field: 0A a listening TCP socket, 07 an unconnected UDP one.
        let states = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3));
        Ok(states.filter(|state| ["0A", "07"].contains(state)).count())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The interface first: with it goes its other end, at once; a namespace lives on while a process is in it.
        // What was never made cannot be removed, so only what is left afterwards is a failure.
        for (what, remove, list) in [
            (
                "interface",
                format!("link delete {}", self.interface),
                "-o link show",
            ),
            (
                "network namespace",
                format!("netns delete {}", self.name),
                "netns list",
            ),
        ] {
            let name = if what == "interface" {
                &self.interface
            } else {
                &self.name
            };
            if let Err(error) = ip(&remove)
                && ip(list).is_ok_and(|text| text.contains(name.as_str()))
            {
                say(format!("the {what} {name} could not be removed: {error:#}"));
            }
        }
    }
}

/// Two neighbours in four addresses this host has no route to: some machines have such a network for their own, and
/// others like us may run beside.
fn free_addresses() -> Result<[Ipv4Addr; 2]> {
    let routes = ip("-4 -o route show table all")?;
    let blocks = NETWORKS
        .iter()
        .flat_map(|network| (0..64).map(move |block| (network, block)));
    let free = blocks
        .into_iter()
        .find(|(network, block)| is_free(&routes, **network, *block));
    let ([a, b, c], block) =
        free.context("all networks for examples (RFC 5737) are in use on this host")?;
    Ok([1, 2].map(|last| Ipv4Addr::new(*a, *b, *c, block * 4 + last)))
}

/// Whether no route leads to this block of four addresses, or to more of its network than four.
fn is_free(routes: &str, [a, b, c]: [u8; 3], block: u8) -> bool {
    let begin = format!("{a}.{b}.{c}.");
    let mut used = routes
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(begin.as_str()));
    used.all(|rest| {
        let (last, length) = rest.split_once('/').unwrap_or((rest, "32"));
        match (last.parse::<u8>(), length.parse::<u8>()) {
            (Ok(last), Ok(length)) => length >= 30 && last / 4 != block,
            _ => false,
        }
    })
}

fn ip(arguments: &str) -> Result<String> {
    capture(Command::new(tool()?).args(arguments.split(' ')))
}

fn tool() -> Result<std::path::PathBuf> {
    find_program("ip").context("ip is not installed (Debian package iproute2)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_free_without_a_route_to_it() {
        let routes = "default via 10.0.0.1 dev e\n192.0.2.0/24 dev e\n203.0.113.4/30 dev c\n\
                      local 203.0.113.5 dev c table local\n";
        let check = |network, block, expect| {
            assert_eq!(
                is_free(routes, network, block),
                expect,
                "{network:?} {block}"
            );
        };
        check([192, 0, 2], 9, false);
        check([198, 51, 100], 0, true);
        check([203, 0, 113], 0, true);
        check([203, 0, 113], 1, false);
    }
}
