//! Storms: more files, reads, processes and connections at once than a sensor meets on any day. What comes up must be
//! exact, or gaps must account for every missing record and byte.
//!
//! Needs what the kernel tests need (see `tests/kernel`). Run on this machine's own kernel by `cargo xtask test`, and on
//! others by `cargo xtask vm --test storms`, where they are a twentieth of the size (see `sizes.rs`).
//!
//! With them go odd stores: a thousand, one with a path of 4,000 bytes, names that are no text, a file system that goes
//! away.
//!
//! **Invariant:** nothing is judged by the time it takes.

#[allow(dead_code, reason = "the kernel tests use the rest")]
#[path = "../kernel/actor.rs"]
mod actor;
mod acts;
mod clocks;
mod crowd;
mod forest;
mod odd;
mod refusals;
mod sizes;
mod tally;
mod trouble;
#[allow(dead_code, reason = "the kernel tests use the rest")]
#[path = "../kernel/watch.rs"]
mod watch;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use watch::Watch;

/// A test: it gets the one sensor there is.
type Test = fn(&mut Watch) -> Result<(), Failed>;

/// What a sensor is started on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A store with many records.
    Forest,
    /// The same, and the smallest rings there are.
    Paged,
    /// As many stores as there may be.
    Stores,
}

/// All tests in the order they run.
const TESTS: &[(&str, Scene, Test)] = &[
    (
        "store_read_from_every_core",
        Scene::Forest,
        forest::every_core,
    ),
    (
        "record_read_byte_by_byte",
        Scene::Forest,
        forest::single_bytes,
    ),
    (
        "threads_read_the_same_and_others",
        Scene::Forest,
        forest::threads,
    ),
    ("short_processes", Scene::Forest, crowd::processes),
    ("short_connections", Scene::Forest, crowd::connections),
    (HOTPLUG, Scene::Forest, trouble::hotplug),
    (SLEEP, Scene::Forest, clocks::sleep),
    (STEPS, Scene::Forest, clocks::steps),
    ("rings_of_one_page", Scene::Paged, trouble::one_page),
    ("stores_a_thousand_of_them", Scene::Stores, odd::thousand),
    (
        "stores_with_names_that_are_no_text",
        Scene::Stores,
        odd::bytes,
    ),
    (
        "stores_that_go_away_and_come_back",
        Scene::Stores,
        odd::leaving,
    ),
];

/// The tests that need a machine of their own.
const HOTPLUG: &str = "cpus_go_and_come_back";
const SLEEP: &str = "machine_sleeps";
const STEPS: &str = "wall_clock_steps_by_years";
const PAGE: u32 = 4096;

fn main() -> ExitCode {
    if let Some(code) = actor::act(acts::perform) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let backend = std::env::var("CHARTWATCH_BACKEND").ok();
    let missing = watch::missing(backend.as_deref());
    if let (Some(reason), false) = (&missing, arguments.list) {
        eprintln!("skipped: all storms: {reason}");
    }
    let sensor: Arc<Mutex<Option<(Watch, Scene)>>> = Arc::default();
    let trials = TESTS.iter().map(|(name, scene, test)| {
        let (sensor, backend) = (Arc::clone(&sensor), backend.clone());
        let unfit = [HOTPLUG, SLEEP, STEPS].contains(name) && !sizes::is_emulated();
        Trial::test(*name, move || {
            if unfit {
                eprintln!("SKIPPED: CPUs are taken away, sleep and clocks changed only in a machine made for the tests");
                return Ok(());
            }
            let mut sensor = sensor.lock().unwrap_or_else(PoisonError::into_inner);
            run(&mut sensor, backend.as_deref(), *scene, *test)
        })
        .with_ignored_flag(missing.is_some())
    });
    let refusals = refusals::TESTS.iter().map(|(name, test)| {
        Trial::test(*name, || {
            if !refusals::is_sensor_here() {
                eprintln!("SKIPPED: the sensor's program is not in this machine");
                return Ok(());
            }
            test()
        })
        .with_ignored_flag(missing.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.chain(refusals).collect());
    end(sensor.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// Ends the sensor before what it watched is removed.
fn end(sensor: Option<(Watch, Scene)>) {
    if let Some((watch, Scene::Stores)) = sensor
        && let Err(error) = odd::clear(&watch.elsewhere())
    {
        eprintln!("{}", error.message().unwrap_or_default());
    }
}

fn run(
    sensor: &mut Option<(Watch, Scene)>,
    backend: Option<&str>,
    scene: Scene,
    test: Test,
) -> Result<(), Failed> {
    // Two sensors at once would each see the other's storms, so the one before ends first.
    if sensor.as_ref().is_none_or(|(_, of)| *of != scene) {
        sensor.take();
        *sensor = Some((start(backend.unwrap_or_default(), scene)?, scene));
    }
    let (watch, _) = sensor.as_mut().ok_or("there is no sensor")?;
    watch.forget();
    test(watch)
}

fn start(backend: &str, scene: Scene) -> Result<Watch, Failed> {
    let home = tempfile::tempdir()?;
    if scene == Scene::Stores {
        let stores = odd::make(home.path())?;
        let names: Vec<&str> = stores.iter().map(String::as_str).collect();
        return Watch::start(backend, home, &names);
    }
    forest::plant(&home.path().join("store"))?;
    Watch::with(backend, home, &["store"], |settings| {
        if scene == Scene::Paged {
            settings.bulk_ring_bytes = PAGE;
            settings.critical_ring_bytes = PAGE;
        }
    })
}
