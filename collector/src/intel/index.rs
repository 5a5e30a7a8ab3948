//! The indicators of one feed, to be looked up: addresses, hosts and names by hash, networks by their prefix.

use std::collections::hash_map;
use std::hash::Hash;
use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::indicator::{Indicator, plain};

/// Which way a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The host connected.
    Outbound,
    /// The other one did.
    Inbound,
}

/// What is known of one indicator, beside what its feed says of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// First second at which it counts, since the Unix epoch.
    pub(super) from_s: u32,
    /// First second at which it does not any more.
    pub(super) until_s: u32,
    /// 0 to 100, or 255 where the feed does not say.
    pub(super) confidence: u8,
    /// The only way it counts, if not both.
    pub(super) only: Option<Side>,
    /// Which of the feed's labels.
    pub(super) label: u16,
}

impl Entry {
    /// Counts always, and means the feed's first label.
    pub(super) const ALWAYS: Self = Self {
        from_s: 0,
        until_s: u32::MAX,
        confidence: u8::MAX,
        only: None,
        label: 0,
    };

    fn counts(&self, side: Side, at_s: u32) -> bool {
        (self.from_s..self.until_s).contains(&at_s) && self.only.is_none_or(|only| only == side)
    }

    /// Of an indicator that is listed twice: from the earlier beginning to the later end, whichever way either counts, as sure as the
    /// surer of both, and with the meaning of the one that ends later. So neither hides the other.
    fn merge(&mut self, other: Self) {
        *self = Self {
            from_s: self.from_s.min(other.from_s),
            until_s: self.until_s.max(other.until_s),
            confidence: self.confidence.max(other.confidence),
            only: self.only.filter(|_| self.only == other.only),
            label: if other.until_s > self.until_s {
                other.label
            } else {
                self.label
            },
        };
    }
}

/// The indicators of one feed.
#[derive(Default, PartialEq)]
pub(super) struct Index {
    v4: HashMap<u32, Entry>,
    v6: HashMap<u128, Entry>,
    networks_v4: PrefixMap<Ipv4Net, Entry>,
    networks_v6: PrefixMap<Ipv6Net, Entry>,
    hosts: HashMap<Box<str>, Entry>,
    names: HashMap<Box<str>, Entry>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Index {
    pub(super) fn add(&mut self, indicator: Indicator, entry: Entry) {
        match indicator {
            Indicator::Address(IpAddr::V4(v4)) => merge(self.v4.entry(v4.to_bits()), entry),
            Indicator::Address(IpAddr::V6(v6)) => merge(self.v6.entry(v6.to_bits()), entry),
            Indicator::Network(IpNet::V4(network)) => widen(&mut self.networks_v4, network, entry),
            Indicator::Network(IpNet::V6(network)) => widen(&mut self.networks_v6, network, entry),
            Indicator::Host(name) => merge(self.hosts.entry(name.into_boxed_str()), entry),
            Indicator::Name(name) => merge(self.names.entry(name.into_boxed_str()), entry),
        }
    }

    pub(super) fn len(&self) -> usize {
        let networks = self.networks_v4.len() + self.networks_v6.len();
        let names = self.hosts.len() + self.names.len();
        self.v4.len() + self.v6.len() + networks + names
    }

    /// The narrowest entry about an address that counts then.
    pub(super) fn address(&self, address: IpAddr, side: Side, at_s: u32) -> Option<Entry> {
        let counts = |entry: &&Entry| entry.counts(side, at_s);
        let single = match plain(address) {
            IpAddr::V4(v4) => self.v4.get(&v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get(&v6.to_bits()),
        };
        let network = || match plain(address) {
            IpAddr::V4(v4) => narrowest(&self.networks_v4, &Ipv4Net::from(v4), counts),
            IpAddr::V6(v6) => narrowest(&self.networks_v6, &Ipv6Net::from(v6), counts),
        };
        single.filter(counts).copied().or_else(network)
    }

    /// The entry about a host's name in lower case, or about the nearest name above it.
    pub(super) fn name(&self, name: &str, side: Side, at_s: u32) -> Option<Entry> {
        let host = self.hosts.get(name);
        if let Some(entry) = host.filter(|entry| entry.counts(side, at_s)) {
            return Some(*entry);
        }
        let mut rest = name;
        loop {
            if let Some(entry) = self
                .names
                .get(rest)
                .filter(|entry| entry.counts(side, at_s))
            {
                return Some(*entry);
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

fn merge<K: Hash + Eq>(place: hash_map::Entry<'_, K, Entry>, entry: Entry) {
    place
        .and_modify(|known| known.merge(entry))
        .or_insert(entry);
}

fn widen<P: prefix_trie::Prefix>(networks: &mut PrefixMap<P, Entry>, network: P, entry: Entry) {
    match networks.get_mut(&network) {
        Some(known) => known.merge(entry),
        None => drop(networks.insert(network, entry)),
    }
}

fn narrowest<P: prefix_trie::Prefix>(
    networks: &PrefixMap<P, Entry>,
    address: &P,
    counts: impl Fn(&&Entry) -> bool,
) -> Option<Entry> {
    let covering = networks.cover(address).map(|(_, entry)| entry);
    covering.filter(counts).last().copied()
}
