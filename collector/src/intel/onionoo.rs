//! The relays of Tor, as Onionoo's `details` document lists them (Tor Metrics, Onionoo protocol 8): a client connects to the addresses
//! in `or_addresses`; what comes in from Tor comes from those, or from `exit_addresses`.

use serde::Deserialize;

use super::feed::{Reading, Refused};
use super::index::{Entry, Side};
use super::indicator;

/// Labels, by number.
pub(super) const LABELS: [&str; 2] = ["tor-relay", "tor-exit"];

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    relays_published: String,
    relays: Vec<Relay>,
}

#[derive(Deserialize)]
struct Relay {
    #[serde(default)]
    or_addresses: Vec<String>,
    #[serde(default)]
    exit_addresses: Vec<String>,
}

pub(super) fn read(untrusted: &[u8], entry: Entry, into: &mut Reading<'_>) -> Result<(), Refused> {
    let details: Details =
        serde_json::from_slice(untrusted).map_err(|error| Refused::Json(error.to_string()))?;
    into.called(&details.relays_published);
    for (number, relay) in (1_u64..).zip(&details.relays) {
        let exits = relay.exit_addresses.iter().map(|text| {
            let only = Some(Side::Inbound);
            (
                text,
                Entry {
                    only,
                    label: 1,
                    ..entry
                },
            )
        });
        let own = relay.or_addresses.iter().map(|text| (text, entry));
        let all = own.chain(exits);
        for (text, entry) in all {
            match indicator::read(text) {
                Ok(indicator) => into.take(indicator, entry)?,
                Err(bad) => into.leave(&format!("relay {number}"), text, bad),
            }
        }
    }
    Ok(())
}
