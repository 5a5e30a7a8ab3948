//! A sensor for tests: the real pipeline, fed by the test instead of a kernel.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sensor_user::config::{Backend, Collector, Config, Kernel, Privacy, Queue, Spool, Store};
use sensor_user::enrich::Places;
use sensor_user::event::{Access, Event, Exec, Fork, Name, ProcessKey, RecordId, StoreId, What};
use sensor_user::health::{Canary, Health, HookCount, Pulse};
use sensor_user::link::{Files, Settings};
use sensor_user::{End, Source, run_with};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// A sensor that runs, and the place of its files.
pub(crate) struct Sensor {
    pub(crate) place: tempfile::TempDir,
    feed: Arc<Mutex<Option<mpsc::Sender<Vec<Event>>>>>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<End>,
    /// Never dropped before the sensor: what the source would say of itself.
    _health: watch::Sender<Health>,
}

impl Sensor {
    /// Starts one that delivers to `address`, with this queue.
    pub(crate) fn start(address: String, queue: Queue) -> Self {
        Self::start_as(address, None, queue, None)
    }

    /// The same with a disk spool.
    pub(crate) fn with_disk(address: String, queue: Queue, spool: Option<Spool>) -> Self {
        Self::start_as(address, None, queue, spool)
    }

    /// The same with a key, a certificate and an authority to trust, and a disk spool, or without.
    pub(crate) fn start_as(
        address: String,
        identity: Option<Files>,
        queue: Queue,
        spool: Option<Spool>,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut config = config(place.path(), queue);
        config.spool = spool;
        let settings = Settings {
            heartbeat: Duration::from_millis(20),
            backoff_min: Duration::from_millis(5),
            backoff_max: Duration::from_millis(20),
            answer_within: Duration::from_secs(5),
            lane_events: 1_000,
            identity,
            ..Settings::new(address, "sensor-1".into(), vec!["pacs".into()])
        };
        let places = Places {
            proc: place.path().join("proc"),
            passwd: place.path().join("passwd"),
        };
        let (health_in, health) = watch::channel(health());
        let feed = Arc::new(Mutex::new(None));
        let (stop, asked) = oneshot::channel();
        let (given, taken) = (Arc::clone(&feed), Arc::clone(&feed));
        let source = move |ticks| {
            *given.lock().unwrap() = Some(ticks);
            let stop = Box::new(move || drop(taken.lock().unwrap().take()));
            Ok::<_, std::io::Error>(Source {
                health,
                pulse: Pulse::new(),
                stop,
            })
        };
        let asked = async { asked.await.unwrap_or(()) };
        let running = run_with_source(config, settings, places, source, asked);
        Self {
            place,
            feed,
            stop: Some(stop),
            running,
            _health: health_in,
        }
    }

    /// Gives a tick to the sensor, as the source's thread would: waits while the channel is full.
    pub(crate) async fn tick(&self, events: Vec<Event>) {
        let feed = loop {
            if let Some(feed) = self.feed.lock().unwrap().clone() {
                break feed;
            }
            tokio::task::yield_now().await;
        };
        feed.send(events).await.unwrap();
    }

    /// Asks it to stop and waits for its end.
    pub(crate) async fn stop(mut self) -> End {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.await.unwrap()
    }

    /// The source ends by itself; waits for the sensor's end.
    pub(crate) async fn lose_source(self) -> End {
        drop(self.feed.lock().unwrap().take());
        self.running.await.unwrap()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.place.path().join("store")
    }
}

