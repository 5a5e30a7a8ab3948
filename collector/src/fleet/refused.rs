//! Who was refused for who they are, counted by address, name and reason: somebody who tries is seen, and cannot make the list grow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Lines at most: what comes then is counted together.
const LINES_MAX: usize = 1_000;
/// Bytes of a reason or an address at most; what the TLS library says of others' messages is shorter.
const TEXT_MAX: usize = 200;
/// In the place of an address, for what found no line of its own.
const OTHERS: &str = "(others)";

/// Refusals of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The address they came from.
    pub address: String,
    /// The sensor their certificate is of; empty when they have shown no good one.
    pub sensor: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub times: u64,
    /// When it was the first time, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// When it was the last time, nanoseconds since the Unix epoch.
    pub last_ns: u64,
}

/// Address, sensor, reason.
type Key = (String, String, String);

/// All of them, in memory.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    all: BTreeMap<Key, Refused>,
    changed: BTreeMap<Key, Refused>,
}

impl Refusals {
    /// Goes on with what was counted before.
    pub(super) fn knowing(known: Vec<Refused>) -> Self {
        let key = |line: &Refused| {
            (
                line.address.clone(),
                line.sensor.clone(),
                line.reason.clone(),
            )
        };
        let all = known.into_iter().map(|line| (key(&line), line)).collect();
        Self(Mutex::new(Lines {
            all,
            changed: BTreeMap::new(),
        }))
    }

    /// Counts one; answers whether somebody has to be told that there is something to write.
    pub(super) fn add(&self, address: &str, sensor: &str, reason: &str, now_ns: u64) -> bool {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (cut(address), cut(sensor), cut(reason));
        if lines.all.len() >= LINES_MAX && !lines.all.contains_key(&key) {
            key = (OTHERS.to_owned(), String::new(), "any".to_owned());
        }
        let line = lines.all.entry(key.clone()).or_insert_with(|| Refused {
            address: key.0.clone(),
            sensor: key.1.clone(),
            reason: key.2.clone(),
            times: 0,
            first_ns: now_ns,
            last_ns: now_ns,
        });
        line.times = line.times.saturating_add(1);
        line.last_ns = now_ns;
        let line = line.clone();
        let told_already = !lines.changed.is_empty();
        lines.changed.insert(key, line);
        !told_already
    }

    /// What has changed since this was asked the last time.
    pub(super) fn take_changed(&self) -> Vec<Refused> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines.changed).into_values().collect()
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_who_and_why_and_strangers_cannot_make_the_list_grow() {
        let refusals = Refusals::default();
        assert!(refusals.add("10.0.0.1", "ws-1", "revoked", 5));
        assert!(
            !refusals.add("10.0.0.1", "ws-1", "revoked", 9),
            "told already"
        );
        refusals.add("10.0.0.1", "ws-1", &"é".repeat(500), 9);
        let written = refusals.take_changed();
        assert_eq!(written.len(), 2);
        let revoked = written.iter().find(|line| line.reason == "revoked");
        let counted = revoked.map(|line| (line.times, line.first_ns, line.last_ns));
        assert_eq!(counted, Some((2, 5, 9)));
        assert!(written.iter().all(|line| line.reason.len() <= TEXT_MAX));

        for address in 0..3_000 {
            refusals.add(&format!("host-{address}"), "", "TLS", 10);
        }
        let written = refusals.take_changed();
        assert_eq!(written.len(), LINES_MAX - 2 + 1);
        let others = written.iter().find(|line| line.address == OTHERS);
        assert_eq!(
            others.map(|line| line.times),
            Some(3_000 - LINES_MAX as u64 + 2)
        );

        let again = Refusals::knowing(written);
        again.add("host-1", "", "TLS", 11);
        assert_eq!(again.take_changed().first().map(|line| line.times), Some(2));
    }
}
