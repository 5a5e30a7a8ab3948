//! `chartwatch-sensor`: parse, check, build, run, drain.
//!
//! **Invariant:** no logic lives here but the choice of the source.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use sensor_user::cli::{self, Cli, Command, Exit};
use sensor_user::config::Config;
use sensor_user::link::EnrollError;
use sensor_user::preflight::{self, Facts};
use sensor_user::source::kernel;
use sensor_user::{End, RunError, privacy};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => execute(cli.command).unwrap_or_else(|failure| failure.say()),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit as u8)
}

fn execute(command: Command) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    match command {
        Command::Run { config } => {
            drop(out);
            run(&config)
        }
        Command::Check { config } => {
            let read = Config::read(&config).map_err(with(Exit::Usage))?;
            cli::check(&config, &read, &Facts::gather(), &mut out).map_err(with(Exit::CannotCreate))
        }
        Command::Keygen { out: file } => {
            privacy::generate(&file).map_err(with(Exit::CannotCreate))?;
            writeln!(out, "made {}; copy it to the collector (privacy.key_file) before its first start, which gives it to sensors that enrol", file.display())
                .map_err(with(Exit::CannotCreate))?;
            Ok(Exit::Success)
        }
        Command::Enroll {
            token_file,
            replace,
            config,
        } => {
            let read = Config::read(&config).map_err(with(Exit::Usage))?;
            cli::enroll(&read, &token_file, replace, &mut out).map_err(enrolment)?;
            Ok(Exit::Success)
        }
        Command::Completions { shell } => {
            cli::completions(shell, &mut out);
            Ok(Exit::Success)
        }
    }
}

fn run(file: &Path) -> Result<Exit, Failure> {
    let config = Config::read(file).map_err(with(Exit::Usage))?;
    cli::key(&config).map_err(with(Exit::Usage))?;
    cli::identity(&config).map_err(with(Exit::Usage))?;
    log_to_stderr();
    for verdict in preflight::judge(&Facts::gather()) {
        if verdict.outcome.is_err() {
            return Err(with(Exit::Unavailable)(anyhow::anyhow!("{verdict}")));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the runtime")
        .map_err(with(Exit::Unavailable))?;
    let end = runtime.block_on(watch(&config));
    // A stage that did not end in time must not hold the process up.
    runtime.shutdown_background();
    match end? {
        End::Drained | End::Kept(_) | End::Forced(_) => Ok(Exit::Success),
        End::SourceEnded => Err(with(Exit::Software)(anyhow::anyhow!(
            "the hooks stopped delivering, the host is not watched"
        ))),
    }
}

async fn watch(config: &Config) -> Result<End, Failure> {
    let mut term = signal(SignalKind::terminate()).map_err(with(Exit::Unavailable))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(with(Exit::Unavailable))?;
    let asked = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let end = sensor_user::run(
        config,
        |ticks| kernel::start(&config.kernel, &config.stores, ticks),
        asked,
    )
    .await;
    end.map_err(|error| match error {
        RunError::Key(_) => with(Exit::Usage)(error),
        RunError::BootId(_) | RunError::Spool(_) | RunError::Source(_) => {
            with(Exit::Unavailable)(error)
        }
    })
}

/// Why a command failed, and what it ends with.
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn say(&self) -> Exit {
        // Many errors say why themselves; each reason is said once.
        let mut text = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        let said = writeln!(io::stderr(), "chartwatch-sensor: {text}");
        // With nowhere left to write the exit code still says it.
        said.map_or(self.exit, |()| self.exit)
    }
}

fn with<E: Into<anyhow::Error>>(exit: Exit) -> impl Fn(E) -> Failure {
    move |error| Failure {
        exit,
        error: error.into(),
    }
}

/// What an enrolment that failed ends with.
fn enrolment(error: EnrollError) -> Failure {
    let exit = match error {
        EnrollError::File(_)
        | EnrollError::Token(_)
        | EnrollError::OtherSensor { .. }
        | EnrollError::Exists(_) => Exit::Usage,
        EnrollError::Write { .. } | EnrollError::Names(_) => Exit::CannotCreate,
        EnrollError::Runtime(_)
        | EnrollError::Key(_)
        | EnrollError::Tls(_)
        | EnrollError::Connect { .. }
        | EnrollError::Refused(_)
        | EnrollError::Answer(_) => Exit::Unavailable,
    };
    with(exit)(error)
}

/// Help and version are no errors, though clap hands them over as such.
fn usage(error: &clap::Error) -> Exit {
    match error.print() {
        Ok(()) if !error.use_stderr() => Exit::Success,
        Ok(()) | Err(_) => Exit::Usage,
    }
}

fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_env("CHARTWATCH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    // The journal has its own clock and no colours.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
}
