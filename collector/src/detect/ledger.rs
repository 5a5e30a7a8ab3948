//! Bytes by the moment they are known for, in bounded memory.

use super::few::Few;
use super::limits::MOMENTS_PER_LEDGER;

/// A sum of bytes that can be asked for the part since a moment.
///
/// **Invariant:** the total is exact. When there are too many moments, the two closest of the older half become one,
/// at the later moment: the part since a moment may then be too large, never too small.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger<const MOMENTS: usize = MOMENTS_PER_LEDGER> {
    moments: Few<u64, u64>,
}

impl<const MOMENTS: usize> Ledger<MOMENTS> {
    /// Adds bytes at a moment.
    pub(super) fn add(&mut self, at_ns: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let sum = self.moments.or_insert(at_ns, 0);
        *sum = sum.saturating_add(bytes);
        if self.moments.len() > MOMENTS {
            self.merge();
        }
    }

    /// Bytes at or after a moment.
    pub(super) fn since(&self, at_ns: u64) -> u64 {
        self.moments
            .since(at_ns)
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    fn merge(&mut self) {
        let older = || self.moments.iter().map(|(at, _)| *at).take(MOMENTS / 2 + 1);
        let closest = older().zip(older().skip(1)).min_by_key(|(a, b)| b - a);
        if let Some((earlier, later)) = closest {
            let moved = self.moments.remove(earlier).unwrap_or(0);
            let sum = self.moments.or_insert(later, 0);
            *sum = sum.saturating_add(moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_exact_while_there_is_room() {
        let mut ledger = <Ledger>::default();
        for (at, bytes) in [(30, 3), (10, 1), (20, 2), (10, 10)] {
            ledger.add(at, bytes);
        }
        for (since, expect) in [(0, 16), (10, 16), (11, 5), (20, 5), (30, 3), (31, 0)] {
            assert_eq!(ledger.since(since), expect, "since {since}");
        }
    }

    #[test]
    fn a_full_ledger_keeps_the_total_and_never_tells_too_little() {
        let mut ledger = <Ledger>::default();
        let count = 10 * MOMENTS_PER_LEDGER as u64;
        for at in 1..=count {
            ledger.add(at, 1);
        }
        assert!(ledger.moments.len() <= MOMENTS_PER_LEDGER);
        assert_eq!(ledger.since(0), count);
        for since in 1..=count {
            assert!(ledger.since(since) > count - since, "since {since}");
        }
    }
}
