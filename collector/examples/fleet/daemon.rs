//! The collector under measurement: the real program, started as a service manager would, and what its process takes.
//!
//! **Invariant:** it is ended when this is dropped.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;

use crate::Outcome;

/// How long a start or an end may take: the log is read back, what is in hand is finished.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// The collector's program, with its place.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: PathBuf,
    place: PathBuf,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Daemon {
    /// Starts it in a directory, listening on a port of the kernel's choice.
    pub(crate) async fn start(program: &Path, place: &Path) -> Outcome<Self> {
        Self::start_on(program, place, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn start_on(program: &Path, place: &Path, listen: SocketAddr) -> Outcome<Self> {
        let (config, notify) = (place.join("collector.toml"), place.join("notify"));
        let data = place.join("data");
        let text = format!("listen = \"{listen}\"\ndata_dir = \"{}\"\n", data.display());
        std::fs::write(&config, text)?;
        // Of the run before.
        if notify.exists() {
            std::fs::remove_file(&notify)?;
        }
        let socket = UnixDatagram::bind(&notify)?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(place.join("collector.log"))?;
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(&config)
            // A line for each of ten thousand connections would be measured too.
            .env("RUST_LOG", "warn")
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C is for this program, which ends the collector in its turn.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut daemon = Self {
            program: program.to_owned(),
            place: place.to_owned(),
            child,
            address: listen,
        };
        daemon.address = daemon.told_address(&socket).await?;
        Ok(daemon)
    }

    /// Waits until it says that it listens, and where.
    async fn told_address(&mut self, socket: &UnixDatagram) -> Outcome<SocketAddr> {
        let mut buffer = [0; 4096];
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the collector ended with {status}{}", self.said()).into());
            }
            let Ok(received) = tokio::time::timeout(POLL, socket.recv(&mut buffer)).await else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..received?]).into_owned();
            let listening = text
                .lines()
                .find_map(|line| line.strip_prefix("STATUS=listening on "))
                .and_then(|status| status.split(',').next());
            if let Some(address) = listening {
                return Ok(address.parse()?);
            }
        }
        Err(format!("the collector was not ready in time{}", self.said()).into())
    }

    /// Stops it, and starts it again at the same address.
    pub(crate) async fn restart(&mut self) -> Outcome<()> {
        self.end().await?;
        let again = Self::start_on(&self.program, &self.place, self.address).await?;
        *self = again;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        self.end().await
    }

    async fn end(&mut self) -> Outcome<()> {
        // The child was not waited for, so the id is still its own.
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the collector ended with {status}{}", self.said()).into());
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
        Err(format!("the collector did not end in time{}", self.said()).into())
    }

    /// What it has written, from the end.
    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.place.join("collector.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines
            .into_iter()
            .rev()
            .fold(String::new(), |text, line| text + "\n  " + line)
    }

    /// Megabytes of memory that a key of `/proc/PID/status` names: `VmRSS`, or `VmHWM` for the most it ever was.
    pub(crate) fn memory_mb(&self, key: &str) -> Outcome<f64> {
        let text = std::fs::read_to_string(self.proc("status"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = number.ok_or("no such line in /proc/PID/status")?.parse()?;
        Ok(kib as f64 * 1_024.0 / 1e6)
    }

    /// CPU it has used (`proc_pid_stat(5)`, in hundredths of a second).
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let text = std::fs::read_to_string(self.proc("stat"))?;
        // The name of the program is in brackets and may hold anything.
        let (_, rest) = text.rsplit_once(')').ok_or("no /proc/PID/stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [user, system] = [11, 12].map(|index| fields.get(index).and_then(|f| f.parse().ok()));
        let ticks: u64 = user.unwrap_or(0u64) + system.unwrap_or(0u64);
        Ok(Duration::from_millis(ticks * 10))
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Whatever goes wrong here, there is nobody left to tell.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
