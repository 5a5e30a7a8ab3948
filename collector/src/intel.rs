//! Threat intelligence: what others say of addresses and names, from files that somebody carried here or that were pulled.
//!
//! A *feed* is a file of indicators with a name, a version and a kind; its reader is a file of this room. What a feed says is
//! looked up where records leave: an indicator lowers what is needed for an alert and raises how bad it is, and without records it is
//! nothing. Warning lists say what an address is known as (a public resolver, a large cloud), and take the weight out of an
//! indicator. An entry counts from its beginning to its end, by the time of the events.
//!
//! **Invariant:** a feed is untrusted input: bounded in bytes, lines and entries; an entry that cannot be used is counted and, up to
//! a bound, named with its line. A feed is taken whole or not at all. **Invariant:** looking up has no clock and no order that depends
//! on hashing, so the same feeds give the same alerts. **Invariant:** only `pull` speaks to the network, and all it does is put files
//! where the readers find them.

mod authorities;
mod feed;
mod index;
mod indicator;
mod list;
mod misp;
mod onionoo;
pub mod pull;
mod stix;
mod warnings;

pub use feed::{Feed, FeedConfig, FeedError, Kind, Status};
pub use index::Side;
pub use indicator::{Bad, Indicator};
pub use pull::{Login, PullConfig, Pulled};

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use index::{Entry, Index};

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
    pub feed: Arc<str>,
    /// Its version: what it says of itself, else when its file was written.
    pub version: Arc<str>,
    /// What the feed's entries mean, such as `c2` or `tor-relay`.
    pub label: Arc<str>,
    /// How sure the feed is, 0 to 100, where it says so.
    pub confidence: Option<u8>,
    /// False when it has no weight: a warning list has the same value, or the feed is not sure enough.
    pub counts: bool,
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
    /// True when an indicator counts.
    pub fn is_listed(&self) -> bool {
        self.hits.iter().any(|hit| hit.counts)
    }

    /// Takes weight from what is less sure than that, of 100; what says nothing of how sure it is keeps it.
    pub fn only_surer(&mut self, least: u8) {
        let unsure = |hit: &&mut Hit| hit.confidence.is_some_and(|sure| sure < least);
        self.hits
            .iter_mut()
            .filter(unsure)
            .for_each(|hit| hit.counts = false);
    }

    /// Both, what both say once.
    fn append(&mut self, other: Self) {
        let new = |hit: &Hit| !self.hits.contains(hit);
        let hits: Vec<Hit> = other.hits.into_iter().filter(new).collect();
        self.hits.extend(hits);
        for list in other.known_as {
            if !self.known_as.contains(&list) {
                self.known_as.push(list);
            }
        }
    }
}

impl Intel {
    /// Reads all feeds; the built-in one comes first. A feed that cannot be read is the one of `before` with its name, if there was
    /// one, and its status says what is wrong.
    pub fn load(configs: &[FeedConfig], before: &Self) -> (Self, Vec<Status>) {
        let mut feeds = vec![Arc::new(authorities::feed())];
        let mut states = vec![feeds[0].status("built-in")];
        for config in configs {
            let (feed, problem) = match Feed::read(config) {
                Ok(feed) => (Arc::new(feed), None),
                // That nothing has come yet is no problem of the file; how pulling goes is said beside it.
                Err(_) if config.awaited() => (before.kept(config), None),
                Err(error) => (before.kept(config), Some(error.to_string())),
            };
            states.push(Status {
                problem,
                pulled: pull::told(config),
                ..feed.status(config.kind.name())
            });
            feeds.push(feed);
        }
        (Self { feeds }, states)
    }

    /// What counts of a feed that cannot be read: what was read of it before, if anything was.
    fn kept(&self, config: &FeedConfig) -> Arc<Feed> {
        let old = self.feeds.iter().find(|feed| feed.name() == config.name);
        old.map_or_else(|| Arc::new(Feed::empty(config)), Arc::clone)
    }

    /// When a feed was last good, seconds since the Unix epoch: when it came whole or was found unchanged, or its file was written; `None`: never.
    pub fn fresh_s(&self, config: &FeedConfig) -> Option<u64> {
        match pull::told(config) {
            Some(pulled) => pulled.succeeded_s,
            None => self
                .feeds
                .iter()
                .find(|feed| feed.name() == config.name)?
                .written_s(),
        }
    }

    /// What is known of an address, and of the name it was asked for by, at a moment (nanoseconds since the Unix epoch).
    pub fn look_up(&self, address: IpAddr, name: Option<&str>, side: Side, at_ns: u64) -> Known {
        let mut known = self.of_address(address, side, at_ns);
        if let Some(name) = name.and_then(|name| indicator::name(name).ok()) {
            known.append(self.of_name(&name, side, at_ns));
        }
        known
    }

    /// What is known of an address or a name now, whichever way one would connect.
    pub fn explain(&self, value: &str, at_ns: u64) -> Result<Known, Bad> {
        let indicator = indicator::read(value)?;
        let of = |side| match &indicator {
            Indicator::Address(address) => Ok(self.of_address(*address, side, at_ns)),
            Indicator::Host(name) | Indicator::Name(name) => Ok(self.of_name(name, side, at_ns)),
            Indicator::Network(_) => Err(Bad::Form),
        };
        let mut known = of(Side::Outbound)?;
        known.append(of(Side::Inbound)?);
        Ok(known)
    }

    fn of_address(&self, address: IpAddr, side: Side, at_ns: u64) -> Known {
        let find = |index: &Index| index.address(address, side, seconds(at_ns));
        self.of_value(address, find)
    }

    fn of_name(&self, name: &str, side: Side, at_ns: u64) -> Known {
        self.of_value(name, |index| index.name(name, side, seconds(at_ns)))
    }

    /// What the feeds say of one value. What a warning list says of an address takes nothing from what is said of a name.
    fn of_value(&self, value: impl Display, find: impl Fn(&Index) -> Option<Entry>) -> Known {
        let mut known = Known::default();
        for feed in &self.feeds {
            match find(feed.index()) {
                Some(_) if feed.kind() == Kind::Warnings => {
                    known.known_as.push(feed.name().to_owned());
                }
                Some(entry) => known.hits.push(feed.hit(value.to_string(), entry)),
                None => {}
            }
        }
        let counts = known.known_as.is_empty();
        known.hits.iter_mut().for_each(|hit| hit.counts = counts);
        known
    }

    /// All feeds, in order.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.feeds.iter().map(AsRef::as_ref)
    }
}

/// Whole seconds of a time in nanoseconds.
fn seconds(ns: u64) -> u32 {
    u32::try_from(ns / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
