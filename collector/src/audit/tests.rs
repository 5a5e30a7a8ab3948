//! The audit log: that it is one chain, and that whatever is done to it is found.

use std::fs;
use std::path::Path;

use super::*;

fn note(audit: &Audit, about: &str) -> Appended {
    audit
        .append(&Entry::new(Action::TokenMade).about(about))
        .unwrap()
}

fn filled(data: &Path, entries: usize) -> (Audit, Vec<Appended>) {
    let audit = Audit::open(data, Who::runs_this()).unwrap();
    let all = (0..entries)
        .map(|number| note(&audit, &format!("ws-{number}")))
        .collect();
    (audit, all)
}

fn log(data: &Path) -> PathBuf {
    data.join(DIRECTORY).join(LOG)
}

/// Changes the log and says how the chain breaks.
fn broken(data: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Break {
    let bytes = fs::read(log(data)).unwrap();
    fs::write(log(data), change(bytes)).unwrap();
    verify(data, None).unwrap_err()
}

#[test]
fn what_was_appended_is_a_chain_that_two_may_go_on_with() {
    let data = tempfile::tempdir().unwrap();
    let (first, all) = filled(data.path(), 3);
    let second = Audit::open(data.path(), Who::Collector).unwrap();
    let fourth = note(&second, "from another");
    let fifth = note(&first, "and the first again");
    assert_eq!((fourth.seq, fifth.seq), (4, 5));
    let verified = verify(data.path(), Some(all[1].hash)).unwrap();
    assert_eq!(
        (verified.entries, verified.hash, verified.asked),
        (5, fifth.hash, Some(2))
    );
    assert_eq!(verified.head, Head::Last);
}

#[test]
fn threads_that_append_at_a_time_make_one_chain() {
    let data = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| filled(data.path(), 25));
        }
    });
    assert_eq!(verify(data.path(), None).unwrap().entries, 100);
}

#[test]
fn the_hash_is_what_the_documentation_says() {
    let data = tempfile::tempdir().unwrap();
    let (_, all) = filled(data.path(), 1);
    let text = fs::read_to_string(log(data.path())).unwrap();
    let entry = text.trim_end().split_once(",\"entry\":").unwrap().1;
    let entry = entry.strip_suffix('}').unwrap();
    let hashed = ring::digest::digest(
        &ring::digest::SHA256,
        &[&[0; 32], entry.as_bytes()].concat(),
    );
    let shown = all[0].hash.to_string();
    let pairs = (0..64).step_by(2).map(|at| &shown[at..at + 2]);
    let bytes: Vec<u8> = pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect();
    assert_eq!(bytes, hashed.as_ref());
    let _json: serde_json::Value = serde_json::from_str(&text).unwrap();
}

#[test]
fn every_change_is_found_where_it_is() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let line_of = |bytes: &[u8], line: usize| {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .nth(line)
            .unwrap()
            .to_vec()
    };
    let cases: [(&str, Change, &str); 5] = [
        (
            "a text",
            |bytes| {
                String::from_utf8(bytes)
                    .unwrap()
                    .replace("ws-2", "ws-7")
                    .into()
            },
            "line 3",
        ),
        (
            "a line removed",
            |bytes| {
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                lines.remove(1);
                lines.concat()
            },
            "line 2",
        ),
        (
            "a line twice",
            |bytes| {
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                lines.insert(1, lines[0]);
                lines.concat()
            },
            "line 2",
        ),
        (
            "a hash",
            |mut bytes| {
                bytes[9] = if bytes[9] == b'0' { b'1' } else { b'0' };
                bytes
            },
            "line 1, offset 0",
        ),
        (
            "no entry",
            |bytes| [bytes, b"anything\n".to_vec()].concat(),
            "line 6",
        ),
    ];
    for (what, change, place) in cases {
        let data = tempfile::tempdir().unwrap();
        filled(data.path(), 5);
        let said = broken(data.path(), change).to_string();
        assert!(said.contains(place), "{what}: {said}");
    }
    let data = tempfile::tempdir().unwrap();
    filled(data.path(), 5);
    let bytes = fs::read(log(data.path())).unwrap();
    let said = broken(data.path(), |_| {
        [line_of(&bytes, 0), line_of(&bytes, 1)].concat()
    });
    assert!(
        matches!(
            said,
            Break::Truncated {
                last: 2,
                expected: 5,
                ..
            }
        ),
        "{said}"
    );
}

