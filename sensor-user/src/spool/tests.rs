//! The queue in memory, and with a disk behind it: bounds, restarts, damage.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::*;

mod lanes;
mod worth;

fn block(events: u64, bytes: usize) -> Block {
    Block {
        events,
        stands_for: 0,
        about: About::default(),
        encoding: Encoding::Plain,
        payload: vec![7; bytes],
    }
}

#[test]
fn numbers_are_dense_and_stay_with_their_batch() {
    let spool = Spool::new(100, 1000);
    let epoch = spool.epoch();
    assert_eq!(spool.first_held(), 1);
    for events in [2, 1, 3] {
        spool.offer(block(events, 10)).unwrap();
    }
    let seqs = |after| {
        spool
            .in_memory_after(after)
            .map(|batch| (batch.first_seq, batch.last_seq))
    };
    assert_eq!(
        [seqs(0), seqs(1), seqs(2), seqs(3), seqs(5), seqs(6)],
        [
            Some((1, 2)),
            Some((1, 2)),
            Some((3, 3)),
            Some((4, 6)),
            Some((4, 6)),
            None
        ]
    );
    spool.persisted(epoch, 4).unwrap();
    assert_eq!(
        (spool.first_held(), seqs(0)),
        (4, Some((4, 6))),
        "half a batch is kept whole"
    );
    assert_eq!(
        spool.persisted(epoch, 7),
        Err(NeverSent {
            claimed: 7,
            last: 6
        })
    );
    spool.persisted(epoch, 6).unwrap();
    assert_eq!((spool.first_held(), spool.depth()), (7, Depth::default()));
}

#[test]
fn both_bounds_hold_and_a_refused_block_takes_no_number() {
    let spool = Spool::new(5, 100);
    spool.offer(block(3, 60)).unwrap();
    assert_eq!(spool.offer(block(1, 41)), Err(Full), "bytes");
    assert_eq!(spool.offer(block(3, 1)), Err(Full), "events");
    spool.offer(block(2, 40)).unwrap();
    assert_eq!(spool.in_memory_after(3).unwrap().first_seq, 4);
    assert_eq!(
        spool.depth(),
        Depth {
            events: 5,
            bytes: 100,
            ..Depth::default()
        }
    );
    spool.persisted(spool.epoch(), 3).unwrap();
    spool.offer(block(3, 60)).unwrap();
}

#[test]
fn drained_is_closed_and_empty() {
    let spool = Spool::new(5, 100);
    spool.offer(block(1, 1)).unwrap();
    spool.close();
    assert!(!spool.is_drained());
    spool.persisted(spool.epoch(), 1).unwrap();
    assert!(spool.is_drained());
}

/// A sensor's queue with a disk.
struct Bench {
    spool: Arc<Spool>,
    writer: Option<Writer>,
    metrics: Arc<Metrics>,
}

fn disk(directory: &Path) -> Disk {
    Disk {
        directory: directory.to_owned(),
        bytes_max: 1 << 30,
        age_max: Duration::from_hours(1),
        keep: Duration::from_hours(1),
        commit_every: Duration::from_millis(1),
        retry_every: Duration::from_millis(5),
    }
}

impl Bench {
    fn open(disk: Disk) -> Self {
        let metrics = Arc::new(Metrics::default());
        let (spool, writer) =
            Spool::on_disk(1_000_000, 4 << 20, disk, Arc::clone(&metrics)).unwrap();
        Self {
            spool,
            writer: Some(writer),
            metrics,
        }
    }

    /// Offers a batch whose payload begins with a mark.
    fn offer(&self, events: u64, mark: u64, bytes: usize) {
        let mut payload = mark.to_le_bytes().to_vec();
        payload.resize(bytes, 7);
        let block = Block {
            events,
            stands_for: 0,
            about: About::default(),
            encoding: Encoding::Plain,
            payload,
        };
        self.spool.offer(block).unwrap();
    }

    /// Waits until everything is on the disk.
    fn settle(&self, last: u64) {
        until(|| self.spool.committed() >= last);
    }

