//! A day without a network, at half a second for each hour.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::sensor::v1;
use sensor_user::End;
use sensor_user::config::Spool;

use crate::collector::{Collector, Log, Manner, events};
use crate::restart::{gaps, missing};
use crate::sensor::{Sensor, ample, on_disk, reads};
use crate::{amounts, bounded};

const HOURS: u64 = 24;
const HOUR: Duration = Duration::from_millis(500);

/// A host works for a day while nobody answers; what the collector has of it afterwards.
async fn day(age_max: Duration) -> Arc<Mutex<Log>> {
    let place = tempfile::tempdir().unwrap();
    let log = Arc::new(Mutex::new(Log::default()));
    let first = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
    let address = first.address;
    first.kill().await;
    let disk = Spool {
        age_max,
        // What is too old is looked for as often as what is kept long enough.
        keep: HOUR,
        ..on_disk(place.path())
    };
    let sensor = Sensor::with_disk(format!("http://{address}"), ample(), Some(disk));
    for hour in 0..HOURS {
        let tick = (1..=10).map(|n| reads(hour * 10 + n, 100, 5, hour * 10 + n));
        sensor.tick(tick.collect()).await;
        tokio::time::sleep(HOUR).await;
    }
    let late = Collector::start_at(address, Arc::clone(&log), Manner::Acknowledges).await;
    late.until(|log| !log.heartbeats.is_empty()).await;
    assert_eq!(sensor.stop().await, End::Drained);
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_a_network_loses_nothing() {
    bounded(async {
        let log = day(Duration::from_mins(10)).await;
        let events = events(&log);
        assert_eq!(amounts(&events), (1..=HOURS * 10).collect::<Vec<_>>());
        assert_eq!(
            (missing(&log), gaps(&events, v1::GapReason::QueueFull)),
            (0, vec![])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_it_may_be_after_a_day_without_a_network_is_a_gap_with_its_count() {
    bounded(async {
        let log = day(Duration::from_secs(4)).await;
        let (events, missing) = (events(&log), missing(&log));
        let delivered = amounts(&events);
        assert!(delivered.is_sorted_by(|a, b| a < b), "{delivered:?}");
        assert_eq!(delivered.last(), Some(&(HOURS * 10)));
        assert!(missing > 0 && delivered.len() < HOURS as usize * 10);
        let told: u64 = gaps(&events, v1::GapReason::QueueFull).iter().sum();
        assert_eq!(told, missing, "every number that is missing is in a gap");
    })
    .await;
}
