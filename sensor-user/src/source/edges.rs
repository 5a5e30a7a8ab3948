//! What processes that hold records give to others, tick by tick.

use std::collections::HashMap;

use sensor_ebpf::layout::edge::{EdgeKey, EdgeSum};

use super::holders::Holders;
use crate::decode;
use crate::event::{Event, What};
use crate::load::{AttemptError, Kernel};

/// Edges as they were last told.
#[derive(Debug, Default)]
pub(super) struct Edges(HashMap<EdgeKey, EdgeSum>);

impl Edges {
    /// Says what has been added since the last tick, and forgets edges to processes that are gone. Whoever got something
    /// is a holder before its flows of this tick are looked at.
    pub(super) fn tick(
        &mut self,
        kernel: &mut Kernel,
        holders: &mut Holders,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        for (key, sum) in kernel.edges()? {
            let told = self.0.get(&key);
            if told.is_some_and(|told| told.times == sum.times) {
                if !holders.knows(&key.to) {
                    kernel.forget_edge(key)?;
                    self.0.remove(&key);
                }
                continue;
            }
            holders.touched(decode::process(&key.to));
            // An entry of another layout cannot be here: programs and sensor are built together.
            if let Ok(edge) = decode::edge(&key, &sum, told) {
                events.push(Event {
                    boot_ns: sum.last_ns,
                    what: What::Edge(edge),
                });
            }
            self.0.insert(key, sum);
        }
        Ok(())
    }
}
