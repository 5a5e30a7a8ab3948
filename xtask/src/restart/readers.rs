//! The readers: many short runs of `cat`, each over a few records, with the truth about what they read.
//!
//! **Invariant:** nothing but `cat` opens a record, and each record it is given it opens once and reads to its end; so
//! what was read is counts and sizes of files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::records::Random;

/// Most records in one run.
const RECORDS_PER_RUN_MAX: u64 = 8;
/// Between two runs, so that the sensor always has something new to say and the machine something left.
const PAUSE: Duration = Duration::from_millis(5);

/// What was done with one record, or with all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) opens: u64,
    pub(super) bytes_read: u64,
}

impl Amounts {
    pub(super) fn add(&mut self, other: Self) {
        self.opens += other.opens;
        self.bytes_read += other.bytes_read;
    }
}

/// What was read in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) runs: u64,
    /// By inode number: the store is on one file system.
    pub(super) records: BTreeMap<u64, Amounts>,
}

impl Reads {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (inode, amounts) in &other.records {
            self.records.entry(*inode).or_default().add(*amounts);
        }
    }

    pub(super) fn sum(&self) -> Amounts {
        sum(self.records.values())
    }
}

pub(super) fn sum<'a>(amounts: impl Iterator<Item = &'a Amounts>) -> Amounts {
    let mut sum = Amounts::default();
    amounts.for_each(|one| sum.add(*one));
    sum
}

/// A record of the store.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    inode: u64,
    bytes: u64,
}

/// Whoever reads, and what there is to read.
#[derive(Debug)]
pub(super) struct Readers {
    records: Vec<Record>,
    seed: u64,
}

impl Readers {
    /// Readers of the records below `store`.
    pub(super) fn of(store: &Path, seed: u64) -> Result<Self> {
        let mut records = Vec::new();
        collect(store, &mut records)
            .with_context(|| format!("failed to list {}", store.display()))?;
        // The order of a directory is not the same everywhere; that of names is.
        records.sort_by(|a, b| a.path.cmp(&b.path));
        if records.is_empty() {
            bail!("{} holds no record", store.display());
        }
        Ok(Self { records, seed })
    }

    /// Reads until it is enough, counting the finished runs in `runs`.
    pub(super) fn read(&self, runs: &AtomicU64, enough: &dyn Fn() -> bool) -> Result<Reads> {
        let mut random = Random::of(&[self.seed]);
        let mut reads = Reads::default();
        while !enough() {
            let count = random.between(1, RECORDS_PER_RUN_MAX);
            let last = self.records.len() as u64 - 1;
            let chosen: Vec<&Record> = (0..count)
                .map(|_| &self.records[random.between(0, last) as usize])
                .collect();
            cat(&chosen)?;
            reads.runs += 1;
            for record in chosen {
                reads.records.entry(record.inode).or_default().add(Amounts {
                    opens: 1,
                    bytes_read: record.bytes,
                });
            }
            runs.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
        Ok(reads)
    }
}

fn cat(records: &[&Record]) -> Result<()> {
    let output = Command::new("cat")
        .args(records.iter().map(|record| &record.path))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("failed to start cat")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cat failed with {}: {}", output.status, said.trim());
    }
    Ok(())
}

fn collect(directory: &Path, records: &mut Vec<Record>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            collect(&entry.path(), records)?;
        } else {
            records.push(Record {
                path: entry.path(),
                inode: metadata.ino(),
                bytes: metadata.len(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cat_was_given_is_what_was_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/a"), [1; 10]).unwrap();
        let readers = Readers::of(dir.path(), 1).unwrap();
        let runs = AtomicU64::new(0);
        let reads = readers
            .read(&runs, &|| runs.load(Ordering::Relaxed) >= 3)
            .unwrap();
        let sum = reads.sum();
        assert_eq!((reads.runs, reads.records.len()), (3, 1));
        assert!(
            sum.opens >= 3 && sum.bytes_read == 10 * sum.opens,
            "{sum:?}"
        );
        fs::remove_file(dir.path().join("deep/a")).unwrap();
        assert!(
            readers.read(&runs, &|| false).is_err(),
            "a record that is gone"
        );
        assert!(
            Readers::of(dir.path(), 1).is_err(),
            "a store without records"
        );
    }
}
