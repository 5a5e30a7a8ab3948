//! The sensor under test: the real kernel source, and what it has said so far.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use sensor_user::config::{Backend, Guard, Kernel, Service, Store};
use sensor_user::event::{Access, Edge, End, Event, Flow, GapReason, Part, RecordId, Tamper, What};
use sensor_user::health::Health;
use sensor_user::{Source, source};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// How long anything may take to come up. Generous: the machine may be emulated.
const PATIENCE: Duration = Duration::from_mins(1);

/// What plays the sensor's configuration, beside the stores.
pub(crate) const CONFIGURATION: &str = "sensor.toml";

/// What plays the database of the sensor's spool.
pub(crate) const SPOOL: &str = "spool.db";

/// What plays a program that serves records: its file, and its store.
#[allow(dead_code, reason = "only the kernel tests have such a program")]
pub(crate) const SERVICE: &str = "service-program";
/// The same of programs that are not there when the sensor starts, and of a unit.
#[allow(dead_code, reason = "only the kernel tests have such programs")]
pub(crate) const VERSIONS: &str = "versions/*/serve";
#[allow(dead_code, reason = "only the kernel tests have such a unit")]
pub(crate) const UNIT: &str = "chartwatch-test.service";
/// What plays a program that carries no records by nature.
pub(crate) const QUIET: &str = "quiet-program";

