//! Runs `chartwatch-collector` and `chartwatch` as a service manager and an analyst would.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing in these tests takes so long; it bounds a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A directory with a configuration, and what runs on it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    /// `more` is added to a configuration that listens on any port, without TLS.
    pub(crate) fn new(more: &str) -> Self {
        Self::with_tls(&format!("tls = \"off\"\n{more}"))
    }

    /// `more` is added to a configuration that listens on any port, with TLS unless it says otherwise.
    pub(crate) fn with_tls(more: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let data = place.data();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n{more}",
            data.display()
        );
        std::fs::write(place.config(), text).unwrap();
        place
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("collector.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs a command of `chartwatch-collector` with the configuration.
    pub(crate) fn collector(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"));
        command.args(arguments).arg("--config").arg(self.config());
        command.output().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `chartwatch` on the data.
    pub(crate) fn chartwatch(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch"));
        if !arguments.contains(&"--data") {
            command.arg("--data").arg(self.data());
        }
        if !arguments.contains(&"--config") {
            command.arg("--config").arg(self.config());
        }
        command.args(arguments);
        command.output().unwrap()
    }

    /// Runs `chartwatch` and takes its output as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.chartwatch(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The list of alerts, asked for until it is as wanted.
    pub(crate) fn alerts_until(
        &self,
        wanted: impl Fn(&[serde_json::Value]) -> bool,
    ) -> Vec<serde_json::Value> {
        let mut seen = Vec::new();
        until("the alerts", || {
            seen.clone_from(self.json(&["alerts", "--json"]).as_array().unwrap());
            wanted(&seen)
        });
        seen
    }
}

/// Asks again and again until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A collector that runs; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    notify: UnixDatagram,
    pub(crate) address: String,
}

impl Daemon {
    /// Starts it as systemd does and waits until it says that it is ready.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    pub(crate) fn start_with(place: &Place, environment: &[(&str, &str)]) -> Self {
        Self::start_as(place, environment, Stdio::inherit())
    }

    /// The same with its log in a file, which begins anew.
    pub(crate) fn start_logging(place: &Place, log: &Path) -> Self {
        Self::start_as(place, &[], std::fs::File::create(log).unwrap().into())
    }

    fn start_as(place: &Place, environment: &[(&str, &str)], log: Stdio) -> Self {
        let socket = place.file(&format!("notify-{}", uuid::Uuid::new_v4()));
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"))
            .args(["run", "--config"])
            .arg(place.config())
            .env("NOTIFY_SOCKET", &socket)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self {
            child,
            notify,
            address: String::new(),
        };
        let ready = daemon.told("READY=1");
        let status = ready
            .lines()
            .find_map(|line| line.strip_prefix("STATUS=listening on "))
            .and_then(|status| status.split(',').next())
            .unwrap();
        status.clone_into(&mut daemon.address);
        daemon
    }

    /// Waits for a message to the service manager that holds a line.
    pub(crate) fn told(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = match self.notify.recv(&mut buffer) {
                Ok(length) => length,
                // A socket with a time limit says so when the process was stopped for a moment (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("waited for {line}: {error}"),
            };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|told| told == line) {
                return message;
            }
        }
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what it ends with.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal("TERM")
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// A signal by name, and what it ends with.
    pub(crate) fn signal(mut self, name: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
        wait(&mut self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Waits for a child to end.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut ended = None;
    until("a child to end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap()
}

/// The lines of a file that are there; none when there is no file.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}
