//! The arrows between the modules of the sensor and of the collector (ARCHITECTURE.md draws them).
//!
//! An arrow is a `crate::room` path in the code of another room. `main`, `lib` and `bin/` wire the rooms and may see all;
//! single files that are no room (`config`, `error`, `metrics`, ...) are not drawn; tests may reach further.
//!
//! **Invariant:** an arrow that is not in the tables below is a finding.

use super::code::code_only;
use super::{Finding, Source};

/// A crate's rooms, and which rooms each may see.
const SENSOR: &[(&str, &[&str])] = &[
    ("load", &["event"]),
    ("source", &["load", "decode", "event"]),
    ("decode", &["event"]),
    ("event", &[]),
    ("enrich", &["event", "records"]),
    ("records", &["event"]),
    ("posture", &["event", "records"]),
    ("spool", &[]),
    ("link", &["event", "spool"]),
];
const COLLECTOR: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("audit", &[]),
    ("privacy", &[]),
    (
        "ingest",
        &["event", "log", "fleet", "identity", "audit", "privacy"],
    ),
    ("identity", &[]),
    ("log", &["event"]),
    ("intel", &[]),
    ("detect", &["event", "intel"]),
    ("sink", &["event", "detect"]),
    ("replay", &["event", "log", "detect"]),
    ("fleet", &["event"]),
    (
        "console",
        &[
            "event", "log", "detect", "fleet", "replay", "intel", "audit", "privacy",
        ],
    ),
];

/// A library that only some rooms may see.
#[derive(Debug)]
struct Reserved {
    /// As it stands in a path.
    library: &'static str,
    room_crate: &'static str,
    rooms: &'static [&'static str],
}

const RESERVED: &[Reserved] = &[
    Reserved {
        library: "aya",
        room_crate: "sensor-user",
        rooms: &["load", "source"],
    },
    Reserved {
        library: "sensor_ebpf",
        room_crate: "sensor-user",
        rooms: &["load", "source", "decode"],
    },
    Reserved {
        library: "proto",
        room_crate: "sensor-user",
        rooms: &["link"],
    },
    Reserved {
        library: "proto",
        room_crate: "collector",
        rooms: &["ingest", "console", "analyst"],
    },
];

/// Finds the arrows that nobody drew.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| !source.is_test())
        .flat_map(check_one)
        .collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let parts = source.parts();
    let (Some(&own_crate), Some(&"src"), Some(place)) = (parts.first(), parts.get(1), parts.get(2))
    else {
        return Vec::new();
    };
    let own_room = place.trim_end_matches(".rs");
    let rooms = match own_crate {
        "sensor-user" => SENSOR,
        "collector" => COLLECTOR,
        _ => return Vec::new(),
    };
    if matches!(own_room, "main" | "lib" | "bin") {
        return Vec::new();
    }
    let code = before_tests(&code_only(&source.text));
    let mut findings = Vec::new();
    for (line, seen) in seen_rooms(&code) {
        if let Some(what) = undrawn(rooms, own_room, &seen) {
            findings.push(Finding::new(source, line, what));
        }
    }
    findings.extend(reserved(source, own_crate, own_room, &code));
    findings
}

fn undrawn(rooms: &[(&str, &[&str])], own: &str, seen: &str) -> Option<String> {
    let (_, allowed) = rooms.iter().find(|(room, _)| *room == own)?;
    let is_room = rooms.iter().any(|(room, _)| *room == seen);
    let wrong = is_room && seen != own && !allowed.contains(&seen);
    wrong.then(|| format!("the arrow {own} -> {seen} is not drawn"))
}

fn reserved(source: &Source, own_crate: &str, own_room: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RESERVED
        .iter()
        .filter(|rule| rule.room_crate == own_crate && !rule.rooms.contains(&own_room))
    {
        for (index, line) in code.lines().enumerate() {
            if begins_path(line, rule.library) {
                let what = format!(
                    "only {} may see `{}`",
                    rule.rooms.join(" and "),
                    rule.library
                );
                findings.push(Finding::new(source, index + 1, what));
            }
        }
    }
    findings
}

