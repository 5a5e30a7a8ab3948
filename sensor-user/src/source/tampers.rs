//! What was tried on the sensor, tick by tick.

use std::collections::HashMap;
use std::path::Path;

use sensor_ebpf::layout::news::News;
use sensor_ebpf::layout::tamper::{TamperKey, TamperSum};

use crate::decode;
use crate::event::{Event, Target, What};
use crate::load::{AttemptError, Kernel};

/// An attempt that was not repeated for so long is forgotten when its process is gone, nanoseconds.
const STILL_NS: u64 = 60_000_000_000;

/// Attempts are looked through this often even if there is no new one, since their processes may be gone, nanoseconds.
const WALK_NS: u64 = 10_000_000_000;

/// Attempts as they were last told.
#[derive(Debug, Default)]
pub(super) struct Tampers {
    told: HashMap<TamperKey, TamperSum>,
    /// What the programs had told when attempts were last looked through, and when that was.
    news: u64,
    walked_ns: u64,
}

impl Tampers {
    /// Says what has been added since the last tick.
    pub(super) fn tick(
        &mut self,
        kernel: &mut Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        let mut any_file = false;
        let news = kernel.news(News::Tamper);
        let is_due = !self.told.is_empty() && now.saturating_sub(self.walked_ns) >= WALK_NS;
        if news == self.news && !is_due {
            return Ok(());
        }
        (self.news, self.walked_ns) = (news, now);
        for (key, sum) in kernel.tampers()? {
            let told = self.told.get(&key);
            if told.is_some_and(|told| told.times == sum.times) {
                let still = now.saturating_sub(sum.last_ns) > STILL_NS;
                if still && !Path::new(&format!("/proc/{}", key.process.pid)).exists() {
                    kernel.forget_tamper(key)?;
                    self.told.remove(&key);
                }
                continue;
            }
            // An entry of another layout cannot be here: programs and sensor are built together.
            if let Ok(tamper) = decode::tamper(&key, &sum, told) {
                any_file |= matches!(tamper.target, Target::File(_));
                tracing::warn!(pid = key.process.pid, target = ?tamper.target, denied = tamper.denied, "an attempt on the sensor");
                events.push(Event {
                    boot_ns: sum.last_ns,
                    what: What::Tamper(tamper),
                });
            }
            self.told.insert(key, sum);
        }
        if any_file {
            kernel.tell_own_files_again()?;
        }
        Ok(())
    }
}
