//! A collector that is started, killed, or found dead, and the analyst's command beside it.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nothing in these tests takes so long; it bounds a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A configuration, and where the data is.
pub(crate) struct Place {
    own: tempfile::TempDir,
    pub(crate) data: PathBuf,
}

impl Place {
    /// One whose data is in a directory of its own, without TLS.
    pub(crate) fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let data = own.path().join("data");
        Self::write(own, data, "tls = \"off\"\n")
    }

    /// One whose data is in a directory that is or will be there; with `more` in its configuration.
    pub(crate) fn at(data: PathBuf, more: &str) -> Self {
        Self::write(tempfile::tempdir().unwrap(), data, more)
    }

    fn write(own: tempfile::TempDir, data: PathBuf, more: &str) -> Self {
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n{more}",
            data.display()
        );
        std::fs::write(own.path().join("collector.toml"), text).unwrap();
        Self { own, data }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.own.path().join("collector.toml")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// Has a token made; answers whether that went well.
    pub(crate) fn token(&self) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"));
        command.args(["token", "--sensor", "ws-1", "--address", "localhost:1"]);
        command.arg("--config").arg(self.config());
        command.output().unwrap().status.success()
    }

    /// The alerts as the analyst gets them, by id.
    pub(crate) fn alerts(&self) -> Vec<serde_json::Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch"));
        command.arg("--data").arg(&self.data);
        command.arg("--config").arg(self.config());
        let output = command.args(["alerts", "--json"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let mut alerts: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        alerts.sort_by_key(|alert| alert["id"].to_string());
        alerts
    }
}

/// How a start went.
pub(crate) enum Start {
    Ready(Collector),
    /// It ended by itself, and what it had said until then.
    Ended(ExitStatus, String),
    /// What was waited for came first; it was killed.
    Overtaken,
}

/// A collector that runs; killed when dropped.
pub(crate) struct Collector {
    child: Child,
    pub(crate) address: String,
    said: PathBuf,
}

impl Collector {
    /// Starts one that must come up.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_as(place, |_| {})
    }

    /// The same, with something changed about how it is run.
    pub(crate) fn start_as(place: &Place, change: impl FnOnce(&mut Command)) -> Self {
        match Self::begin(place, change, || false) {
            Start::Ready(collector) => collector,
            Start::Ended(status, said) => panic!("the collector ended with {status}:\n{said}"),
            Start::Overtaken => unreachable!("nothing was waited for"),
        }
    }

    /// Starts one and waits until it is ready, has ended, or something else is so.
    pub(crate) fn begin(
        place: &Place,
        change: impl FnOnce(&mut Command),
        mut is_overtaken: impl FnMut() -> bool,
    ) -> Start {
        let socket = place.file("notify");
        // What an earlier one was told on.
        if socket.exists() {
            std::fs::remove_file(&socket).unwrap();
        }
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let said = place.file("said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"));
        command.args(["run", "--config"]).arg(place.config());
        command.env("NOTIFY_SOCKET", &socket);
        change(&mut command);
        command.stdout(Stdio::null());
        command.stderr(File::create(&said).unwrap());
        let mut collector = Self {
            child: command.spawn().unwrap(),
            address: String::new(),
            said,
        };
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(address) = listening(&notify) {
                collector.address = address;
                return Start::Ready(collector);
            }
            if let Some(status) = collector.child.try_wait().unwrap() {
                return Start::Ended(status, collector.said());
            }
            if is_overtaken() {
                collector.kill();
                return Start::Overtaken;
            }
        }
        panic!("the collector does not come up:\n{}", collector.said());
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap()).into_owned()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; it must end well.
    pub(crate) fn stop(self) {
        self.stop_unless(|| false);
    }

    /// SIGTERM; it must end well, or is killed when something else is so first.
    pub(crate) fn stop_unless(mut self, mut is_overtaken: impl FnMut() -> bool) {
        self.signal("TERM");
        let mut ended = None;
        until("the collector to stop", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some() || is_overtaken()
        });
        if let Some(status) = ended
            && !is_overtaken()
        {
            assert!(status.success(), "{status}\n{}", self.said());
        }
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.end();
    }
}

fn listening(notify: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 4096];
    let length = notify.recv(&mut buffer).ok()?;
    let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let mut lines = told.lines();
    let address = lines.find_map(|line| line.strip_prefix("STATUS=listening on "))?;
    // Before that it still reads the log back, and may find it damaged.
    (!address.contains(',')).then(|| address.to_owned())
}

/// Asks again and again until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program can be run here.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).exists())
}
