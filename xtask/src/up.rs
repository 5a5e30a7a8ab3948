//! `cargo xtask up`: builds Chartwatch, runs collector and sensor on this machine, and shows what they see.
//!
//! Without a store it watches one of synthetic records it makes itself; with `--demo-theft` it has them stolen, to a
//! listener in a network namespace of its own, and compares the alert with what was moved.
//!
//! **Invariant:** whatever ends it, the sensor is stopped first, then the collector, and the namespace is removed.

mod alerts;
mod check;
pub(crate) mod config;
mod health;
pub(crate) mod netns;
pub(crate) mod service;
pub(crate) mod sink;
mod theft;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::alerts::{Alert, Alerts};
use self::config::Store;
use self::health::Health;
use self::netns::Namespace;
use self::service::Service;
use self::sink::Sink;
use self::theft::Moved;
use crate::records;
use crate::setup::{self, Need};
use crate::step::{Step, cargo, human, say, target_dir};

/// The demonstration's store: its name, how many records it has, and of which seed.
const DEMO_STORE: &str = "demo-records";
const DEMO_RECORDS: u64 = 200;
const DEMO_SEED: u64 = 1;

/// How often alerts and health are looked at.
const POLL: Duration = Duration::from_millis(250);

/// How long after the theft its alert may take to be settled.
const ALERT_LIMIT: Duration = Duration::from_mins(1);

/// Runs Chartwatch on this machine.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Install what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Watch this directory as a store; may be given several times. Without it: a store of synthetic records
    #[arg(long = "store", value_name = "NAME=PATH", value_parser = parse_store)]
    stores: Vec<Store>,
    /// Have the synthetic records stolen by curl and show the alert
    #[arg(long, conflicts_with = "stores")]
    demo_theft: bool,
    /// End after the first settled alert; with --demo-theft its figures are checked
    #[arg(long)]
    once: bool,
    /// Hook backend the sensor uses
    #[arg(long, value_parser = ["auto", "lsm", "fentry", "tracepoint"], default_value = "auto")]
    backend: String,
}

/// Runs the command.
///
/// # Errors
/// No privilege, a failed build, a daemon that ends by itself, or an alert that is wrong or does not come.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "loading kernel programs needs root: sudo --preserve-env=HOME,PATH,RUSTUP_HOME,CARGO_HOME \
             env PATH=\"$PATH\" cargo xtask up"
        );
    }
    let stop = Stop::on_signals()?;
    setup::ensure(
        args.yes,
        &[Need::Compiler, Need::Bpf, Need::Iproute, Need::Curl],
    )?;
    let programs = build()?;
    let directory = config::run_directory()?;
    say(format!("run directory: {}", directory.display()));
    let demo = if args.stores.is_empty() {
        Some(demo_store(&directory)?)
    } else {
        None
    };
    let stores = demo.as_ref().map_or_else(
        || args.stores.clone(),
        |demo| vec![(DEMO_STORE.to_owned(), demo.root.clone())],
    );
    let mut running = Running::start(&programs, &directory, &args.backend, &stores, &stop)?;
    let watched = match demo.filter(|_| args.demo_theft) {
        Some(demo) => running.demonstrate(&demo, &directory, args.once, &stop),
        None => running.watch(args.once, &stop),
    };
    let stopped = running.stop();
    watched.and(stopped)
}

/// True from the first Ctrl-C, `SIGTERM` or hang-up on.
#[derive(Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn on_signals() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .context("failed to handle signals")?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Our programs, built.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) sensor: PathBuf,
    pub(crate) collector: PathBuf,
    pub(crate) analyst: PathBuf,
}

impl Programs {
    /// Those that were built into a directory.
    pub(crate) fn below(directory: &Path) -> Self {
        Self {
            sensor: directory.join("chartwatch-sensor"),
            collector: directory.join("chartwatch-collector"),
            analyst: directory.join("chartwatch"),
        }
    }
}

/// Builds them, optimised.
///
/// # Errors
/// The build failed.
pub(crate) fn build() -> Result<Programs> {
    let mut command = cargo();
    command.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "sensor-user",
        "--package",
        "collector",
    ]);
    Step::new("building sensor and collector", command).run()?;
    Ok(Programs::below(&target_dir().join("release")))
}

/// The synthetic store, and how large each record is.
#[derive(Debug)]
struct Demo {
    root: PathBuf,
    sizes: Vec<u64>,
}

fn demo_store(directory: &Path) -> Result<Demo> {
    let root = directory.join(DEMO_STORE);
    let records = records::generate(&root, DEMO_RECORDS, DEMO_SEED)?;
    let sizes: Vec<u64> = records.iter().map(|record| record.bytes).collect();
    say(format!(
        "{}: {} synthetic records, {} bytes",
        root.display(),
        sizes.len(),
        sizes.iter().sum::<u64>()
    ));
    Ok(Demo { root, sizes })
}

/// Both daemons, at work.
#[derive(Debug)]
struct Running {
    // Dropped in this order: the sensor first, so that what it holds still finds the collector.
    sensor: Service,
    collector: Service,
    alerts: Alerts,
    health: Health,
}

