//! The coverage matrix: every way to reach a record or to send it away is gone for real, by a process of its own, and
//! what came up is held against who did it, to which record and with how many bytes.
//!
//! Needs what the kernel tests need (see `tests/kernel`). For each way it prints, after the tests, one line
//! `way NAME KERNEL BACKEND SEEN REASON`, SEEN being `yes`, `no-bytes`, `no`, or `n/a` where a way cannot be gone on this
//! machine; `cargo xtask coverage` collects them. A test fails when its act fails, or when a way is seen worse than the
//! committed results (`results.json`) say.
//!
//! **Invariant:** a way that is not seen is no failed test unless it was seen before; the matrix says it.

#[allow(dead_code, reason = "the kernel tests use the rest")]
#[path = "../kernel/actor.rs"]
mod actor;
mod calls;
mod datagrams;
mod grade;
mod handed;
mod locals;
mod maps;
mod mounts;
mod moves;
mod names;
#[path = "../kernel/pty.rs"]
mod pty;
mod reads;
mod reasons;
mod rings;
mod scene;
mod streams;
mod sys;
#[allow(dead_code, reason = "the kernel tests use the rest")]
#[path = "../kernel/watch.rs"]
mod watch;
mod way;
mod writes;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use sensor_user::event::Event;
use serde_json::Value;

use grade::Seen;
use scene::{Ended, Running};
use watch::Watch;
use way::{Act, Place, Way};

/// What was measured before, by `cargo xtask coverage --write`.
const RESULTS: &str = include_str!("results.json");

/// Three ticks of the sensor under test.
const SETTLING: Duration = Duration::from_millis(300);

/// All ways, by family.
fn ways() -> impl Iterator<Item = &'static Way> {
    let families = [
        reads::WAYS,
        maps::WAYS,
        moves::WAYS,
        rings::WAYS,
        names::WAYS,
        mounts::WAYS,
        handed::WAYS,
        writes::WAYS,
        streams::WAYS,
        datagrams::WAYS,
        locals::WAYS,
        calls::WAYS,
    ];
    families.into_iter().flatten()
}

fn main() -> ExitCode {
    if let Some(code) = actor::act(perform) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let backend = std::env::var("CHARTWATCH_BACKEND").ok();
    let missing = watch::missing(backend.as_deref());
    if let (Some(reason), false) = (&missing, arguments.list) {
        eprintln!("skipped: the coverage matrix: {reason}");
    }
    let state: Arc<Mutex<Option<State>>> = Arc::default();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let trials = ways().map(|way| {
        let (state, lines, backend) = (Arc::clone(&state), Arc::clone(&lines), backend.clone());
        Trial::test(way.name, move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (line, verdict) = run(&mut state, &backend.unwrap_or_default(), way)?;
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            verdict
        })
        .with_ignored_flag(missing.is_some())
    });
    let sound = Trial::test("the-table-is-sound", sound);
    let conclusion = libtest_mimic::run(&arguments, trials.chain([sound]).collect());
    drop(state.lock().unwrap_or_else(PoisonError::into_inner).take());
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = io::stdout().lock();
    let printed = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    if let Err(error) = printed.and_then(|()| out.flush()) {
        eprintln!("the results could not be printed: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// No two ways have one name, and every reason is for a way there is.
fn sound() -> Result<(), Failed> {
    let mut names: Vec<&str> = ways().map(|way| way.name).collect();
    if let Some(stray) = reasons::stray(&names) {
        return Err(format!("a reason is given for {stray}, which is no way").into());
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two ways are called {}", pair[0]).into()),
        None => Ok(()),
    }
}

/// What a process does that was started for an act.
fn perform(act: &str, rest: &[OsString]) -> io::Result<()> {
    let helpers: [&[(&str, Act)]; 4] = [
        handed::HELPERS,
        streams::HELPERS,
        locals::HELPERS,
        calls::HELPERS,
    ];
    let helper = || {
        helpers
            .into_iter()
            .flatten()
            .find(|(name, _)| *name == act)
            .map(|(_, helper)| *helper)
    };
    let found = ways().find(|way| way.name == act).map(|way| way.act);
    let found = found
        .or_else(helper)
        .ok_or_else(|| io::Error::other(format!("no act is called {act}")))?;
    let place = Place::from_arguments(rest)?;
    match found(&place) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            eprintln!("{error}");
            #[expect(
                clippy::exit,
                reason = "the code tells the test that this is no failure"
            )]
            std::process::exit(i32::from(scene::UNSUPPORTED))
        }
        other => other,
    }
}

/// The sensor, and the acts that were begun before it.
struct State {
    watch: Watch,
    early: BTreeMap<&'static str, Running>,
    /// What came up of them at the sensor's start.
    at_start: Vec<Event>,
    kernel: String,
}