    /// Delivers all there is as the link does; answers each epoch, first number and mark.
    async fn deliver(&self) -> Vec<(Uuid, u64, u64)> {
        let mut delivered = Vec::new();
        let (mut epoch, first) = self.spool.turn();
        let mut sent = first - 1;
        while self.spool.depth().events > 0 {
            match self.spool.after(epoch, sent).await {
                Some(batch) if batch.follows <= sent => {
                    let mark = u64::from_le_bytes(batch.payload[..8].try_into().unwrap());
                    delivered.push((epoch, batch.first_seq, mark));
                    sent = batch.last_seq;
                    self.spool.persisted(epoch, sent).unwrap();
                }
                Some(batch) => assert!(self.spool.skip(epoch, sent, batch.first_seq)),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            let turn = self.spool.turn();
            if turn.0 != epoch || turn.1 != sent + 1 {
                (epoch, sent) = (turn.0, turn.1 - 1);
            }
        }
        delivered
    }

    /// Ends as a sensor that is stopped.
    fn stop(mut self) -> Arc<Metrics> {
        self.spool.close();
        self.writer.take().unwrap().finish();
        self.metrics
    }
}

fn until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn marks(delivered: &[(Uuid, u64, u64)]) -> Vec<u64> {
    delivered.iter().map(|(_, _, mark)| *mark).collect()
}

fn kinds(losses: &[Loss]) -> Vec<(LossKind, u64)> {
    losses.iter().map(|loss| (loss.kind, loss.count)).collect()
}

#[tokio::test]
async fn what_was_not_delivered_comes_first_after_a_restart_epoch_by_epoch() {
    let place = tempfile::tempdir().unwrap();
    let mut epochs = Vec::new();
    for start in 0..3 {
        let bench = Bench::open(disk(place.path()));
        assert_eq!(bench.spool.take_losses(), [], "each ended in good order");
        epochs.push(bench.spool.held().live());
        for n in 0..10 {
            bench.offer(2, start * 10 + n, 100);
        }
        bench.stop();
    }
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.depth().events, 60);
    for file in ["spool.db", "spool.db-wal"] {
        let mode = std::fs::metadata(place.path().join(file)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    bench.offer(1, 30, 100);
    let delivered = bench.deliver().await;
    assert_eq!(marks(&delivered), (0..=30).collect::<Vec<_>>());
    epochs.push(bench.spool.epoch());
    for (n, (epoch, first, _)) in delivered.iter().enumerate() {
        assert_eq!((*epoch, *first), (epochs[n / 10], n as u64 % 10 * 2 + 1));
    }
    bench.stop();
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.depth().events, 0, "what is delivered stays so");
    bench.stop();
}

/// What versions before format 3 left.
#[tokio::test]
async fn a_spool_of_an_older_format_is_brought_up_and_delivered() {
    for (format, lacks) in [(1, "ALTER TABLE batch DROP COLUMN encoding;"), (2, "")] {
        brought_up(format, lacks).await;
    }
}

async fn brought_up(format: u32, lacks: &str) {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    bench.offer(2, 7, 100);
    bench.stop();
    let old = Connection::open(place.path().join("spool.db")).unwrap();
    old.execute_batch(&format!(
        "DROP INDEX batch_class; DROP TABLE hole; DROP TABLE loss;
         ALTER TABLE batch DROP COLUMN class; ALTER TABLE batch DROP COLUMN stores;
         {lacks} PRAGMA user_version = {format};"
    ))
    .unwrap();
    drop(old);
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.take_losses(), []);
    assert_eq!(bench.spool.depth().events, 2);
    bench.offer(1, 8, 100);
    assert_eq!(marks(&bench.deliver().await), [7, 8]);
    bench.stop();
}

#[tokio::test]
async fn what_the_disk_holds_need_not_be_in_memory() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    let mut last = 0;
    for n in 0..200 {
        bench.offer(1, n, 100_000);
        last += 1;
        bench.settle(last);
    }
    let depth = bench.spool.depth();
    assert!(depth.bytes <= 1 << 20, "{depth:?}");
    let disk = bench.spool.disk_bytes().unwrap();
    assert!((10_000_000..30_000_000).contains(&disk), "{disk}");
    assert_eq!(depth.events, 200);
    assert_eq!(marks(&bench.deliver().await), (0..200).collect::<Vec<_>>());
    assert_eq!(bench.spool.take_losses(), []);
    bench.stop();
}

