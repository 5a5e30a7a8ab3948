//! The patterns, one file each. A pattern looks at what one host's processes did and raises or grows alerts, or is a part of one that does.

mod approval;
pub(super) mod bulk;
pub(super) mod chain;
pub(super) mod direct;
mod dns;
pub(super) mod doubled;
mod first_seen;
mod leaving;
mod listed;
mod many;
mod media;
mod raw;
mod service;
pub(super) mod slow;
mod staging;
pub(super) mod stale_feed;
pub(super) mod tampering;
mod tunnel;
pub(super) mod wipe;

use super::alert::Technique;
use crate::config::DetectConfig;

/// A pattern, as it is told to a person.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Its number among the rules that were asked for; empty for what came besides.
    pub rule: &'static str,
    /// Short name.
    pub name: &'static str,
    /// What it catches.
    pub catches: &'static str,
    /// Where it is seen: an alert of its own, or a part of another's.
    pub alert: &'static str,
    /// Its thresholds, by key below `[detect]`, as a configuration has them.
    pub thresholds: fn(&DetectConfig) -> Vec<(&'static str, String)>,
    /// Techniques of ATT&CK that it names.
    pub techniques: &'static [Technique],
    /// What is no alert, and how that is said.
    pub quiet: &'static str,
}

/// All patterns, in the order of their rules.
pub const ALL: [About; 17] = [
    direct::ABOUT,
    chain::ABOUT,
    staging::ABOUT,
    service::ABOUT,
    bulk::ABOUT,
    first_seen::ABOUT,
    slow::ABOUT,
    dns::ABOUT,
    listed::ABOUT,
    tunnel::ABOUT,
    media::ABOUT,
    raw::ABOUT,
    wipe::ABOUT,
    many::ABOUT,
    tampering::ABOUT,
    stale_feed::ABOUT,
    doubled::ABOUT,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn each_rule_is_a_pattern_with_a_file_of_its_own_that_says_all_of_it() {
        let rules: Vec<&str> = ALL.iter().map(|about| about.rule).collect();
        let asked: Vec<String> = (1..=12).map(|number| format!("R{number}")).collect();
        assert_eq!(rules[..12], asked);
        let names: BTreeSet<&str> = ALL.iter().map(|about| about.name).collect();
        assert_eq!(names.len(), ALL.len(), "no name twice");
        for about in ALL {
            let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/detect/pattern");
            let text = std::fs::read_to_string(place.join(format!("{}.rs", about.name))).unwrap();
            let head: String = text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .collect();
            for part in ["False positives", "ATT&CK"] {
                assert!(head.contains(part), "{}: {part}", about.name);
            }
            let number = format!("({})", about.rule);
            assert!(
                about.rule.is_empty() || head.contains(&number),
                "{}",
                about.name
            );
            let techniques = about.techniques.iter();
            let unsaid = techniques
                .filter(|one| !head.contains(one.id))
                .map(|one| one.id);
            assert_eq!(unsaid.collect::<Vec<_>>(), [""; 0], "{}", about.name);
            assert!(
                !(about.catches.is_empty() || about.quiet.is_empty()),
                "{}",
                about.name
            );
        }
    }
}