fn run_with_source(
    config: Config,
    settings: Settings,
    places: Places,
    source: impl FnOnce(mpsc::Sender<Vec<Event>>) -> Result<Source, std::io::Error> + Send + 'static,
    asked: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<End> {
    tokio::spawn(async move {
        run_with(&config, settings, places, source, asked)
            .await
            .unwrap()
    })
}

fn config(place: &Path, queue: Queue) -> Config {
    for directory in ["proc", "store"] {
        std::fs::create_dir(place.join(directory)).unwrap();
    }
    std::fs::write(
        place.join("passwd"),
        "root:x:0:0:::\nmeier:x:1000:1000:::\n",
    )
    .unwrap();
    let key_file = place.join("token.key");
    sensor_user::privacy::generate(&key_file).unwrap();
    let path = place.join("store");
    Config {
        sensor_id: "sensor-1".into(),
        collector: Collector {
            address: "http://127.0.0.1:1".into(),
            identity: "/nowhere/identity.pem".into(),
            ca: "/nowhere/ca.pem".into(),
        },
        privacy: Privacy::Token { key_file },
        queue,
        spool: None,
        kernel: Kernel {
            backend: Backend::Auto,
            tick: Duration::from_millis(200),
            canary: Duration::from_secs(5),
            bulk_ring_bytes: 65_536,
            critical_ring_bytes: 65_536,
            guard: sensor_user::config::Guard::Off,
            quiet_sockets: Vec::new(),
            quiet_ports: Vec::new(),
            quiet_programs: Vec::new(),
            holders_file: None,
            own_files: Vec::new(),
        },
        stores: vec![Store {
            name: "pacs".into(),
            canonical: path.clone(),
            service: None,
            plain: false,
            path,
        }],
    }
}

/// A queue that never fills in a test; a stop waits as long as it takes.
pub(crate) fn ample() -> Queue {
    Queue {
        events_max: 1_000_000,
        bytes_max: 1 << 30,
        drain: Duration::from_secs(50),
    }
}

/// A disk spool that never fills in a test.
pub(crate) fn on_disk(directory: &Path) -> Spool {
    Spool {
        directory: directory.to_owned(),
        bytes_max: 1 << 30,
        age_max: Duration::from_hours(1),
        keep: Duration::from_hours(1),
    }
}

fn health() -> Health {
    let hook = HookCount {
        hook: "file_open".into(),
        seen: 3,
        reported: 1,
        ignored: 2,
        ..HookCount::default()
    };
    Health {
        backend: "recording".into(),
        backend_reason: "a test".into(),
        kernel: "6.1".into(),
        hooks: vec![hook],
        lost_events: 4,
        canary: Canary {
            seen: Some(false),
            seen_boot_ns: 7,
        },
    }
}

pub(crate) fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_cs: u64::from(pid),
    }
}

pub(crate) fn record(inode: u64) -> RecordId {
    RecordId {
        device: 8 << 20 | 1,
        inode,
        generation: 0,
    }
}

pub(crate) fn at(boot_ns: u64, what: What) -> Event {
    Event { boot_ns, what }
}

/// A process and its program, started by another.
pub(crate) fn starts(boot_ns: u64, pid: u32, parent: u32, arguments: &[&str]) -> [Event; 2] {
    let untrusted_arguments = arguments
        .iter()
        .fold(String::new(), |all, one| all + one + "\0")
        .into();
    let exec = Exec {
        process: key(pid),
        parent: key(parent),
        uid: 1000,
        untrusted_filename: format!("/bin/{}", arguments[0]).into(),
        untrusted_arguments,
        arguments_truncated: false,
        given_bytes: 0,
    };
    [
        at(
            boot_ns,
            What::Fork(Fork {
                child: key(pid),
                parent: key(parent),
                holds: false,
            }),
        ),
        at(boot_ns, What::Exec(exec)),
    ]
}

pub(crate) fn named(boot_ns: u64, inode: u64, path: &str) -> Event {
    at(
        boot_ns,
        What::Name(Name {
            record: record(inode),
            store: StoreId(1),
            is_carrier: false,
            untrusted_path: path.into(),
        }),
    )
}

pub(crate) fn reads(boot_ns: u64, pid: u32, inode: u64, bytes_read: u64) -> Event {
    let access = Access {
        process: key(pid),
        store: StoreId(1),
        record: record(inode),
        opens: 1,
        bytes_read,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_boot_ns: boot_ns,
        last_boot_ns: boot_ns,
    };
    at(boot_ns, What::Access(access))
}
