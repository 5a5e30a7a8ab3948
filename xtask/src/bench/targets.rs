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
/// A fifth of what the nearest peer (Kunai 0.7.0-rc.1, measured the same way on 6.1) adds, the work of its daemon included.
/// What it does for everything, the sensor does for records.
const PEER: [(&str, &str, i64); 4] = [
    ("an idle second", "outside", 1_360_000 / 5),
    (FIRST, "inside", 178_272 / 5),
    ("tcp connect+accept+close", "inside", 171_683 / 5),
    ("fork+exec+exit", "inside", 1_114_290 / 5),
];

/// A line for each target that does not hold. What was not measured is not judged.
pub(super) fn missed(added: &[Added]) -> Vec<String> {
    let mut missed = Vec::new();
    for op in rows::operations(added) {
        let of = |setting| rows::instructions(added, &op, setting);
        let Some(outside) = of("outside") else {
            continue;
        };
        if UNHOOKED.contains(&op.as_str()) {
            if outside.abs() > NOISE {
                missed.push(format!("{op}: outside adds {outside} to what has no hook"));
            }
        } else if let Some(floor) = of("floor")
            && op != FIRST
            && outside > FLOORS * floor.max(0) + NOISE
        {
            let most = FLOORS * floor;
            missed.push(format!("{op}: outside adds {outside}, more than {most}"));
        }
    }
    for (op, most) in RECORD {
        if let Some(inside) = rows::instructions(added, op, "inside")
            && inside > most
        {
            missed.push(format!("{op}: inside adds {inside}, more than {most}"));
        }
    }
    for (op, setting, most) in PEER {
        if let Some(row) = rows::find(added, op, setting) {
            let all = row.instructions + row.sensor.unwrap_or(0) as i64;
            if all > most {
                missed.push(format!(
                    "{op}: {setting} adds {all} with the sensor's own work, more than {most}"
                ));
            }
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: &str, setting: &str, instructions: i64, sensor: Option<u64>) -> Added {
        Added {
            op: op.into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: "6.1".into(),
            instructions,
            sensor,
        }
    }

    #[test]
    fn targets_hold_up_to_their_bound() {
        let good = [
            row("stat", "outside", -4, None),
            row("write 4 KiB", "floor", 200, None),
            row("write 4 KiB", "outside", 415, None),
            row("open+close", "inside", 2800, None),
            row("first read of a file", "inside", 30_000, Some(5_000)),
        ];
        assert_eq!(missed(&good), Vec::<String>::new());
        let bad = [
            row("stat", "outside", 16, None),
            row("write 4 KiB", "floor", 200, None),
            row("write 4 KiB", "outside", 416, None),
            row("open+close", "inside", 2801, None),
            row("first read of a file", "inside", 30_000, Some(6_000)),
        ];
        assert_eq!(missed(&bad).len(), 4);
    }
}
