//! Which processes that held records still run, and what they have started since, by what /proc says.

use std::collections::HashMap;
use std::fs;

use sensor_ebpf::layout::config::KeptHolder;

/// Nanoseconds in the hundredth of a second in which /proc gives start times.
const CENTISECOND_NS: u64 = 10_000_000;
/// Steps up from a process to the holder that started it.
const GENERATIONS_MAX: usize = 64;

/// A process as /proc shows it.
#[derive(Debug, Clone, Copy)]
struct Running {
    parent: u32,
    start_cs: u64,
}

impl Running {
    /// The moment before which it began.
    const fn before_ns(self) -> u64 {
        self.start_cs
            .saturating_add(1)
            .saturating_mul(CENTISECOND_NS)
    }
}

/// The processes that run, by number.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<u32, Running>);

impl Table {
    pub(super) fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let read = |pid: u32| {
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, running(&String::from_utf8_lossy(&stat))?))
        };
        Self(numbers.filter_map(read).collect())
    }

    /// Of holders (pid, start, stores), those that still run, and then who was started by one of them since `at_ns`: with the
    /// moments between which each began, by which the programs tell it from a later one of the same number.
    pub(super) fn still(
        &self,
        holders: &[(u32, u64, u64)],
        at_ns: u64,
    ) -> (HashMap<u32, KeptHolder>, Vec<(u32, KeptHolder)>) {
        let alive: HashMap<_, _> = holders
            .iter()
            .filter(|(pid, start_ns, _)| {
                let runs = self.0.get(pid).map(|running| running.start_cs);
                runs == Some(start_ns / CENTISECOND_NS)
            })
            .map(|(pid, start_ns, stores)| (*pid, kept(*start_ns, *start_ns, *stores)))
            .collect();
        let new = |pid: &u32| !alive.contains_key(pid);
        let started = self.0.iter().filter(|(pid, _)| new(pid));
        let started = started.filter_map(|(pid, running)| {
            let stores = self.started_by(*running, at_ns, &alive)?;
            let from_ns = running.start_cs.saturating_mul(CENTISECOND_NS);
            Some((*pid, kept(from_ns, running.before_ns(), stores)))
        });
        let started = started.collect();
        (alive, started)
    }

    /// Stores of the holder that has started a process, or its parent, since a moment. What one began with that was there before is
    /// known.
    fn started_by(
        &self,
        first: Running,
        at_ns: u64,
        alive: &HashMap<u32, KeptHolder>,
    ) -> Option<u64> {
        let mut running = first;
        for _ in 0..GENERATIONS_MAX {
            if running.before_ns() <= at_ns {
                return None;
            }
            if let Some(holder) = alive.get(&running.parent) {
                return Some(holder.stores);
            }
            running = *self.0.get(&running.parent)?;
        }
        None
    }
}

const fn kept(from_ns: u64, to_ns: u64, stores: u64) -> KeptHolder {
    KeptHolder {
        from_ns,
        to_ns,
        stores,
    }
}

/// What a line of /proc/PID/stat says (proc(5)): the name in it may have anything in it, so it is read from its last parenthesis on.
fn running(stat: &str) -> Option<Running> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    // Field 22 of the line.
    let start_cs = fields.nth(17)?.parse().ok()?;
    Some(Running { parent, start_cs })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn who_still_runs_and_what_it_started() {
        let process = |parent, start_cs| Running { parent, start_cs };
        let table = Table(HashMap::from([
            (10, process(1, 123)),
            // The number of a holder that ended.
            (11, process(1, 700)),
            (20, process(10, 400)),
            (21, process(10, 600)),
            (22, process(21, 700)),
            (23, process(20, 700)),
        ]));
        let holders = [(10, 1_234_567_891, 2), (11, 2_000_000_000, 6)];
        let (alive, mut started) = table.still(&holders, 5_000_000_000);
        let exact = kept(1_234_567_891, 1_234_567_891, 2);
        assert_eq!(alive, HashMap::from([(10, exact)]));
        started.sort_unstable_by_key(|(pid, _)| *pid);
        // Of 20, which was there and held nothing, neither it nor its child.
        let expected = [
            (21, kept(6_000_000_000, 6_010_000_000, 2)),
            (22, kept(7_000_000_000, 7_010_000_000, 2)),
        ];
        assert_eq!(started, expected);
    }

    #[test]
    fn a_name_does_not_lead_astray() {
        let stat = "5 (a) R 9 (x) S 77 5 5 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4321 1 1";
        let found = running(stat).unwrap();
        assert_eq!((found.parent, found.start_cs), (77, 4321));
        assert!(running("").is_none());
    }
}
