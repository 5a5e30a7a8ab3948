//! Detection: events in log order in, alerts out.
//!
//! State is kept per boot of a host. Events of a block are taken in one by one; what they mean is judged once, at the
//! end of the block, so an alert grows by at most one revision per block. Blocks are never cut anew, so the same log
//! gives the same alerts with the same ids, revisions and contents, live or replayed.
//!
//! **Invariant:** no clock, no input or output, no randomness, no order of a hash map. Time is the time in the events.
//! Memory is bounded by [`limits`] for each host, and for all together by the configuration; what is forgotten is counted and makes the counts of an alert "at least".

mod alert;
pub mod baseline;
mod evidence;
mod few;
mod host;
mod ledger;
mod limits;
mod lineage;
mod pattern;
pub mod recall;
mod severity;
mod story;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use alert::{
    Alert, AtLeast, Attempt, Confidence, Destination, Disk, Figures, Level, Link, Path, Place,
    Severity, Step, Technique,
};
pub use pattern::stale_feed::{StaleFeed, stale_feed};
pub use pattern::{ALL as PATTERNS, About};

use baseline::Baseline;
use host::Host;
use pattern::{bulk, doubled, slow};

use crate::config::{DetectConfig, Shared};
use crate::event::{Block, Gap, GapReason, ProcessKey, What};

/// Takes the log in and gives alerts out.
#[derive(Debug)]
pub struct Detector {
    config: Shared,
    /// Boots of each sensor's host, the one last heard of at the end.
    hosts: BTreeMap<Arc<str>, Vec<Host>>,
    baseline: Baseline,
    /// Place in the log up to which the baseline has learned.
    learned_pos: i64,
    /// Bytes that all hosts take together.
    weight: u64,
    relieved: Option<Relieved>,
}

/// A host of which half was forgotten, since all together took more memory than they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relieved {
    /// Its sensor.
    pub sensor: Arc<str>,
    /// Bytes that were let go, about.
    pub bytes: u64,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(config: DetectConfig) -> Self {
        Self::following(Shared::new(config))
    }

    /// The same; each block is judged by what counts when it comes.
    pub fn following(config: Shared) -> Self {
        Self {
            config,
            hosts: BTreeMap::new(),
            baseline: Baseline::default(),
            learned_pos: 0,
            weight: 0,
            relieved: None,
        }
    }

    /// The same, which knows what was learned up to a place in the log. Blocks up to there teach it nothing again.
    #[must_use]
    pub fn knowing(self, baseline: Baseline, learned_pos: i64) -> Self {
        Self {
            baseline,
            learned_pos,
            ..self
        }
    }

    /// What was learned, and up to which place in the log.
    pub fn learned(&self) -> (&Baseline, i64) {
        (&self.baseline, self.learned_pos)
    }

    /// Takes the next block of the log. Returns the alerts that are new or have grown enough to be told again.
    pub fn block(&mut self, block: &Block) -> Vec<Alert> {
        let config = self.config.get();
        let learns = block.pos == 0 || block.pos > self.learned_pos;
        self.learned_pos = self.learned_pos.max(block.pos);
        let mut baseline = std::mem::take(&mut self.baseline);
        let host = self.host(block, &config);
        let before = host.weight();
        let alerts = judge(&config, host, &mut baseline, (block, learns));
        host.weigh();
        let after = host.weight();
        self.weight = self.weight.saturating_sub(before).saturating_add(after);
        self.baseline = baseline;
        if self.weight > config.memory_max.0 {
            self.relieve();
        }
        alerts
    }

    /// The host of which half was forgotten after the last block, if any was.
    pub fn take_relieved(&mut self) -> Option<Relieved> {
        self.relieved.take()
    }

    /// Forgets half of the host that takes most.
    fn relieve(&mut self) {
        let hosts = self.hosts.values_mut().flatten();
        let heaviest = hosts.max_by_key(|host| host.weight());
        let Some(host) = heaviest.filter(|host| host.weight() > limits::HOST_BYTES_LEAST) else {
            return;
        };
        let before = host.weight();
        host.forget_half();
        let bytes = before.saturating_sub(host.weight());
        self.weight = self.weight.saturating_sub(bytes);
        let sensor = host.origin().sensor.clone();
        self.relieved = Some(Relieved { sensor, bytes });
    }

    /// The state of the block's boot, put last among the boots of its sensor.
    fn host(&mut self, block: &Block, config: &DetectConfig) -> &mut Host {
        let window = config.direct.window.max(config.chain.staged);
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let boots = self.hosts.entry(block.origin.sensor.clone()).or_default();
        let known = boots
            .iter()
            .position(|host| host.origin().boot_id == block.origin.boot_id);
        let host = match known {
            Some(index) => boots.remove(index),
            None => Host::new(block.origin.clone(), window_ns),
        };
        if boots.len() >= limits::BOOTS_PER_SENSOR {
            let oldest = boots.remove(0);
            self.weight = self.weight.saturating_sub(oldest.weight());
        }
        boots.push(host);
        let last = boots.len() - 1;
        &mut boots[last]
    }
}

