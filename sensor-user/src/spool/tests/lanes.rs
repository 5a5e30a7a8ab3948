//! Two epochs that are delivered side by side, and a live one that becomes an earlier one.

use super::*;

impl Bench {
    /// Has another epoch begun, as the link and the packer do; answers whether there is one.
    async fn part(&self, worth: u64) -> bool {
        let before = self.spool.live_epoch();
        self.spool.want_epoch(worth);
        self.spool.begin_epoch().await;
        self.spool.live_epoch() != before
    }

    async fn first_after(&self, epoch: Uuid, seq: u64) -> Option<u64> {
        let batch = self.spool.after(epoch, seq).await?;
        Some(batch.first_seq)
    }
}

#[tokio::test]
async fn what_is_live_is_delivered_and_forgotten_beside_what_is_old() {
    let place = tempfile::tempdir().unwrap();
    let before = Bench::open(disk(place.path()));
    let old = before.spool.live_epoch();
    (0..3).for_each(|n| before.offer(2, n, 100));
    before.stop();
    let bench = Bench::open(disk(place.path()));
    let spool = Arc::clone(&bench.spool);
    assert_eq!(spool.live_lane(), Some((spool.live_epoch(), 1)));
    (3..6).for_each(|n| bench.offer(2, n, 100));
    let live = spool.live_epoch();
    bench.settle(6);
    assert_eq!(bench.first_after(live, 0).await, Some(1));
    assert_eq!(bench.first_after(old, 2).await, Some(3));
    assert_eq!(
        spool.persisted(live, 7),
        Err(NeverSent {
            claimed: 7,
            last: 6
        })
    );
    spool.persisted(live, 4).unwrap();
    assert_eq!(
        (spool.turn(), spool.live_lane()),
        ((old, 1), Some((live, 5)))
    );
    let depth = spool.depth();
    assert_eq!((depth.events, depth.backlog), (8, 6));
    assert!(depth.backlog_since_ns > 0);
    spool.persisted(old, 6).unwrap();
    assert_eq!((spool.turn(), spool.live_lane()), ((live, 5), None));
    assert_eq!((spool.depth().events, spool.depth().backlog), (2, 0));
    assert_eq!(marks(&bench.deliver().await), [5]);
    bench.stop();
}

#[tokio::test]
async fn what_waits_becomes_an_earlier_epoch_and_nothing_of_it_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(disk(place.path()));
    let old = bench.spool.live_epoch();
    (0..4).for_each(|n| bench.offer(2, n, 100));
    bench.spool.persisted(old, 2).unwrap();
    assert!(!bench.part(7).await, "six are not worth it");
    assert!(bench.part(6).await);
    assert_eq!(bench.spool.turn(), (old, 3));
    (4..6).for_each(|n| bench.offer(2, n, 100));
    assert!(!bench.part(1).await, "one at a time");
    // What the collector took before says so later.
    bench.spool.persisted(old, 4).unwrap();
    bench.stop();
    let bench = Bench::open(disk(place.path()));
    assert_eq!(bench.spool.take_losses(), [], "it ended in good order");
    assert_eq!(marks(&bench.deliver().await), [2, 3, 4, 5]);
    assert!(!bench.part(0).await, "there is nothing to go ahead of");
    bench.stop();
}

#[tokio::test]
async fn without_a_disk_there_is_one_epoch() {
    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("file");
    std::fs::write(&nowhere, "").unwrap();
    let bench = Bench::open(disk(&nowhere));
    bench.offer(2, 0, 100);
    assert!(!bench.part(1).await, "the disk cannot be used");
    bench.stop();
    let spool = Spool::new(10, 1000);
    spool.offer(block(2, 10)).unwrap();
    spool.want_epoch(1);
    assert!(!spool.is_epoch_wanted());
}

#[tokio::test]
async fn of_what_is_worth_the_same_the_backlog_goes_first() {
    let place = tempfile::tempdir().unwrap();
    let bench = Bench::open(Disk {
        bytes_max: 10_000,
        ..disk(place.path())
    });
    let old = bench.spool.live_epoch();
    (0..4).for_each(|n| bench.offer(1, n, 1_000));
    assert!(bench.part(1).await);
    (4..10).for_each(|n| bench.offer(1, n, 1_000));
    bench.settle(6);
    let losses = bench.spool.take_losses();
    assert!(!losses.is_empty());
    for loss in losses {
        assert_eq!(loss.what.unwrap().epoch, old);
    }
    let left = marks(&bench.deliver().await);
    assert_eq!(left.last_chunk(), Some(&[4, 5, 6, 7, 8, 9]));
    bench.stop();
}