#[tokio::test]
async fn many_batches_share_a_sync_and_nothing_to_write_costs_none() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(Disk {
        commit_every: Duration::from_millis(100),
        ..disk(place.path())
    });
    for n in 0..500 {
        bench.offer(1, n, 100);
    }
    bench.settle(500);
    let commits = bench.metrics.spool_commits.get();
    assert!(commits <= 5, "{commits} commits");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bench.metrics.spool_commits.get(), commits);
    bench.stop();
}

#[tokio::test]
async fn the_oldest_go_when_it_is_full_and_each_is_counted() {
    let place = tempfile::tempdir().unwrap();
    let bytes_max = 4 << 20;
    let bench = Bench::open(Disk {
        bytes_max,
        ..disk(place.path())
    });
    let mut last = 0;
    for n in 0..600 {
        bench.offer(3, n, 20_000);
        last += 3;
        if n % 10 == 0 {
            bench.settle(last);
        }
    }
    bench.settle(last);
    let losses = bench.spool.take_losses();
    let lost: u64 = losses.iter().map(|loss| loss.count).sum();
    assert!(losses.iter().all(|loss| loss.kind == LossKind::Full));
    assert!(losses.len() < 60, "{} gaps", losses.len());
    assert_eq!(lost, bench.metrics.spool_evicted.get());
    let marks = marks(&bench.deliver().await);
    assert_eq!(
        marks,
        (lost / 3..600).collect::<Vec<_>>(),
        "the newest stay, dense"
    );
    let size = std::fs::metadata(place.path().join("spool.db"))
        .unwrap()
        .len();
    assert!(size <= bytes_max + bytes_max / 10, "{size}");
    bench.stop();
}

#[tokio::test]
async fn a_gap_that_goes_is_counted_with_what_it_stood_for() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(Disk {
        bytes_max: 1 << 20,
        ..disk(place.path())
    });
    let gap = Block {
        stands_for: 1_000,
        ..block(1, 100_000)
    };
    bench.spool.offer(gap).unwrap();
    for n in 2..=11 {
        bench.settle(n - 1);
        bench.offer(1, n, 100_000);
    }
    bench.settle(11);
    let losses = bench.spool.take_losses();
    let lost: u64 = losses.iter().map(|loss| loss.count).sum();
    let evicted = bench.metrics.spool_evicted.get();
    assert!(evicted > 0);
    assert_eq!(lost, 1_000 + evicted);
    bench.stop();
}

#[tokio::test]
async fn what_is_acknowledged_is_kept_for_its_time_and_then_goes() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(Disk {
        keep: Duration::from_millis(400),
        ..disk(place.path())
    });
    for n in 0..20 {
        bench.offer(1, n, 1000);
    }
    bench.settle(20);
    let live = bench.spool.epoch();
    assert_eq!(bench.deliver().await.len(), 20);
    // A collector restored from a backup knows the first five and no more.
    bench.spool.offer_again(live, 5).await;
    assert_eq!(bench.spool.turn(), (live, 6));
    assert_eq!(marks(&bench.deliver().await), (5..20).collect::<Vec<_>>());
    let rows = || -> u64 {
        let count = |store: &Store| store.everything(Uuid::nil(), 0);
        let (_, epochs) = bench.spool.with_store(count).unwrap();
        epochs.iter().map(|all| all.last + 1 - all.first).sum()
    };
    assert_eq!(rows(), 20);
    until(|| rows() == 0);
    assert_eq!(bench.spool.take_losses(), []);
    bench.stop();
}

#[tokio::test]
async fn a_new_log_is_offered_the_epochs_of_earlier_starts_too() {
    let place = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let bench = Bench::open(disk(place.path()));
        bench.offer(1, start, 1000);
        bench.settle(1);
        assert_eq!(bench.deliver().await.len(), 1);
        bench.stop();
    }
    let bench = Bench::open(disk(place.path()));
    bench.offer(1, 2, 1000);
    bench.settle(1);
    assert_eq!(marks(&bench.deliver().await), [2]);
    bench.spool.offer_again(bench.spool.epoch(), 0).await;
    assert_eq!(marks(&bench.deliver().await), [0, 1, 2]);
    bench.stop();
}

