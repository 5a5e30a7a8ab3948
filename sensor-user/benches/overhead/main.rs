//! What watching costs: guest instructions that an operation takes with nothing loaded, with programs that only count,
//! with the sensor, and with its peers.
//!
//! Run by `cargo xtask bench overhead` in a virtual machine whose clock counts instructions; elsewhere the figures are
//! cycles and mean little. The arguments name the settings. This process loads what a setting needs; a second one, the
//! same program anew, performs the operations, so it is alike in all settings and not the sensor itself.
//!
//! With `--workloads` it is whole workloads instead, everybody's work in one figure.
//!
//! Prints `row {"op", "setting", "instructions", "own"}` for each operation: the median of an operation for its caller,
//! and what the process of the sensor or of a peer spent on each, where there is one.

mod act;
mod floor;
mod listen;
mod operations;
mod peers;
mod sensor;
mod setting;
mod workloads;

use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use sensor_user::config::Backend;

use self::act::{ACTOR, Actor};
use self::listen::LISTENER;
use self::setting::{Ground, Setting};

/// What the sensor spends on a second in which nothing happens is a row too.
const IDLE: &str = "an idle second";
/// Has empty programs attached, for measurements by others.
const HOLD: &str = "hold";
/// Has whole workloads measured instead of single operations.
const WHOLE: &str = "--workloads";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [role, directory] if role == ACTOR => act::serve(directory.as_ref()),
        [role] if role == HOLD => floor::hold(),
        [role, path] if role == LISTENER => listen::listen(path.as_ref()),
        _ => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let backend = backend()?;
    let whole = arguments.iter().any(|a| a == WHOLE);
    let mut out = io::stdout();
    let ground = Ground::new(whole).context("failed to make the files to work on")?;
    rehearse(&ground, whole)?;
    for name in arguments.iter().filter(|a| !a.starts_with("--")) {
        measure(Setting::of(name)?, backend, &ground, whole, &mut out)
            .with_context(|| format!("setting {name}"))?;
    }
    Ok(())
}

fn backend() -> Result<Backend> {
    Ok(match std::env::var("CHARTWATCH_BACKEND").as_deref() {
        Ok("lsm") => Backend::Lsm,
        Ok("fentry") => Backend::Fentry,
        Ok("tracepoint") => Backend::Tracepoint,
        _ => bail!(
            "CHARTWATCH_BACKEND names none of lsm, fentry, tracepoint; `cargo xtask bench overhead` sets it"
        ),
    })
}

/// Performs everything once for nobody: the first time, the kernel has memory to find.
fn rehearse(ground: &Ground, whole: bool) -> Result<()> {
    let mut actor = Actor::start(ground.directory(Setting::Nothing))?;
    for operation in operations::NAMES {
        actor.perform(operation)?;
    }
    if whole {
        for (name, _) in workloads::WORKLOADS {
            actor.work(name)?;
        }
    }
    actor.end()
}

fn measure(
    setting: Setting,
    backend: Backend,
    ground: &Ground,
    whole: bool,
    out: &mut dyn io::Write,
) -> Result<()> {
    let watched = setting.begin(backend, ground)?;
    let mut actor = Actor::start(ground.directory(setting))?;
    if setting.is_tainted() {
        actor.touch(&ground.one_record())?;
    }
    let idle = watched.idle()?;
    if whole {
        for (name, _) in workloads::WORKLOADS {
            let taken = workloads::measure(&mut actor, name, &watched, idle)?;
            print(name, setting, taken, None, out)?;
        }
    } else {
        print(IDLE, setting, 0, watched.own_per_second(idle)?, out)?;
        for operation in operations::NAMES {
            let begin = watched.spent()?;
            let figures = actor.perform(operation)?;
            let own = watched.cost_in_round(&begin, idle, figures.times)?;
            print(operation, setting, figures.median, own, out)?;
        }
    }
    actor.end()?;
    watched.end()
}

fn print(
    operation: &str,
    setting: Setting,
    instructions: u64,
    own: Option<u64>,
    out: &mut dyn io::Write,
) -> Result<()> {
    let row = serde_json::json!({
        "op": operation,
        "setting": setting.name(),
        "instructions": instructions,
        "own": own,
    });
    Ok(writeln!(out, "row {row}")?)
}
