//! *Dns* (R8): processes that can have records ask DNS for many long names below one domain, whose owner gets to read them.
//!
//! It takes the lineages of *chain*, and processes that have read records themselves, and fires when at least `names_min`
//! distinct names below one domain were asked for since the records can have been there, whose own parts are at least
//! `bytes_min` bytes in all and `length_min` each on average, and as much can have come from the readers. A page of a
//! record is enough, so the thresholds of *direct* do not apply, but a reader counts as in *chain*.
//!
//! False positives: services that look up names all day, such as mail filters and browsers, after they have read
//! a record: their names are short, and of many domains. What is asked in one long conversation is seen only in part, since
//! a flow has one name at a time. Without a list of public suffixes a domain is the last two labels, or three where the
//! last two are as short as `co.uk`.
//!
//! ATT&CK: T1048.003 (Exfiltration Over Unencrypted Non-C2 Protocol), T1071.004 (Application Layer Protocol: DNS).

use std::collections::{BTreeMap, BTreeSet};

use super::About;
use crate::config::{DetectConfig, DnsConfig};
use crate::detect::alert::Technique;
use crate::text;

/// Short name of the pattern.
pub(super) const NAME: &str = "dns";

pub(super) const ABOUT: About = About {
    rule: "R8",
    name: NAME,
    catches: "processes that can have records ask DNS for many long names below one domain",
    alert: "its own",
    thresholds: |config| {
        vec![
            ("dns.names_min", config.dns.names.to_string()),
            ("dns.bytes_min", config.dns.bytes.to_string()),
            ("dns.length_min", config.dns.length.to_string()),
        ]
    },
    techniques: &TECHNIQUES,
    quiet: "names are counted for each domain, and must be long and many; approved ways hold for resolvers too",
};

/// A label before a two-letter one that is no longer than this is part of a public suffix.
const SUFFIX_LABEL: usize = 3;

pub(super) const TECHNIQUES: [Technique; 2] = [
    Technique {
        id: "T1048.003",
        name: "Exfiltration Over Alternative Protocol: Exfiltration Over Unencrypted Non-C2 Protocol",
        tactic_id: "TA0010",
        tactic: "Exfiltration",
    },
    Technique {
        id: "T1071.004",
        name: "Application Layer Protocol: DNS",
        tactic_id: "TA0011",
        tactic: "Command and Control",
    },
];

/// What was asked for below one domain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) domain: String,
    names: usize,
    bytes: u64,
}

impl Asked {
    /// One sentence.
    pub(super) fn told(&self) -> String {
        format!(
            "It went as questions for {} below \"{}\", {} in all: whoever owns that domain gets to read them.",
            text::count(self.names as u64, "name"),
            text::clean(&self.domain),
            text::bytes(self.bytes),
        )
    }
}

/// The domain below which most bytes of names were asked for, of those where it is enough.
pub(super) fn most_asked<'a>(
    config: &DnsConfig,
    names: impl Iterator<Item = &'a str>,
) -> Option<Asked> {
    let mut domains: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        let domain = domain(name);
        let own = name.strip_suffix(domain).unwrap_or_default();
        if !own.is_empty() {
            domains.entry(domain).or_default().insert(own);
        }
    }
    domains
        .into_iter()
        .map(|(domain, names)| Asked {
            domain: domain.to_owned(),
            names: names.len(),
            bytes: names.iter().map(|name| name.len() as u64).sum(),
        })
        .filter(|asked| {
            let names = asked.names as u64;
            names >= config.names
                && asked.bytes >= config.bytes
                && asked.bytes >= config.length * names
        })
        .max_by_key(|asked| asked.bytes)
}

/// The part of a name that somebody owns, as far as that can be told.
fn domain(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut labels = name.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), Some(second)) = (labels.next(), labels.next()) else {
        return name;
    };
    let short = name.len() - last - 1 == 2 && last - second - 1 <= SUFFIX_LABEL;
    match (short, labels.next()) {
        (false, _) => &name[second + 1..],
        (true, Some(third)) => &name[third + 1..],
        (true, None) => name,
    }
}

pub(super) fn measured_by(config: &DetectConfig) -> String {
    let dns = &config.dns;
    format!(
        "within {}: at least {} names of {} bytes or more on average and {} in all asked for below one domain, by who can \
         have as much of the records",
        text::duration(u64::try_from(config.direct.window.as_nanos()).unwrap_or(u64::MAX)),
        dns.names,
        dns.length,
        text::bytes(dns.bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_somebody_owns() {
        for (name, expect) in [
            ("a.b.evil.example", "evil.example"),
            ("evil.example", "evil.example"),
            ("evil.example.", "evil.example"),
            ("localhost", "localhost"),
            ("", ""),
            ("x.evil.co.uk", "evil.co.uk"),
            ("evil.co.uk", "evil.co.uk"),
            ("x.y.evil.de", "evil.de"),
        ] {
            assert_eq!(domain(name), expect, "{name}");
        }
    }

    #[test]
    fn many_long_names_of_one_domain_are_data() {
        let asked = |count: usize, length: usize, domains: usize| {
            let names: Vec<String> = (0..count)
                .map(|n| format!("{n:0length$}.d{}.example", n % domains))
                .collect();
            let names = names.iter().map(String::as_str);
            most_asked(&DnsConfig::default(), names).map(|asked| asked.names)
        };
        for (count, length, domains, expect) in [
            (20, 60, 1, Some(20)),
            (19, 60, 1, None),
            (100, 60, 1, Some(100)),
            (100, 60, 10, None),
            (100, 8, 1, None),
            (20, 28, 1, None),
        ] {
            assert_eq!(
                asked(count, length, domains),
                expect,
                "{count} of {length} in {domains}"
            );
        }
    }
}
