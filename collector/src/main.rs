//! `chartwatch-collector`: the daemon.
//!
//! Exit status: 0 stopped as asked, 1 failure, 2 wrong usage, 64 configuration that cannot be used.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use collector::admin::{self, AdminError, RevokeArgs, RolesArgs, Step, Task, TokenArgs};
use collector::audit::Who;
use collector::config::{Config, DEFAULT_FILE, EXIT_BAD_CONFIG};
use collector::intel::Intel;
use collector::log::LogError;
use collector::{Collector, Detection, StartError, text};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Longest time that a stop takes, whatever the disk does. Less than the 90 s after which systemd kills by default, so that the reason is said.
const STOP_WITHIN: Duration = Duration::from_secs(45);

/// Events are made by one thread and let go by another, which glibc's allocator pays for with a quarter of all time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  chartwatch-collector check --config ./collector.toml
  chartwatch-collector run
  sudo -u chartwatch chartwatch-collector token --sensor ward-7-pc-3 --valid 24h
  sudo -u chartwatch chartwatch-collector revoke --sensor ward-7-pc-3
  sudo -u chartwatch chartwatch-collector rotate-authority
  sudo -u chartwatch chartwatch-collector rotate-authority --status
  sudo -u chartwatch chartwatch-collector rotate-authority --finish
  sudo -u chartwatch chartwatch-collector token --analyst anna --role triage
  sudo -u chartwatch chartwatch-collector roles --analyst anna --role triage,reveal
  sudo -u chartwatch chartwatch-collector token --analyst otto --role administer

Exit status:
  0   stopped as asked, or the configuration is good
  1   failure; the last line on standard error says why
  2   wrong usage
  64  configuration, key or certificate that cannot be used; the message names file, key and reason";

/// Receives what sensors see, makes it durable, and raises an alert when patient records leave.
#[derive(Debug, Parser)]
#[command(name = "chartwatch-collector", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT, then finish what is in hand. SIGHUP reads the configuration and the feeds again: thresholds, approved
    /// ways and keepers count from then on, the log is looked through for what is new in the feeds,
    /// and feeds that could not be pulled are tried again.
    Run {
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Read the configuration, say what it means, and exit.
    Check {
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Print a one-time token with which a new sensor gets its certificate: one line, to be carried to the sensor in a file that only
    /// root can read. Run it as the collector's user.
    Token {
        #[command(flatten)]
        token: TokenArgs,
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Let a sensor in no longer: its certificates and unused tokens count no more, on open streams too. With a token made later it can
    /// be enrolled again. Run it as the collector's user.
    Revoke {
        #[command(flatten)]
        revoked: RevokeArgs,
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// List the analysts with their roles, or give one other roles, which counts at once. Run it as the collector's user.
    Roles {
        #[command(flatten)]
        roles: RolesArgs,
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Change the certificate authority for a new one, while everything runs. Without an option: make the new one beside the old one;
    /// both count from then on, and sensors get certificates of the new one, those that are connected within minutes. With --finish,
    /// later: end the old one. Sensors that were away in between must be enrolled again with a token. Run it as the collector's user.
    RotateAuthority {
        /// Say how far it is, and which sensors do not know the new authority yet; change nothing.
        #[arg(long, conflicts_with = "finish")]
        status: bool,
        /// End the old authority. Refused while sensors would be left behind.
        #[arg(long)]
        finish: bool,
        /// Finish although sensors would be left behind: they must be enrolled again.
        #[arg(long, requires = "finish")]
        without_them: bool,
        /// Configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run { config: path } => with_config(&path, |config| run(&path, config)),
        Command::Check { config } => with_config(&config, |mut config| check(&mut config)),
        Command::Token { token, config } => administer(&config, token.task()),
        Command::Revoke { revoked, config } => administer(&config, revoked.task()),
        Command::Roles { roles, config } => administer(&config, roles.task()),
        Command::RotateAuthority {
            status,
            finish,
            without_them,
            config,
        } => {
            let step = match (status, finish) {
                (true, _) => Step::Status,
                (_, true) => Step::Finish { without_them },
                (false, false) => Step::Begin,
            };
            with_config(&config, |config| {
                let mut out = std::io::stdout().lock();
                Ok(admin::rotate(&config, step, &mut out)?)
            })
        }
        Command::Completions { shell } => completions(shell),
    };
    result.unwrap_or_else(|error| {
        say(&format!("chartwatch-collector: {}", text::reasons(&error)));
        ExitCode::FAILURE
    })
}

/// Carries out a task for whoever runs this.
fn administer(config: &Path, task: Task) -> Result<ExitCode, anyhow::Error> {
    with_config(config, |config| {
        let (mut out, mut told) = (std::io::stdout().lock(), std::io::stderr().lock());
        let who = Who::runs_this();
        Ok(admin::carry_out(&config, &who, task, &mut out, &mut told)?)
    })
}

/// Reads the configuration; one that cannot be used has an exit status of its own.
fn with_config(
    path: &Path,
    then: impl FnOnce(Config) -> Result<(), anyhow::Error>,
) -> Result<ExitCode, anyhow::Error> {
    match Config::load(path) {
        Ok(config) => match then(config) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) if is_about_configuration(&error) => {
                say(&format!("chartwatch-collector: {}", text::reasons(&error)));
                Ok(ExitCode::from(EXIT_BAD_CONFIG))
            }
            Err(error) => Err(error),
        },
        Err(error) => {
            say(&format!("chartwatch-collector: {error}"));
            Ok(ExitCode::from(EXIT_BAD_CONFIG))
        }
    }
}

/// Keys and certificates belong to the configuration: trying again does not make them better.
fn is_about_configuration(error: &anyhow::Error) -> bool {
    let of_the_disk = |source: &std::io::Error| {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(
            source.kind(),
            StorageFull | QuotaExceeded | ReadOnlyFilesystem
        )
    };
    // A disk that is full is no fault of a file's name or mode, and may be well again at the next attempt.
    if error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(of_the_disk)
    {
        return false;
    }
    let start = matches!(
        error.downcast_ref(),
        Some(StartError::Identity(_) | StartError::Key(_))
    );
    let admin = matches!(
        error.downcast_ref(),
        Some(AdminError::NoAuthority | AdminError::NoAnalysts | AdminError::Identity(_))
    );
    start || admin
}

fn run(path: &Path, config: Config) -> Result<(), anyhow::Error> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start tokio")?;
    let served = runtime.block_on(serve(path, config));
    // What waits for a disk that does not answer would be waited for in turn.
    runtime.shutdown_background();
    served
}

/// Starts, tells the service manager, waits for a signal, stops.
async fn serve(path: &Path, config: Config) -> Result<(), anyhow::Error> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to wait for SIGINT")?;
    let hangup = signal(SignalKind::hangup()).context("failed to wait for SIGHUP")?;
    let collector = Collector::start(config).await.context("failed to start")?;
    tracing::info!(address = %collector.address(), "listening");
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&status(&collector, &collector.detection().borrow())),
    ]);
    let mut failed = None;
    {
        // Each beside the others: feeds that take long to read hold up neither the watchdog nor the end.
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
            () = reloads(path, &collector, hangup) => {}
            () = watchdog(&collector) => {}
            error = statuses(&collector) => failed = Some(error),
        }
    }
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing what is in hand"),
    ]);
    let mut stop = std::pin::pin!(collector.stop());
    if tokio::time::timeout(STOP_WITHIN, &mut stop).await.is_err() {
        let within_s = STOP_WITHIN.as_secs();
        tracing::error!(
            within_s,
            "not all that is in hand could be finished, as when the disk of data_dir does not answer; what was acknowledged is in the log, and sensors keep the rest"
        );
        anyhow::bail!("failed to stop in order within {within_s} s");
    }
    tracing::info!("stopped");
    failed.map_or(Ok(()), |error| {
        Err(error).context("the log cannot be read back")
    })
}