/// Takes a block in, learns from it if it has not been learned from, and judges.
fn judge(
    config: &DetectConfig,
    host: &mut Host,
    baseline: &mut Baseline,
    (block, learns): (&Block, bool),
) -> Vec<Alert> {
    let sensor = block.origin.sensor.clone();
    // By process and not by name, which would have to be put together for each event.
    let mut reads: BTreeMap<(ProcessKey, &str, u32), (u64, u64)> = BTreeMap::new();
    if let Some((first_ns, last_ns)) = block.span() {
        baseline.heard(&sensor, first_ns);
        baseline.heard(&sensor, last_ns);
    }
    if block.missing_before > 0 {
        host.gap(hole(block, host.newest_ns(), host.settled_ns()));
    }
    host.settle(block);
    for event in &block.events {
        host.saw(event.at_ns);
        match &event.what {
            What::Process(process) => host.process(process, event.at_ns),
            What::Access(access) => {
                let new = host.access(access);
                let bytes = access.bytes_read.saturating_add(access.bytes_mapped);
                if bytes > 0 {
                    let day = baseline::day(access.last_ns);
                    let read = reads
                        .entry((access.process, &access.store, day))
                        .or_default();
                    *read = (read.0 + u64::from(new), read.1.saturating_add(bytes));
                }
            }
            What::Flow(flow) => {
                let learning_days = config.baseline.learning_days;
                let (to, at_ns) = (flow.remote.ip(), flow.opened_ns);
                host.flow(flow, |program| {
                    baseline.visit(program, to, at_ns, learning_days)
                });
            }
            What::Tamper(tamper) => host.tamper(tamper),
            What::Edge(edge) => host.edge(edge),
            What::Gap(gap) => host.gap(gap.clone()),
            What::Conflict(conflict) => host.conflict(conflict, event.at_ns),
        }
    }
    let mut readers = host.ended(block);
    for ((process, store, day), (records, bytes)) in reads {
        let Some(habit) = host.habit(process, store) else {
            continue;
        };
        if learns {
            baseline.read(&sensor, &habit, day, records, bytes);
        }
        readers.insert((habit, day), process);
    }
    let mut alerts = host.judge(config);
    doubled::judge(host, &mut alerts);
    let sent = host.sent();
    for (way, at_ns) in &sent.used {
        baseline.used(way, *at_ns);
    }
    bulk::judge(config, host, baseline, (&readers, learns), &mut alerts);
    slow::judge(config, host, baseline, (&sent.leaks, learns), &mut alerts);
    alerts
}

/// Numbers the log never got are a loss like any other. Of a block that comes late they lie after what has settled.
fn hole(block: &Block, newest_ns: u64, settled_ns: u64) -> Gap {
    let first_ns = block.span().map_or(newest_ns, |(first, _)| first);
    Gap {
        reason: GapReason::LogHole,
        count: block.missing_before,
        from_ns: if newest_ns > first_ns {
            settled_ns.min(first_ns)
        } else {
            newest_ns
        },
        to_ns: first_ns,
        detail: "sequence numbers missing from the log".into(),
    }
}

#[cfg(test)]
mod tests;
