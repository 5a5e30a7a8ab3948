//! The peers: what a Debian administrator would watch the same files with. They are set up as they come, each with a
//! process of its own, whose work is charged to the operations it followed.
//!
//! **Invariant:** a peer that does not see what happens is an error, not a cheap peer.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::listen::LISTENER;

/// How long a peer is waited for.
const PATIENCE: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// Records that the kernel may hold for auditd: none is lost, and nobody waits for room.
const BACKLOG: &str = "32768";
/// Debian's configuration, but for its place.
const AUDITD: &str = "local_events = yes
write_logs = yes
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
num_logs = 5
priority_boost = 4
name_format = NONE
max_log_file_action = ROTATE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
";

/// Says who opens what.
const TRACE: &str = r#"tracepoint:syscalls:sys_enter_openat { printf("%d %s %s\n", pid, comm, str(args->filename)); }"#;

/// A peer that runs.
pub(crate) struct Peer {
    child: Child,
    /// A thread of the kernel that works for it.
    thread: Option<u32>,
    end: fn() -> Result<()>,
}

impl Peer {
    /// auditd, with a watch on the store.
    pub(crate) fn auditd(store: &Path, home: &Path) -> Result<Self> {
        ensure!(audit_daemon()? == "0", "somebody else's auditd runs here");
        names_of_users()?;
        let settings = home.join("audit");
        fs::create_dir(&settings)?;
        let log = settings.join("audit.log");
        let text = format!("{AUDITD}log_file = {}\n", log.display());
        fs::write(settings.join("auditd.conf"), text)?;
        let mut command = Command::new("auditd");
        command.args(["-n", "-c"]).arg(&settings);
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start auditd")?;
        until("auditd runs", || {
            Ok(audit_daemon()? == child.id().to_string())
        })?;
        auditctl(&["-b", BACKLOG])?;
        let store = store.to_str().context("the store's path is no UTF-8")?;
        auditctl(&["-w", store, "-p", "rwxa", "-k", "store"])?;
        let state = auditctl(&["-s"])?;
        ensure!(said(&state, "enabled") == Some("1"), "auditd: {state}");
        Ok(Self {
            child,
            thread: Some(thread_of_kernel("kauditd")?),
            end: || auditctl(&["-D"]).map(drop),
        })
    }

    /// A listener of fanotify on the mount the store lies on.
    pub(crate) fn fanotify(store: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(LISTENER)
            .arg(store)
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the listener")?;
        let output = child.stdout.take().context("it has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "ready\n", "the listener did not start");
        Ok(Self {
            child,
            thread: None,
            end: || Ok(()),
        })
    }

    /// bpftrace, printing each open.
    pub(crate) fn bpftrace(store: &Path, home: &Path) -> Result<Self> {
        // Its version of Debian 12 looks for the tracepoints here only.
        let mount = ["-t", "debugfs", "debugfs", "/sys/kernel/debug"];
        if !Path::new("/sys/kernel/debug/tracing").exists() {
            let status = Command::new("mount").args(mount).status()?;
            ensure!(status.success(), "mount of debugfs: {status}");
        }
        let output = home.join("bpftrace.out");
        let child = Command::new("bpftrace")
            .args(["-B", "line", "-e", TRACE])
            .stdout(File::create(&output)?)
            .spawn()
            .context("failed to start bpftrace")?;
        let marker = store.join("is-it-seen");
        let name = marker.to_str().context("the store's path is no UTF-8")?;
        until("bpftrace prints", || {
            // There is no such file; the attempt to open it is printed all the same.
            let _missing = File::open(&marker);
            Ok(fs::read_to_string(&output)?.contains(name))
        })?;
        Ok(Self {
            child,
            thread: None,
            end: || Ok(()),
        })
    }

    /// What it has spent by now.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = cpu_of(self.child.id())?;
        if let Some(thread) = self.thread {
            sum += cpu_of(thread)?;
        }
        Ok(sum)
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Result<()> {
        (self.end)()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// CPU that a process has used.
fn cpu_of(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: both calls write where they are told, and the second only follows when the first has.
    let now = unsafe {
        let found = libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock);
        ensure!(found == 0, "process {pid} has no clock");
        let read = libc::clock_gettime(clock, now.as_mut_ptr());
        ensure!(read == 0, "the clock of process {pid} cannot be read");
        now.assume_init()
    };
    Ok(Duration::new(
        now.tv_sec.try_into()?,
        now.tv_nsec.try_into()?,
    ))
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..PATIENCE {
        if is_so()? {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    bail!("waited in vain until {what}")
}

fn auditctl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("auditctl")
        .args(arguments)
        .output()
        .context("failed to start auditctl")?;
    ensure!(
        output.status.success(),
        "auditctl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The pid that the kernel sends its records to, 0 for none.
fn audit_daemon() -> Result<String> {
    let state = auditctl(&["-s"])?;
    Ok(said(&state, "pid")
        .context("auditctl names no pid")?
        .to_owned())
}

/// The value in a line `KEY VALUE`.
fn said<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    state
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .map(str::trim)
}

fn thread_of_kernel(name: &str) -> Result<u32> {
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // One that has ended meanwhile is not it.
        if fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name) {
            return Ok(pid);
        }
    }
    bail!("the kernel has no thread {name}")
}

/// auditd asks for the group of its log; the machine has no users.
fn names_of_users() -> Result<()> {
    for (path, line) in [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/group", "root:x:0:\n"),
    ] {
        if !Path::new(path).exists() {
            File::create(path)?.write_all(line.as_bytes())?;
        }
    }
    Ok(())
}
