//! Rules about single files: how they open, words that must not appear, reasons for unsafe code, hook headers.
//!
//! **Invariant:** pure functions of one file's text; each has a sample it must accept and one it must refuse.

use super::code::{code_only, words};
use super::{Finding, Source};
use crate::hooks::{Header, PROBES};

/// Every file opens with `//!` and says something there.
pub(super) fn opening(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.trim().is_empty());
    (!says).then(|| {
        Finding::new(
            source,
            1,
            "does not open with `//!` and what the file is for",
        )
    })
}

/// Tests that expect a panic, or that are left out in silence, prove nothing.
pub(super) fn banned(source: &Source) -> Vec<Finding> {
    let code = code_only(&source.text);
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let is_attribute = line.trim_start().starts_with("#[") || line.contains("cfg_attr");
        if is_attribute && words(line).any(|word| word == "should_panic") {
            findings.push(Finding::new(
                source,
                number + 1,
                "`should_panic`: assert on a `Result` instead",
            ));
        }
        if is_attribute && words(line).any(|word| word == "ignore") {
            let what = "`#[ignore]`: a test that cannot run reports a skip and why";
            findings.push(Finding::new(source, number + 1, what));
        }
    }
    findings
}

/// Unsafe code stays out of the rooms that forbid it; in the kernel room, which clippy does not see for its own target,
/// each block has its reason above it.
pub(super) fn unsafe_code(source: &Source) -> Vec<Finding> {
    let code = code_only(&source.text);
    let originals: Vec<&str> = source.text.lines().collect();
    let lines: Vec<&str> = code.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if forbids_unsafe(&source.path) && words(line).any(|word| word == "unsafe") {
            findings.push(Finding::new(
                source,
                index + 1,
                "unsafe code in a room that forbids it",
            ));
        } else if source.path.starts_with("sensor-ebpf/")
            && opens_unsafe(line)
            && !has_reason(&originals, &lines, index)
        {
            findings.push(Finding::new(
                source,
                index + 1,
                "unsafe without a `SAFETY:` comment right above",
            ));
        }
    }
    findings
}

fn forbids_unsafe(path: &str) -> bool {
    let rooms = [
        "collector/",
        "proto/",
        "xtask/",
        "sensor-ebpf/src/lib.rs",
        "sensor-ebpf/src/layout",
    ];
    rooms.iter().any(|room| path.starts_with(room))
}

/// An unsafe block or impl; an unsafe function states its conditions in its documentation instead.
fn opens_unsafe(line: &str) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find("unsafe") {
        let (before, after) = (
            rest.get(..at).unwrap_or_default(),
            rest.get(at + 6..).unwrap_or_default(),
        );
        let is_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let after = after.trim_start();
        if is_word && (after.starts_with('{') || after.starts_with("impl") || after.is_empty()) {
            return true;
        }
        rest = rest.get(at + 6..).unwrap_or_default();
    }
    false
}

/// Whether the comment right above the statement that holds this line says `SAFETY:`.
fn has_reason(originals: &[&str], code: &[&str], index: usize) -> bool {
    let original = |at: usize| originals.get(at).copied().unwrap_or_default().trim();
    if original(index).contains("SAFETY:") {
        return true;
    }
    let mut at = index;
    while at > 0 {
        at -= 1;
        if original(at).starts_with("//") {
            if original(at).contains("SAFETY:") {
                return true;
            }
            continue;
        }
        // The statement's own earlier lines and its attributes stand between; the end of another statement does not.
        let before = code.get(at).copied().unwrap_or_default().trim();
        let is_attribute = before.starts_with("#[") && before.ends_with(']');
        if before.is_empty() || (!is_attribute && before.ends_with([';', '{', '}', ','])) {
            return false;
        }
    }
    false
}

/// A hook file says where it attaches and what it reads, and names each of its attachments.
pub(super) fn hook(source: &Source) -> Vec<Finding> {
    let is_hook = source
        .path
        .strip_prefix(PROBES)
        .is_some_and(|rest| rest.matches('/').count() == 1);
    if !is_hook {
        return Vec::new();
    }
    let header = Header::parse(&source.text);
    let mut findings: Vec<Finding> = header
        .missing()
        .into_iter()
        .map(|name| Finding::new(source, 1, format!("the hook's header lacks {name}")))
        .collect();
    let named = header.field("Hook").unwrap_or_default();
    for (line, attachment) in attachments(&source.text) {
        if !words(named).any(|word| word == attachment) {
            let what =
                format!("attaches to {attachment}, which the header's `Hook:` does not name");
            findings.push(Finding::new(source, line, what));
        }
    }
    findings
}

