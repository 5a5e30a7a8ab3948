//! Feeds that are pulled over HTTP: a thread that fetches what is due and puts it where the readers of files find it.
//!
//! Each feed has a directory below `feeds/` of the data directory, with what was pulled last and `pulled.json`, which says how that
//! went. What comes is written beside what is there, read as a feed once by way of trial, brought to the disk, and takes the place of the old
//! by one rename. Then whoever started the thread is told, once for all feeds of a round.
//!
//! **Invariant:** nothing here is seen by detection but by way of the files. **Invariant:** what does not come whole, or cannot be
//! read, changes nothing but `pulled.json`. **Invariant:** a server decides neither where something is written nor where else
//! is asked: names of files are the feed's own or UUIDs, and a redirect is an error.

mod client;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod misp;
mod place;
mod taxii;
mod whole;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::feed::{FeedConfig, Kind};
use crate::text;
use client::Client;
pub use client::is_loopback;
use error::PullError;
use place::State;

/// Directory of the data directory for feeds that are pulled.
const FEEDS_DIR: &str = "feeds";
/// Longest name of a feed's directory, bytes; file systems allow 255.
pub const NAME_MAX: usize = 200;
/// After how long what failed is tried again.
const RETRY: Duration = Duration::from_mins(15);
/// Shortest sleep: where nothing can be noted, no server is asked without a break.
const SLEEP_MIN: Duration = Duration::from_mins(5);
/// Longest sleep; the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_hours(1);
/// How much of the time in which an entry lasts may pass until one that is still listed begins anew.
const RENEWALS: u32 = 4;

/// Where a feed is pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullConfig {
    /// Of the file; of the collection (TAXII); of the directory (MISP).
    pub url: String,
    /// How often.
    pub every: Duration,
    /// Who asks; `None`: anybody.
    pub login: Option<Login>,
    /// Certificates, PEM, of those who may vouch for the server, in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Name and password of HTTP's basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// File with the password, which nobody but its owner may read.
    pub password_file: PathBuf,
}

/// How pulling a feed went.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pulled {
    /// When it last came whole or was found unchanged, seconds since the Unix epoch.
    pub succeeded_s: Option<u64>,
    /// When it was last tried, seconds since the Unix epoch.
    pub tried_s: Option<u64>,
    /// What was wrong then.
    pub problem: Option<String>,
}

/// What a feed's directory is called: its name, with what could mean something in a path written as `%` and two digits.
pub fn directory(name: &str) -> String {
    place::percent(name, "-_")
}

/// Where a feed that is pulled is kept.
pub(super) fn kept(data_dir: &Path, name: &str, kind: Kind) -> PathBuf {
    let feeds = data_dir.join(FEEDS_DIR);
    feeds.join(directory(name)).join(kind.name())
}

/// How pulling a feed went; `None` for one that is carried here.
pub(super) fn told(config: &FeedConfig) -> Option<Pulled> {
    let pull = config.pull.as_ref()?;
    let state = State::read(config, pull);
    Some(Pulled {
        succeeded_s: state.succeeded_s,
        tried_s: state.tried_s,
        problem: state.problem,
    })
}

/// Starts the thread. It pulls what `feeds` has when it is due, what failed also whenever `feeds` is sent anew, calls `changed` after a round
/// in which something came that is new, and ends when the sender of `feeds` is dropped: at once while it waits, else with the next bytes that come. What is returned
/// resolves when it has ended.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    feeds: watch::Receiver<Vec<FeedConfig>>,
    runtime: Handle,
    changed: impl Fn() + Send + 'static,
) -> Result<oneshot::Receiver<()>, std::io::Error> {
    let (ended, end_seen) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("pull".into())
        .spawn(move || {
            run(feeds, &runtime, changed);
            drop(ended);
        })?;
    Ok(end_seen)
}

fn run(mut feeds: watch::Receiver<Vec<FeedConfig>>, runtime: &Handle, changed: impl Fn()) {
    let mut is_asked_for = false;
    loop {
        let configs = feeds.borrow_and_update().clone();
        if round(&configs, &feeds, is_asked_for) {
            changed();
        }
        if is_over(&feeds) {
            return;
        }
        let wait = sleep_for(&configs, now_s());
        let waited = runtime.block_on(async { tokio::time::timeout(wait, feeds.changed()).await });
        if matches!(waited, Ok(Err(_))) {
            return;
        }
        is_asked_for = waited.is_ok();
    }
}

