//! The collector under faults: power cuts, kills, disks that fail, damaged files, bad networks, wrong clocks, old backups.
//!
//! The real binaries on real file systems, or on one whose power can be cut (`disk.rs`). Each test ends with the check of `story.rs`.
//! `CHARTWATCH_LONG=1` makes thousands of rounds of what is dozens otherwise. Run as root, all of it is in a mount namespace of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

mod clock;
mod daemon;
mod damage;
mod disk;
#[allow(
    dead_code,
    reason = "shared with the black box tests, which use more of it"
)]
#[path = "../blackbox/events.rs"]
mod events;
mod kills;
mod network;
mod power;
#[allow(
    dead_code,
    reason = "shared with the black box tests, which use more of it"
)]
#[path = "../blackbox/sensor.rs"]
mod sensor;
mod story;
mod trouble;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// Set once this program is in a namespace of its own.
const APART: &str = "CHARTWATCH_FAULTS_APART";

fn main() -> ExitCode {
    let apart = std::env::var_os(APART).is_some();
    if rustix::process::geteuid().is_root() && !apart && daemon::has("unshare") {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private"]);
        again.arg(std::env::current_exe().unwrap());
        let error = again
            .args(std::env::args_os().skip(1))
            .env(APART, "1")
            .exec();
        panic!("unshare cannot be run: {error}");
    }
    let mut arguments = Arguments::from_args();
    // Each test keeps two programs busy.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials(apart)).exit_code()
}

fn trials(apart: bool) -> Vec<Trial> {
    let no_disk = match disk::lacks() {
        None if !apart => Some("no unshare(1) here".to_owned()),
        lacks => lacks,
    };
    vec![
        needs(
            None,
            "the model of the disk keeps what was synced and nothing else",
            disk::model::keeps_what_was_synced,
        ),
        needs(
            no_disk.as_deref(),
            "power cuts at small writes lose nothing acknowledged",
            power::at_small_writes,
        ),
        needs(
            no_disk.as_deref(),
            "power cuts while the log is folded into the database lose nothing acknowledged",
            power::at_checkpoints,
        ),
        needs(
            no_disk.as_deref(),
            "power cuts at the first start leave a collector that starts, and what it had said is so",
            power::at_the_first_start,
        ),
        needs(
            None,
            "kills at random moments lose nothing acknowledged",
            kills::at_random_moments,
        ),
        needs(
            kills::lacks().as_deref(),
            "kills at each write lose nothing acknowledged",
            kills::at_each_write,
        ),
        needs(
            no_disk.as_deref(),
            "a disk that fails is named, and what is acknowledged is durable all the same",
            trouble::failing,
        ),
        needs(
            no_disk.as_deref(),
            "a disk that does not answer holds up no stop for long, and it is said",
            trouble::dead,
        ),
        needs(
            no_disk.clone().or_else(trouble::lacks).as_deref(),
            "a full disk is named, and works again when there is room",
            trouble::full,
        ),
        needs(
            None,
            "connections that break in mid-message lose and double nothing",
            network::broken_in_mid_message,
        ),
        needs(
            None,
            "connections that stall or are slow hold up nobody",
            network::stalled_and_slow,
        ),
        needs(
            None,
            "batches that are doubled, swapped and dropped on the way are in the log once and in order",
            network::doubled_swapped_and_dropped,
        ),
        needs(
            None,
            "what is never acknowledged is in the log once",
            network::never_acknowledged,
        ),
        needs(
            None,
            "a damaged file is named and left alone, or what was in it is made good",
            damage::is_said_or_made_good,
        ),
        needs(
            None,
            "a damaged list of sensors is set aside and begins anew",
            damage::a_list_of_sensors_is_set_aside,
        ),
        needs(
            None,
            "after an older backup what sensors hold comes again and the rest is a gap",
            damage::an_older_backup,
        ),
        needs(
            clock::lacks().as_deref(),
            "the collector's clock may jump by years",
            clock::jumps_by_years,
        ),
        needs(
            clock::lacks().as_deref(),
            "the collector's machine may sleep for hours",
            clock::sleeps,
        ),
        needs(
            None,
            "a host's clock may jump by years",
            clock::of_a_host_jumps,
        ),
    ]
}

/// A test that is skipped, and says so, where something is missing.
fn needs(missing: Option<&str>, name: &str, test: fn()) -> Trial {
    let run = move || {
        test();
        Ok(())
    };
    let trial = Trial::test(name, run).with_ignored_flag(missing.is_some());
    match missing {
        None => trial,
        Some(missing) => trial.with_kind(format!("skipped: {missing}")),
    }
}

/// Whether there is time for thousands of rounds.
fn is_long() -> bool {
    std::env::var_os("CHARTWATCH_LONG").is_some()
}

/// So many numbers from 1 to `end`, evenly spread; the same ones again when there are not so many.
fn spread(end: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| 1 + (n * end / count + end / count / 2) % end)
}

/// Says, when something fails, what it was about.
fn telling<T>(about: impl FnOnce() -> String, test: impl FnOnce() -> T) -> T {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
    outcome.unwrap_or_else(|why| {
        eprintln!("{}", about());
        std::panic::resume_unwind(why)
    })
}
