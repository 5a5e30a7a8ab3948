//! What the collector's log holds, what the sensor says it delivered, and where they are not what happened.
//!
//! **Invariant:** figures are compared for equality; each difference is a sentence.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::readers::{Amounts, Reads, sum};

/// Differences of single records or numbers that are told; more are counted.
const TOLD_MAX: usize = 5;

/// What must come out besides the reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// Lives of the sensor.
    pub(super) epochs: usize,
    /// Connections of the sensor at least.
    pub(super) welcomes: u64,
}

/// An event as `chartwatch events` prints it, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Line {
    epoch: String,
    seq: Option<u64>,
    access: Option<Access>,
    gap: Option<Gap>,
}

#[derive(Debug, Deserialize)]
struct Access {
    inode: u64,
    opens: u64,
    bytes_read: u64,
    bytes_mapped: u64,
    bytes_written: u64,
}

#[derive(Debug, Deserialize)]
struct Gap {
    reason: String,
    count: u64,
    detail: String,
}

/// The log, added up.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Sequence numbers of each epoch, in the order of the log; none for an event without one.
    pub(super) epochs: BTreeMap<String, Vec<Option<u64>>>,
    /// Accesses by inode number.
    pub(super) records: BTreeMap<u64, Amounts>,
    /// Bytes mapped or written, which no `cat` does.
    other_bytes: u64,
    gaps: Vec<String>,
}

impl Books {
    /// Adds up the lines of `chartwatch events`.
    pub(super) fn read(text: &str) -> Result<Self> {
        let mut books = Self::default();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("chartwatch events printed no event: {line}"))?;
            books.epochs.entry(line.epoch).or_default().push(line.seq);
            if let Some(access) = line.access {
                books.other_bytes += access.bytes_mapped + access.bytes_written;
                books.records.entry(access.inode).or_default().add(Amounts {
                    opens: access.opens,
                    bytes_read: access.bytes_read,
                });
            }
            if let Some(gap) = line.gap {
                let Gap {
                    reason,
                    count,
                    detail,
                } = gap;
                // That a sensor was stopped is what happened.
                if reason != "blind" || !detail.starts_with("the sensor did not run") {
                    books.gaps.push(format!("gap: {reason}, {count}, {detail}"));
                }
            }
        }
        Ok(books)
    }

    /// Events in the log.
    pub(super) fn events(&self) -> u64 {
        self.epochs.values().map(|seqs| seqs.len() as u64).sum()
    }

    /// All accesses together.
    pub(super) fn sum(&self) -> Amounts {
        sum(self.records.values())
    }

    /// Where the log is not what happened; empty when it is.
    pub(super) fn differences(&self, reads: &Reads, expected: &Expected) -> Vec<String> {
        let mut found = Vec::new();
        if self.epochs.len() != expected.epochs {
            found.push(format!(
                "epochs: {} in the log, {} lives of the sensor",
                self.epochs.len(),
                expected.epochs
            ));
        }
        for (epoch, seqs) in &self.epochs {
            found.extend(told(breaks(epoch, seqs)));
        }
        found.extend(told(self.record_differences(reads)));
        if self.other_bytes > 0 {
            found.push(format!(
                "{} bytes mapped or written, which cat does not do",
                self.other_bytes
            ));
        }
        found.extend(told(self.gaps.clone()));
        found
    }

    fn record_differences(&self, reads: &Reads) -> Vec<String> {
        let mut inodes: Vec<&u64> = reads.records.keys().chain(self.records.keys()).collect();
        inodes.sort_unstable();
        inodes.dedup();
        let of = |map: &BTreeMap<u64, Amounts>, inode| map.get(inode).copied().unwrap_or_default();
        let pairs = inodes
            .into_iter()
            .map(|inode| (inode, of(&self.records, inode), of(&reads.records, inode)));
        let wrong = pairs.filter(|(_, logged, read)| logged != read);
        wrong
            .map(|(inode, logged, read)| {
                format!("record with inode {inode}: the log says {logged:?}, it was {read:?}")
            })
            .collect()
    }
}

/// Where the numbers of an epoch do not go on with the next one; they begin with 1.
fn breaks(epoch: &str, seqs: &[Option<u64>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = Some(0);
    for seq in seqs {
        if *seq != before.map(|before| before + 1) || seq.is_none() {
            let shown = |seq: Option<u64>| seq.map_or("none".to_owned(), |seq| seq.to_string());
            let (seq, before) = (shown(*seq), shown(before));
            found.push(format!("epoch {epoch}: number {seq} follows {before}"));
        }
        before = *seq;
    }
    found
}

/// The first few, and how many more.
fn told(mut all: Vec<String>) -> Vec<String> {
    let more = all.len().saturating_sub(TOLD_MAX);
    all.truncate(TOLD_MAX);
    if more > 0 {
        all.push(format!("... and {more} more like these"));
    }
    all
}

/// The counters a sensor logs when it has stopped; those at zero are not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// The last ones in its log.
    pub(super) fn of(log: &str) -> Option<Self> {
        let line = log
            .lines()
            .rfind(|line| line.contains("stopped counters="))?;
        let (_, counters) = line.split_once("counters=")?;
        let pairs = counters
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        let read = pairs.map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        read.collect::<Option<_>>().map(Self)
    }
}

