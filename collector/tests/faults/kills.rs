//! The collector is killed: at random moments, and at each of its writes.

use std::process::Command;
use std::time::Duration;

use crate::daemon::{Collector, Place, Start, has};
use crate::disk::model::Dice;
use crate::story::{Acknowledged, Story, deliver, runtime};
use crate::{is_long, telling};

/// Lives of a log in a short run and in a long one, and how often the collector is killed in each.
const LIVES: u64 = 8;
const LIVES_LONG: u64 = 400;
const KILLS: u64 = 5;
/// Microseconds after a start within which a collector is killed.
const WITHIN_US: usize = 250_000;
/// Calls that change files.
const WRITES: &str = "write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink";

/// While sensors deliver, and while it starts.
pub(crate) fn at_random_moments() {
    let story = Story::of(60, 2_000);
    for seed in 0..if is_long() { LIVES_LONG } else { LIVES } {
        telling(
            || format!("in life {seed}"),
            || killed_at_random(&story, seed),
        );
    }
}

fn killed_at_random(story: &Story, seed: u64) {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let mut dice = Dice(seed);
    for _ in 0..KILLS {
        let moment = Duration::from_micros(dice.below(WITHIN_US) as u64);
        let began = std::time::Instant::now();
        let started = Collector::begin(&place, |_| {}, || began.elapsed() > moment);
        let Start::Ready(collector) = started else {
            continue;
        };
        runtime().block_on(async {
            let left = moment.saturating_sub(began.elapsed());
            tokio::select! {
                _ = deliver(story, &collector.address, &acknowledged) => {}
                () = tokio::time::sleep(left) => {}
            }
        });
        collector.kill();
    }
    let collector = Collector::start(&place);
    let delivered = runtime().block_on(deliver(story, &collector.address, &acknowledged));
    delivered.unwrap();
    collector.stop();
    story.check(&place, &acknowledged);
}

/// What is missing here for [`at_each_write`].
pub(crate) fn lacks() -> Option<String> {
    let traces = || Command::new("strace").args(["-qq", "true"]).output();
    if !has("strace") {
        return Some("no strace(1) here".to_owned());
    }
    let works = traces().is_ok_and(|output| output.status.success());
    (!works).then(|| "strace(1) may not trace here".to_owned())
}

/// In place of the n-th call that writes of any of its threads, for all n.
pub(crate) fn at_each_write() {
    let story = Story::of(8, 0);
    let (mut call, mut outlived) = (1, 0);
    // Threads are counted each by itself; the last calls are those of the thread that writes most.
    while outlived < 3 {
        let was_killed = telling(
            || format!("killed at call {call} of a thread"),
            || killed_at(&story, call),
        );
        outlived = if was_killed { 0 } else { outlived + 1 };
        call += if is_long() || call < 4 { 1 } else { 3 };
    }
    assert!(call > 20, "{call} calls");
}

/// Answers whether it was killed before all was done.
fn killed_at(story: &Story, call: u64) -> bool {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let traced = |command: &mut Command| {
        let collector = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut strace = Command::new("strace");
        // The collector stays this program's child, so that it can be waited for.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
        strace.args(["-e", &format!("trace={WRITES}")]);
        strace.args(["-e", &format!("inject={WRITES}:signal=KILL:when={call}")]);
        strace.arg(collector).args(arguments);
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        *command = strace;
    };
    let mut was_killed = true;
    if let Start::Ready(mut collector) = Collector::begin(&place, traced, || false) {
        let delivered = runtime().block_on(deliver(story, &collector.address, &acknowledged));
        was_killed = delivered.is_err();
        assert!(was_killed || collector.runs(), "it ended by itself");
    }
    let collector = Collector::start(&place);
    let delivered = runtime().block_on(deliver(story, &collector.address, &acknowledged));
    delivered.unwrap();
    collector.stop();
    story.check(&place, &acknowledged);
    was_killed
}
