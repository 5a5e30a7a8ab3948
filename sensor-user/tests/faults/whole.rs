//! Both real programs die in turns while records are read, the sensor also with its disk: each read is in the collector's log once,
//! or it was one of the last before the sensor died, and that is told.
//!
//! The sensor's identity, key, list of holders and spool lie on the disk whose power can be cut. Each read is of another record, so
//! what is in the log of it is known by its inode.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::disk::Disk;
use crate::disk::model::{Cut, Dice};
use crate::{PATIENCE, real};

/// Deaths of a short run and of a long one.
const DEATHS: u64 = 16;
const DEATHS_LONG: u64 = 1_000;
/// Most records read between two deaths.
const READS_MAX: usize = 120;
/// Between two reads; the sensor looks every 50 ms.
const PAUSE: Duration = Duration::from_millis(4);

/// What is missing for this test to run.
pub(crate) fn lacks() -> Option<&'static str> {
    let bpf = Path::new("/sys/kernel/btf/vmlinux").exists();
    match real::program() {
        None => Some("chartwatch-collector is not built beside the sensor"),
        Some(_) if !bpf => Some("this kernel has no BTF"),
        Some(_) => None,
    }
}

/// Writes the configuration of a sensor that keeps all its own below a directory.
pub(crate) fn configure(file: &Path, own: &Path, port: u16, store: &Path) {
    let (own, store) = (own.display(), store.display());
    let text = format!(
        "sensor_id = \"sensor-1\"\n\
         [collector]\naddress = \"https://localhost:{port}\"\nidentity = \"{own}/identity.pem\"\nca = \"{own}/ca.pem\"\n\
         [privacy]\nkey_file = \"{own}/token.key\"\n\
         [spool]\ndirectory = \"{own}/spool\"\n\
         [kernel]\nholders_file = \"{own}/holders\"\ntick_ms = 50\n\
         [[store]]\nname = \"pacs\"\npath = \"{store}\"\n",
    );
    std::fs::write(file, text).unwrap();
}

/// How a life of the sensor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
    /// Killed when its disk lost power.
    Cut,
}

/// The records read in a life of the sensor, by their inodes and in order.
struct Life {
    end: End,
    read: Vec<u64>,
}

/// A sensor that runs; killed when dropped.
struct Sensor(Child);

impl Sensor {
    /// Starts one and waits until it sees what is read.
    fn start(config: &Path) -> Self {
        let socket = config.with_file_name("sensor.notify");
        std::fs::remove_file(&socket).ok();
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let said = std::fs::File::create(config.with_file_name("sensor.said")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch-sensor"));
        command.args(["run", "--config"]).arg(config);
        command.env("NOTIFY_SOCKET", &socket);
        let sensor = Self(command.stdout(Stdio::null()).stderr(said).spawn().unwrap());
        let mut buffer = [0; 4096];
        loop {
            let length = notify.recv(&mut buffer).expect("the sensor becomes ready");
            if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") {
                return sensor;
            }
        }
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the sensor does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Everything that outlives a daemon.
struct Scene {
    disk: Disk,
    collector: real::Real,
    config: PathBuf,
    store: tempfile::TempDir,
    dice: Dice,
    records: u64,
}

impl Scene {
    fn set(seed: u64) -> Self {
        let collector = real::Real::start().unwrap();
        let (disk, store) = (Disk::new(), tempfile::tempdir().unwrap());
        let config = collector.place.path().join("sensor.toml");
        configure(
            &config,
            &disk.path().join("var"),
            collector.port,
            store.path(),
        );
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &[]);
        assert_eq!(code, 0, "{said}");
        let dice = Dice(seed);
        Self {
            disk,
            collector,
            config,
            store,
            dice,
            records: 0,
        }
    }

    fn below(&mut self, end: usize) -> u64 {
        self.dice.below(end) as u64
    }

    /// Reads a record that nobody has read before; answers its inode.
    fn read_one(&mut self) -> u64 {
        self.records += 1;
        let file = self.store.path().join(format!("{}.dcm", self.records));
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.is_empty());
        std::thread::sleep(PAUSE);
        file.metadata().unwrap().ino()
    }

    /// Records for the next life, which are there before the sensor is: it would see them written.
    fn make(&self, count: u64) {
        for number in 1..=count {
            let file = format!("{}.dcm", self.records + number);
            std::fs::write(self.store.path().join(file), [7; 1_000]).unwrap();
        }
    }