/// What the program attributes of a file attach to: `#[lsm(hook = "x")]`, `#[fentry(function = "x")]`, ...
fn attachments(text: &str) -> Vec<(usize, &str)> {
    const KINDS: [&str; 6] = [
        "#[lsm(",
        "#[fentry(",
        "#[fexit(",
        "#[btf_tracepoint(",
        "#[tracepoint(",
        "#[raw_tracepoint(",
    ];
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if !KINDS.iter().any(|kind| line.trim_start().starts_with(kind)) {
            continue;
        }
        let value = ["hook = \"", "function = \"", "name = \""]
            .iter()
            .find_map(|key| line.split_once(key));
        if let Some((name, _)) = value.and_then(|(_, rest)| rest.split_once('"')) {
            found.push((index + 1, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn files_open_with_their_purpose() {
        assert_eq!(opening(&source("a.rs", "//! Does x.\n")), None);
        for text in [
            "",
            "//!\n",
            "use x;\n//! late\n",
            "// plain\n",
            "/// item\n",
        ] {
            assert!(opening(&source("a.rs", text)).is_some(), "{text:?}");
        }
    }

    #[test]
    fn tests_neither_expect_panics_nor_are_left_out() {
        let good =
            "//! #[ignore] in prose\nlet ignore = 1; // #[should_panic]\nlet s = \"#[ignore]\";\n";
        assert_eq!(banned(&source("a.rs", good)), []);
        let bad = "#[test]\n#[should_panic(expected = \"x\")]\nfn a() {}\n#[ignore = \"slow\"]\n#[cfg_attr(x, ignore)]\n";
        let lines: Vec<usize> = banned(&source("a.rs", bad))
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [2, 4, 5]);
    }

    #[test]
    fn rooms_that_forbid_unsafe_have_none() {
        let text = "fn f() { unsafe { g() } }\n";
        for path in [
            "collector/src/log.rs",
            "xtask/src/a.rs",
            "sensor-ebpf/src/layout/flow.rs",
        ] {
            assert_eq!(unsafe_code(&source(path, text)).len(), 1, "{path}");
            assert_eq!(
                unsafe_code(&source(path, "// unsafe\n#![forbid(unsafe_code)]\n")),
                [],
                "{path}"
            );
        }
        assert_eq!(
            unsafe_code(&source("sensor-user/src/load/pod.rs", text)),
            [],
            "clippy looks there"
        );
    }

    #[test]
    fn unsafe_in_the_kernel_room_has_its_reason() {
        let good = [
            "// SAFETY: x\nunsafe { f() };\n",
            "// SAFETY: x\n// more\nlet a =\n    unsafe { f() };\n",
            "// SAFETY: x\n#[inline(always)]\nunsafe impl Sync for A {}\n",
            "#[unsafe(no_mangle)]\npub unsafe fn f() {}\n",
            "match a {\n    // SAFETY: x\n    1 => unsafe { f() },\n}\n",
            "let x = unsafe { f() }; // SAFETY: x\n",
        ];
        for text in good {
            assert_eq!(
                unsafe_code(&source("sensor-ebpf/src/kernel/a.rs", text)),
                [],
                "{text}"
            );
        }
        let bad = [
            "unsafe { f() };\n",
            "// SAFETY: of another\nlet a = 1;\nunsafe { f() };\n",
            "// SAFETY: x\n\nunsafe { f() };\n",
            "// SAFETY: x\nlet a = unsafe { f() };\nlet b = unsafe { g() };\n",
            "unsafe impl Sync for A {}\n",
        ];
        for text in bad {
            assert_eq!(
                unsafe_code(&source("sensor-ebpf/src/kernel/a.rs", text)).len(),
                1,
                "{text}"
            );
        }
    }

    const HOOK: &str = "//! Opened.\n//!\n//! Hook:   lsm/file_open\n//! Proto:  p\n//! Kernel: k\n//! Emits:  e\n\
                        //! Reads:  r\n//! Counts: c\n#[lsm(hook = \"file_open\")]\nfn f() {}\n";

    #[test]
    fn hook_headers_are_complete_and_true() {
        let path = "sensor-ebpf/src/probe/file_open.rs";
        assert_eq!(hook(&source(path, HOOK)), []);
        assert_eq!(
            hook(&source("sensor-ebpf/src/emit.rs", "")),
            [],
            "no hook file"
        );
        let found = hook(&source(path, &HOOK.replace("//! Reads:  r\n", "")));
        assert_eq!(found.len(), 1);
        assert!(found[0].what.ends_with("lacks Reads"), "{found:?}");
        let found = hook(&source(
            path,
            &HOOK.replace("\"file_open\"", "\"file_permission\""),
        ));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].what.contains("attaches to file_permission"),
            "{found:?}"
        );
    }
}
