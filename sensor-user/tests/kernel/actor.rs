//! Processes of the tests' own making: this very binary, started again to do one thing.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// First argument of an actor.
const MARK: &str = "--act";

/// A command that runs an act.
pub(crate) fn command(act: &str, arguments: &[OsString]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(MARK)
        .arg(act)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Ok(command)
}

/// Runs the act this process was started for; nothing when it was started to test.
pub(crate) fn act(perform: impl Fn(&str, &[OsString]) -> io::Result<()>) -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let act = arguments.next()?.into_string().ok()?;
    let rest: Vec<OsString> = arguments.collect();
    Some(match perform(&act, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{act}: {error}");
            ExitCode::FAILURE
        }
    })
}

pub(crate) fn text(rest: &[OsString], at: usize) -> io::Result<&str> {
    rest.get(at)
        .and_then(|a| a.to_str())
        .ok_or_else(|| io::Error::other(format!("argument {at} is missing")))
}

pub(crate) fn path(rest: &[OsString], at: usize) -> io::Result<PathBuf> {
    text(rest, at).map(PathBuf::from)
}

pub(crate) fn address(rest: &[OsString], at: usize) -> io::Result<SocketAddr> {
    text(rest, at)?.parse().map_err(io::Error::other)
}

pub(crate) fn number(rest: &[OsString], at: usize) -> io::Result<usize> {
    text(rest, at)?.parse().map_err(io::Error::other)
}
