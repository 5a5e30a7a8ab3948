//! Threat intelligence: what others say of addresses and names, from files that somebody carried here.
//!
//! A *feed* is a file of indicators with a name, a version and a kind; its reader is a file of this room. What a feed says is
//! looked up where records leave: an indicator lowers what is needed for an alert and raises how bad it is, and without records it is
//! nothing. Warning lists say what an address is known as (a public resolver, a large cloud), and take the weight out of an
//! indicator. An entry counts from its beginning to its end, by the time of the events.
//!
//! **Invariant:** a feed is untrusted input: bounded in bytes, lines and entries; an entry that cannot be used is counted and, up to
//! a bound, named with its line. A feed is taken whole or not at all. **Invariant:** looking up has no clock and no order that depends
//! on hashing, so the same feeds give the same alerts.

mod authorities;
mod feed;
mod index;
mod indicator;
mod list;
mod misp;
mod onionoo;
mod stix;
mod warnings;

pub use feed::{Feed, FeedConfig, FeedError, Kind, Status};
pub use index::Side;
pub use indicator::{Bad, Indicator};

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// All feeds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intel {
    feeds: Vec<Arc<Feed>>,
}

/// What one feed says of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The address or name that was looked for.
    pub value: String,
    /// The feed.
    pub feed: String,
    /// Its version: what it says of itself, else when its file was written.
    pub version: String,
    /// What the feed's entries mean, such as `c2` or `tor-relay`.
    pub label: String,
    /// How sure the feed is, 0 to 100, where it says so.
    pub confidence: Option<u8>,
}

/// What is known of a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Indicators, in the order of the feeds.
    pub hits: Vec<Hit>,
    /// Warning lists it is on, in the order of the feeds.
    pub known_as: Vec<String>,
}

impl Known {
    /// True when an indicator counts: there is one, and no warning list takes its weight.
    pub fn is_listed(&self) -> bool {
        !self.hits.is_empty() && self.known_as.is_empty()
    }
}

impl Intel {
    /// Reads all feeds; the built-in one comes first. A feed that cannot be read is the one of `before` with its name, if there was
    /// one, and its status says what is wrong.
    pub fn load(configs: &[FeedConfig], before: &Self) -> (Self, Vec<Status>) {
        let mut feeds = vec![Arc::new(authorities::feed())];
        let mut states = vec![feeds[0].status(None)];
        for config in configs {
            let old = before.feeds.iter().find(|feed| feed.name() == config.name);
            match Feed::read(config) {
                Ok(feed) => {
                    states.push(feed.status(None));
                    feeds.push(Arc::new(feed));
                }
                Err(error) => {
                    let empty = || Arc::new(Feed::empty(config));
                    let kept = old.map_or_else(empty, Arc::clone);
                    states.push(kept.status(Some(error.to_string())));
                    feeds.push(kept);
                }
            }
        }
        (Self { feeds }, states)
    }

    /// What is known of an address, and of the name it was asked for by, at a moment (nanoseconds since the Unix epoch).
    pub fn look_up(&self, address: IpAddr, name: Option<&str>, side: Side, at_ns: u64) -> Known {
        let at_s = u32::try_from(at_ns / 1_000_000_000).unwrap_or(u32::MAX);
        let name = name.and_then(|name| indicator::name(name).ok());
        let mut known = Known::default();
        for feed in &self.feeds {
            let by_address = feed.index().address(address, side, at_s);
            let by_name = (name.as_deref()).and_then(|name| feed.index().name(name, side, at_s));
            if feed.kind() == Kind::Warnings {
                if by_address.is_some() || by_name.is_some() {
                    known.known_as.push(feed.name().to_owned());
                }
                continue;
            }
            let hit = |value: String, entry| feed.hit(value, entry);
            known
                .hits
                .extend(by_address.map(|entry| hit(address.to_string(), entry)));
            let named = name.clone().unwrap_or_default();
            known.hits.extend(by_name.map(|entry| hit(named, entry)));
        }
        known
    }

    /// What is known of an address or a name now, whichever way one would connect.
    pub fn explain(&self, value: &str, at_ns: u64) -> Result<Known, Bad> {
        let look_up = |address, name| {
            let [mut out, inbound] = [Side::Outbound, Side::Inbound]
                .map(|side| self.look_up(address, name, side, at_ns));
            out.hits.extend(inbound.hits);
            out.hits.dedup();
            out.known_as.extend(inbound.known_as);
            out.known_as.dedup();
            out
        };
        match indicator::read(value)? {
            Indicator::Address(address) => Ok(look_up(address, None)),
            Indicator::Name(name) => Ok(look_up(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(&name))),
            Indicator::Network(_) => Err(Bad::Form),
        }
    }

    /// All feeds, in order.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.feeds.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
