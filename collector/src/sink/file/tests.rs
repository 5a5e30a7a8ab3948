//! What the file holds after a crash at any point of an append.

use super::*;

fn entry(position: i64, finding: &str) -> Entry {
    Entry {
        position,
        id: format!("id{position}"),
        revision: 1,
        revised_ns: 1,
        severity: "high".into(),
        finding: finding.into(),
    }
}

#[test]
fn a_crash_at_any_byte_neither_loses_nor_doubles_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("findings");
    let mut cursor = Cursor::default();
    append(&path, &mut None, &mut cursor, &[entry(1, "{\"first\":1}")]).unwrap();
    let next = [
        entry(2, "{\"second\":2}"),
        entry(3, "{\"third\":3}"),
        entry(4, "{\"fourth\":4}"),
    ];
    let lines: String = next
        .iter()
        .map(|entry| entry.finding.clone() + "\n")
        .collect();
    let expect = format!("{{\"first\":1}}\n{lines}");
    for written in 0..=lines.len() {
        std::fs::write(&path, "{\"first\":1}\n").unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        (&file).write_all(&lines.as_bytes()[..written]).unwrap();
        let mut cursor = cursor.clone();
        append(&path, &mut None, &mut cursor, &next).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            expect,
            "after {written} bytes"
        );
        assert_eq!(
            (cursor.position, cursor.file_length),
            (4, expect.len() as u64)
        );
    }
}

#[test]
fn what_somebody_else_wrote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("findings");
    std::fs::write(&path, "not ours").unwrap();
    let mut cursor = Cursor::default();
    append(&path, &mut None, &mut cursor, &[entry(1, "{}")]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not ours\n{}\n");
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    (&file).write_all(b"theirs\n").unwrap();
    append(&path, &mut None, &mut cursor, &[entry(2, "{\"a\":1}")]).unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "not ours\n{}\ntheirs\n{\"a\":1}\n"
    );
    std::fs::write(&path, "").unwrap();
    append(&path, &mut None, &mut cursor, &[entry(3, "{\"b\":1}")]).unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "{\"b\":1}\n",
        "truncated by copytruncate"
    );
}
