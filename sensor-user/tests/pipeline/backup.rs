//! The real collector comes back from an older backup under a sensor that has been acknowledged more than that holds.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sensor_user::End;
use sensor_user::config::Spool;
use serde_json::Value;

use crate::bounded;
use crate::real::{listening, program, skip};
use crate::sensor::{Sensor, ample, on_disk, reads};

/// A collector without TLS that comes back at its address.
struct Real {
    place: tempfile::TempDir,
    program: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Real {
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            skip("chartwatch-collector is not built beside the sensor");
            return None;
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut real = Self {
            place: tempfile::tempdir().unwrap(),
            program,
            port: free.local_addr().unwrap().port(),
            child: None,
        };
        drop(free);
        let (data, port) = (real.data(), real.port);
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\ndata_dir = \"{}\"\ntls = \"off\"\n",
            data.display()
        );
        std::fs::write(real.config(), text).unwrap();
        real.start_again();
        Some(real)
    }

    fn start_again(&mut self) {
        let socket = self.place.path().join("notify");
        if socket.exists() {
            std::fs::remove_file(&socket).unwrap();
        }
        let notify = UnixDatagram::bind(&socket).unwrap();
        let patience = Some(Duration::from_mins(1));
        notify.set_read_timeout(patience).unwrap();
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.config())
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        assert_eq!(listening(&notify), self.port);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            assert!(child.wait().unwrap().success());
        }
    }

    fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.place.path().join("collector.toml")
    }

    fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.place.path().join(name));
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(copied.unwrap().success());
    }

    fn chartwatch(&self, command: &[&str]) -> String {
        let mut chartwatch = Command::new(self.program.with_file_name("chartwatch"));
        chartwatch.arg("--data").arg(self.data());
        chartwatch.arg("--config").arg(self.config());
        let output = chartwatch.args(command).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Bytes of all accesses in the order of the log.
    fn amounts(&self) -> Vec<u64> {
        let events = self.chartwatch(&["events"]);
        let events = events.lines().map(serde_json::from_str::<Value>);
        let amount = |event: Value| event["access"]["bytes_read"].as_u64();
        events.filter_map(|event| amount(event.unwrap())).collect()
    }

    /// Events that are missing, by what `chartwatch sensors` says.
    fn missing(&self) -> u64 {
        let sensors: Value =
            serde_json::from_str(&self.chartwatch(&["sensors", "--json"])).unwrap();
        sensors[0]["missing"].as_u64().unwrap()
    }

    async fn until(&self, newest: u64) {
        while self.amounts().last() != Some(&newest) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A sensor delivers ten accesses, a backup is made, ten more, the backup is put back, one more.
async fn restored(keep: Duration, place: &Path) -> Option<(Vec<u64>, u64)> {
    let mut real = Real::start()?;
    let disk = Spool {
        keep,
        ..on_disk(place)
    };
    let url = format!("http://127.0.0.1:{}", real.port);
    let sensor = Sensor::with_disk(url, ample(), Some(disk));
    for n in 1..=10 {
        sensor.tick(vec![reads(n, 100, 5, n)]).await;
    }
    real.until(10).await;
    real.kill();
    real.copy("data", "backup");
    real.start_again();
    for n in 11..=20 {
        sensor.tick(vec![reads(n, 100, 5, n)]).await;
    }
    real.until(20).await;
    // Acknowledged, and forgotten if it is not to be kept.
    tokio::time::sleep(Duration::from_secs(3)).await;
    real.kill();
    real.copy("backup", "data");
    real.start_again();
    sensor.tick(vec![reads(21, 100, 5, 21)]).await;
    assert_eq!(sensor.stop().await, End::Drained);
    real.until(21).await;
    // The list of sensors is whole once the collector has ended in good order.
    let amounts = real.amounts();
    real.end();
    Some((amounts, real.missing()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_from_an_older_backup_gets_again_what_is_kept() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        if let Some((amounts, missing)) = restored(Duration::from_hours(1), place.path()).await {
            assert_eq!(amounts, (1..=21).collect::<Vec<_>>());
            assert_eq!(missing, 0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_no_longer_is_a_gap_to_a_collector_from_an_older_backup() {
    bounded(async {
        let place = tempfile::tempdir().unwrap();
        if let Some((amounts, missing)) = restored(Duration::from_secs(1), place.path()).await {
            assert_eq!(amounts[..10], (1..=10).collect::<Vec<_>>());
            assert_eq!(amounts.last(), Some(&21));
            assert!(amounts.is_sorted_by(|a, b| a < b), "{amounts:?}");
            let lacking = 21 - amounts.len() as u64;
            assert!(lacking > 0 && missing >= lacking, "{missing}, {amounts:?}");
        }
    })
    .await;
}
