//! What the log takes, what it refuses, and that it is all there after it was closed.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn batch(sensor: &str, first_seq: u64, last_seq: u64, offered_from: u64, payload: &[u8]) -> Batch {
    Batch {
        sensor: sensor.into(),
        epoch: [7; 16],
        first_seq,
        last_seq,
        offered_from,
        content: content_hash(payload),
        encoding: Encoding::Plain,
        payload: payload.to_vec(),
    }
}

fn put(store: &mut LogStore, batch: &Batch) -> Result<Appended, String> {
    let transaction = store.begin().unwrap();
    let outcome = append(&transaction, batch, (1, 2), 3).unwrap();
    transaction.commit().unwrap();
    outcome.map_err(|error| error.to_string())
}

#[test]
fn batches_are_dense_stored_once_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    let new = |pos| {
        Ok(Appended::New {
            missing_before: 0,
            pos,
        })
    };
    assert_eq!(put(&mut store, &batch("a", 1, 3, 1, b"one")), new(1));
    assert_eq!(
        put(&mut store, &batch("b", 1, 1, 1, b"other sensor")),
        new(2)
    );
    assert_eq!(put(&mut store, &batch("a", 4, 5, 1, b"two")), new(3));
    let cases = [
        (batch("a", 1, 3, 1, b"one"), Ok(Appended::Duplicate)),
        (batch("a", 1, 3, 1, b"eno"), Err("other content")),
        (batch("a", 1, 4, 1, b"one"), Err("other content")),
        (batch("a", 5, 6, 1, b"two"), Err("other content")),
        (batch("a", 7, 7, 1, b"later"), Err("expects 6")),
        (batch("a", 9, 9, 7, b"later"), Err("expects 6")),
        (
            batch("a", 9, 9, 9, b"later"),
            Ok(Appended::New {
                missing_before: 3,
                pos: 4,
            }),
        ),
        (
            batch("a", 10, 10, 9, b"next"),
            Ok(Appended::New {
                missing_before: 0,
                pos: 5,
            }),
        ),
    ];
    for (batch, expect) in cases {
        match (put(&mut store, &batch), expect) {
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (outcome, expect) => assert_eq!(outcome, expect.map_err(str::to_owned), "{batch:?}"),
        }
    }
    assert_eq!(store.mark("a", [7; 16]).unwrap(), Some(10));
    assert_eq!(store.mark("a", [8; 16]).unwrap(), None);
}

#[test]
fn what_was_written_is_read_back_in_order_by_another_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    let id = store.log_id();
    for seq in 1..=150 {
        put(&mut store, &batch("a", seq, seq, 1, &[seq as u8])).unwrap();
    }
    let reader = LogReader::open(dir.path()).unwrap();
    let mut read = Vec::new();
    let mut pos = 0;
    loop {
        let page = reader.page(pos).unwrap();
        let Some(last) = page.last() else { break };
        pos = last.pos + 1;
        read.extend(page.into_iter().flat_map(|batch| batch.payload));
    }
    assert_eq!(read, (1..=150).collect::<Vec<u8>>());
    assert_eq!(reader.totals().unwrap(), (150, 150));
    drop(store);
    let again = LogStore::open(dir.path()).unwrap();
    assert_eq!(again.log_id(), id, "the log keeps its name");
    assert_eq!(again.mark("a", [7; 16]).unwrap(), Some(150));
}

#[test]
fn a_log_of_another_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store
        .connection
        .pragma_update(None, "user_version", 9)
        .unwrap();
    drop(store);
    let error = LogStore::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("log.db has format 9; this version reads formats 1 to 2"),
        "{error}"
    );
    let missing = LogReader::open(Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("/nowhere/log.db"), "{missing}");
}

/// What a version before format 2 left: read beside it as it is, and brought up by whoever writes.
#[test]
fn a_log_of_format_1_is_read_and_brought_up_and_its_batches_are_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    let (id, old) = (store.log_id(), batch("a", 1, 3, 1, b"one"));
    put(&mut store, &old).unwrap();
    store
        .connection
        .execute_batch(
            "ALTER TABLE batch DROP COLUMN encoding; ALTER TABLE batch DROP COLUMN content; PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(store);
    let page = |format| {
        let reader = LogReader::open(dir.path()).unwrap();
        assert_eq!(reader.format, format);
        reader.page(0).unwrap()
    };
    let before = page(1);
    assert_eq!(
        (before[0].encoding, &*before[0].payload),
        (Encoding::Plain, &b"one"[..])
    );
    let mut store = LogStore::open(dir.path()).unwrap();
    assert_eq!(store.log_id(), id);
    assert_eq!(page(2), before);
    assert_eq!(put(&mut store, &old), Ok(Appended::Duplicate));
    let otherwise_encoded = Batch {
        encoding: Encoding::Zstd,
        payload: b"packed".to_vec(),
        ..old.clone()
    };
    assert_eq!(put(&mut store, &otherwise_encoded), Ok(Appended::Duplicate));
    let other = batch("a", 1, 3, 1, b"eno");
    assert!(put(&mut store, &other).is_err());
    let next = Batch {
        first_seq: 4,
        last_seq: 4,
        ..otherwise_encoded
    };
    put(&mut store, &next).unwrap();
    assert_eq!(page(2)[1].encoding, Encoding::Zstd);
}

#[test]
fn a_note_of_the_collectors_own_is_kept_once_and_beside_the_sensors_numbers() {
    use crate::event::{Block, Origin};
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    put(&mut store, &batch("a", 1, 3, 1, b"one")).unwrap();
    let mut say = |sensor: &str, payload: &[u8]| {
        let origin = Origin {
            sensor: sensor.into(),
            boot_id: "b".into(),
            host: "h".into(),
        };
        let block = Block {
            origin,
            events: Vec::new(),
            unknown: 1,
            older_to_come: false,
            missing_before: 0,
            pos: 0,
        };
        let said = Note {
            block,
            payload: payload.to_vec(),
            about: payload.to_vec(),
        };
        let transaction = store.begin().unwrap();
        let pos = note(&transaction, &said, 3).unwrap();
        transaction.commit().unwrap();
        pos
    };
    assert_eq!(say("a", b"conflict"), Some(2));
    assert_eq!(say("a", b"conflict"), None);
    assert_eq!(say("a", b"another"), Some(3));
    assert_eq!(say("b", b"conflict"), Some(4));
    assert_eq!(store.mark("a", OWN_EPOCH).unwrap(), Some(2));
    assert_eq!(store.mark("a", [7; 16]).unwrap(), Some(3));
}

#[test]
fn a_clock_that_is_ahead_does_not_move_the_newest_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap();
    let reader = LogReader::open(dir.path()).unwrap();
    assert_eq!(reader.newest_ns().unwrap(), 0);
    // Event times of the batch, when it was received, and the newest time after it.
    let cases = [
        ((100, 200), 1000, 200),
        ((300, 400), 1100, 400),
        ((500, i64::MAX as u64), 1200, 1200),
        ((600, 700), 1300, 1300),
    ];
    for (seq, (span, received_ns, newest)) in (1..).zip(cases) {
        let transaction = store.begin().unwrap();
        let batch = batch("a", seq, seq, 1, b"payload");
        append(&transaction, &batch, span, received_ns)
            .unwrap()
            .unwrap();
        transaction.commit().unwrap();
        assert_eq!(reader.newest_ns().unwrap(), newest, "batch {seq}");
    }
}
