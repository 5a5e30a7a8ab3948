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

/// One round of `deliver` on entries, the cursor kept in memory. Returns what was kept of the cursor, in order.
fn write(path: &Path, cursor: &Cursor, entries: &[Entry]) -> Vec<Cursor> {
    let mut kept = vec![cursor.clone()];
    loop {
        let mut cursor = kept.last().unwrap().clone();
        let left: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.position > cursor.position)
            .cloned()
            .collect();
        if left.is_empty() {
            return kept;
        }
        let mut file = reopen(path, None).unwrap();
        if !catch_up(&mut file, path, &mut cursor, &left).unwrap() {
            append(&mut file, &mut cursor, &left).unwrap();
        }
        kept.push(cursor);
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn add(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    (&file).write_all(bytes).unwrap();
}

#[test]
fn a_crash_at_any_byte_neither_loses_nor_doubles_a_line() {
    for before in ["", "theirs\n", "torn by somebody else"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("findings");
        let next = [
            entry(2, "{\"second\":2}"),
            entry(3, "{\"third\":3}"),
            entry(4, "{\"fourth\":4}"),
        ];
        std::fs::write(&path, before).unwrap();
        let kept = write(&path, &Cursor::default(), &next);
        let whole = text(&path);
        // Every cursor that was kept, with every length the file can have had before the next one was.
        for (cursor, after) in kept.iter().zip(&kept[1..]) {
            let (from, to) = if cursor.file_id.is_empty() {
                (before.len(), after.file_length as usize)
            } else {
                (cursor.file_length as usize, whole.len())
            };
            for length in from..=to {
                std::fs::write(&path, &whole[..length]).unwrap();
                let end = write(&path, cursor, &next).pop().unwrap();
                assert_eq!(text(&path), whole, "{length} bytes, {cursor:?}");
                assert_eq!((end.position, end.file_length), (4, whole.len() as u64));
            }
        }
    }
}

#[test]
fn a_crash_after_somebody_else_wrote_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("findings");
    let entries = [entry(1, "{\"a\":1}"), entry(2, "{\"b\":1}")];
    let first = write(&path, &Cursor::default(), &[]).pop().unwrap();
    let known = write(&path, &first, &entries[..1]);
    // The first line was written and the cursor not kept; then somebody else wrote.
    add(&path, b"theirs");
    let kept = write(&path, &known[1], &entries);
    assert_eq!(text(&path), "{\"a\":1}\ntheirs\n{\"b\":1}\n");
    // Each cursor from the one kept before the second line on, with the file as it was at the end.
    for cursor in &kept[1..] {
        write(&path, cursor, &entries);
        assert_eq!(text(&path), "{\"a\":1}\ntheirs\n{\"b\":1}\n", "{cursor:?}");
    }
}

#[test]
fn what_somebody_else_wrote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("findings");
    std::fs::write(&path, "not ours").unwrap();
    let cursor = write(&path, &Cursor::default(), &[entry(1, "{}")])
        .pop()
        .unwrap();
    assert_eq!(text(&path), "not ours\n{}\n");
    add(&path, b"theirs\n");
    let cursor = write(&path, &cursor, &[entry(2, "{\"a\":1}")])
        .pop()
        .unwrap();
    assert_eq!(text(&path), "not ours\n{}\ntheirs\n{\"a\":1}\n");
    // As logrotate's copytruncate leaves it.
    std::fs::write(&path, "").unwrap();
    let cursor = write(&path, &cursor, &[entry(3, "{\"b\":1}")])
        .pop()
        .unwrap();
    assert_eq!(text(&path), "{\"b\":1}\n");
    std::fs::rename(&path, dir.path().join("findings.1")).unwrap();
    write(&path, &cursor, &[entry(4, "{\"c\":1}")]);
    assert_eq!(text(&path), "{\"c\":1}\n");
    assert_eq!(text(&dir.path().join("findings.1")), "{\"b\":1}\n");
}
