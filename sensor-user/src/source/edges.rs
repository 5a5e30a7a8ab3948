//! What processes that hold records give to others, tick by tick.

use std::collections::HashMap;

use sensor_ebpf::layout::edge::{EdgeKey, EdgeSum};
use sensor_ebpf::layout::news::News;

use super::holders::Holders;
use crate::decode;
use crate::event::{Event, What};
use crate::load::{AttemptError, Kernel};

/// Edges are looked through this often even if nothing went over one, since their ends may be gone, nanoseconds.
const WALK_NS: u64 = 1_000_000_000;

/// Edges as they were last told.
#[derive(Debug, Default)]
pub(super) struct Edges {
    told: HashMap<EdgeKey, EdgeSum>,
    /// What the programs had told when edges were last looked through, and when that was.
    news: u64,
    walked_ns: u64,
}

impl Edges {
    /// What there is, if something may have been added. Asked before the sums of accesses: what a process had given by then it had got
    /// before, so who only passes on is never told as one that had it of itself.
    pub(super) fn look(
        &mut self,
        kernel: &Kernel,
        now: u64,
    ) -> Result<Vec<(EdgeKey, EdgeSum)>, AttemptError> {
        // To walk an empty map takes a look at each of its buckets.
        let news = kernel.news(News::Edge);
        let is_due = !self.told.is_empty() && now.saturating_sub(self.walked_ns) >= WALK_NS;
        if news == self.news && !is_due {
            return Ok(Vec::new());
        }
        (self.news, self.walked_ns) = (news, now);
        kernel.edges()
    }

    /// Says what has been added since the last tick, behind all accesses of this one, and forgets edges to processes that are gone.
    /// Whoever got something is a holder before its flows of this tick are looked at.
    pub(super) fn tell(
        &mut self,
        found: Vec<(EdgeKey, EdgeSum)>,
        kernel: &mut Kernel,
        holders: &mut Holders,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        for (key, sum) in found {
            let told = self.told.get(&key);
            if told.is_some_and(|told| told.times == sum.times) {
                if !holders.knows(&key.to) {
                    kernel.forget_edge(key)?;
                    self.told.remove(&key);
                }
                continue;
            }
            holders.touched(decode::process(&key.to));
            // An entry of another layout cannot be here: programs and sensor are built together.
            if let Ok(edge) = decode::edge(&key, &sum, told) {
                events.push(Event {
                    boot_ns: now,
                    what: What::Edge(edge),
                });
            }
            self.told.insert(key, sum);
        }
        Ok(())
    }
}