/// Pulls all that is due, until there is another configuration; true when something new came. What failed is due when somebody asks for it.
fn round(
    configs: &[FeedConfig],
    feeds: &watch::Receiver<Vec<FeedConfig>>,
    is_asked_for: bool,
) -> bool {
    let mut any = false;
    for config in configs {
        if feeds.has_changed().unwrap_or(true) {
            break;
        }
        any |= pull_if_due(config, now_s(), is_asked_for, &|| is_over(feeds));
    }
    any
}

fn is_over(feeds: &watch::Receiver<Vec<FeedConfig>>) -> bool {
    feeds.has_changed().is_err()
}

/// How long nothing is due.
fn sleep_for(configs: &[FeedConfig], now_s: u64) -> Duration {
    let next = configs.iter().filter_map(|config| {
        let pull = config.pull.as_ref()?;
        Some(due_s(config, pull, &State::read(config, pull), now_s))
    });
    let next_s = next.min().unwrap_or(u64::MAX);
    Duration::from_secs(next_s.saturating_sub(now_s)).clamp(SLEEP_MIN, SLEEP_MAX)
}

/// When a feed is due, seconds since the Unix epoch; 0: at once.
fn due_s(config: &FeedConfig, pull: &PullConfig, state: &State, now_s: u64) -> u64 {
    let wait = match (state.tried_s, &state.problem) {
        // Never, or by a clock that was ahead.
        (None, _) => return 0,
        (Some(tried_s), _) if tried_s > now_s => return 0,
        (Some(_), None) if !config.path.exists() => return 0,
        (Some(_), None) => pull.every,
        (Some(_), Some(_)) => pull.every.min(RETRY),
    };
    state.tried_s.unwrap_or(0).saturating_add(wait.as_secs())
}

/// Pulls a feed that is due, or that failed and is asked for, and notes how that went; true when something new came.
fn pull_if_due(
    config: &FeedConfig,
    now_s: u64,
    is_asked_for: bool,
    is_over: &dyn Fn() -> bool,
) -> bool {
    let Some(pull) = &config.pull else {
        return false;
    };
    let mut state = State::read(config, pull);
    let is_tried_again = is_asked_for && state.problem.is_some();
    if due_s(config, pull, &state, now_s) > now_s && !is_tried_again {
        return false;
    }
    let came = fetch(config, pull, &mut state, now_s, is_over);
    if matches!(came, Err(PullError::Stopped)) {
        return false;
    }
    state.tried_s = Some(now_s);
    state.problem = came.as_ref().err().map(ToString::to_string);
    if came.is_ok() {
        state.succeeded_s = Some(now_s);
    }
    tell(config, &came);
    if let Err(error) = state.write(config) {
        tracing::warn!(feed = text::clean(&config.name), %error, "how pulling went could not be noted; it is pulled again soon");
    }
    came.unwrap_or(false)
}

/// Fetches a feed and puts it in its place; true when it is new, or its entries begin anew. A `state` that comes back with an error is of
/// no worth but for what it was.
fn fetch(
    config: &FeedConfig,
    pull: &PullConfig,
    state: &mut State,
    now_s: u64,
    is_over: &dyn Fn() -> bool,
) -> Result<bool, PullError> {
    place::make_directory(config)?;
    let client = Client::new(pull, is_over)?;
    let mut news = state.clone();
    let is_new = match config.kind {
        Kind::List | Kind::Warnings | Kind::Onionoo | Kind::Stix => {
            whole::pull(config, pull, &client, &mut news)
        }
        Kind::Misp => misp::pull(config, pull, &client, &mut news),
        Kind::Taxii => taxii::pull(config, pull, &client, &mut news, now_s),
    }?;
    *state = news;
    Ok(is_new || renewed(config)?)
}

/// Lets the entries of a feed that is as it was last anew, when part of their time is over. They are still listed.
fn renewed(config: &FeedConfig) -> Result<bool, PullError> {
    let Some(lasts) = config.lasts else {
        return Ok(false);
    };
    let failed = |source| PullError::write(&config.path, source);
    let file = std::fs::File::open(&config.path).map_err(failed)?;
    let written = file.metadata().and_then(|about| about.modified());
    let age = written.map_err(failed)?.elapsed().unwrap_or_default();
    if age < lasts / RENEWALS {
        return Ok(false);
    }
    let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
    file.set_times(now).map_err(failed)?;
    Ok(true)
}

fn tell(config: &FeedConfig, came: &Result<bool, PullError>) {
    let feed = text::clean(&config.name);
    match came {
        Ok(is_new) => tracing::info!(feed, is_new, "feed pulled"),
        Err(error) => tracing::warn!(
            feed,
            reason = text::clean(&error.to_string()),
            "the feed could not be pulled; what was pulled before counts"
        ),
    }
}

/// Seconds since the Unix epoch.
fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
