//! What is live goes ahead of what is old, and nothing is lost, doubled or out of order for that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::prost::Message;
use proto::sensor::v1;
use sensor_user::End;
use sensor_user::config::Queue;

use crate::collector::{Collector, Log, Manner, all_events, unpacked};
use crate::restart::{gaps, missing};
use crate::sensor::{Sensor, ample, on_disk, reads};
use crate::{amounts, bounded};

/// Reads of a tick, and ticks of a backlog: together more than the window has room for.
const READS: u64 = 50;
const TICKS: u64 = 400;
const BACKLOG: u64 = READS * TICKS;
/// The smallest window that a collector grants.
const WINDOW: u64 = 320 * 1024;
/// Bytes of the first read that is live.
const LIVE: u64 = 1_000_000;

/// A queue that leaves behind what is not acknowledged at once.
fn hasty() -> Queue {
    Queue {
        drain: Duration::from_millis(300),
        ..ample()
    }
}

/// A collector that takes lanes and grants little credit.
fn frugal() -> Arc<Mutex<Log>> {
    Arc::new(Mutex::new(Log {
        takes_lanes: true,
        credit_bytes: Some(WINDOW),
        ..Log::default()
    }))
}

async fn pile_up(sensor: &Sensor) {
    for tick in 0..TICKS {
        let reads = (1..=READS).map(|n| reads(tick, 100, n, tick * READS + n));
        sensor.tick(reads.collect()).await;
    }
}

/// Whether each block of the last epoch says that older events are to come.
fn older_to_come(log: &Mutex<Log>) -> Vec<bool> {
    let log = log.lock().unwrap();
    let decode = |batch| v1::EventBlock::decode(unpacked(batch).as_slice()).unwrap();
    let blocks = log.batches().values().map(decode);
    blocks.map(|block| block.older_to_come).collect()
}

/// How many events there are of each epoch.
fn counts(log: &Log) -> Vec<u64> {
    let last = |epoch: &crate::collector::Epoch| {
        let last = epoch.batches.last_key_value();
        last.map_or(0, |(_, batch)| batch.last_seq)
    };
    log.epochs.iter().map(last).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_what_is_live_arrives_before_what_the_start_before_left() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let nobody = "http://127.0.0.1:1".to_owned();
        let first = Sensor::with_disk(nobody, hasty(), Some(on_disk(place.path())));
        pile_up(&first).await;
        assert!(matches!(first.stop().await, End::Kept(_)));

        let log = frugal();
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let second = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        second.tick(vec![reads(1, 200, 1, LIVE)]).await;
        // The access, and before it who the process is.
        collector.until(|log| counts(log).get(1) >= Some(&2)).await;
        let old = counts(&log.lock().unwrap())[0];
        assert!(old < BACKLOG, "{old} of the backlog came first");
        let behind = |log: &Log| {
            let spool = log.heartbeats.last().and_then(|beat| beat.spool);
            spool.is_some_and(|spool| {
                spool.backlog_events > BACKLOG / 2 && spool.backlog_since_unix_ns > 0
            })
        };
        collector.until(behind).await;
        assert!(older_to_come(&log).iter().all(|older| *older));

        collector.behave(Manner::Acknowledges);
        // One access more than there are, for who the process is.
        collector.until(|log| counts(log)[0] == BACKLOG + 1).await;
        let through = |log: &Log| {
            let spool = log.heartbeats.last().and_then(|beat| beat.spool);
            spool.is_some_and(|spool| spool.backlog_events == 0)
        };
        collector.until(through).await;
        second.tick(vec![reads(2, 200, 2, LIVE + 1)]).await;
        assert_eq!(second.stop().await, End::Drained);
        let epochs = all_events(&log);
        assert_eq!(amounts(&epochs[0]), (1..=BACKLOG).collect::<Vec<_>>());
        assert_eq!(amounts(&epochs[1]), [LIVE, LIVE + 1]);
        assert_eq!((epochs.len(), missing(&log)), (2, 0));
        assert!(gaps(&epochs[1], v1::GapReason::Restart).is_empty());
        assert_eq!(older_to_come(&log).last(), Some(&false));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_knows_no_lanes_gets_one_epoch_after_the_other() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let nobody = "http://127.0.0.1:1".to_owned();
        let first = Sensor::with_disk(nobody, hasty(), Some(on_disk(place.path())));
        pile_up(&first).await;
        assert!(matches!(first.stop().await, End::Kept(_)));

        let log = frugal();
        log.lock().unwrap().takes_lanes = false;
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let second = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        second.tick(vec![reads(1, 200, 1, LIVE)]).await;
        assert_eq!(second.stop().await, End::Drained);
        let epochs = all_events(&log);
        assert_eq!(amounts(&epochs[0]), (1..=BACKLOG).collect::<Vec<_>>());
        assert_eq!(amounts(&epochs[1]), [LIVE]);
        let log = log.lock().unwrap();
        let of = |n: usize| (&log.hellos[n].epoch, &log.hellos[n].live_epoch);
        assert_ne!(of(0).0, of(0).1);
        assert_eq!(of(1).0, of(1).1, "a stream of its own");
        assert_eq!(log.hellos.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_what_happens_from_then_on_is_an_epoch_of_its_own_and_arrives_first() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = frugal();
        let gone = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let address = gone.address;
        gone.kill().await;
        let disk = Some(on_disk(place.path()));
        let sensor = Sensor::with_disk(format!("http://{address}"), ample(), disk);
        pile_up(&sensor).await;

        log.lock().unwrap().holds_after = Some(BACKLOG / 10);
        let collector = Collector::start_at(address, Arc::clone(&log), Manner::Acknowledges).await;
        let mut live = LIVE;
        while counts(&log.lock().unwrap()).get(1) < Some(&10) {
            sensor.tick(vec![reads(live, 100, 1, live)]).await;
            live += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let old = counts(&log.lock().unwrap())[0];
        assert!(old < BACKLOG, "{old} of the backlog came first");

        log.lock().unwrap().holds_after = None;
        collector.behave(Manner::Acknowledges);
        assert_eq!(sensor.stop().await, End::Drained);
        let epochs = all_events(&log);
        let all: Vec<u64> = (1..=BACKLOG).chain(LIVE..live).collect();
        assert_eq!(amounts(&epochs.concat()), all, "each once, in order");
        assert_eq!((epochs.len(), missing(&log)), (2, 0));
        let who = epochs.iter().map(|epoch| &epoch[0].body);
        assert!(
            who.clone()
                .all(|body| matches!(body, Some(v1::event::Body::Process(_)))),
            "each says who its processes are: {who:?}"
        );
        assert_eq!(older_to_come(&log).first(), Some(&true));
        let gaps = gaps(&epochs.concat(), v1::GapReason::Restart);
        assert!(gaps.is_empty(), "{gaps:?}");
    })
    .await;
}
