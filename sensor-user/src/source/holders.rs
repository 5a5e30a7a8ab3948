//! Processes that have touched records, until they and their flows are gone.
//!
//! The kernel programs keep a mark for each; they cannot tell when it may go, since a flow outlives its process.

use foldhash::HashMap;
use sensor_ebpf::layout::proc::Process;

use super::flows::Flows;
use crate::decode;
use crate::event::ProcessKey;
use crate::load::{AttemptError, Kernel};

/// How long after its exit a process may still have a flow that is not known, nanoseconds.
const GRACE_NS: u64 = 2_000_000_000;
/// How often processes whose exit may have been lost are looked for, nanoseconds.
const RECONCILE_NS: u64 = 60_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Holder {
    exited_ns: Option<u64>,
}

/// The holders of this host.
#[derive(Debug, Default)]
pub(super) struct Holders {
    known: HashMap<ProcessKey, Holder>,
    reconciled_ns: u64,
}

impl Holders {
    /// A process touched a record.
    pub(super) fn touched(&mut self, process: ProcessKey) {
        self.known
            .entry(process)
            .or_insert(Holder { exited_ns: None });
    }

    /// True until the process and its flows are gone.
    pub(super) fn knows(&self, process: &Process) -> bool {
        self.known.contains_key(&decode::process(process))
    }

    /// A process ended.
    pub(super) fn exited(&mut self, process: ProcessKey, now_ns: u64) {
        if let Some(holder) = self.known.get_mut(&process) {
            holder.exited_ns = Some(now_ns);
        }
    }

    /// Forgets those that are gone.
    pub(super) fn tick(
        &mut self,
        kernel: &mut Kernel,
        flows: &Flows,
        now: u64,
    ) -> Result<(), AttemptError> {
        if now.saturating_sub(self.reconciled_ns) > RECONCILE_NS {
            self.reconciled_ns = now;
            for process in kernel.holders()? {
                self.touched(decode::process(&process));
            }
            self.reconcile(now);
        }
        let over = |key: &ProcessKey, holder: &Holder| {
            holder
                .exited_ns
                .is_some_and(|then| now.saturating_sub(then) > GRACE_NS)
                && !flows.belong_to(*key)
        };
        let gone: Vec<_> = self
            .known
            .iter()
            .filter(|(k, h)| over(k, h))
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            kernel.forget_holder(key.pid, |process| decode::process(process) == key)?;
            self.known.remove(&key);
        }
        Ok(())
    }

    /// Notes the exit of those that /proc does not have any more: their exit was lost with a full ring, or they became holders
    /// by what no event tells.
    fn reconcile(&mut self, now: u64) {
        for (key, holder) in &mut self.known {
            if holder.exited_ns.is_none()
                && !std::path::Path::new(&format!("/proc/{}", key.pid)).exists()
            {
                holder.exited_ns = Some(now);
            }
        }
    }
}
