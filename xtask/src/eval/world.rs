//! The world around a scenario: two network namespaces and the servers in them.
//!
//! **Invariant:** the namespaces are gone when the value is dropped; servers are descendants of ours and ended as such.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::step::{human, tail_of};
use crate::up::netns::Namespace;

/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// A server that listens is ready when no further socket has come for so long.
const SETTLED: Duration = Duration::from_millis(300);

/// Both namespaces.
#[derive(Debug)]
pub(super) struct World {
    /// The outside world.
    pub(super) sink: Namespace,
    /// The hospital's archive and backup.
    pub(super) approved: Namespace,
}

impl World {
    /// Makes both.
    ///
    /// # Errors
    /// No privilege, or no network is free.
    pub(super) fn make() -> Result<Self> {
        Ok(Self {
            sink: Namespace::make('s')?,
            approved: Namespace::make('a')?,
        })
    }
}

/// Starts a server's script in a namespace and waits until it is ready: it listens, has ended well, or has made the file
/// `READY` names.
///
/// # Errors
/// It failed, or was not ready in time; the error shows the end of its output.
pub(super) fn serve(
    namespace: &Namespace,
    script: &Path,
    directory: &Path,
    prepare: &dyn Fn(&mut Command),
) -> Result<Child> {
    let name = script.file_stem().unwrap_or_default().to_string_lossy();
    let log = directory.join(format!("{name}.log"));
    let ready = directory.join(format!("{name}.ready"));
    let output =
        File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let mut command = namespace.command("/bin/sh".as_ref())?;
    command.arg("-eu").arg(script);
    prepare(&mut command);
    command
        .env("READY", &ready)
        .env("HOST", namespace.host.to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("failed to share a log")?)
        .stderr(output);
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to start {}", script.display()))?;
    wait_ready(&mut child, namespace, &ready)
        .with_context(|| format!("{} failed{}", script.display(), tail_of(&log)))?;
    Ok(child)
}

fn wait_ready(child: &mut Child, namespace: &Namespace, ready: &Path) -> Result<()> {
    let begin = Instant::now();
    let mut since = (0, begin);
    loop {
        if ready.exists() {
            return Ok(());
        }
        match child.try_wait().context("failed to look at a child")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("it ended with {status}"),
            None => {}
        }
        let listening = namespace.listening()?;
        if listening != since.0 {
            since = (listening, Instant::now());
        }
        if listening > 0 && since.1.elapsed() >= SETTLED {
            return Ok(());
        }
        if begin.elapsed() > START_LIMIT {
            bail!("it was not ready after {}", human(START_LIMIT));
        }
        thread::sleep(POLL);
    }
}