/// Why the tests cannot run here.
pub(crate) fn missing(backend: Option<&str>) -> Option<String> {
    match backend {
        None => return Some("CHARTWATCH_BACKEND does not name a backend".to_owned()),
        Some("lsm" | "fentry" | "tracepoint") => {}
        Some(other) => {
            return Some(format!(
                "CHARTWATCH_BACKEND={other} is none of lsm, fentry, tracepoint"
            ));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let btf = Path::new("/sys/kernel/btf/vmlinux");
    (!btf.exists()).then(|| format!("{} is not there", btf.display()))
}

/// The sensor and its events since the test began.
pub(crate) struct Watch {
    source: Option<Source>,
    ticks: mpsc::Receiver<Vec<Event>>,
    pub(crate) backend: String,
    pub(crate) events: Vec<Event>,
    /// Runs of its programs that the kernel left out since it started.
    pub(crate) left_out: u64,
    /// Everything else that was lost since it started, as it was said.
    pub(crate) lost: Vec<String>,
    home: TempDir,
}

fn is(end: &End, pid: u32) -> bool {
    matches!(end, End::Process(process) if process.pid == pid)
}

/// What one process did with records, added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) records: usize,
    pub(crate) opens: u64,
    pub(crate) read: u64,
    pub(crate) mapped: u64,
    pub(crate) written: u64,
    pub(crate) changes: u64,
    pub(crate) deletions: u64,
}

impl Watch {
    /// Starts the sensor on stores that lie in `home`: the first is called `store`, and has to be there. A file, or a pattern of files,
    /// is a program that serves records, and what ends with `.service` a unit that does.
    pub(crate) fn start(backend: &str, home: TempDir, stores: &[&str]) -> Result<Self, Failed> {
        Self::with(backend, home, stores, |_| {})
    }

    /// The same with other settings.
    pub(crate) fn with(
        backend: &str,
        home: TempDir,
        stores: &[&str],
        change: impl FnOnce(&mut Kernel),
    ) -> Result<Self, Failed> {
        let wanted = match backend {
            "lsm" => Backend::Lsm,
            "fentry" => Backend::Fentry,
            _ => Backend::Tracepoint,
        };
        let mut watched = Vec::new();
        for name in stores {
            let path = home.path().join(name);
            let service = if Path::new(name).extension().is_some_and(|e| e == "service") {
                Some(Service::Unit((*name).to_owned()))
            } else if name.contains('*') || path.is_file() {
                Some(Service::executable(&path.to_string_lossy())?)
            } else {
                None
            };
            let canonical = match &service {
                None => path.canonicalize()?,
                Some(_) => path.clone(),
            };
            watched.push(Store {
                plain: false,
                name: (*name).to_owned(),
                canonical,
                service,
                path,
            });
        }
        for own in [CONFIGURATION, SPOOL] {
            std::fs::write(home.path().join(own), "# as it was\n")?;
        }
        let mut settings = Kernel {
            backend: wanted,
            tick: Duration::from_millis(100),
            canary: Duration::from_secs(5),
            bulk_ring_bytes: 4 << 20,
            critical_ring_bytes: 1 << 20,
            guard: Guard::Off,
            quiet_sockets: Vec::new(),
            quiet_ports: Vec::new(),
            quiet_programs: vec![home.path().join(QUIET)],
            holders_file: None,
            own_files: vec![
                (Part::Configuration, home.path().join(CONFIGURATION)),
                (Part::Spool, home.path().join(SPOOL)),
            ],
        };
        change(&mut settings);
        let (sender, ticks) = mpsc::channel(64);
        let source = source::kernel::start(&settings, &watched, sender)?;
        Ok(Self {
            source: Some(source),
            ticks,
            backend: backend.to_owned(),
            events: Vec::new(),
            left_out: 0,
            lost: Vec::new(),
            home,
        })
    }

    /// Forgets what came up before.
    pub(crate) fn forget(&mut self) {
        while let Ok(tick) = self.ticks.try_recv() {
            self.book(&tick);
        }
        self.events.clear();
    }

    /// Keeps what is said to be lost.
    fn book(&mut self, tick: &[Event]) {
        self.left_out += left_out(tick);
        let gaps = tick.iter().filter_map(|event| match &event.what {
            What::Gap(gap) if gap.reason != GapReason::Skipped => Some(format!("{gap:?}")),
            _ => None,
        });
        self.lost.extend(gaps);
    }

    /// The store's root.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    /// A directory that is no store.
    pub(crate) fn elsewhere(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// What the source says of itself.
    pub(crate) fn health(&self) -> Health {
        self.source
            .as_ref()
            .map(|s| s.health.borrow().clone())
            .unwrap_or_default()
    }

    /// Takes in events until the condition holds; then for a few more ticks, so that what should not come can.
    pub(crate) fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Failed> {
        self.reach(what, holds)?;
        self.rest()
    }

    /// Takes in events until the condition holds.
    pub(crate) fn reach(
        &mut self,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Failed> {
        let patience = Instant::now() + PATIENCE;
        while !holds(self) {
            if Instant::now() > patience {
                return Err(
                    format!("{what} did not come up in {PATIENCE:?}; {}", self.summary()).into(),
                );
            }
            self.take(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Takes in what comes within a few ticks.
    pub(crate) fn rest(&mut self) -> Result<(), Failed> {
        let end = Instant::now() + Duration::from_millis(600);
        while Instant::now() < end {
            self.take(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Takes in one tick, or waits so long when there is none.
    pub(crate) fn take(&mut self, wait: Duration) -> Result<(), Failed> {
        match self.ticks.try_recv() {
            Ok(tick) => {
                if !tick.is_sorted_by_key(|event| event.boot_ns) {
                    return Err("a tick is not in the order of time".into());
                }
                self.book(&tick);
                self.events.extend(tick);
                Ok(())
            }
            Err(mpsc::error::TryRecvError::Empty) => {
                std::thread::sleep(wait);
                Ok(())
            }
            Err(mpsc::error::TryRecvError::Disconnected) => Err("the source has ended".into()),
        }
    }

    pub(crate) fn accesses(&self, pid: u32) -> impl Iterator<Item = &Access> {
        self.events
            .iter()
            .filter_map(move |event| match &event.what {
                What::Access(access) if access.process.pid == pid => Some(access),
                _ => None,
            })
    }

    /// What a process did with records; that it listed directories is left out.
    pub(crate) fn sum(&self, pid: u32) -> Sum {
        let files = || self.accesses(pid).filter(|access| access.listings == 0);
        let records: BTreeSet<RecordId> = files().map(|a| a.record).collect();
        let mut sum = Sum {
            records: records.len(),
            ..Sum::default()
        };
        for access in files() {
            sum.opens += access.opens;
            sum.read += access.bytes_read;
            sum.mapped += access.bytes_mapped;
            sum.written += access.bytes_written;
            sum.changes += access.changes;
            sum.deletions += access.deletions;
        }
        sum
    }

    /// The newest event of each flow of a process.
    pub(crate) fn flows(&self, pid: u32) -> Vec<&Flow> {
        let mut flows: Vec<&Flow> = Vec::new();
        for event in &self.events {
            if let What::Flow(flow) = &event.what
                && flow.process.pid == pid
            {
                flows.retain(|known| known.id != flow.id);
                flows.push(flow);
            }
        }
        flows
    }

    /// What a process got of others.
    pub(crate) fn edges_to(&self, pid: u32) -> impl Iterator<Item = &Edge> {
        self.events
            .iter()
            .filter_map(move |event| match &event.what {
                What::Edge(edge) if is(&edge.to, pid) => Some(edge),
                _ => None,
            })
    }

    /// Runs of its programs that the kernel left out.
    pub(crate) fn skipped(&self) -> u64 {
        left_out(&self.events)
    }

    /// True where the sensor says that this kernel gives it no way to see something.
    pub(crate) fn is_blind_to(&self, unseen: &str) -> bool {
        self.health().backend_reason.contains(unseen)
    }

    /// What was tried on the sensor.
    pub(crate) fn tampers(&self) -> impl Iterator<Item = &Tamper> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Tamper(tamper) => Some(tamper),
            _ => None,
        })
    }

    pub(crate) fn exited(&self, pid: u32) -> bool {
        self.events
            .iter()
            .any(|e| matches!(&e.what, What::Exit(exit) if exit.process.pid == pid))
    }

    /// Runs a program to its end, waits until the sensor has seen that, and gives its process id.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<u32, Failed> {
        let child = command.stdin(Stdio::null()).spawn()?;
        self.finish(child)
    }

    /// The same for one that runs already.
    pub(crate) fn finish(&mut self, mut child: Child) -> Result<u32, Failed> {
        let pid = child.id();
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a program under test failed: {status}").into());
        }
        self.until("the end of the program", |w| w.exited(pid))?;
        Ok(pid)
    }

    /// Stops the sensor, and gives back the directory that its stores lie in.
    #[allow(dead_code, reason = "only the kernel tests start one again")]
    pub(crate) fn stop(mut self) -> std::io::Result<TempDir> {
        Ok(std::mem::replace(&mut self.home, tempfile::tempdir()?))
    }

    fn summary(&self) -> String {
        let mut kinds = [0; 10];
        for event in &self.events {
            let kind = match event.what {
                What::Fork(_) => 0,
                What::Exec(_) => 1,
                What::Exit(_) => 2,
                What::Name(_) => 3,
                What::Access(_) => 4,
                What::Flow(_) => 5,
                What::Gap(_) => 6,
                What::Edge(_) => 7,
                What::Tamper(_) => 8,
                What::Naming(_) => 9,
            };
            kinds[kind] += 1;
        }
        let [
            fork,
            exec,
            exit,
            name,
            access,
            flow,
            gap,
            edge,
            tamper,
            naming,
        ] = kinds;
        format!(
            "seen: {fork} forks, {exec} execs, {exit} exits, {name} names, {access} accesses, {flow} flows, {edge} edges, {tamper} attempts, {naming} namings, {gap} gaps"
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            (source.stop)();
            // The last tick ends the channel; only then are the programs out of the kernel.
            while self.ticks.blocking_recv().is_some() {}
        }
    }
}

/// Runs of the sensor's programs that the kernel left out, as gaps tell them.
fn left_out(events: &[Event]) -> u64 {
    let gaps = events.iter().filter_map(|event| match &event.what {
        What::Gap(gap) if gap.reason == GapReason::Skipped => Some(gap.count),
        _ => None,
    });
    gaps.sum()
}

/// Says on the test's line that nothing was tested; `cargo xtask test` counts it so.
pub(crate) fn skipped(why: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "SKIPPED: {why}")?;
    Ok(out.flush()?)
}

/// Fails with both values when they differ.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), Failed> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?} instead of {expected:?}").into())
    }
}