    /// One life of the sensor, in which the collector may die and be away for a while.
    fn life(&mut self, end: End) -> Life {
        let reads = 1 + self.below(READS_MAX);
        self.make(reads);
        let sensor = Sensor::start(&self.config);
        let (dies, returns) = match self.below(2) {
            0 => (self.below(READS_MAX), self.below(READS_MAX)),
            _ => (u64::MAX, 0),
        };
        if end == End::Cut {
            let step = 1 + self.below(40);
            self.disk.cut_at(step);
        }
        let mut read = Vec::new();
        for number in 0..reads {
            if number == dies {
                self.collector.kill();
            }
            if !self.collector.is_alive() && number >= dies + returns {
                self.collector.start_again();
            }
            read.push(self.read_one());
            if !self.disk.has_power() {
                break;
            }
        }
        match end {
            End::Stopped => {
                self.collector.start_again();
                sensor.stop();
            }
            End::Killed => drop(sensor),
            End::Cut => {
                self.disk.cut_now();
                drop(sensor);
                let seed = self.below(usize::MAX);
                self.disk.power_on(match seed % 2 {
                    0 => Cut::All,
                    _ => Cut::Some(seed),
                });
            }
        }
        self.collector.start_again();
        Life { end, read }
    }
}

/// The collector's log.
#[derive(Default)]
struct Books {
    /// How often each record was opened.
    opens: BTreeMap<u64, u64>,
    /// Sequence numbers of each epoch, in the order of the log.
    epochs: BTreeMap<String, Vec<u64>>,
    /// What is told of sensors that did not end in good order.
    untimely: usize,
    gaps: Vec<String>,
}

impl Books {
    fn read(events: &str) -> Self {
        let mut books = Self::default();
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let epoch = event["epoch"].as_str().unwrap().to_owned();
            let numbers = books.epochs.entry(epoch).or_default();
            numbers.extend(event["seq"].as_u64());
            if let Some(inode) = event["access"]["inode"].as_u64() {
                *books.opens.entry(inode).or_default() +=
                    event["access"]["opens"].as_u64().unwrap();
            }
            if let Some(detail) = event["gap"]["detail"].as_str() {
                books.untimely += usize::from(detail.contains("did not end in good order"));
                books.gaps.push(event["gap"].to_string());
            }
        }
        books
    }

    /// Checks them against what was done; answers how many reads were lost.
    fn check(&self, lives: &[Life]) -> usize {
        for (epoch, numbers) in &self.epochs {
            let dense: BTreeSet<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(
                numbers.iter().copied().collect::<BTreeSet<_>>(),
                dense,
                "{epoch}"
            );
        }
        let mut lost = 0;
        for (number, life) in lives.iter().enumerate() {
            let opens: Vec<u64> = (life.read.iter())
                .map(|inode| self.opens.get(inode).copied().unwrap_or(0))
                .collect();
            let came = opens.iter().filter(|opens| **opens > 0).count();
            let about = || format!("life {number}, {:?}: {opens:?}", life.end);
            assert!(opens[..came].iter().all(|opens| *opens == 1), "{}", about());
            assert!(
                came == opens.len() || life.end != End::Stopped,
                "{}",
                about()
            );
            lost += opens.len() - came;
        }
        lost
    }
}

pub(crate) fn both_die_in_turns() {
    let long = std::env::var_os("CHARTWATCH_LONG").is_some();
    let deaths = if long { DEATHS_LONG } else { DEATHS };
    let mut scene = Scene::set(7);
    let mut lives = Vec::new();
    for number in 0..deaths {
        let end = match number % 5 {
            4 => End::Stopped,
            even if even % 2 == 0 => End::Killed,
            _ => End::Cut,
        };
        lives.push(scene.life(end));
    }
    lives.push(scene.life(End::Stopped));
    let books = Books::read(&scene.collector.analyst(&["events"]).unwrap());
    let all: usize = lives.iter().map(|life| life.read.len()).sum();
    let lost = books.check(&lives);
    let mut said = String::new();
    writeln!(
        said,
        "{all} reads, {lost} lost, {} untimely ends told",
        books.untimely
    )
    .unwrap();
    let untimely = lives.iter().filter(|life| life.end != End::Stopped).count();
    assert_eq!(books.untimely, untimely, "{said}{:#?}", books.gaps);
    assert!(lost < all / 2, "{said}");
    eprint!("{said}");
}