#[tokio::test]
async fn what_waited_too_long_is_given_up_and_counted() {
    let place = tempfile::tempdir().unwrap();
    let patient = Bench::open(disk(place.path()));
    patient.offer(4, 0, 1000);
    patient.settle(4);
    patient.stop();
    // As if the sensor had run for two hours since.
    let database = Connection::open(place.path().join("spool.db")).unwrap();
    let clock =
        "INSERT INTO batch (epoch, first_seq, last_seq, bytes, stands_for, time_ns, clock_s, crc, payload)
                 SELECT epoch, 5, 5, 1, 0, time_ns, clock_s + 7200, 0, x'00' FROM batch";
    database.execute_batch(clock).unwrap();
    drop(database);
    let bench = Bench::open(Disk {
        keep: Duration::from_millis(100),
        ..disk(place.path())
    });
    until(|| bench.spool.depth().events == 1);
    assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::Old, 4)]);
    assert_eq!(bench.metrics.spool_evicted.get(), 4);
    bench.stop();
}

/// What is left where a damaged database was.
fn asides(place: &Path) -> usize {
    let names = std::fs::read_dir(place).unwrap();
    names
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("spool.db.aside-")
        })
        .count()
}

/// Leaves a spool with so many batches of one event, ended in good order and folded into one file.
fn left(place: &Path, batches: u64) {
    let bench = Bench::open(disk(place));
    for n in 0..batches {
        bench.offer(1, n, 10_000);
    }
    bench.settle(batches);
    bench.stop();
    let database = Connection::open(place.join("spool.db")).unwrap();
    database
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside_and_said() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("spool.db"), vec![b'x'; 10_000]).unwrap();
    let bench = Bench::open(disk(place.path()));
    assert_eq!(asides(place.path()), 1);
    assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::SetAside, 0)]);
    bench.offer(1, 1, 100);
    bench.settle(1);
    assert_eq!(marks(&bench.deliver().await), [1]);
    bench.stop();
}

#[tokio::test]
async fn a_bit_that_flipped_or_a_cut_file_is_found_and_the_rest_goes_on() {
    for cut in [false, true] {
        let place = tempfile::tempdir().unwrap();
        left(place.path(), 40);
        let file = std::fs::File::options()
            .write(true)
            .read(true)
            .open(place.path().join("spool.db"))
            .unwrap();
        let len = file.metadata().unwrap().len();
        if cut {
            file.set_len(len / 2).unwrap();
        } else {
            // In the middle of a page, which is in the middle of a payload.
            file.write_all_at(&[0], len / 2 / 4096 * 4096 + 2048)
                .unwrap();
        }
        let bench = Bench::open(disk(place.path()));
        bench.offer(1, 99, 100);
        let delivered = marks(&bench.deliver().await);
        assert_eq!(delivered.last(), Some(&99));
        let losses = kinds(&bench.spool.take_losses());
        let lost: u64 = losses.iter().map(|(_, count)| count).sum();
        if !cut {
            assert_eq!(lost + delivered.len() as u64 - 1, 40, "{losses:?}");
        }
        let kind = if cut {
            LossKind::SetAside
        } else {
            LossKind::Damaged
        };
        assert!(losses.iter().all(|(found, _)| *found == kind), "{losses:?}");
        assert_eq!(losses.len(), 1);
        // One bad batch is no reason to give up the others.
        assert_eq!(asides(place.path()), usize::from(cut));
        if !cut {
            assert_eq!(lost, 1);
        }
        bench.stop();
    }
}

#[tokio::test]
async fn a_database_that_is_removed_while_it_is_used_is_noticed_with_the_next_write() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    bench.offer(5, 0, 2 << 20);
    bench.settle(5);
    std::fs::remove_file(place.path().join("spool.db")).unwrap();
    bench.offer(1, 1, 100);
    until(|| bench.spool.committed() == 6 && place.path().join("spool.db").exists());
    assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::SetAside, 5)]);
    assert_eq!(bench.metrics.spool_damaged.get(), 5);
    assert_eq!(marks(&bench.deliver().await), [1]);
    bench.stop();
}

#[tokio::test]
async fn a_log_that_is_removed_while_it_is_used_is_noticed_with_the_next_write() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    bench.offer(5, 0, 2 << 20);
    bench.settle(5);
    std::fs::remove_file(place.path().join("spool.db-wal")).unwrap();
    bench.offer(1, 1, 100);
    until(|| bench.spool.committed() == 6 && place.path().join("spool.db-wal").exists());
    assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::SetAside, 5)]);
    assert_eq!(marks(&bench.deliver().await), [1]);
    bench.stop();
}