/// Whether a path on this line begins with the library's name.
fn begins_path(line: &str, library: &str) -> bool {
    let path = format!("{library}::");
    let mut rest = line;
    while let Some(at) = rest.find(&path) {
        let before = rest.get(..at).unwrap_or_default();
        if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            || before.ends_with(" ::")
        {
            return true;
        }
        rest = rest.get(at + path.len()..).unwrap_or_default();
    }
    let import = line.trim_start();
    import == format!("use {library};") || import.starts_with(&format!("use {library} as "))
}

/// The code up to the file's own test module.
fn before_tests(code: &str) -> String {
    let mut kept = Vec::new();
    for line in code.lines() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        kept.push(line);
    }
    kept.join("\n")
}

/// The first names behind each `crate::`, groups in braces included, with the line of the path's beginning.
fn seen_rooms(code: &str) -> Vec<(usize, String)> {
    const PATH: &str = "crate::";
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code.get(from..).and_then(|rest| rest.find(PATH)) {
        let start = from + at;
        let rest = code.get(start + PATH.len()..).unwrap_or_default();
        let line = code.get(..start).unwrap_or_default().matches('\n').count() + 1;
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group).into_iter().map(|name| (line, name)));
        } else {
            found.push((line, head(rest)));
        }
        from = start + PATH.len();
    }
    found
}

fn head(path: &str) -> String {
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first names in `a::b, c::{d, e}}`: what stands at the group's own level.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut item)),
            other if depth == 0 => item.push(other),
            _ => {}
        }
    }
    heads.push(item);
    heads
        .iter()
        .map(|item| head(item.trim()))
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.into(),
            text: text.into(),
        };
        check(&[source])
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn drawn_arrows_pass() {
        let good = [
            (
                "sensor-user/src/enrich/user.rs",
                "use crate::event::Proc;\nuse crate::records;\n",
            ),
            (
                "sensor-user/src/link.rs",
                "use crate::{config, event::{self, Event}, spool::Spool};\nuse proto::x;\n",
            ),
            (
                "sensor-user/src/load/btf.rs",
                "use aya::Btf;\nuse sensor_ebpf::layout;\n",
            ),
            (
                "collector/src/detect/direct.rs",
                "use crate::intel::x;\n// crate::sink in prose\n",
            ),
            ("collector/src/main.rs", "use crate::sink;\nuse proto::y;\n"),
            ("collector/src/config.rs", "use crate::sink::Settings;\n"),
            (
                "collector/src/detect.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::log::Log;\n}\n",
            ),
            ("collector/src/detect/tests.rs", "use crate::log::Log;\n"),
            ("xtask/src/a.rs", "use crate::sink;\n"),
        ];
        for (path, text) in good {
            assert_eq!(findings(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn other_arrows_are_found() {
        let bad = [
            (
                "sensor-user/src/event/flow.rs",
                "use x;\nuse crate::enrich::User;\n",
                ":2: the arrow event -> enrich",
            ),
            (
                "sensor-user/src/spool.rs",
                "use crate::{config, link::Link};\n",
                ":1: the arrow spool -> link",
            ),
            (
                "collector/src/detect.rs",
                "fn f() { crate::log::open(); }\n",
                ":1: the arrow detect -> log",
            ),
            (
                "collector/src/detect.rs",
                "use proto::sensor;\n",
                ":1: only ingest and console and analyst may see `proto`",
            ),
            (
                "sensor-user/src/enrich.rs",
                "fn f(x: &aya::Btf) {}\n",
                ":1: only load and source may see `aya`",
            ),
            (
                "sensor-user/src/event.rs",
                "use sensor_ebpf as layout;\n",
                ":1: only load and source and decode may see",
            ),
        ];
        for (path, text, expect) in bad {
            let found = findings(path, text);
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            assert!(
                found.iter().all(|finding| finding.contains(expect)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn names_that_only_end_alike_are_no_paths() {
        assert!(!begins_path("my_proto::x", "proto"));
        assert!(!begins_path("crate::proto::x", "proto"));
        assert!(begins_path("let x = proto::y;", "proto"));
    }
}
