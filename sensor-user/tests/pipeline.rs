//! The whole host room but the kernel, as a black box: ticks go in at one end, and a collector on loopback has them at
//! the other.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests")]

#[path = "pipeline/backup.rs"]
mod backup;
#[path = "pipeline/collector.rs"]
mod collector;
#[path = "pipeline/lane.rs"]
mod lane;
#[path = "pipeline/outage.rs"]
mod outage;
#[path = "pipeline/real.rs"]
mod real;
#[path = "pipeline/restart.rs"]
mod restart;
#[path = "pipeline/rotation.rs"]
mod rotation;
#[path = "pipeline/sensor.rs"]
mod sensor;
#[path = "pipeline/tls.rs"]
mod tls;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::{Collector, Log, Manner, events, unpacked};
use proto::sensor::v1;
use proto::sensor::v1::event::Body;
use sensor::{Sensor, ample, named, reads, starts};
use sensor_user::End;
use sensor_user::config::Queue;

/// Ends a test that would wait for ever; nothing is measured by it.
async fn bounded(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(1), test)
        .await
        .expect("the test waited for something that never came");
}

/// Bytes read, per access, in the order of the log.
fn amounts(events: &[v1::Event]) -> Vec<u64> {
    let amount = |event: &v1::Event| match &event.body {
        Some(Body::Access(access)) => Some(access.bytes_read),
        _ => None,
    };
    events.iter().filter_map(amount).collect()
}

