//! What is promised of the overhead, and whether it holds.

use super::rows::{self, Added, NOISE};

/// Operations on which the sensor has no hook.
const UNHOOKED: [&str; 2] = ["getppid", "stat"];
/// Files that are seen for the first time are judged; what that may cost is bounded by the peer alone.
const FIRST: &str = "first read of a file";
/// With the file outside of every store, so many times the floor.
const FLOORS: i64 = 2;
/// Instructions that may be added to an operation on a record.
const RECORD: [(&str, i64); 3] = [
    ("open+close", 2800),
    ("pread 4 KiB", 600),
    ("pread 1 B", 600),
];
/// What the nearest peer adds (Kunai 0.7.0-rc.1, measured the same way on 6.1), the work of its daemon included. The sensor may
/// add a fifth of it. What the peer does for everything, the sensor does for records; an idle second is as good anywhere.
const NEAREST: [(&str, i64); 13] = [
    (rows::IDLE, 1_360_000),
    ("getppid", 153),
    ("open+close", 1_164),
    ("pread 4 KiB", 2_399),
    ("pread 1 B", 2_399),
    ("mmap+munmap", 885),
    ("pipe write+read", 2_789),
    ("fork+exec+exit", 97_290 + 1_017_000),
    ("tcp connect+accept+close", 20_683 + 151_000),
    ("tcp send 16 KiB+receive", 89_826 + 176_000),
    ("udp send+receive 512 B", 12_613),
    (FIRST, 24_272 + 154_000),
    ("create+write+close+unlink", 77_552 + 305_000),
];
const FIFTH: i64 = 5;

/// A target, and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What is bounded.
    pub(super) what: &'static str,
    pub(super) most: i64,
    pub(super) found: i64,
}

impl Verdict {
    pub(super) const fn holds(&self) -> bool {
        self.found <= self.most
    }

    /// `outside 499 > 397`.
    pub(super) fn said(&self) -> String {
        let sign = if self.holds() { "≤" } else { ">" };
        let (found, most) = (rows::grouped(self.found), rows::grouped(self.most));
        format!("{} {found} {sign} {most}", self.what)
    }
}

/// What the nearest peer adds to an operation.
pub(super) fn nearest(op: &str) -> Option<i64> {
    let found = NEAREST.iter().find(|(name, _)| *name == op);
    found.map(|(_, instructions)| *instructions)
}

/// The targets for an operation on one machine. What was not measured is not judged.
pub(super) fn verdicts(added: &[Added], op: &str) -> Vec<Verdict> {
    let of = |setting| rows::instructions(added, op, setting);
    let mut verdicts = Vec::new();
    let mut judge = |what, most, found| verdicts.push(Verdict { what, most, found });
    match (of("outside"), of("floor")) {
        (Some(outside), _) if UNHOOKED.contains(&op) => judge("outside", NOISE, outside.abs()),
        (Some(outside), Some(floor)) if op != FIRST && op != rows::IDLE => {
            judge("outside", FLOORS * floor.max(0) + NOISE, outside);
        }
        _ => {}
    }
    let bound = RECORD.iter().find(|(name, _)| *name == op);
    if let (Some((_, most)), Some(inside)) = (bound, of("inside")) {
        judge("inside", *most, inside);
    }
    if let (Some(peer), Some(all)) = (nearest(op), rows::with_own(added, op, "inside")) {
        judge("inside with own", peer / FIFTH + NOISE, all);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: &str, setting: &str, instructions: i64, own: Option<u64>) -> Added {
        Added {
            op: op.into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: "6.1".into(),
            instructions,
            own,
        }
    }

    fn missed(added: &[Added]) -> Vec<String> {
        let all = rows::operations(added);
        all.iter()
            .flat_map(|op| verdicts(added, op))
            .filter(|verdict| !verdict.holds())
            .map(|verdict| verdict.said())
            .collect()
    }

    #[test]
    fn targets_hold_up_to_their_bound() {
        let good = [
            row("stat", "outside", -4, None),
            row("write 4 KiB", "floor", 200, None),
            row("write 4 KiB", "outside", 415, None),
            row("open+close", "inside", 200, Some(32)),
            row(FIRST, "inside", 30_000, Some(5_000)),
        ];
        assert_eq!(missed(&good), Vec::<String>::new());
        let bad = [
            row("stat", "outside", 16, None),
            row("write 4 KiB", "floor", 200, None),
            row("write 4 KiB", "outside", 416, None),
            row("open+close", "inside", 2801, None),
            row(FIRST, "inside", 30_000, Some(6_000)),
        ];
        assert_eq!(
            missed(&bad),
            [
                "outside 16 > 15",
                "outside 416 > 415",
                "inside 2,801 > 2,800",
                "inside with own 2,801 > 247",
                "inside with own 36,000 > 35,669",
            ]
        );
    }
}
