//! What a hospital's sensors ask of one collector: simulated sensors that speak the real protocol over TLS on loopback, against the
//! real program with its real log.
//!
//! `cargo xtask bench fleet` builds both and runs it. Prints rows of `metric, value, unit` as JSON. The sensors share the machine with the
//! collector, and so do its readers of events: what they take is missing at the collector. It ends what it started when its
//! standard input is closed, or it is asked to stop.

mod crowd;
mod daemon;
mod day;
mod identities;
mod meter;
mod phases;
mod sensor;
mod wire;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// What may go wrong here ends the measurement; a person reads why.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Files that a process needs besides its connections.
const OTHER_FILES: u64 = 200;

/// What is measured, and with what.
#[derive(Debug, Clone, Parser)]
struct Cli {
    /// Sensors.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=99_999))]
    sensors: u64,
    /// How long each load is looked at, after a warm-up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Events of a batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    events: u64,
    /// The collector's program.
    #[arg(long)]
    collector: PathBuf,
    /// An empty directory, for its data.
    #[arg(long)]
    directory: PathBuf,
}

fn main() -> Outcome<()> {
    let cli = Cli::parse();
    let files = cli.sensors + OTHER_FILES;
    raise_open_files(files)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(async {
        tokio::select! {
            rows = phases::measure(&cli) => rows,
            stopped = stopped() => Err(stopped),
        }
    });
    // Ten thousand connections are not waited for.
    runtime.shutdown_background();
    let rows: Vec<_> = measured?
        .into_iter()
        .map(|(metric, value, unit)| {
            serde_json::json!({ "metric": metric, "value": value, "unit": unit })
        })
        .collect();
    serde_json::to_writer_pretty(std::io::stdout().lock(), &rows)?;
    Ok(())
}

/// Returns when this program is to end before it is done.
async fn stopped() -> Box<dyn std::error::Error + Send + Sync> {
    let asked = async {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        // A thread of its own, since a read cannot be taken back.
        let closed = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = closed => {}
        }
        Ok::<_, std::io::Error>(())
    };
    match asked.await {
        Ok(()) => "stopped".into(),
        Err(error) => error.into(),
    }
}

/// Lets this program and the collector, which inherits it, have as many open files as they need.
fn raise_open_files(needed: u64) -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    let fits = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if fits(limit.current) {
        return Ok(());
    }
    let maximum = if fits(limit.maximum) {
        limit.maximum
    } else {
        Some(needed)
    };
    let wanted = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        let most = limit.maximum.unwrap_or(0);
        format!(
            "{needed} open files are needed and at most {most} are allowed ({error}); run as root, raise the limit with `ulimit -Hn {needed}`, or take fewer sensors"
        )
        .into()
    })
}

/// Says on standard error what is done at the moment; on a terminal in the place of what was said before.
fn say(text: &str, stays: bool) {
    let mut out = std::io::stderr().lock();
    let written = match (out.is_terminal(), stays) {
        (true, true) => writeln!(out, "\r\x1b[2K{text}"),
        (true, false) => write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush()),
        (false, true) => writeln!(out, "{text}"),
        (false, false) => Ok(()),
    };
    // Progress that nobody can read is no reason to stop.
    drop(written);
}
