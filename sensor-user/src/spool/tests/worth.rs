//! What goes first when not all can stay, and the holes that it leaves.

use super::*;

/// A block of one event with a mark.
fn worth(class: Class, mark: u64) -> Block {
    let mut payload = mark.to_le_bytes().to_vec();
    payload.resize(20_000, 7);
    Block {
        about: About {
            class,
            stores: "imaging,lab".into(),
        },
        payload,
        ..block(1, 0)
    }
}

fn of(mark: u64) -> Class {
    match mark % 4 {
        0 => Class::Evidence,
        1 => Class::Rest,
        _ => Class::Reads,
    }
}

fn small(place: &Path) -> Disk {
    Disk {
        bytes_max: 2 << 20,
        ..disk(place)
    }
}

/// Offers batches, each worth what its mark says, from a first number on.
fn fill(bench: &Bench, marks: std::ops::Range<u64>, worth_of: fn(u64) -> Class) {
    let first = bench.spool.committed();
    for (count, mark) in marks.enumerate() {
        bench.spool.offer(worth(worth_of(mark), mark)).unwrap();
        bench.settle(first + count as u64 + 1);
    }
}

/// Losses of a class: how many.
fn lost(losses: &[Loss], class: Class) -> u64 {
    let of_class = losses.iter().filter(|loss| {
        let what = loss.what.as_ref().expect("an eviction says what went");
        what.class == class
    });
    of_class.map(|loss| loss.count).sum()
}

#[tokio::test]
async fn what_is_worth_least_goes_first_and_the_path_of_an_alert_last() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(small(place.path()));
    fill(&bench, 0..200, of);
    let losses = bench.spool.take_losses();
    let (rest, reads) = (lost(&losses, Class::Rest), lost(&losses, Class::Reads));
    assert!(rest >= 45, "{rest}: few stay, which came last");
    assert!((30..80).contains(&reads), "{reads}");
    assert_eq!(lost(&losses, Class::Evidence), 0);
    let live = bench.spool.live_epoch();
    for loss in &losses {
        let what = loss.what.as_ref().unwrap();
        assert_eq!((loss.kind, what.epoch), (LossKind::Full, live));
        assert!(what.stores.iter().eq(["imaging", "lab"]), "{what:?}");
        assert!(what.numbers.0 <= what.numbers.1 && what.numbers.1 <= 200);
        assert!(loss.from_unix_ns > 0 && loss.from_unix_ns <= loss.to_unix_ns);
    }
    assert_eq!(bench.spool.depth().events, 200 - rest - reads);
    let left = |class, lost: u64| {
        let all = (0..200).filter(move |mark| of(*mark) == class);
        all.skip(lost as usize)
    };
    let mut expected: Vec<u64> = left(Class::Rest, rest)
        .chain(left(Class::Reads, reads))
        .chain(left(Class::Evidence, 0))
        .collect();
    expected.sort_unstable();
    assert_eq!(marks(&bench.deliver().await), expected);
    assert_eq!(bench.spool.take_losses(), [], "no hole is taken for damage");
    assert_eq!(bench.spool.depth().events, 0);
    bench.stop();
}

#[tokio::test]
async fn what_comes_and_is_worth_least_is_what_goes() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(small(place.path()));
    fill(&bench, 0..95, |_| Class::Evidence);
    fill(&bench, 95..200, |_| Class::Rest);
    let losses = bench.spool.take_losses();
    assert_eq!(lost(&losses, Class::Evidence), 0);
    let delivered = marks(&bench.deliver().await);
    assert_eq!(delivered[..95], (0..95).collect::<Vec<_>>());
    assert_eq!(delivered.len() as u64 + lost(&losses, Class::Rest), 200);
    // Numbers that went last are none to wait for.
    fill(&bench, 200..290, |_| Class::Evidence);
    bench.spool.close();
    assert!(!bench.spool.is_drained());
    bench.deliver().await;
    assert!(bench.spool.is_drained());
    bench.stop();
}

#[tokio::test]
async fn all_of_it_may_go_and_the_queue_is_empty_then() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(Disk {
        // Less than a batch.
        bytes_max: 10_000,
        ..disk(place.path())
    });
    fill(&bench, 0..5, of);
    assert_eq!(bench.spool.depth().events, 0);
    let losses = bench.spool.take_losses();
    assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), 5);
    assert_eq!(bench.spool.turn(), (bench.spool.live_epoch(), 6));
    bench.spool.close();
    assert!(bench.spool.is_drained());
    bench.stop();
}

#[tokio::test]
async fn holes_and_losses_outlive_a_sensor_that_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let killed = Bench::open(small(place.path()));
    fill(&killed, 0..200, of);
    let losses = killed.spool.take_losses();
    let copy = tempfile::tempdir().unwrap();
    for file in ["spool.db", "spool.db-wal"] {
        std::fs::copy(place.path().join(file), copy.path().join(file)).unwrap();
    }
    let expected = marks(&killed.deliver().await);
    killed.stop();
    // Neither of the two comes to tell it.
    Bench::open(small(copy.path())).stop();
    let bench = Bench::open(small(copy.path()));
    let mut told = bench.spool.take_losses();
    assert_eq!(told.pop().unwrap().kind, LossKind::Killed);
    assert_eq!(told, losses);
    assert_eq!(bench.spool.depth().events, expected.len() as u64);
    assert_eq!(marks(&bench.deliver().await), expected);
    assert_eq!(bench.spool.take_losses(), [], "no hole is taken for damage");
    bench.offer(1, 0, 100);
    bench.spool.told();
    bench.settle(1);
    bench.stop();
    let bench = Bench::open(small(copy.path()));
    assert_eq!(bench.spool.take_losses(), [], "what was told is forgotten");
    // A collector restored from a backup asks for what it had: the holes are as known as before.
    bench.offer(1, 500, 100);
    bench.settle(1);
    bench.deliver().await;
    bench.spool.offer_again(bench.spool.epoch(), 0).await;
    let again = marks(&bench.deliver().await);
    assert_eq!(again[..expected.len()], expected);
    assert_eq!(bench.spool.take_losses(), []);
    bench.stop();
}

#[tokio::test]
async fn damage_beside_a_hole_is_counted_without_it() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(small(place.path()));
    fill(&bench, 0..200, of);
    let evicted: u64 = bench
        .spool
        .take_losses()
        .iter()
        .map(|loss| loss.count)
        .sum();
    bench.stop();
    let database = Connection::open(place.path().join("spool.db")).unwrap();
    // The tenth of those that are left, between two holes.
    let tenth = "SELECT id FROM batch ORDER BY id LIMIT 1 OFFSET 9";
    let deleted = database.execute(&format!("DELETE FROM batch WHERE id = ({tenth})"), []);
    assert_eq!(deleted, Ok(1));
    drop(database);
    let bench = Bench::open(small(place.path()));
    let told = bench.spool.take_losses();
    assert_eq!(told.iter().map(|loss| loss.count).sum::<u64>(), evicted);
    let delivered = bench.deliver().await;
    let damaged = kinds(&bench.spool.take_losses());
    assert_eq!(damaged, [(LossKind::Damaged, 1)]);
    assert_eq!(delivered.len() as u64 + evicted + 1, 200);
    bench.stop();
}