/// Reads the configuration and the feeds again whenever SIGHUP asks for it.
async fn reloads(path: &Path, collector: &Collector, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::info!("SIGHUP: reading the configuration and the feeds again");
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager could not be told"),
        }
        match Config::load(path) {
            Ok(config) => collector.reload(config).await,
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; what was read before counts");
                collector.refused(&error);
            }
        }
        notify(&[NotifyState::Ready]);
    }
}

/// What the collector does.
fn status(collector: &Collector, detection: &Detection) -> String {
    let address = collector.address();
    match detection {
        Detection::ReadsBack(at) => {
            let (pos, last) = (at.pos, at.last_pos);
            format!("listening on {address}, reading the log back: batch {pos} of {last}")
        }
        Detection::Follows => format!("listening on {address}"),
        Detection::Failed(error) => format!("stopping: {error}"),
    }
}

/// Tells the service manager what the collector does; returns when it can do no more.
async fn statuses(collector: &Collector) -> LogError {
    let mut detection = collector.detection();
    loop {
        let now = detection.borrow_and_update().clone();
        if let Detection::Failed(error) = now {
            return error;
        }
        notify(&[NotifyState::Status(&status(collector, &now))]);
        let reads_back = matches!(now, Detection::ReadsBack(_));
        let ends = detection.wait_for(|now| !matches!(now, Detection::ReadsBack(_)));
        // A second without an end is time for the next status; a thread that is gone will change nothing.
        let ends = tokio::time::timeout(Duration::from_secs(1), ends).await;
        if !reads_back || matches!(ends, Ok(Err(_))) {
            return std::future::pending().await;
        }
    }
}

/// Tells the service manager that the pipeline moves: only when a probe has come out at its end.
async fn watchdog(collector: &Collector) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut tick = tokio::time::interval(limit / 3);
    loop {
        tick.tick().await;
        match collector.probe().await {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(error) => {
                tracing::error!(%error, "the pipeline does not answer; the watchdog is not told");
            }
        }
    }
}

/// Tells the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Says what the configuration means.
fn check(config: &mut Config) -> Result<(), anyhow::Error> {
    let feeds = config.read_feeds(&Intel::default());
    let mut out = std::io::stdout().lock();
    collector::console::config(&mut out, config, &feeds).context("failed to write")
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, anyhow::Error> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "chartwatch-collector",
        &mut script,
    );
    std::io::stdout()
        .write_all(&script)
        .context("failed to write")?;
    Ok(ExitCode::SUCCESS)
}

/// To standard error; when even that is closed there is nobody to tell.
fn say(line: &str) {
    if writeln!(std::io::stderr(), "{line}").is_err() {
        tracing::debug!("standard error is closed");
    }
}