#[tokio::test]
async fn a_database_that_was_removed_while_no_sensor_ran_is_said_once() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.take_losses(), [], "the first sensor here");
    bench.offer(5, 0, 100);
    bench.settle(5);
    bench.stop();
    for file in ["spool.db", "spool.db-wal"] {
        std::fs::remove_file(place.path().join(file)).ok();
    }
    let bench = Bench::open(disk(place.path()));
    assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::Removed, 0)]);
    bench.offer(1, 1, 100);
    bench.settle(1);
    assert_eq!(marks(&bench.deliver().await), [1]);
    bench.stop();
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.take_losses(), []);
    bench.stop();
}

#[tokio::test]
async fn databases_that_were_set_aside_do_not_fill_the_disk() {
    let place = tempfile::tempdir().unwrap();
    for n in 1..=12 {
        for part in ["", "-wal"] {
            let name = format!("spool.db{part}.aside-{n}");
            std::fs::write(place.path().join(name), "old").unwrap();
        }
    }
    // Not the sensor's to delete.
    std::fs::write(place.path().join("spool.db.aside-mine"), "").unwrap();
    std::fs::write(place.path().join("spool.db"), vec![b'x'; 10_000]).unwrap();
    let bench = Bench::open(disk(place.path()));
    bench.stop();
    assert_eq!(asides(place.path()), 8 + 1);
    for gone in ["spool.db.aside-5", "spool.db-wal.aside-5"] {
        assert!(!place.path().join(gone).exists(), "{gone}");
    }
    for kept in [
        "spool.db.aside-6",
        "spool.db-wal.aside-12",
        "spool.db.aside-mine",
    ] {
        assert!(place.path().join(kept).exists(), "{kept}");
    }
}

#[tokio::test]
async fn a_second_sensor_leaves_the_directory_alone_and_works_in_memory() {
    let place = tempfile::tempdir().unwrap();
    let first = Bench::open(disk(place.path()));
    let second = Bench::open(disk(place.path()));
    assert_eq!(second.spool.held().footing(), Footing::Failing);
    second.offer(1, 5, 100);
    assert_eq!(marks(&second.deliver().await), [5]);
    first.stop();
    until(|| second.spool.held().footing() == Footing::Disk);
    second.offer(1, 6, 100);
    second.settle(2);
    let metrics = second.stop();
    assert!(metrics.spool_failures.get() > 0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_leaves_memory_and_its_bound() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "").unwrap();
    let bench = Bench::open(disk(&place.path().join("file/spool")));
    for n in 0..4 {
        bench.offer(1, n, 1 << 20);
    }
    assert_eq!(bench.spool.offer(block(1, 1)), Err(Full));
    assert_eq!(bench.spool.volatile_events(), 4);
    assert_eq!(marks(&bench.deliver().await), [0, 1, 2, 3]);
    bench.offer(1, 4, 1 << 20);
    bench.stop();
}

#[tokio::test]
async fn a_kill_is_told_until_it_is_on_the_disk_that_it_was() {
    let place = tempfile::tempdir().unwrap();
    let killed = Bench::open(disk(place.path()));
    killed.offer(1, 0, 100);
    killed.settle(1);
    // It ends without saying so, and lets the directory go.
    let copy = tempfile::tempdir().unwrap();
    for file in ["spool.db", "spool.db-wal"] {
        std::fs::copy(place.path().join(file), copy.path().join(file)).unwrap();
    }
    killed.stop();
    for _ in 0..2 {
        let bench = Bench::open(disk(copy.path()));
        assert_eq!(kinds(&bench.spool.take_losses()), [(LossKind::Killed, 0)]);
        bench.stop();
    }
    let bench = Bench::open(disk(copy.path()));
    assert_eq!(bench.spool.take_losses().len(), 1);
    bench.offer(1, 1, 100);
    bench.spool.told();
    bench.settle(1);
    bench.stop();
    let bench = Bench::open(disk(copy.path()));
    assert_eq!(bench.spool.take_losses(), []);
    assert_eq!(marks(&bench.deliver().await), [0, 1]);
    bench.stop();
}