/// One counter over all lives.
pub(super) fn total(lives: &[Counters], name: &str) -> u64 {
    let values = lives
        .iter()
        .map(|counters| counters.0.get(name).copied().unwrap_or(0));
    values.sum()
}

/// Where the sensor's own counters say that something was lost, or disagree with the log.
pub(super) fn complaints(lives: &[Counters], expected: &Expected, books: &Books) -> Vec<String> {
    let mut found = Vec::new();
    let accepted = total(lives, "queue_accepted");
    if accepted != books.events() {
        found.push(format!(
            "the sensor's queue took {accepted} events, the log holds {}",
            books.events()
        ));
    }
    // A round of sending anew means that the collector's log lacked what it had acknowledged.
    for lost in [
        "queue_refused",
        "queue_gaps",
        "left_at_shutdown",
        "spool_failures",
        "spool_evicted",
        "spool_damaged",
        "resend_rounds",
    ] {
        let count = total(lives, lost);
        if count > 0 {
            found.push(format!("the sensor counts {lost}={count}, which must be 0"));
        }
    }
    let welcomes = total(lives, "link_welcomes");
    if welcomes < expected.welcomes {
        found.push(format!(
            "the sensor connected {welcomes} times, {} expected at least",
            expected.welcomes
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [&str; 4] = [
        r#"{"epoch":"e","seq":1,"process":{"key":{"pid":1,"start_cs":2}}}"#,
        r#"{"epoch":"e","seq":2,"access":{"inode":7,"opens":1,"bytes_read":50,"bytes_mapped":0,"bytes_written":0}}"#,
        r#"{"epoch":"e","seq":3,"access":{"inode":7,"opens":0,"bytes_read":50,"bytes_mapped":0,"bytes_written":0}}"#,
        r#"{"epoch":"e","seq":4,"access":{"inode":8,"opens":1,"bytes_read":9,"bytes_mapped":0,"bytes_written":0}}"#,
    ];
    const EXPECTED: Expected = Expected {
        epochs: 1,
        welcomes: 2,
    };

    fn reads() -> Reads {
        let amounts = |bytes_read| Amounts {
            opens: 1,
            bytes_read,
        };
        Reads {
            runs: 1,
            records: [(7, amounts(100)), (8, amounts(9))].into(),
        }
    }

    fn differences(lines: &[&str]) -> Vec<String> {
        let books = Books::read(&lines.join("\n")).unwrap();
        books.differences(&reads(), &EXPECTED)
    }

    #[test]
    fn a_log_that_is_right_has_no_difference() {
        assert_eq!(differences(&LOG), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_lost_doubled_or_strange_is_named() {
        let check = |lines: &[&str], named: &str| {
            let found = differences(lines).join("\n");
            assert!(found.contains(named), "{named} in {found:?}");
        };
        let [one, two, three, four] = LOG;
        check(&[one, two, four], "number 4 follows 2");
        check(&[one, two, four], "record with inode 7");
        check(&[one, two, three, three, four], "number 3 follows 3");
        check(&[one, two, three, three, four], "bytes_read: 150");
        check(&[one, two, three], "record with inode 8");
        let other = two.replace("\"e\"", "\"f\"");
        check(&[one, &other, three, four], "epochs: 2");
        let unnumbered = two.replace(":2,", ":null,");
        check(&[one, &unnumbered, three, four], "number none follows 1");
        let written = two.replace("written\":0", "written\":3");
        check(&[one, &written, three, four], "3 bytes mapped or written");
        let gap =
            r#"{"epoch":"e","seq":5,"gap":{"reason":"ring-full","count":3,"detail":"bulk ring"}}"#;
        check(
            &[one, two, three, four, gap],
            "gap: ring-full, 3, bulk ring",
        );
        check(&[], "epochs: 0");
        assert!(Books::read("no event").is_err());
    }

    #[test]
    fn the_sensors_last_words_are_read_and_judged() {
        let log = "INFO counters since the start counters=queue_accepted=1\n\
                   INFO stopped counters=queue_accepted=4 link_welcomes=2\n";
        let good = Counters::of(log).unwrap();
        let books = Books::read(&LOG.join("\n")).unwrap();
        assert_eq!(complaints(&[good], &EXPECTED, &books), Vec::<String>::new());
        for (line, named) in [
            ("queue_accepted=5 link_welcomes=2", "took 5 events"),
            ("queue_accepted=4 link_welcomes=1", "connected 1 times"),
            (
                "queue_accepted=4 link_welcomes=2 queue_refused=1",
                "queue_refused=1",
            ),
            (
                "queue_accepted=4 link_welcomes=2 resend_rounds=1",
                "resend_rounds=1",
            ),
        ] {
            let said = Counters::of(&format!("stopped counters={line}")).unwrap();
            let found = complaints(&[said], &EXPECTED, &books);
            assert!(
                found.len() == 1 && found[0].contains(named),
                "{named}: {found:?}"
            );
        }
        assert_eq!(Counters::of("INFO stopping"), None);
    }
}
