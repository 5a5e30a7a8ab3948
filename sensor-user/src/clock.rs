//! Two clocks of one host: the boot clock, which nobody can set, and the wall clock, which people read.
//!
//! Events carry the boot clock; what leaves the host carries both. The distance is measured anew for every tick, so a
//! wall clock that is stepped moves later events only.
//!
//! **Invariant:** order and age are judged on the boot clock alone.

use rustix::time::{ClockId, clock_getres, clock_gettime};

/// Pairs read per measurement; the pair read most quickly is believed.
const PAIRS: usize = 3;
/// Nanoseconds in the hundredth of a second in which the kernel gives start times.
const CENTISECOND_NS: u64 = 10_000_000;

/// How far the wall clock is ahead of the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(i128);

impl Offset {
    /// Measures it: reads the wall clock between two reads of the boot clock.
    #[must_use]
    pub fn measure() -> Self {
        let mut best = (u64::MAX, 0);
        for _ in 0..PAIRS {
            let before = boot_ns();
            let wall = nanoseconds(ClockId::Realtime);
            let after = boot_ns();
            let spread = after.saturating_sub(before);
            if spread < best.0 {
                best = (spread, i128::from(wall) - i128::from(before + spread / 2));
            }
        }
        Self(best.1)
    }

    /// An offset that is known, for tests and recordings.
    #[must_use]
    pub fn fixed(nanoseconds: i64) -> Self {
        Self(i128::from(nanoseconds))
    }

    /// A moment of the boot clock by the wall clock; 0 before 1970.
    #[must_use]
    pub fn unix_ns(self, boot_ns: u64) -> u64 {
        u64::try_from((i128::from(boot_ns) + self.0).max(0)).unwrap_or(u64::MAX)
    }

    /// Start of a process, given in hundredths of a second since boot, by the wall clock.
    #[must_use]
    pub fn start_unix_ns(self, start_cs: u64) -> u64 {
        self.unix_ns(start_cs.saturating_mul(CENTISECOND_NS))
    }
}

/// The boot clock now, nanoseconds.
#[must_use]
pub fn boot_ns() -> u64 {
    nanoseconds(ClockId::Boottime)
}

/// Length of a tick of the kernel (`TICK_NSEC`), nanoseconds: the resolution of its coarse clocks.
#[must_use]
pub fn tick_ns() -> u64 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    // A tick is a hundredth of a second at most.
    u64::try_from(tick.tv_nsec).unwrap_or(0)
}

/// The wall clock now, nanoseconds since 1970.
#[must_use]
pub fn unix_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Both clocks are positive; a wall clock set before 1970 reads as 0.
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_offset_turns_boot_time_into_wall_time() {
        let earlier = unix_ns();
        let now = Offset::measure().unix_ns(boot_ns());
        // Half an hour is far more than a test can take and far less than a wrong unit or sign would show.
        assert!(
            now.abs_diff(earlier) < 1_800_000_000_000,
            "{now} against {earlier}"
        );
    }

    #[test]
    fn conversions_do_not_wrap() {
        assert_eq!(Offset::fixed(-5).unix_ns(3), 0);
        assert_eq!(Offset::fixed(5).unix_ns(3), 8);
        assert_eq!(Offset::fixed(0).start_unix_ns(7), 70_000_000);
        assert_eq!(Offset::fixed(i64::MAX).unix_ns(u64::MAX), u64::MAX);
    }
}
