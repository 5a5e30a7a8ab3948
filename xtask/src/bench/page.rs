//! The figures as the README shows them: for each kernel and backend what the sensor adds and which targets hold, and what
//! peers add.

use std::fmt::Write as _;

use super::rows::{self, Added};
use super::targets;

/// The peers that are measured in the machine.
const PEERS: [&str; 3] = ["auditd", "fanotify", "bpftrace"];

/// The section of these rows.
pub(super) fn section(all: &[Added]) -> String {
    let machines = rows::machines(all);
    let tables = machines.iter().map(|machine| {
        let (kernel, backend) = machine;
        let rows = rows::of_machine(all, machine);
        sensor(&format!("{kernel}, {backend}"), &rows)
    });
    let peers = machines.iter().filter_map(|machine| {
        let rows = rows::of_machine(all, machine);
        let measured = PEERS
            .iter()
            .any(|peer| rows.iter().any(|r| r.setting == *peer));
        measured.then(|| peers(&format!("{}, peers", machine.0), &rows))
    });
    tables.chain(peers).collect::<Vec<_>>().join("\n")
}

/// What the sensor adds, and whether that is within the targets.
fn sensor(title: &str, rows: &[Added]) -> String {
    let mut text = format!(
        "| {title} | nothing loaded | floor | outside | inside | tainted | own, outside | own, inside | targets |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|\n"
    );
    for op in rows::operations(rows) {
        let added = |setting| shown(rows::instructions(rows, &op, setting), "+");
        let own = |setting| {
            let own = rows::find(rows, &op, setting).and_then(|row| row.own);
            shown(own.map(|own| own as i64), "")
        };
        let _ok = writeln!(
            text,
            "| {op} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown(rows::instructions(rows, &op, "nothing"), ""),
            added("floor"),
            added("outside"),
            added("inside"),
            added("tainted"),
            own("outside"),
            own("inside"),
            judged(rows, &op),
        );
    }
    text
}

/// Which targets an operation misses, and by how much.
fn judged(rows: &[Added], op: &str) -> String {
    let verdicts = targets::verdicts(rows, op);
    let missed: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.holds())
        .map(targets::Verdict::said)
        .collect();
    match (verdicts.is_empty(), missed.is_empty()) {
        (true, _) => String::new(),
        (false, true) => "hold".to_owned(),
        (false, false) => format!("**missed**: {}", missed.join("; ")),
    }
}

/// What peers add, with the work of their own processes, beside the same of the sensor.
fn peers(title: &str, rows: &[Added]) -> String {
    let mut text = format!(
        "| {title} | the sensor, inside | {} | Kunai |\n|---|--:|{}--:|\n",
        PEERS.join(" | "),
        "--:|".repeat(PEERS.len())
    );
    for op in rows::operations(rows) {
        let added = |setting: &str| shown(rows::with_own(rows, &op, setting), "+");
        let _ok = writeln!(
            text,
            "| {op} | {} | {} | {} |",
            added("inside"),
            PEERS.map(added).join(" | "),
            shown(targets::nearest(&op), "+"),
        );
    }
    text
}

/// `+12,345`; empty where there is no figure.
fn shown(figure: Option<i64>, plus: &str) -> String {
    figure.map_or_else(String::new, |figure| {
        let sign = if figure < 0 { "" } else { plus };
        format!("{sign}{}", rows::grouped(figure))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_its_tables() {
        let row = |kernel: &str, setting: &str, instructions| Added {
            op: "open+close".into(),
            setting: setting.into(),
            backend: "lsm".into(),
            kernel: kernel.into(),
            instructions,
            own: Some(10),
        };
        let rows = [
            row("6.1", "nothing", 7000),
            row("6.1", "floor", 100),
            row("6.1", "outside", 250),
            row("6.1", "auditd", 2500),
            row("6.12", "nothing", 7100),
        ];
        let text = section(&rows);
        for line in [
            "| open+close | 7,000 | +100 | +250 |  |  | 10 |  | **missed**: outside 250 > 215 |",
            "| open+close |  | +2,510 |  |  | +1,164 |",
            "| 6.12, lsm | nothing",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!text.contains("6.12, peers"), "{text}");
    }
}
