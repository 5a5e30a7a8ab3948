//! Which programs a process ran, in the order of their time, whatever order it is told in.

use crate::detect::limits;

/// What a process ran before its present program, and since when it runs that.
#[derive(Debug, Default)]
pub(in crate::detect) struct Programs {
    /// Since when, and what; each until the next began, the last until the present one did.
    before: Vec<(u64, String)>,
    /// When the present one was first told of, and last.
    since_ns: u64,
    told_ns: u64,
    /// First touch of a record; `None` before there is one.
    first_record_ns: Option<u64>,
}

impl Programs {
    /// A process was told of that runs `now`, where `known` was its present program; false when that is older than what is known.
    pub(super) fn tell(&mut self, known: Option<&str>, now: &str, at_ns: u64) -> bool {
        let Some(known) = known else {
            (self.since_ns, self.told_ns) = (at_ns, at_ns);
            return true;
        };
        let newest = at_ns >= self.told_ns;
        if !newest {
            self.tell_late(known, now, at_ns);
        } else if known != now {
            self.before.push((self.since_ns, known.to_owned()));
            self.since_ns = at_ns;
        }
        self.told_ns = self.told_ns.max(at_ns);
        if self.before.len() > limits::EARLIER_PROGRAMS {
            // What it ran before its first record is nothing to anybody.
            let idle = self.until(0) <= self.first_record_ns.unwrap_or(u64::MAX);
            let spare = if idle { 0 } else { self.before.len() - 1 };
            self.before.remove(spare);
        }
        newest
    }

    fn tell_late(&mut self, known: &str, now: &str, at_ns: u64) {
        let place = self.before.partition_point(|(since, _)| *since <= at_ns);
        let ran = |(_, program): &(u64, String)| program == now;
        if at_ns >= self.since_ns {
            if known != now {
                self.before.push((self.since_ns, known.to_owned()));
                self.before.push((at_ns, now.to_owned()));
                self.since_ns = self.told_ns;
            }
        } else if place > 0 && self.before.get(place - 1).is_some_and(ran) {
            // Told again.
        } else if let Some(next) = self.before.get_mut(place) {
            if ran(next) {
                next.0 = at_ns;
            } else {
                self.before.insert(place, (at_ns, now.to_owned()));
            }
        } else if known == now {
            self.since_ns = at_ns;
        } else {
            self.before.push((at_ns, now.to_owned()));
        }
    }

    /// It was at a record.
    pub(super) fn touched(&mut self, first_ns: u64) {
        let known = self.first_record_ns.unwrap_or(first_ns);
        self.first_record_ns = Some(known.min(first_ns));
    }

    /// What it ran before its present program, from its first record on.
    pub(in crate::detect) fn earlier(&self) -> Vec<String> {
        let first_ns = self.first_record_ns.unwrap_or(u64::MAX);
        (self.before.iter().enumerate())
            .filter(|(place, _)| self.until(*place) > first_ns)
            .map(|(_, (_, program))| program.clone())
            .collect()
    }

    /// Whether it has been the same program since its first record.
    pub(in crate::detect) fn is_one(&self) -> bool {
        let last = self.before.len().checked_sub(1);
        let first_ns = self.first_record_ns.unwrap_or(u64::MAX);
        last.is_none_or(|last| self.until(last) <= first_ns)
    }

    fn until(&self, place: usize) -> u64 {
        (self.before.get(place + 1)).map_or(self.since_ns, |(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process ran that was told of so and touched a record at 25: what it ran before, and its present program.
    fn told(all: &[(u64, &'static str)]) -> (Vec<String>, &'static str) {
        let mut programs = Programs::default();
        let mut known = None;
        for (at_ns, now) in all {
            if programs.tell(known, now, *at_ns) {
                known = Some(now);
            }
        }
        programs.touched(25);
        assert_eq!(programs.is_one(), programs.earlier().is_empty());
        (programs.earlier(), known.unwrap_or_default())
    }

    #[test]
    fn programs_are_in_the_order_of_their_time_however_they_are_told() {
        let all = [(10, "sh"), (20, "cat"), (30, "tar"), (40, "curl")];
        let expected = (vec!["cat".to_owned(), "tar".to_owned()], "curl");
        for n in 0..24 {
            let (mut left, mut order, mut n) = (all.to_vec(), Vec::new(), n);
            while !left.is_empty() {
                order.push(left.remove(n % left.len()));
                n /= left.len() + 1;
            }
            assert_eq!(told(&order), expected, "{order:?}");
        }
        let again = [(10, "cat"), (35, "curl"), (20, "cat"), (30, "curl")];
        assert_eq!(told(&again), (vec!["cat".to_owned()], "curl"));
        let back = [(10, "cat"), (50, "cat"), (30, "curl")];
        assert_eq!(
            told(&back),
            (vec!["cat".to_owned(), "curl".to_owned()], "cat")
        );
    }

    #[test]
    fn of_many_programs_those_go_first_that_ran_before_the_first_record() {
        let mut programs = Programs::default();
        programs.tell(None, "0", 0);
        programs.touched(1_000);
        for n in 1..100_u64 {
            programs.tell(Some(&(n - 1).to_string()), &n.to_string(), n * 100);
        }
        let earlier = programs.earlier();
        assert_eq!(earlier.len(), limits::EARLIER_PROGRAMS);
        assert_eq!(earlier.first().map(String::as_str), Some("10"));
    }
}
