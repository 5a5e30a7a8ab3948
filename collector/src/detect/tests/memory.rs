//! What all hosts together take is bounded: half of the heaviest is forgotten, its alerts say so, and other hosts lose nothing.

use super::*;
use crate::config::MemoryMax;
use crate::detect::alert::AtLeast;
use crate::detect::{Relieved, limits};

fn of(sensor: &str, events: Vec<Event>) -> Block {
    let mut block = block(events);
    block.origin.sensor = sensor.into();
    block
}

/// As many processes as these, each of which read a record and sent a little of it to a few places.
fn crowd(first: u32, count: u32) -> Vec<Event> {
    let one = |pid| {
        let key = ProcessKey { pid, start_cs: 1 };
        let places = (0..4).map(move |place| Flow {
            id: u64::from(pid) * 4 + place,
            process: key,
            bytes_out: 10,
            remote: format!("203.0.113.{place}:443").parse().unwrap(),
            ..flow(5, 10, true)
        });
        let flows = places.map(|flow| event(at(5), What::Flow(flow)));
        [process(key, Some(ROOT), "/usr/bin/agent")]
            .into_iter()
            .chain(flows)
    };
    (first..first + count).flat_map(one).collect()
}

fn small() -> DetectConfig {
    DetectConfig {
        memory_max: MemoryMax(4 << 20),
        ..config()
    }
}

/// What a flood of one host, and a theft at it and at another one, come to.
fn flooded(config: DetectConfig) -> (Vec<Relieved>, Vec<Alert>) {
    let mut detector = Detector::new(config);
    let (mut relieved, mut alerts) = (Vec::new(), Vec::new());
    let mut take = |block: Block| {
        alerts.extend(detector.block(&block));
        relieved.extend(detector.take_relieved());
    };
    take(of("quiet", family()));
    for round in 0..20 {
        take(of("flooding", crowd(10_000 + round * 500, 500)));
    }
    for sensor in ["quiet", "flooding"] {
        take(of(sensor, [theft(), vec![exit(6)]].concat()));
    }
    (relieved, alerts)
}

#[test]
fn half_of_the_heaviest_host_is_forgotten_and_only_its_alerts_say_so() {
    let (none, whole) = flooded(config());
    assert_eq!(none, []);
    let (relieved, alerts) = flooded(small());
    assert!(!relieved.is_empty());
    for one in &relieved {
        assert_eq!(&*one.sensor, "flooding");
        assert!(one.bytes > limits::HOST_BYTES_LEAST, "{relieved:?}");
    }
    let of = |alerts: &[Alert], sensor: &str| {
        let mut newest = alerts.iter().rev();
        newest
            .find(|alert| &*alert.origin.sensor == sensor)
            .cloned()
            .unwrap()
    };
    assert_eq!(of(&alerts, "quiet"), of(&whole, "quiet"));
    let (less, all) = (of(&alerts, "flooding"), of(&whole, "flooding"));
    assert_eq!((less.id, less.figures), (all.id, all.figures));
    assert!(all.at_least.is_empty());
    let processes = |reason: &AtLeast| matches!(reason, AtLeast::Processes(count) if *count > 0);
    assert!(less.at_least.iter().any(processes), "{:?}", less.at_least);
}

#[test]
fn the_same_log_is_forgotten_in_the_same_way() {
    assert_eq!(flooded(small()), flooded(small()));
}

#[test]
fn a_host_that_starts_anew_leaves_the_weight_of_its_earlier_boots_behind() {
    let mut detector = Detector::new(small());
    for boot in 0..20 {
        let mut block = block(crowd(10_000, 200));
        block.origin.boot_id = format!("boot-{boot}").into();
        detector.block(&block);
    }
    assert_eq!(detector.take_relieved(), None);
}
