//! What came up in a storm, added up as it comes: a storm is too much to be kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Child;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use sensor_user::event::{Access, ProcessKey, RecordId, What};

use crate::watch::Watch;

/// Quiet for so long means that the storm is over. Generous: the machine may be emulated.
const QUIET: Duration = Duration::from_secs(3);

/// What gaps call processes and flows that found their ring full.
pub(crate) const NEWS: &str = "critical ring full";
/// The same of accesses.
pub(crate) const ACCESSES: &str = "no room for accesses";
/// The same of names.
pub(crate) const NAMES: &str = "no room for names";

/// What came up.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By process: the records it touched, and what it did with all of them.
    pub(crate) processes: HashMap<ProcessKey, Did>,
    /// Records, and directories in a store, a name came up for.
    pub(crate) named: HashSet<RecordId>,
    /// How many processes each has started.
    pub(crate) forks: HashMap<u32, u64>,
    pub(crate) exits: HashSet<ProcessKey>,
    /// Flows that ended, with their bytes out.
    pub(crate) flows: HashMap<u64, u64>,
    /// Losses by what was lost; without the bytes.
    pub(crate) lost: BTreeMap<String, u64>,
    /// Bytes read of accesses that were lost.
    pub(crate) lost_bytes: u64,
}

/// What one process did.
#[derive(Debug, Default)]
pub(crate) struct Did {
    pub(crate) records: HashSet<RecordId>,
    pub(crate) opens: u64,
    pub(crate) read: u64,
    /// Events it took to say so.
    pub(crate) events: u64,
}

impl Tally {
    /// What a process did.
    pub(crate) fn of(&self, pid: u32) -> Option<&Did> {
        self.processes
            .iter()
            .find_map(|(key, did)| (key.pid == pid).then_some(did))
    }

    /// Records that a process touched and no name came up for.
    pub(crate) fn nameless(&self) -> usize {
        let touched = self.processes.values().flat_map(|did| &did.records);
        let touched: HashSet<&RecordId> = touched.collect();
        touched
            .iter()
            .filter(|record| !self.named.contains(record))
            .count()
    }

    /// How often something was lost.
    pub(crate) fn lost(&self, what: &str) -> u64 {
        self.lost.get(what).copied().unwrap_or(0)
    }

    /// Takes in what comes until the programs have ended and it has been quiet for a while.
    pub(crate) fn storm(watch: &mut Watch, mut programs: Vec<Child>) -> Result<Self, Failed> {
        let mut tally = Self::default();
        let mut last = Instant::now();
        while !programs.is_empty() || last.elapsed() < QUIET {
            watch.take(Duration::from_millis(20))?;
            if tally.add(watch) {
                last = Instant::now();
            }
            let mut left = Vec::new();
            for mut program in programs {
                match program.try_wait()? {
                    None => left.push(program),
                    Some(status) if status.success() => last = Instant::now(),
                    Some(status) => {
                        return Err(format!("a program under test failed: {status}").into());
                    }
                }
            }
            programs = left;
        }
        Ok(tally)
    }

    /// Adds up what the watch holds; true when a process did something with a record, which on no machine happens by
    /// itself.
    fn add(&mut self, watch: &mut Watch) -> bool {
        let events = std::mem::take(&mut watch.events);
        let mut any = false;
        for event in events {
            any |= !matches!(event.what, What::Fork(_) | What::Exec(_) | What::Exit(_));
            match event.what {
                What::Access(access) => self.access(&access),
                What::Name(name) => {
                    self.named.insert(name.record);
                }
                What::Fork(fork) => *self.forks.entry(fork.parent.pid).or_default() += 1,
                What::Exit(exit) => {
                    self.exits.insert(exit.process);
                }
                What::Flow(flow) if flow.closed => {
                    self.flows.insert(flow.id, flow.bytes_out);
                }
                What::Gap(gap) => {
                    let (what, bytes) = gap.detail.split_once(": ").unwrap_or((&gap.detail, ""));
                    *self.lost.entry(what.to_owned()).or_default() += gap.count;
                    let read = bytes.split_once(" bytes read").map(|(n, _)| n.parse());
                    self.lost_bytes += read.and_then(Result::ok).unwrap_or(0);
                }
                What::Flow(_)
                | What::Exec(_)
                | What::Edge(_)
                | What::Tamper(_)
                | What::Naming(_) => {}
            }
        }
        any
    }

    fn access(&mut self, access: &Access) {
        let did = self.processes.entry(access.process).or_default();
        did.records.insert(access.record);
        did.opens += access.opens;
        did.read += access.bytes_read;
        did.events += 1;
    }
}
