//! The real collector's authority is changed for another while the sensor delivers, or while it is away.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sensor_user::End;

use super::bounded;
use super::real::{self, Real};
use super::sensor::{Sensor, ample, reads, starts};

/// What all sensors of this process have logged, from when this was asked first.
fn logged() -> String {
    static SAID: OnceLock<&'static Mutex<Vec<u8>>> = OnceLock::new();
    struct Into(&'static Mutex<Vec<u8>>);
    impl Write for Into {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let said = SAID.get_or_init(|| {
        let said: &Mutex<Vec<u8>> = Box::leak(Box::default());
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Into(said))
            .try_init()
            .unwrap();
        said
    });
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&said).into_owned()
}

fn rotate(collector: &Real, more: &[&str]) -> (i32, String) {
    collector.command(&[&["rotate-authority"], more].concat())
}

/// How many authorities a sensor believes.
fn believed(files: &sensor_user::link::Files) -> usize {
    let text = std::fs::read_to_string(&files.ca).unwrap_or_default();
    text.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_that_is_connected_delivers_everything_across_a_change_of_the_authority() {
    bounded(async {
        let Some(collector) = Real::start() else {
            return;
        };
        let (files, config) = collector.files();
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &[]);
        assert_eq!(code, 0, "{said}");
        let before = std::fs::read(&files.ca).unwrap();
        let address = format!("https://localhost:{}", collector.port);
        let sensor = Sensor::start_as(address, Some(files.clone()), ample(), None);
        sensor.tick(starts(10, 100, 1, &["cat"]).to_vec()).await;
        let mut n = 0;
        let mut one_more = async || {
            n += 1;
            sensor.tick(vec![reads(13 + n, 100, 5, n)]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            n
        };
        let (code, said) = rotate(&collector, &[]);
        assert_eq!(code, 0, "{said}");
        while believed(&files) < 2 {
            one_more().await;
        }
        while !rotate(&collector, &["--status"])
            .1
            .contains("1 of 1 sensors")
        {
            one_more().await;
        }
        let (code, said) = rotate(&collector, &["--finish"]);
        assert_eq!(code, 0, "{said}");
        // It forgets the old one too, and is certified by the new one.
        while believed(&files) != 1 {
            one_more().await;
        }
        let after = std::fs::read(&files.ca).unwrap();
        assert_ne!(before, after);
        assert_eq!(real::mode(&files.identity), 0o600);
        for _ in 0..10 {
            one_more().await;
        }
        let sent = one_more().await;
        assert_eq!(sensor.stop().await, End::Drained);
        let amounts = collector.amounts();
        let expected: Vec<u64> = (1..=sent).collect();
        assert!(amounts.is_none_or(|amounts| amounts == expected));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_that_missed_a_change_says_what_to_do_and_goes_on_once_it_is_done() {
    bounded(async {
        logged();
        let Some(collector) = Real::start() else {
            return;
        };
        let (files, config) = collector.files();
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &[]);
        assert_eq!(code, 0, "{said}");
        let address = format!("https://localhost:{}", collector.port);
        let sensor = Sensor::start_as(address.clone(), Some(files.clone()), ample(), None);
        let mut tick = starts(10, 100, 1, &["cat"]).to_vec();
        tick.push(reads(13, 100, 5, 1));
        sensor.tick(tick).await;
        assert_eq!(sensor.stop().await, End::Drained);

        let (code, said) = rotate(&collector, &[]);
        assert!(code == 0 && said.contains("0 of 1 sensors"), "{said}");
        let old_token = collector.token("sensor-1");
        let (code, said) = rotate(&collector, &["--finish"]);
        assert!(code == 1 && said.contains("sensor-1"), "{said}");
        let (code, said) = rotate(&collector, &["--finish", "--without-them"]);
        assert!(
            code == 0 && said.contains("enrolled again: sensor-1"),
            "{said}"
        );
        // Until the collector shows the new one.
        let refused = loop {
            let (code, said) = real::enroll(&config, &old_token, &["--replace"]);
            if code == 69 {
                break said;
            }
            let again = collector.token("sensor-1");
            std::fs::rename(again, &old_token).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(refused.contains("make a new token"), "{refused}");

        let sensor = Sensor::start_as(address, Some(files.clone()), ample(), None);
        sensor.tick(vec![reads(20, 100, 5, 7)]).await;
        while !logged().contains("enroll --replace --token-file") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (code, said) = real::enroll(&config, &collector.token("sensor-1"), &["--replace"]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(sensor.stop().await, End::Drained);
    })
    .await;
}
