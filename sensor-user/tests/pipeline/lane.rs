//! What is live goes ahead of what is old, and nothing is lost, doubled or out of order for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::prost::Message;
use proto::sensor::v1;
use sensor_user::End;
use sensor_user::config::Queue;
use sensor_user::event::{Direction, Event, Flow, What};

use crate::collector::{Collector, Log, Manner, all_events, unpacked};
use crate::real::{self, Real};
use crate::restart::{gaps, missing};
use crate::sensor::{Sensor, ample, at, key, on_disk, reads, starts};
use crate::{amounts, bounded};

/// Reads of a tick, and ticks of a backlog: together more than the window has room for.
const READS: u64 = 50;
const TICKS: u64 = 400;
const BACKLOG: u64 = READS * TICKS;
/// The smallest window that a collector grants.
const WINDOW: u64 = 320 * 1024;
/// Bytes of the first read that is live.
const LIVE: u64 = 1_000_000;
/// Far more than the wall clock's distance to the boot clock changes from tick to tick: what was sent is to be after what was read.
const SECOND: u64 = 1_000_000_000;

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

/// A process reads a thousand records from some number on.
fn takes(boot_ns: u64, pid: u32, from: u64) -> Vec<Event> {
    let reads = (from..from + 1_000).map(|n| reads(boot_ns, pid, n, n));
    starts(boot_ns, pid, 1, &["curl"])
        .into_iter()
        .chain(reads)
        .collect()
}

/// And sends as much away.
fn sends(boot_ns: u64, pid: u32) -> Vec<Event> {
    let flow = Flow {
        id: pid.into(),
        process: key(pid),
        protocol: 6,
        family: 0,
        direction: Direction::Connected,
        local: "10.0.0.5:40000".parse().unwrap(),
        remote: "203.0.113.9:443".parse().unwrap(),
        bytes_out: 1_000_000_000,
        bytes_out_before: 0,
        bytes_in: 1_000,
        opened_boot_ns: boot_ns,
        closed: true,
        name: None,
    };
    vec![at(boot_ns, What::Flow(flow))]
}

/// Patterns by ids of alerts.
fn alerts(said: &str) -> BTreeMap<String, String> {
    let alerts: serde_json::Value = serde_json::from_str(said).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let alerts = alerts.as_array().unwrap().iter();
    alerts
        .map(|alert| (text(&alert["id"]), text(&alert["pattern"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_collector_judges_what_is_live_before_the_backlog_is_there_and_that_as_well() {
    bounded(async {
        let Some(collector) = Real::start() else {
            return;
        };
        let (files, config) = collector.files();
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &[]);
        assert_eq!(code, 0, "{said}");
        let place = tempfile::tempdir().unwrap();
        let disk = || Some(on_disk(place.path()));
        let nobody = "http://127.0.0.1:1".to_owned();
        let first = Sensor::with_disk(nobody, hasty(), disk());
        // More than four times what the collector's largest window has room for.
        let rounds = 6;
        first.tick(takes(SECOND, 100, 1)).await;
        for _ in 0..rounds {
            pile_up(&first).await;
        }
        first.tick(sends(2 * SECOND, 100)).await;
        assert!(matches!(first.stop().await, End::Kept(_)));

        let address = format!("https://localhost:{}", collector.port);
        let second = Sensor::start_as(address, Some(files), ample(), disk());
        second.tick(takes(3 * SECOND, 200, LIVE)).await;
        second.tick(sends(4 * SECOND, 200)).await;
        assert_eq!(second.stop().await, End::Drained);
        let Some(amounts) = collector.amounts() else {
            return;
        };
        let old: Vec<u64> = amounts.iter().copied().filter(|n| *n < LIVE).collect();
        let piled = (0..rounds).flat_map(|_| 1..=BACKLOG);
        assert_eq!(old, (1..=1_000).chain(piled).collect::<Vec<_>>());
        let live: Vec<u64> = amounts.iter().copied().filter(|n| *n >= LIVE).collect();
        assert_eq!(live, (LIVE..LIVE + 1_000).collect::<Vec<_>>());
        assert!(
            *amounts.last().unwrap() < LIVE,
            "what is live came before the backlog was there"
        );
        // Each is stored a moment after it was judged.
        let mut raised = BTreeMap::new();
        while raised.len() < 2 {
            let Some(said) = collector.analyst(&["alerts", "--json"]) else {
                return;
            };
            raised = alerts(&said);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(raised.values().collect::<Vec<_>>(), ["direct", "direct"]);
        let replayed = collector.analyst(&["replay", "--json"]).unwrap();
        let replayed: Vec<&str> = replayed
            .lines()
            .filter(|line| line.contains("direct"))
            .collect();
        assert!(!replayed.is_empty());
        for id in raised.keys() {
            assert!(replayed.iter().any(|line| line.contains(id)), "{id}");
        }
    })
    .await;
}
