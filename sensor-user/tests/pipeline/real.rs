//! The real collector beside the sensor's own binary, where both are built.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use sensor_user::link::Files;

/// Ports that the kernel gives to no outgoing connection: nobody takes one of them while a collector is away.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A collector that runs; killed when dropped.
pub(crate) struct Real {
    pub(crate) place: tempfile::TempDir,
    program: PathBuf,
    /// None while it is dead.
    child: Option<Child>,
    pub(crate) port: u16,
}

impl Real {
    /// Starts one; `None`, said in a line that `cargo xtask test` finds, where it is not built.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            skip("chartwatch-collector is not built beside the sensor");
            return None;
        };
        let place = tempfile::tempdir().unwrap();
        let port = free_port();
        let data = place.path().join("data");
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\ndata_dir = \"{}\"\n",
            data.display()
        );
        std::fs::write(place.path().join("collector.toml"), config).unwrap();
        let mut real = Self {
            place,
            program,
            child: None,
            port,
        };
        real.start_again();
        Some(real)
    }

    /// Starts it where it was, unless it runs.
    pub(crate) fn start_again(&mut self) {
        if self.is_alive() {
            return;
        }
        let socket = self.place.path().join("notify");
        std::fs::remove_file(&socket).ok();
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let said = self.place.path().join("collector.said");
        let said = std::fs::File::options()
            .append(true)
            .create(true)
            .open(said)
            .unwrap();
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.place.path().join("collector.toml"))
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        self.child = Some(child);
        assert_eq!(listening(&notify), self.port);
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.child.is_some()
    }

    /// Ends it as it is.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A file with a token for a sensor.
    pub(crate) fn token(&self, sensor: &str) -> PathBuf {
        let output = Command::new(&self.program)
            .args(["token", "--sensor", sensor, "--address"])
            .arg(format!("localhost:{}", self.port))
            .arg("--config")
            .arg(self.place.path().join("collector.toml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let file = self.place.path().join(format!("token-{sensor}"));
        let mut options = std::fs::OpenOptions::new();
        let mut out = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .unwrap();
        std::io::Write::write_all(&mut out, &output.stdout).unwrap();
        file
    }

    /// Runs a command of `chartwatch-collector` on the same data.
    pub(crate) fn command(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--config")
            .arg(self.place.path().join("collector.toml"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    /// What the analyst's program says; `None`, said as a skip, where it is not built.
    pub(crate) fn analyst(&self, arguments: &[&str]) -> Option<String> {
        let program = self.program.with_file_name("chartwatch");
        if !program.exists() {
            skip("chartwatch is not built beside the sensor");
            return None;
        }
        let output = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(self.place.path().join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// Bytes read, per access, in the order of the log; `None` as with `analyst`.
    pub(crate) fn amounts(&self) -> Option<Vec<u64>> {
        let text = self.analyst(&["events"])?;
        let amount = |line: &str| {
            let at = line.find("\"bytes_read\":")? + "\"bytes_read\":".len();
            let digits = line[at..].split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Some(text.lines().filter_map(amount).collect())
    }

    /// Files of a sensor whose certificate has a tenth of its life left.
    pub(crate) fn aged(&self, files: &Files, name: &str) {
        let pki = self.place.path().join("data/pki");
        let key = KeyPair::from_pem(&std::fs::read_to_string(pki.join("ca.key")).unwrap()).unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name = DistinguishedName::new();
        authority
            .distinguished_name
            .push(DnType::CommonName, "Chartwatch collector CA");
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let now = std::time::SystemTime::now();
        params.not_before = (now - Duration::from_mins(9)).into();
        params.not_after = (now + Duration::from_mins(1)).into();
        let own = KeyPair::generate().unwrap();
        let certificate = params
            .signed_by(&own, &Issuer::new(authority, key))
            .unwrap();
        let directory = files.identity.parent().unwrap();
        std::fs::create_dir_all(directory).unwrap();
        std::fs::copy(pki.join("ca.pem"), &files.ca).unwrap();
        std::fs::write(&files.identity, own.serialize_pem() + &certificate.pem()).unwrap();
        std::fs::set_permissions(&files.identity, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The sensor's files, and where its configuration is.
    pub(crate) fn files(&self) -> (Files, PathBuf) {
        let below = self.place.path().join("sensor");
        let files = Files {
            identity: below.join("identity.pem"),
            ca: below.join("ca.pem"),
        };
        let config = self.place.path().join("sensor.toml");
        let text = format!(
            "sensor_id = \"sensor-1\"\n[collector]\naddress = \"https://localhost:{}\"\nidentity = \"{}\"\nca = \"{}\"\n\
             [privacy]\nkey_file = \"{}\"\n[[store]]\nname = \"pacs\"\npath = \"{}\"\n",
            self.port,
            files.identity.display(),
            files.ca.display(),
            below.join("token.key").display(),
            self.place.path().display()
        );
        std::fs::write(&config, text).unwrap();
        (files, config)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let length = u32::from(PORTS.end - PORTS.start);
    let candidates = std::iter::repeat_with(|| {
        let number = std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed);
        PORTS.start + (number % length) as u16
    });
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut candidates = candidates.take(length as usize);
    candidates.find(is_free).expect("a free port")
}

/// The hospital's key, as the collector has it.
pub(crate) fn names_key(collector: &Real) -> Vec<u8> {
    std::fs::read(collector.place.path().join("data/keys/token.key")).unwrap()
}

/// The collector that is built beside the sensor, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let sensor = Path::new(env!("CARGO_BIN_EXE_chartwatch-sensor"));
    let program = sensor.with_file_name("chartwatch-collector");
    program.exists().then_some(program)
}

pub(crate) fn listening(notify: &UnixDatagram) -> u16 {
    let mut buffer = [0; 4096];
    loop {
        let length = notify.recv(&mut buffer).unwrap();
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Some(address) = told
            .lines()
            .find_map(|line| line.strip_prefix("STATUS=listening on "))
            .and_then(|status| status.split(',').next())
        {
            return address.rsplit(':').next().unwrap().parse().unwrap();
        }
    }
}

/// Runs `chartwatch-sensor enroll`.
pub(crate) fn enroll(config: &Path, token: &Path, more: &[&str]) -> (i32, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_chartwatch-sensor"))
        .args(["enroll", "--config"])
        .arg(config)
        .arg("--token-file")
        .arg(token)
        .args(more)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

pub(crate) fn mode(file: &Path) -> u32 {
    file.metadata().unwrap().permissions().mode() & 0o777
}

#[expect(
    clippy::explicit_write,
    reason = "eprintln! is captured by the test harness"
)]
pub(crate) fn skip(reason: &str) {
    use std::io::Write as _;
    // Past the test harness's capture, so that it is seen when the test passes.
    writeln!(std::io::stderr(), "SKIPPED: {reason}").unwrap();
}