impl Running {
    fn start(
        programs: &Programs,
        directory: &Path,
        backend: &str,
        stores: &[Store],
        stop: &Stop,
    ) -> Result<Self> {
        let file = config::collector(directory, (Ipv4Addr::LOCALHOST, 0).into())?;
        let mut collector =
            Service::start("collector", daemon(&programs.collector, &file), directory)?;
        collector.wait_ready(&|| stop.is_asked())?;
        let address = listening(&collector)?;
        say(format!(
            "collector: listens on {address}, log {}",
            collector.log.display()
        ));
        let file = config::sensor(directory, &programs.sensor, address, backend, stores)?;
        let mut sensor = Service::start("sensor", daemon(&programs.sensor, &file), directory)?;
        sensor.wait_ready(&|| stop.is_asked())?;
        say(format!("sensor: ready, log {}", sensor.log.display()));
        for (name, root) in stores {
            say(format!("store {name}: {}", root.display()));
        }
        let data = config::data(directory);
        let alerts = Alerts::of(&programs.analyst, &data);
        let health = Health::of(&programs.analyst, &data);
        Ok(Self {
            sensor,
            collector,
            alerts,
            health,
        })
    }

    /// Shows health and alerts until asked to stop, or with `once` until an alert is settled.
    fn watch(&mut self, once: bool, stop: &Stop) -> Result<()> {
        say("watching; Ctrl-C ends it");
        while !stop.is_asked() {
            let settled = self.turn()?;
            if once && !settled.is_empty() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Commits the theft, shows its alert and checks it.
    fn demonstrate(
        &mut self,
        demo: &Demo,
        directory: &Path,
        once: bool,
        stop: &Stop,
    ) -> Result<()> {
        self.turn()?;
        let namespace = Namespace::make('u')?;
        let sink = Sink::start(&namespace)?;
        say(format!(
            "theft: curl uploads {} to {}",
            demo.root.display(),
            sink.address
        ));
        let moved = theft::commit(DEMO_STORE, &demo.root, &demo.sizes, &sink, directory)?;
        let begin = Instant::now();
        say(format!(
            "theft: {} records, {} bytes read, {} bytes received at {}",
            moved.records, moved.bytes_read, moved.bytes_sent, moved.destination
        ));
        let alert = self.await_alert(&moved, begin, stop)?;
        say(format!(
            "settled alert {} after the theft",
            human(begin.elapsed())
        ));
        judge(&alert, &moved)?;
        if once {
            Ok(())
        } else {
            self.watch(false, stop)
        }
    }

    fn await_alert(&mut self, moved: &Moved, begin: Instant, stop: &Stop) -> Result<Alert> {
        let destination = moved.destination;
        loop {
            let settled = self.turn()?;
            if let Some(alert) = settled
                .into_iter()
                .find(|alert| alert.destination == destination)
            {
                return Ok(alert);
            }
            if stop.is_asked() {
                bail!("stopped before the alert was settled");
            }
            if begin.elapsed() > ALERT_LIMIT {
                let known = self.alerts.known();
                bail!(
                    "no settled alert to {destination} after {}; alerts so far: {known:?}",
                    human(ALERT_LIMIT)
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Looks once at both daemons and the alerts, and prints what is new; gives the alerts that were settled since.
    fn turn(&mut self) -> Result<Vec<Alert>> {
        if let Some(status) = self.collector.check()? {
            say(format!("collector: {status}"));
        }
        if let Some(status) = self.sensor.check()? {
            say(format!("sensor: {status}"));
        }
        if let Some(page) = self.health.news()? {
            show(&page)?;
        }
        let mut settled = Vec::new();
        for alert in self.alerts.news()? {
            if alert.settled {
                show(&self.alerts.show(&alert.id)?)?;
                settled.push(alert);
            } else {
                say(format!("alert {} (grows): {}", alert.id, alert.line()));
            }
        }
        Ok(settled)
    }

    /// Stops the sensor, which hands over what it holds, then the collector.
    fn stop(self) -> Result<()> {
        let Self {
            sensor,
            collector,
            alerts: _,
            health,
        } = self;
        let sensor = sensor.stop();
        // The last word on the books, which came while the sensor stopped.
        let shown = health.page().and_then(|page| show(&page));
        let collector = collector.stop();
        say("sensor and collector have stopped");
        sensor.and(collector).and(shown)
    }
}

/// Prints a page of the analyst's command line; pages are results and go to standard output.
fn show(page: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{page}").context("failed to print")
}

/// Where the collector says it listens: the port is the kernel's choice.
pub(crate) fn listening(collector: &Service) -> Result<SocketAddr> {
    let status = collector.status();
    let address = status
        .strip_prefix("listening on ")
        .and_then(|address| address.split(',').next()?.parse().ok());
    address.with_context(|| format!("the collector did not say where it listens, but {status:?}"))
}

/// The command that runs a daemon with a configuration.
pub(crate) fn daemon(program: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(file);
    command
}

fn judge(alert: &Alert, moved: &Moved) -> Result<()> {
    let differences = check::differences(alert, moved);
    if differences.is_empty() {
        say(
            "checked: store, records, bytes read, bytes sent, destination and processes are exactly what was moved",
        );
        return Ok(());
    }
    bail!(
        "the alert is not what happened:\n  {}",
        differences.join("\n  ")
    )
}

fn parse_store(text: &str) -> Result<Store, String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH")?;
    if name.is_empty() {
        return Err("the store has no name; write NAME=PATH".to_owned());
    }
    let root = Path::new(path)
        .canonicalize()
        .map_err(|error| format!("{path}: {error}"))?;
    if !root.is_dir() {
        return Err(format!("{path} is no directory"));
    }
    Ok((name.to_owned(), root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_name_and_a_directory() {
        assert_eq!(
            parse_store("pacs=/usr/.").unwrap(),
            ("pacs".to_owned(), PathBuf::from("/usr"))
        );
        for (text, reason) in [
            ("pacs", "NAME=PATH"),
            ("=/usr", "no name"),
            ("p=/etc/passwd", "no directory"),
            ("p=/nowhere", "/nowhere"),
        ] {
            let error = parse_store(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
