//! A sensor with a disk spool that is stopped, killed, or left alone by its collector, and its successors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::prost::Message;
use proto::sensor::v1;
use proto::sensor::v1::event::Body;
use sensor_user::End;
use sensor_user::config::{Queue, Spool};

use crate::collector::{Collector, Log, Manner, all_events, events, unpacked};
use crate::sensor::{Sensor, ample, on_disk, reads};
use crate::{amounts, bounded};

/// Set for a sensor that is to be killed: where its collector is, its spool's directory, and which one it is.
const ADDRESS: &str = "CHARTWATCH_PIPELINE_ADDRESS";
const SPOOL: &str = "CHARTWATCH_PIPELINE_SPOOL";
const ROUND: &str = "CHARTWATCH_PIPELINE_ROUND";
/// Bytes read in the first access of a round are one more than so many times the round.
const ROUND_BYTES: u64 = 1_000_000;

pub(crate) fn gaps(events: &[v1::Event], reason: v1::GapReason) -> Vec<u64> {
    let count = |event: &v1::Event| match &event.body {
        Some(Body::Gap(gap)) if gap.reason() == reason => Some(gap.count),
        _ => None,
    };
    events.iter().filter_map(count).collect()
}

pub(crate) fn missing(log: &Mutex<Log>) -> u64 {
    let log = log.lock().unwrap();
    log.epochs.iter().map(|epoch| epoch.missing).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stop_could_not_deliver_the_next_start_delivers_once_and_first() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let queue = Queue {
            drain: Duration::from_millis(300),
            ..ample()
        };
        let mut n = 0;
        for _ in 0..3 {
            let disk = Some(on_disk(place.path()));
            let sensor = Sensor::with_disk(collector.url(), queue, disk);
            for _ in 0..10 {
                n += 1;
                sensor.tick(vec![reads(n, 100, 5, n)]).await;
            }
            // Ten accesses and the process, and of an earlier start what no Welcome said to have come.
            let end = sensor.stop().await;
            assert!(matches!(end, End::Kept(11..)), "{end:?}");
        }
        collector.behave(Manner::Acknowledges);
        let last = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        n += 1;
        last.tick(vec![reads(n, 100, 5, n)]).await;
        assert_eq!(last.stop().await, End::Drained);
        let events = events(&log);
        assert_eq!(amounts(&events), (1..=n).collect::<Vec<_>>());
        assert_eq!(
            (missing(&log), gaps(&events, v1::GapReason::Restart)),
            (0, vec![])
        );
        assert_eq!(log.lock().unwrap().epochs.len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_lost_its_log_gets_what_is_kept_again_from_every_start() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let address = collector.address;
        let first = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        for n in 1..=10 {
            first.tick(vec![reads(n, 100, 5, n)]).await;
        }
        assert_eq!(first.stop().await, End::Drained);
        let second = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        for n in 11..=20 {
            second.tick(vec![reads(n, 100, 5, n)]).await;
        }
        let all_are_there = |log: &Log| {
            let delivered = log.heartbeats.last().map(|beat| beat.queued_events);
            newest(log) == 20 && delivered == Some(0)
        };
        collector.until(all_are_there).await;
        collector.kill().await;

        let other = Log {
            id: 9,
            ..Log::default()
        };
        let other = Arc::new(Mutex::new(other));
        let collector =
            Collector::start_at(address, Arc::clone(&other), Manner::Acknowledges).await;
        // Each start's events, and with them who the process is.
        let again = |log: &Log| log.heartbeats.iter().any(|beat| beat.queued_events == 0);
        collector.until(again).await;
        second.tick(vec![reads(21, 100, 5, 21)]).await;
        assert_eq!(second.stop().await, End::Drained);
        let epochs = all_events(&other);
        // The live one said Hello first, and then waited for the one before.
        let of = |epoch: usize| amounts(&epochs[epoch]);
        assert_eq!(of(0), (11..=21).collect::<Vec<_>>());
        assert_eq!(of(1), (1..=10).collect::<Vec<_>>());
        assert_eq!((epochs.len(), missing(&other)), (2, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_collector_has_otherwise_is_kept_and_holds_up_nothing() {
    for takes_lanes in [false, true] {
        has_otherwise(takes_lanes).await;
    }
}

async fn has_otherwise(takes_lanes: bool) {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let queue = Queue {
            drain: Duration::from_millis(300),
            ..ample()
        };
        let disk = || Some(on_disk(place.path()));
        let sensor = Sensor::with_disk(collector.url(), queue, disk());
        sensor.tick(vec![reads(1, 100, 5, 1)]).await;
        let end = sensor.stop().await;
        assert!(matches!(end, End::Kept(_)), "{end:?}");
        // Of another log, so that all of it is what comes from now on.
        collector.kill().await;
        let log = Log {
            refuses_earlier: true,
            takes_lanes,
            ..Log::default()
        };
        let log = Arc::new(Mutex::new(log));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::with_disk(collector.url(), ample(), disk());
        sensor.tick(vec![reads(2, 100, 5, 2)]).await;
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(amounts(&events(&log)), [2]);
        // It is there still, for a collector that takes it.
        log.lock().unwrap().refuses_earlier = false;
        let sensor = Sensor::with_disk(collector.url(), ample(), disk());
        assert_eq!(sensor.stop().await, End::Drained);
        let mut all = amounts(&events(&log));
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    })
    .await;
}

/// No test by itself: the sensor that [`a_sensor_killed_again_and_again_loses_only_its_last_moment`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sensor_that_is_killed() {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let spool = PathBuf::from(std::env::var_os(SPOOL).unwrap());
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let sensor = Sensor::with_disk(address, ample(), Some(on_disk(&spool)));
    for n in 1.. {
        sensor
            .tick(vec![reads(n, 100, 5, round * ROUND_BYTES + n)])
            .await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn killed_later(address: &str, spool: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::the_sensor_that_is_killed"])
        .env(ADDRESS, address)
        .env(SPOOL, spool)
        .env(ROUND, round.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// What the log has at least of a round when its sensor is killed: of some before the first commit, of others after it.
fn at_least(round: u64) -> u64 {
    round * ROUND_BYTES + 20 + 120 * round
}

/// Bytes of the newest access in a log.
fn newest(log: &Log) -> u64 {
    let Some((_, batch)) = log.batches().last_key_value() else {
        return 0;
    };
    let block = v1::EventBlock::decode(unpacked(batch).as_slice()).unwrap();
    amounts(&block.events).last().copied().unwrap_or(0)
}

/// Whether an access of so many bytes is in one of the last few batches: what is said of losses may be behind it.
fn has_come(log: &Log, bytes: u64) -> bool {
    log.batches().values().rev().take(8).any(|batch| {
        let block = v1::EventBlock::decode(unpacked(batch).as_slice()).unwrap();
        amounts(&block.events).contains(&bytes)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_killed_again_and_again_loses_only_its_last_moment() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        for round in 1..=6 {
            // In every second round the collector has what it is sent and never says so.
            let silent = round % 2 == 0;
            collector.behave(if silent {
                Manner::Silent
            } else {
                Manner::Acknowledges
            });
            let mut child = killed_later(&collector.url(), place.path(), round);
            if silent {
                // It gets no further than the epoch before. Long enough for a commit.
                tokio::time::sleep(Duration::from_millis(800)).await;
            } else {
                collector.until(|log| newest(log) > at_least(round)).await;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        collector.behave(Manner::Acknowledges);
        let last = Sensor::with_disk(collector.url(), ample(), Some(on_disk(place.path())));
        last.tick(vec![reads(1, 100, 5, 7 * ROUND_BYTES + 1)]).await;
        assert_eq!(last.stop().await, End::Drained);

        let epochs = all_events(&log);
        assert_eq!(missing(&log), 0, "what is held is dense");
        let mut rounds: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for amount in amounts(&epochs.concat()) {
            let of = rounds.entry(amount / ROUND_BYTES).or_default();
            of.push(amount % ROUND_BYTES);
        }
        for (round, numbers) in &rounds {
            let dense: Vec<_> = (1..=numbers.len() as u64).collect();
            assert_eq!(
                *numbers, dense,
                "round {round}: each once, in order, none left out"
            );
        }
        assert_eq!(
            rounds.len(),
            7,
            "of each round what was on the disk or sent"
        );
        for round in [1, 3, 5] {
            let last = rounds[&round].last().unwrap() + round * ROUND_BYTES;
            assert!(last >= at_least(round), "round {round}");
        }
        let last = epochs.last().unwrap();
        assert_eq!(
            gaps(last, v1::GapReason::Restart),
            [0],
            "the last kill is told"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_disk_spool_lost_is_a_gap_with_its_count() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let first = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let address = first.address;
        first.kill().await;
        let disk = Spool {
            bytes_max: 64 << 10,
            ..on_disk(place.path())
        };
        let sensor = Sensor::with_disk(format!("http://{address}"), ample(), Some(disk));
        for n in 0..20 {
            let tick = (1..=1_000).map(|i| reads(n * 1_000 + i, 100, 5, n * 1_000 + i));
            sensor.tick(tick.collect()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let late = Collector::start_at(address, Arc::clone(&log), Manner::Acknowledges).await;
        // Once all has come that is left, no more is lost; the next tick tells of what was.
        late.until(|log| has_come(log, 20_000)).await;
        late.until(|log| !log.heartbeats.is_empty()).await;
        sensor.tick(vec![reads(20_001, 100, 5, 20_001)]).await;
        assert_eq!(sensor.stop().await, End::Drained);
        let events = events(&log);
        let lost: u64 = gaps(&events, v1::GapReason::QueueFull).iter().sum();
        let missing = missing(&log);
        assert!(missing > 0, "a small spool cannot hold all");
        assert_eq!(lost, missing, "every number that is missing is in a gap");
        let delivered = amounts(&events);
        // Only accesses went: who the process is, and gaps, are worth more.
        assert_eq!(delivered.len() as u64 + missing, 20_001);
        assert!(delivered.is_sorted() && delivered.last() == Some(&20_001));
        let said = events
            .iter()
            .any(|e| matches!(e.body, Some(Body::Process(_))));
        assert!(said, "who the process is");
        let log = log.lock().unwrap();
        assert!(log.heartbeats.last().unwrap().lost_events >= lost);
    })
    .await;
}
