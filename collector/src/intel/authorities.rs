//! The directory authorities of Tor: who asks one of them is a Tor client that starts, or a relay.
//!
//! Facts, as the program `tor` has them built in (`src/app/config/auth_dirs.inc`; read from Debian's tor 0.4.9.11): name, address,
//! and the address of version 6, on whatever port. A client may also begin with one of some 200
//! fallback relays, and goes on to any of thousands: for those carry in the list of relays (kind `onionoo`).

use super::feed::Feed;
use super::index::{Entry, Side};
use super::indicator::Indicator;

/// Version of the program they were read from.
const VERSION: &str = "tor 0.4.9.11";
/// What they mean.
const LABEL: &str = "tor-authority";

/// Name, address, and address of version 6.
const AUTHORITIES: [(&str, &str, &str); 10] = [
    ("moria1", "128.31.0.39", ""),
    ("tor26", "217.196.147.77", "2a02:16a8:662:2203::1"),
    ("dizum", "45.66.35.11", ""),
    ("gabelmoo", "131.188.40.189", "2001:638:a000:4140::ffff:189"),
    ("dannenberg", "193.23.244.244", "2001:678:558:1000::244"),
    ("maatuska", "171.25.193.9", "2001:67c:289c::9"),
    ("longclaw", "199.58.81.140", ""),
    ("bastet", "204.13.164.118", "2620:13:4000:6000::1000:118"),
    ("faravahar", "216.218.219.41", ""),
    // Of bridges only.
    ("Serge", "66.111.2.131", ""),
];

/// The feed that is always there.
pub(super) fn feed() -> Feed {
    let mut feed = Feed::built_in("tor-authorities", VERSION, LABEL);
    let entry = Entry {
        only: Some(Side::Outbound),
        confidence: 100,
        ..Entry::ALWAYS
    };
    let addresses = AUTHORITIES.iter().flat_map(|(_, v4, v6)| [v4, v6]);
    for address in addresses.filter_map(|text| text.parse().ok()) {
        feed.add(Indicator::Address(address), entry);
    }
    feed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_one() {
        let written = AUTHORITIES
            .iter()
            .map(|(_, _, v6)| 1 + usize::from(!v6.is_empty()));
        assert_eq!(feed().index().len(), written.sum::<usize>());
    }
}
