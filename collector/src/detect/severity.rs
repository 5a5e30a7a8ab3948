//! How bad an alert is and how sure, with every reason in a sentence.

use std::net::IpAddr;

use super::alert::{AtLeast, Confidence, Destination, Figures, Level, Link, Severity};
use crate::event::Medium;
use crate::text;

/// From this many individuals on, HIPAA (45 CFR 164.408) asks for notice to the authority without delay. A record is
/// no person, but the count is the best first estimate there is.
const MANY_RECORDS: u64 = 500;

/// Records leaving is high by itself; many records, or a destination on the public Internet, make it critical.
pub(super) fn judge(
    how: &str,
    figures: &Figures,
    to: &Destination,
    at_least: &[AtLeast],
    chain: &[Link],
) -> Severity {
    let mut reasons = vec![how.to_owned()];
    let mut level = Level::High;
    let were = if figures.records == 1 { "was" } else { "were" };
    let records = format!(
        "{} {were} read",
        text::count(figures.records, "distinct record")
    );
    if figures.records >= MANY_RECORDS {
        level = Level::Critical;
        reasons.push(format!(
            "{records}, {MANY_RECORDS} or more: a breach of that size has to be reported at once."
        ));
    } else {
        reasons.push(format!("{records}, fewer than {MANY_RECORDS}."));
    }
    if let Some(disk) = to.disk {
        reasons.push(match disk.medium {
            Medium::Network => {
                "They were written to files on another machine; it may be one that nobody manages."
                    .to_owned()
            }
            Medium::Fixed | Medium::Removable | Medium::Image => {
                "They were written to files on what can be taken away and read anywhere.".to_owned()
            }
        });
    } else if is_public(to.address) {
        level = Level::Critical;
        reasons.push(
            "The destination is a public address, outside the hospital's own networks.".to_owned(),
        );
    } else {
        reasons.push(
            "The destination is a private address; it may still be a machine nobody manages."
                .to_owned(),
        );
    }
    let confidence = confidence(figures, at_least, chain, &mut reasons);
    Severity {
        level,
        confidence,
        reasons,
    }
}

fn confidence(
    figures: &Figures,
    at_least: &[AtLeast],
    chain: &[Link],
    reasons: &mut Vec<String>,
) -> Confidence {
    let mut confidence = Confidence::High;
    let mut doubt = |reason: String| {
        confidence = Confidence::Medium;
        reasons.push(reason);
    };
    let (sent, taken) = (figures.bytes_sent, figures.bytes_taken());
    if sent < taken / 2 {
        doubt(format!(
            "Less was sent ({}) than read ({}): compressed, only a part, or something else.",
            text::bytes(sent),
            text::bytes(taken)
        ));
    }
    if figures.bytes_read < figures.bytes_mapped {
        doubt(
            "Most bytes were mapped, not read: what of a mapping was touched cannot be seen."
                .to_owned(),
        );
    }
    if !at_least.is_empty() {
        doubt("Some events are missing, so the figures are lower bounds.".to_owned());
    }
    if chain.first().is_none_or(|link| link.process.is_none()) {
        doubt(
            "Who the process is was lost, so no approved way could be looked up for it.".to_owned(),
        );
    }
    confidence
}

/// True for an address that is routed on the Internet: none of RFC 1918, 3927, 4193, 4291 (link-local), 6598.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private()
                || v4.is_link_local()
                || v4.is_loopback()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_loopback()
                || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn private_networks_are_told_from_the_internet() {
        let cases = [
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("203.0.113.9", true),
            ("fd00::1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
        ];
        for (address, public) in cases {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
