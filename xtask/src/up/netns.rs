//! A network namespace of our own, joined to the host by a pair of virtual interfaces.
//!
//! It gives the demonstration an address that is not this host's, without any traffic leaving the machine. Addresses
//! are from 192.0.2.0/24, which is set aside for examples and routed nowhere (RFC 5737).
//!
//! **Invariant:** the namespace, both interfaces and with them the addresses are gone when the value is dropped.

use std::net::Ipv4Addr;
use std::process::{self, Command};

use anyhow::{Context as _, Result};

use crate::step::{capture, find_program, say};

/// Networks of four addresses in 192.0.2.0/24.
const NETWORKS: u8 = 64;

/// A namespace, with one address on either side.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    interface: String,
    /// Address inside the namespace.
    pub(crate) address: Ipv4Addr,
}

impl Namespace {
    /// Makes the namespace and brings its interfaces up.
    ///
    /// # Errors
    /// No network is free, or `ip` failed: no privilege, or a kernel without veth.
    pub(crate) fn make() -> Result<Self> {
        let number = process::id();
        let first = free_network()?;
        let namespace = Self {
            name: format!("chartwatch-{number}"),
            // Interface names have 15 characters at most.
            interface: format!("cw{number}h"),
            address: Ipv4Addr::new(192, 0, 2, first + 2),
        };
        let (name, outside, inside) = (
            &namespace.name,
            &namespace.interface,
            format!("cw{number}n"),
        );
        let host = Ipv4Addr::new(192, 0, 2, first + 1);
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

/// The first address of a network no interface of this host is in.
fn free_network() -> Result<u8> {
    let start = process::id() % u32::from(NETWORKS);
    for step in 0..u32::from(NETWORKS) {
        let first = ((start + step) % u32::from(NETWORKS)) as u8 * 4;
        if ip(&format!("-o address show to 192.0.2.{first}/30"))?
            .trim()
            .is_empty()
        {
            return Ok(first);
        }
    }
    anyhow::bail!("all of 192.0.2.0/24 is in use on this host")
}

fn ip(arguments: &str) -> Result<String> {
    capture(Command::new(tool()?).args(arguments.split(' ')))
}

fn tool() -> Result<std::path::PathBuf> {
    find_program("ip").context("ip is not installed (Debian package iproute2)")
}