impl State {
    fn start(backend: &str) -> Result<Self, Failed> {
        let home = tempfile::tempdir()?;
        for directory in ["store", "second", "elsewhere"] {
            std::fs::create_dir(home.path().join(directory))?;
        }
        let content = way::content(way::LEN);
        std::fs::write(home.path().join("second/record.dcm"), content)?;
        let mut early = BTreeMap::new();
        for way in ways().filter(|way| way.early) {
            let mut running = Running::start(way, home.path())?;
            running.until_ready()?;
            early.insert(way.name, running);
        }
        let mut state = Self {
            watch: Watch::start(backend, home, &["store", "second"])?,
            early,
            at_start: Vec::new(),
            kernel: series(),
        };
        state.sentinel()?;
        state.at_start.clone_from(&state.watch.events);
        Ok(state)
    }

    /// Performs a way, and takes in what comes up until it is right, or until what was done later has come up.
    fn go(&mut self, way: &Way) -> Result<(Ended, Seen, String), Failed> {
        self.watch.forget();
        if way.early {
            self.watch.events.clone_from(&self.at_start);
        }
        let running = match self.early.remove(way.name) {
            Some(running) => running,
            None => Running::start(way, &self.watch.elsewhere())?,
        };
        let ended = running.end()?;
        let Ended::Done(done) = &ended else {
            return Ok((ended, Seen::No, String::new()));
        };
        self.watch
            .reach("the end of the process", |w| w.exited(done.pid))?;
        let seen = |w: &Watch| grade::grade(w, done, way.expect);
        if seen(&self.watch).0 < Seen::Yes {
            self.sentinel()?;
        }
        self.settle()?;
        let (seen, told) = seen(&self.watch);
        Ok((ended, seen, told))
    }

    /// Takes in what the next ticks bring, so that what should not come can.
    fn settle(&mut self) -> Result<(), Failed> {
        let end = Instant::now() + SETTLING;
        while Instant::now() < end {
            self.watch.take(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Has a record read by another process and waits until that has come up: what was done before has come up by then,
    /// or never will.
    fn sentinel(&mut self) -> Result<(), Failed> {
        let record = self.watch.store().join("sentinel");
        std::fs::write(&record, "seen")?;
        let mut cat = Command::new("cat");
        let mut child = cat.arg(&record).stdout(Stdio::null()).spawn()?;
        child.wait()?;
        let pid = child.id();
        self.watch.reach("the sentinel", |w| w.sum(pid).read == 4)
    }
}

/// Series of this machine's kernel, as results name it: `6.12`, and `6.1-rt` where the kernel preempts in real time.
fn series() -> String {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy().into_owned();
    let mut parts = release.split('.');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let plain = format!("{}.{}", part(), part());
    if system.version().to_string_lossy().contains("PREEMPT_RT") {
        plain + "-rt"
    } else {
        plain
    }
}

/// Performs a way; gives the line for the matrix, and the test's verdict.
fn run(
    state: &mut Option<State>,
    backend: &str,
    way: &Way,
) -> Result<(String, Result<(), Failed>), Failed> {
    let mut owned = match state.take() {
        Some(state) => state,
        None => State::start(backend)?,
    };
    let result = owned.go(way);
    let kernel = owned.kernel.clone();
    *state = Some(owned);
    let (ended, seen, told) = result?;
    let (word, reason) = match &ended {
        Ended::Failed(why) => return Err(format!("the act failed: {why}").into()),
        Ended::Unsupported(why) => ("n/a", why.as_str()),
        Ended::Done(_) if seen == Seen::Yes => ("yes", ""),
        Ended::Done(_) => (seen.word(), reasons::of(way.name, backend, &kernel)),
    };
    let line = format!("way {} {kernel} {backend} {word} {reason}", way.name);
    let before = before(way.name, backend, &kernel)?;
    let verdict = if word == "n/a" {
        skipped(reason)
    } else if rank(word) < before.as_deref().map_or(0, rank) {
        Err(format!("{word} instead of {}: {told}", before.unwrap_or_default()).into())
    } else {
        if word != "yes" {
            eprintln!("{}: {word}: {told}", way.name);
        }
        Ok(())
    };
    Ok((line.trim_end().to_owned(), verdict))
}

/// Says on the test's line that nothing was tested; `cargo xtask test` counts it so.
fn skipped(why: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    writeln!(out, "SKIPPED: {why}")?;
    Ok(out.flush()?)
}

/// What the committed results say of a cell.
fn before(way: &str, backend: &str, kernel: &str) -> Result<Option<String>, Failed> {
    let results: Vec<BTreeMap<String, Value>> = serde_json::from_str(RESULTS)?;
    let is_it = |row: &BTreeMap<String, Value>| {
        [("way", way), ("backend", backend), ("kernel", kernel)]
            .iter()
            .all(|(key, value)| row.get(*key).is_some_and(|own| own == value))
    };
    let row = results.into_iter().find(is_it);
    Ok(row.and_then(|row| row.get("seen")?.as_str().map(str::to_owned)))
}

/// Cells in order.
fn rank(seen: &str) -> u8 {
    match seen {
        "yes" => 3,
        "no-bytes" => 2,
        "no" => 1,
        _ => 0,
    }
}
