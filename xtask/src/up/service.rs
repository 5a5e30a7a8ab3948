//! One of our daemons as a child process, spoken with as systemd would: `READY=1` and `STATUS=` over a socket
//! (`sd_notify(3)`), `SIGTERM` to stop.
//!
//! **Invariant:** a service that was started is ended, and waited for, when the value is dropped.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::step::{human, say, tail_of};

/// How often a service is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(20);
/// How long a service may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long a service may take to stop after `SIGTERM`: it drains.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    socket: UnixDatagram,
    /// Its standard output and error.
    pub(crate) log: PathBuf,
    status: String,
    ready: bool,
    ended: bool,
}

impl Service {
    /// Starts the daemon; its log and its socket lie in `directory`.
    ///
    /// # Errors
    /// The program could not be started.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
    ) -> Result<Self> {
        let path = directory.join(format!("{name}.notify"));
        let socket = UnixDatagram::bind(&path)
            .with_context(|| format!("failed to bind {}", path.display()))?;
        socket
            .set_nonblocking(true)
            .context("failed to set up the notification socket")?;
        let log = directory.join(format!("{name}.log"));
        let output =
            File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        command
            .env("NOTIFY_SOCKET", &path)
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to share the log")?)
            .stderr(output)
            // Ctrl-C at the terminal goes to our process group; the order of stopping is ours to keep.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("failed to start the {name}"))?;
        Ok(Self {
            name,
            child,
            socket,
            log,
            status: String::new(),
            ready: false,
            ended: false,
        })
    }

    /// Waits until the daemon says that it works.
    ///
    /// # Errors
    /// It ended, said nothing in time, or `stopped` became true; the error shows the end of its log.
    pub(crate) fn wait_ready(&mut self, stopped: &dyn Fn() -> bool) -> Result<()> {
        let begin = Instant::now();
        while !self.ready {
            self.check()?;
            if stopped() {
                bail!("stopped while the {} was starting", self.name);
            }
            if begin.elapsed() > START_LIMIT {
                bail!(
                    "the {} was not ready after {}{}",
                    self.name,
                    human(START_LIMIT),
                    tail_of(&self.log)
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the daemon last said of itself.
    pub(crate) fn status(&self) -> &str {
        &self.status
    }

    /// Reads what the daemon has said; gives its status line when it is a new one.
    ///
    /// # Errors
    /// The daemon has ended, which it should not; the error shows the end of its log.
    pub(crate) fn check(&mut self) -> Result<Option<&str>> {
        let mut news = false;
        let mut buffer = [0; 4096];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => news |= self.heard(&String::from_utf8_lossy(&buffer[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("failed to read the notification socket"),
            }
        }
        if let Some(status) = self.child.try_wait().context("failed to look at a child")? {
            self.ended = true;
            bail!(
                "the {} ended with {status}{}",
                self.name,
                tail_of(&self.log)
            );
        }
        Ok(news.then_some(self.status.as_str()))
    }

    /// Asks the daemon to stop and waits until it has.
    ///
    /// # Errors
    /// It did not stop in time and was killed, or it ended with a failure.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        if status.is_some_and(|status| !status.success()) {
            bail!(
                "the {} stopped with a failure{}",
                self.name,
                tail_of(&self.log)
            );
        }
        Ok(())
    }

    /// Kills the daemon, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// It had ended by itself, or cannot be killed.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.check()?;
        self.ended = true;
        self.child
            .kill()
            .with_context(|| format!("failed to kill the {}", self.name))?;
        self.child.wait().context("failed to wait for a child")?;
        Ok(())
    }

    fn heard(&mut self, message: &str) -> bool {
        let mut news = false;
        for line in message.lines() {
            if line == "READY=1" {
                self.ready = true;
            } else if let Some(status) = line.strip_prefix("STATUS=")
                && status != self.status
            {
                status.clone_into(&mut self.status);
                news = true;
            }
        }
        news
    }

    /// Ends the child unless it has ended; gives how it ended, if that is news.
    fn end(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        // The child was not waited for, so the id is still its own.
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .with_context(|| format!("failed to stop the {}", self.name))?;
        let begin = Instant::now();
        while begin.elapsed() < STOP_LIMIT {
            if let Some(status) = self
                .child
                .try_wait()
                .context("failed to wait for a child")?
            {
                return Ok(Some(status));
            }
            thread::sleep(POLL);
        }
        self.child
            .kill()
            .with_context(|| format!("failed to kill the {}", self.name))?;
        self.child.wait().context("failed to wait for a child")?;
        bail!(
            "the {} did not stop within {} and was killed{}",
            self.name,
            human(STOP_LIMIT),
            tail_of(&self.log)
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            say(format!("{error:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn a_service_that_ends_shows_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut service =
            Service::start("test", shell("echo the reason; exit 3"), directory.path()).unwrap();
        let error = format!("{:#}", service.wait_ready(&|| false).unwrap_err());
        assert!(
            error.contains("exit status: 3") && error.contains("the reason"),
            "{error}"
        );
    }

    #[test]
    fn a_service_says_that_it_is_ready_and_how_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut service =
            Service::start("test", shell("exec sleep 600"), directory.path()).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender
            .send_to(
                b"READY=1\nSTATUS=lsm, 2 stores",
                directory.path().join("test.notify"),
            )
            .unwrap();
        service.wait_ready(&|| false).unwrap();
        assert_eq!(service.status, "lsm, 2 stores");
        assert_eq!(service.check().unwrap(), None, "the same status is no news");
        sender
            .send_to(b"STATUS=fentry", directory.path().join("test.notify"))
            .unwrap();
        assert_eq!(service.check().unwrap(), Some("fentry"));
        let error = format!("{:#}", service.stop().unwrap_err());
        assert!(
            error.contains("stopped with a failure"),
            "sleep does not handle SIGTERM: {error}"
        );
    }
}
