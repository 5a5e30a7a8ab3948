//! Numbers of one epoch that were given up between others that are still held. What was given up is known; what is missing
//! without being in here is damage.
//!
//! **Invariant:** holes neither touch nor overlap: between two of them there is something that was kept.

use std::collections::BTreeMap;

/// The holes of an epoch, last numbers by first numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holes(BTreeMap<u64, u64>);

impl Holes {
    /// Makes a hole of what is between two numbers, these included; joins what touches it.
    pub(super) fn add(&mut self, mut first: u64, mut last: u64) {
        if let Some((&before, &end)) = self.0.range(..=first).next_back()
            && end + 1 >= first
        {
            first = before;
            last = last.max(end);
        }
        while let Some((&next, &end)) = self.0.range(first..).next()
            && next <= last + 1
        {
            self.0.remove(&next);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// The last number before this one that was not given up.
    pub(super) fn follows(&self, seq: u64) -> u64 {
        match self.0.range(..seq).next_back() {
            Some((first, last)) if last + 1 >= seq => first - 1,
            _ => seq - 1,
        }
    }

    /// Forgets what is before a number, and answers it, or what comes behind the hole it is in. The hole that ends there stays.
    pub(super) fn pass(&mut self, seq: u64) -> u64 {
        let (mut now, mut latest) = (seq, None);
        while let Some((first, last)) = self.0.pop_first() {
            if first > now {
                self.0.insert(first, last);
                break;
            }
            now = now.max(last + 1);
            latest = Some((first, last));
        }
        self.0.extend(latest.filter(|(_, last)| last + 1 == now));
        now
    }

    /// How many numbers from `first` to `last` were given up.
    pub(super) fn within(&self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let all = self.0.range(..=last).rev();
        let here = all.take_while(|(_, end)| **end >= first);
        here.map(|(begin, end)| (*end).min(last) + 1 - (*begin).max(first))
            .sum()
    }

    /// True for a number in a hole.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.within(seq, seq) > 0
    }

    /// The holes, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a list of numbers.
    #[test]
    fn holes_are_what_was_put_into_them_however_that_came() {
        for seed in 0..200_u64 {
            let (mut holes, mut gone) = (Holes::default(), [false; 42]);
            let mut dice = seed;
            let mut throw = |below: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (dice >> 33) % below
            };
            for _ in 0..8 {
                let first = 1 + throw(36);
                let last = first + throw(4);
                holes.add(first, last);
                gone[first as usize..=last as usize].fill(true);
            }
            for seq in 1..41_u64 {
                assert_eq!(holes.has(seq), gone[seq as usize], "{seed}: {seq}");
                let kept = (0..seq).rev().find(|n| !gone[*n as usize]);
                assert_eq!(Some(holes.follows(seq)), kept, "{seed}: {seq}");
                let count = gone[seq as usize..].iter().filter(|gone| **gone).count();
                assert_eq!(holes.within(seq, 41), count as u64, "{seed}: {seq}");
                let mut passed = holes.clone();
                let next = (seq..42).find(|n| !gone[*n as usize]);
                assert_eq!(Some(passed.pass(seq)), next, "{seed}: {seq}");
                let next = next.unwrap_or_default();
                assert_eq!(passed.follows(next), holes.follows(next), "{seed}: {seq}");
                assert!(passed.iter().all(|(_, last)| last + 1 >= next), "{seed}");
            }
            let mut before = 0;
            for (first, last) in holes.iter() {
                assert!(before == 0 || first > before + 1, "{seed}: they touch");
                before = last;
            }
        }
    }
}