#[test]
fn a_cut_end_is_told_for_ever_and_a_forged_one_by_a_hash_from_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (audit, all) = filled(data.path(), 4);
    let bytes = fs::read(log(data.path())).unwrap();
    let two: Vec<_> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .flatten()
        .copied()
        .collect();
    fs::write(log(data.path()), &two).unwrap();
    note(&audit, "after the cut");
    let said = verify(data.path(), None).unwrap_err();
    assert!(
        matches!(
            said,
            Break::Missing {
                seq: 3,
                last: 4,
                ..
            }
        ),
        "{said}"
    );
    // With the head set back nothing is left that shows it but a hash that was noted.
    fs::write(log(data.path()), &two).unwrap();
    fs::write(
        data.path().join("audit/head"),
        format!("2 {}\n", all[1].hash),
    )
    .unwrap();
    assert_eq!(verify(data.path(), None).unwrap().entries, 2);
    assert!(matches!(
        verify(data.path(), Some(all[3].hash)).unwrap_err(),
        Break::Asked { entries: 2, .. }
    ));
    fs::write(data.path().join("audit/head"), "nonsense").unwrap();
    assert!(matches!(
        verify(data.path(), None).unwrap_err(),
        Break::Head { .. }
    ));
    fs::remove_file(data.path().join("audit/head")).unwrap();
    assert_eq!(verify(data.path(), None).unwrap().head, Head::None);
}

#[test]
fn a_line_that_a_crash_cut_off_stays_and_is_told() {
    for left in [1, 20, 200] {
        let data = tempfile::tempdir().unwrap();
        let (audit, _) = filled(data.path(), 2);
        let mut bytes = fs::read(log(data.path())).unwrap();
        let third = &bytes.clone()[..left.min(bytes.len())];
        bytes.extend_from_slice(third);
        fs::write(log(data.path()), &bytes).unwrap();
        assert!(matches!(
            verify(data.path(), None).unwrap_err(),
            Break::Form { line: 3, .. }
        ));
        assert_eq!(note(&audit, "after the crash").seq, 4);
        let verified = verify(data.path(), None).unwrap();
        assert_eq!((verified.entries, verified.torn), (4, 1), "{left}");
        // What was torn cannot be made anything else afterwards.
        let said = broken(data.path(), |mut changed| {
            changed[bytes.len() - 1] ^= 1;
            changed
        });
        assert!(matches!(said, Break::Form { .. }), "{said}");
    }
}

#[test]
fn what_is_no_log_is_not_gone_on_with() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join(DIRECTORY)).unwrap();
    fs::write(log(data.path()), "somebody's file\n").unwrap();
    let audit = Audit::open(data.path(), Who::Collector).unwrap();
    assert!(matches!(audit.ready().unwrap_err(), AuditError::Damaged(_)));
    let entry = Entry::new(Action::Revealed);
    assert!(matches!(
        audit.append(&entry).unwrap_err(),
        AuditError::Damaged(_)
    ));
    assert_eq!(fs::read(log(data.path())).unwrap(), b"somebody's file\n");
    let none = tempfile::tempdir().unwrap();
    assert!(matches!(
        verify(none.path(), None).unwrap_err(),
        Break::Audit(AuditError::Missing(_))
    ));
}

#[test]
fn long_and_strange_texts_are_kept_in_bounds_and_cannot_forge_a_line() {
    let data = tempfile::tempdir().unwrap();
    let audit = Audit::open(data.path(), Who::Collector).unwrap();
    let strange = format!("a\n\"}}\u{1b}[2J\u{202e}{}", "x".repeat(100_000));
    audit
        .append(&Entry::new(Action::Revoked).about(&strange))
        .unwrap();
    let text = fs::read_to_string(log(data.path())).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.len() < 6_000 && !text.contains(['\u{1b}', '\u{202e}']),
        "{text}"
    );
    verify(data.path(), None).unwrap();
    let long = vec!["x".repeat(1_000); 1_000];
    let refused = audit.append(&Entry::new(Action::Revealed).listing("tokens", &long));
    assert!(matches!(refused.unwrap_err(), AuditError::Long(_)));
}