fn queued_events(log: &Log) -> u64 {
    log.batches()
        .last_key_value()
        .map_or(0, |(_, batch)| batch.last_seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_in_order_each_after_its_process_and_that_after_its_ancestors() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        let mut tick = starts(10, 100, 1, &["bash"]).to_vec();
        tick.extend(starts(11, 101, 100, &["cat", "x"]));
        tick.extend(starts(12, 200, 100, &["elsewhere"]));
        tick.push(reads(13, 101, 5, 1));
        sensor.tick(tick).await;
        for n in 2..=50 {
            sensor.tick(vec![reads(13 + n, 101, 5, n)]).await;
        }
        assert_eq!(sensor.stop().await, End::Drained);
        let events = events(&log);
        assert_eq!(amounts(&events), (1..=50).collect::<Vec<_>>());
        let processes: Vec<_> = events
            .iter()
            .take_while(|event| !matches!(event.body, Some(Body::Access(_))))
            .map(|event| match &event.body {
                Some(Body::Process(p)) => (
                    p.id.unwrap().pid,
                    p.parent.unwrap().pid,
                    p.arguments.join(" "),
                    p.user.as_str(),
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            processes,
            [
                (100, 1, "bash".into(), "meier"),
                (101, 100, "cat x".into(), "meier")
            ]
        );
        assert_eq!(
            events.len(),
            52,
            "the process that touched nothing stays on its host"
        );
        let times: Vec<u64> = events.iter().map(|event| event.time_boot_ns).collect();
        assert!(
            times.is_sorted()
                && events
                    .iter()
                    .all(|event| event.time_unix_ns > event.time_boot_ns)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_killed_again_and_again_loses_and_doubles_nothing() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let mut collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let sensor = Sensor::start(collector.url(), ample());
        let mut n = 0;
        for _ in 0..4 {
            for _ in 0..25 {
                n += 1;
                sensor.tick(vec![reads(n, 100, 5, n)]).await;
            }
            // It has the events and has not said so: they will come again to the next one.
            collector.until(|log| queued_events(log) > n).await;
            let address = collector.address;
            collector.kill().await;
            n += 1;
            sensor.tick(vec![reads(n, 100, 5, n)]).await;
            collector = Collector::start_at(address, Arc::clone(&log), Manner::Silent).await;
        }
        collector.behave(Manner::Acknowledges);
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(amounts(&events(&log)), (1..=n).collect::<Vec<_>>());
        let log = log.lock().unwrap();
        assert!(log.hellos.len() >= 5, "{}", log.hellos.len());
        assert!(
            log.hellos
                .iter()
                .all(|hello| hello.epoch == log.hellos[0].epoch && hello.sensor_id == "sensor-1")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_acknowledges_fills_the_queue_and_no_more_and_the_gap_is_said() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let bound = 1_000;
        let sensor = Sensor::start(
            collector.url(),
            Queue {
                events_max: bound,
                ..ample()
            },
        );
        let mut given = 5_000;
        for n in 1..=given / 10 {
            sensor
                .tick((0..10).map(|i| reads(n * 10 + i, 100, 5, 1)).collect())
                .await;
        }
        // Losses are in the heartbeat while nothing else can be said of them. The source's own 4 are in the number.
        let full = |log: &Log| {
            log.heartbeats.last().is_some_and(|beat| {
                beat.lost_events >= given - bound + 4 && beat.queued_events == queued_events(log)
            })
        };
        collector.until(full).await;
        {
            let log = log.lock().unwrap();
            assert!(
                queued_events(&log) <= bound && queued_events(&log) > bound - 20,
                "{}",
                queued_events(&log)
            );
            let beat = log.heartbeats.last().unwrap();
            assert_eq!(
                (
                    beat.backend.as_str(),
                    beat.kernel.as_str(),
                    beat.hooks[0].seen
                ),
                ("recording", "6.1", 3)
            );
            assert_eq!(
                (beat.queued_events, beat.stores.as_slice()),
                (queued_events(&log), &["pacs".to_owned()][..])
            );
            let spool = beat.spool.unwrap();
            assert_eq!((spool.events, spool.disk_bytes), (beat.queued_events, None));
            assert!(spool.memory_bytes > 0);
            let canary = beat.canary.unwrap();
            assert_eq!(canary.state(), v1::CanaryState::Missed);
            let hello = &log.hellos[0];
            assert_eq!(hello.live_epoch, hello.epoch);
            let apart = |clocks: &v1::Clocks| clocks.unix_ns - clocks.boot_ns;
            let (first, later) = (hello.clocks.unwrap(), beat.clocks.unwrap());
            assert!(first.boot_ns < later.boot_ns);
            assert!(apart(&first).abs_diff(apart(&later)) < 3_600_000_000_000);
            // Seven nanoseconds after the boot.
            let seen = canary.seen_unix_ns.abs_diff(apart(&later) + 7);
            assert!(seen < 3_600_000_000_000, "{seen}");
        }
        collector.behave(Manner::Acknowledges);
        // Until one has come through: ticks that were on their way when the loss was noticed are part of it.
        while !amounts(&events(&log)).contains(&77) {
            given += 1;
            sensor.tick(vec![reads(100_000 + given, 100, 5, 77)]).await;
            let beats = log.lock().unwrap().heartbeats.len();
            collector
                .until(|log| log.heartbeats.len() > beats + 1)
                .await;
        }
        assert_eq!(sensor.stop().await, End::Drained);

        let events = events(&log);
        let mut gaps = Vec::new();
        let mut said = false;
        for event in &events {
            match &event.body {
                Some(Body::Gap(gap)) => {
                    assert_eq!(gap.reason(), v1::GapReason::QueueFull);
                    assert!(gap.from_unix_ns <= gap.to_unix_ns);
                    gaps.push(gap.count);
                    said = false;
                }
                Some(Body::Process(_)) => said = true,
                Some(Body::Access(_)) => assert!(
                    said,
                    "after a gap a process is said again before its events"
                ),
                other => panic!("{other:?}"),
            }
        }
        // The gaps also count the process, which every lost tick said in vain.
        let missing = given - amounts(&events).len() as u64;
        let counted: u64 = gaps.iter().sum();
        assert!(
            missing > 0 && counted >= missing,
            "{counted} counted, {missing} missing"
        );
        assert!(
            counted <= missing + given / 10,
            "{counted} counted, {missing} missing"
        );
    })
    .await;
}

/// As a machine that was put back to a snapshot finds it: the log has more of its epoch than it has sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_holds_more_than_was_sent_is_sent_what_is_there_so_that_it_can_compare() {
    bounded(async {
        let log = Log {
            claims: Some(1_000),
            ..Log::default()
        };
        let log = Arc::new(Mutex::new(log));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        for n in 1..=10 {
            sensor.tick(vec![reads(n, 100, 5, n)]).await;
        }
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(amounts(&events(&log)), (1..=10).collect::<Vec<_>>());
    })
    .await;
}

/// What is refused stays, however much of it was sent before the refusal came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_contested_is_offered_from_its_beginning_until_it_is_taken() {
    bounded(async {
        let log = Log {
            claims: Some(5),
            refuses_after: Some(9),
            ..Log::default()
        };
        let log = Arc::new(Mutex::new(log));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        sensor.tick(vec![reads(1, 100, 5, 1)]).await;
        // Connected before there is more: the log has more than was ever sent.
        collector.until(|log| !log.not_kept.is_empty()).await;
        for n in 2..=20 {
            sensor.tick(vec![reads(n, 100, 5, n)]).await;
        }
        let begun_anew = |log: &Log| log.not_kept.iter().filter(|first| **first == 1).count();
        collector.until(|log| begun_anew(log) >= 3).await;
        collector.note(|log| {
            log.refuses_after = None;
            log.claims = None;
        });
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(amounts(&events(&log)), (1..=20).collect::<Vec<_>>());
    })
    .await;
}

/// The encodings in which all batches came.
fn encodings(log: &Log) -> Vec<v1::Encoding> {
    let batches = log.batches().values();
    batches.map(v1::Batch::encoding).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_travel_packed_but_to_an_older_collector_as_they_are() {
    bounded(async {
        for plain_only in [false, true] {
            let log = Log {
                plain_only,
                ..Log::default()
            };
            let log = Arc::new(Mutex::new(log));
            let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
            let sensor = Sensor::start(collector.url(), ample());
            let many = (1..=200).map(|n| reads(n, 100, 5, n)).collect();
            sensor.tick(many).await;
            assert_eq!(sensor.stop().await, End::Drained);
            assert_eq!(amounts(&events(&log)), (1..=200).collect::<Vec<_>>());
            let came = encodings(&log.lock().unwrap());
            // Who the process is lies in a block of its own, which is too short to gain anything.
            let due = if plain_only {
                vec![v1::Encoding::Plain; 2]
            } else {
                vec![v1::Encoding::Plain, v1::Encoding::Zstd]
            };
            assert_eq!(came, due);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_never_sends_more_than_its_credit_and_all_of_it_once_it_is_granted_more() {
    bounded(async {
        let log = Log {
            credit_bytes: Some(256 * 1024),
            ..Log::default()
        };
        let log = Arc::new(Mutex::new(log));
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let sensor = Sensor::start(collector.url(), ample());
        for n in 0..20 {
            let tick = (1..=1_000).map(|i| reads(n * 1_000 + i, 100, 5, n * 1_000 + i));
            sensor.tick(tick.collect()).await;
        }
        // All is queued, more than the credit covers, and the sensor shows that it is alive.
        collector
            .until(|log| {
                let queued = log.heartbeats.last().map_or(0, |beat| beat.queued_events);
                queued > 20_000 && log.batches().len() >= 2
            })
            .await;
        let beats = log.lock().unwrap().heartbeats.len();
        collector
            .until(|log| log.heartbeats.len() > beats + 5)
            .await;
        let came = log.lock().unwrap().batches().len();
        assert!(came < 10, "{came} batches");
        collector.behave(Manner::Acknowledges);
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(amounts(&events(&log)), (1..=20_000).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_records_are_nowhere_in_the_bytes_that_leave() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        let path = format!("{}/ward/DOE-JOHN.dcm", sensor.store().display());
        let curl = format!("file=@{path};type=application/dicom");
        let mut tick = vec![named(1, 5, "ward/DOE-JOHN.dcm")];
        tick.extend(starts(
            2,
            100,
            1,
            &["sh", "-c", &format!("cat '{path}' | nc host 1")],
        ));
        tick.extend(starts(
            3,
            101,
            100,
            &["curl", "-F", &curl, "/tmp/DOE-JOHN.dcm"],
        ));
        tick.push(reads(4, 101, 5, 9));
        sensor.tick(tick).await;
        assert_eq!(sensor.stop().await, End::Drained);
        let log_now = log.lock().unwrap();
        for batch in log_now.batches().values() {
            let plain = unpacked(batch);
            let found = plain
                .windows(9)
                .any(|window| window == b"DOE-JOHN." || window.ends_with(b"JOHN.dcm"));
            assert!(!found, "{}", String::from_utf8_lossy(&plain));
        }
        drop(log_now);
        let events = events(&log);
        let Some(Body::Access(access)) = &events.last().unwrap().body else {
            panic!("{events:?}")
        };
        assert_eq!(
            (access.store.as_str(), access.name_form()),
            ("pacs", v1::NameForm::Token)
        );
        let Some(Body::Process(curl)) = &events[1].body else {
            panic!("{events:?}")
        };
        let token = format!("token:{}", access.name);
        let store = sensor_store(&curl.arguments[2]);
        assert_eq!(
            curl.arguments[2],
            format!("file=@{store}/{token};type=application/dicom")
        );
        assert_eq!(curl.arguments[3], format!("/tmp/{token}"));
    })
    .await;
}

/// The path of the store, which stays as it is.
fn sensor_store(argument: &str) -> &str {
    argument
        .strip_prefix("file=@")
        .unwrap()
        .split("/token:")
        .next()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_with_another_log_is_told_who_the_processes_are_again() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        sensor.tick(vec![reads(1, 100, 5, 1)]).await;
        collector
            .until(|log| {
                log.heartbeats
                    .last()
                    .is_some_and(|beat| beat.queued_events == 0)
                    && queued_events(log) == 2
            })
            .await;
        let address = collector.address;
        collector.kill().await;

        let other = Arc::new(Mutex::new(Log {
            id: 9,
            ..Log::default()
        }));
        let collector =
            Collector::start_at(address, Arc::clone(&other), Manner::Acknowledges).await;
        collector.until(|log| !log.heartbeats.is_empty()).await;
        sensor.tick(vec![reads(2, 100, 5, 2)]).await;
        assert_eq!(sensor.stop().await, End::Drained);
        let events = events(&other);
        assert!(
            matches!(events[0].body, Some(Body::Process(_))),
            "{events:?}"
        );
        assert_eq!((amounts(&events), events.len()), (vec![2], 2));
        assert_eq!(other.lock().unwrap().hellos[0].first_unacknowledged, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_drains_what_is_queued_even_to_a_collector_that_comes_late() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let first = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let address = first.address;
        first.kill().await;
        let sensor = Sensor::start(format!("http://{address}"), ample());
        for n in 1..=100 {
            sensor.tick(vec![reads(n, 100, 5, n)]).await;
        }
        let stopping = tokio::spawn(sensor.stop());
        let late = Collector::start_at(address, Arc::clone(&log), Manner::Acknowledges).await;
        assert_eq!(stopping.await.unwrap(), End::Drained);
        late.until(|log| log.farewells > 0).await;
        assert_eq!(amounts(&events(&log)), (1..=100).collect::<Vec<_>>());
        assert_eq!(
            log.lock().unwrap().heartbeats.last().unwrap().queued_events,
            0,
            "the last word is a heartbeat"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_cannot_drain_ends_in_time_and_counts_what_was_left() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Silent).await;
        let queue = Queue {
            drain: Duration::from_millis(50),
            ..ample()
        };
        let sensor = Sensor::start(collector.url(), queue);
        sensor
            .tick((1..=10).map(|n| reads(n, 100, 5, n)).collect())
            .await;
        collector.until(|log| queued_events(log) == 11).await;
        assert_eq!(sensor.stop().await, End::Forced(11));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_ends_by_itself_is_no_clean_end_but_loses_nothing() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let sensor = Sensor::start(collector.url(), ample());
        sensor.tick(vec![reads(1, 100, 5, 1)]).await;
        assert_eq!(sensor.lose_source().await, End::SourceEnded);
        assert_eq!(amounts(&events(&log)), [1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_events_arrive_and_a_certificate_that_becomes_good_is_taken_without_a_restart() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let (hospital, stranger) = (tls::Authority::new(), tls::Authority::new());
        let place = tempfile::tempdir().unwrap();
        let door = hospital.before(collector.address, "localhost").await;
        let address = format!("https://localhost:{}", door.port());
        // A certificate of somebody else, and trust in nobody here.
        let files = stranger.files(place.path(), "sensor-1", 0o600);
        let sensor = Sensor::start_as(address, Some(files), ample(), None);
        let mut tick = starts(10, 100, 1, &["cat"]).to_vec();
        tick.push(reads(13, 100, 5, 7));
        sensor.tick(tick).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(
            log.lock().unwrap().hellos.is_empty(),
            "Hello was said to a stranger"
        );
        let good = hospital.files(place.path(), "sensor-1", 0o600);
        good.check().unwrap();
        collector.until(|log| !log.batches().is_empty()).await;
        assert_eq!(amounts(&events(&log)), [7]);
        assert_eq!(sensor.stop().await, End::Drained);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_to_a_collector_under_another_name_nor_with_a_key_open_to_others() {
    bounded(async {
        let log = Arc::new(Mutex::new(Log::default()));
        let collector = Collector::start(Arc::clone(&log), Manner::Acknowledges).await;
        let hospital = tls::Authority::new();
        let place = tempfile::tempdir().unwrap();
        let door = hospital
            .before(collector.address, "elsewhere.example")
            .await;
        let files = hospital.files(place.path(), "sensor-1", 0o600);
        let address = format!("https://localhost:{}", door.port());
        let sensor = Sensor::start_as(address, Some(files), ample(), None);
        let other = tempfile::tempdir().unwrap();
        let open = hospital.files(other.path(), "sensor-1", 0o644);
        let said = open.check().unwrap_err().to_string();
        assert!(
            said.contains("mode 0644") && said.contains("chmod 600"),
            "{said}"
        );
        let door = hospital.before(collector.address, "localhost").await;
        let address = format!("https://localhost:{}", door.port());
        let second = Sensor::start_as(address, Some(open), ample(), None);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(log.lock().unwrap().hellos.is_empty());
        assert_eq!(sensor.stop().await, End::Drained);
        assert_eq!(second.stop().await, End::Drained);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_enrols_with_a_token_and_delivers_to_the_real_collector() {
    bounded(async {
        let Some(collector) = real::Real::start() else {
            return;
        };
        let (files, config) = collector.files();
        let token = collector.token("sensor-1");

        // Nothing of this costs the token or leaves a file.
        let other = collector.token("sensor-2");
        let open = collector.place.path().join("open");
        std::fs::copy(&token, &open).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        let text = std::fs::read_to_string(&token).unwrap();
        let mut fields: Vec<&str> = text.split(' ').collect();
        let fingerprint = "ab".repeat(32);
        fields[3] = &fingerprint;
        let forged = collector.place.path().join("forged");
        std::fs::copy(&token, &forged).unwrap();
        std::fs::write(&forged, fields.join(" ")).unwrap();
        for (file, code, part) in [
            (&open, 64, "mode 0644"),
            (&other, 64, "is for sensor \"sensor-2\""),
            (&config, 64, "chmod 600"),
            (&forged, 69, "UnknownIssuer"),
        ] {
            let (told, said) = real::enroll(&config, file, &[]);
            assert!(told == code && said.contains(part), "{told} {said}");
            assert!(!files.identity.exists() && !files.ca.exists());
        }

        let (code, said) = real::enroll(&config, &token, &[]);
        assert!(
            code == 0 && said.contains("made ") && said.contains("sensor-1"),
            "{said}"
        );
        assert_eq!(real::mode(&files.identity), 0o600);
        files.check().unwrap();
        let names = files.identity.with_file_name("token.key");
        assert_eq!(real::mode(&names), 0o600);
        assert_eq!(std::fs::read(&names).unwrap(), real::names_key(&collector));
        let before = std::fs::read(&files.identity).unwrap();
        let (code, said) = real::enroll(&config, &token, &[]);
        assert!(code == 64 && said.contains("--replace"), "{said}");
        let (code, said) = real::enroll(&config, &token, &["--replace"]);
        assert!(code == 69 && said.contains("was used"), "{said}");
        assert_eq!(std::fs::read(&files.identity).unwrap(), before);
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &["--replace"]);
        assert!(code == 0 && said.contains("replaced "), "{said}");
        assert!(said.contains("holds the collector's key already"), "{said}");
        // Another key stays, whatever the collector has.
        let other = format!("{}\n", "0f".repeat(64));
        std::fs::write(&names, &other).unwrap();
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &["--replace"]);
        assert!(code == 0 && said.contains("holds another key"), "{said}");
        assert_eq!(std::fs::read_to_string(&names).unwrap(), other);
        assert_ne!(std::fs::read(&files.identity).unwrap(), before);

        let address = format!("https://localhost:{}", collector.port);
        let sensor = Sensor::start_as(address, Some(files), ample(), None);
        let mut tick = starts(10, 100, 1, &["cat"]).to_vec();
        tick.push(reads(13, 100, 5, 7));
        sensor.tick(tick).await;
        // The collector has made it durable.
        assert_eq!(sensor.stop().await, End::Drained);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_renews_itself_while_events_go_on() {
    bounded(async {
        let Some(collector) = real::Real::start() else {
            return;
        };
        let (files, _) = collector.files();
        collector.aged(&files, "sensor-1");
        let before = std::fs::read(&files.identity).unwrap();
        let address = format!("https://localhost:{}", collector.port);
        let sensor = Sensor::start_as(address, Some(files.clone()), ample(), None);
        sensor.tick(starts(10, 100, 1, &["cat"]).to_vec()).await;
        let mut n = 0;
        while std::fs::read(&files.identity).unwrap() == before {
            n += 1;
            sensor.tick(vec![reads(13 + n, 100, 5, n)]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(real::mode(&files.identity), 0o600);
        files.check().unwrap();
        for more in n + 1..n + 20 {
            sensor.tick(vec![reads(13 + more, 100, 5, more)]).await;
        }
        assert_eq!(sensor.stop().await, End::Drained);
    })
    .await;
}
