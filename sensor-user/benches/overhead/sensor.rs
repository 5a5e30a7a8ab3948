//! The sensor as it runs on a workstation, in this process, with a collector that is away: events go all the way into the
//! queue. What sending them would cost is not in the figures.

use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sensor_user::config::{Backend, Collector, Config, Kernel, Privacy, Queue, Spool, Store};
use sensor_user::enrich::Places;
use sensor_user::event::Part;
use sensor_user::link::Settings;
use sensor_user::{run_with, source};
use tokio::sync::oneshot;

/// After the first attempt the link waits so long that it is not measured.
const NEVER: Duration = Duration::from_hours(10);

/// The sensor, on threads of its own.
pub(crate) struct Sensor {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Sensor {
    /// Starts it, and waits until its programs run. `home` gets its key.
    pub(crate) fn start(backend: Backend, store: &Path, home: &Path) -> Result<Self> {
        let config = config(backend, store, home)?;
        let (stop, asked) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::spawn(move || run(&config, &ready, asked));
        if started.recv().is_err() {
            // It has ended, and says why.
            joined(thread)?;
            return Err(anyhow!("the sensor ended before it ran"));
        }
        Ok(Self { stop, thread })
    }

    /// Stops it, and waits until its programs are out of the kernel.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop
            .send(())
            .map_err(|()| anyhow!("the sensor has ended by itself"))?;
        joined(self.thread)
    }
}

fn joined(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread
        .join()
        .map_err(|_| anyhow!("the sensor's thread panicked"))?
}

fn run(config: &Config, ready: &mpsc::Sender<()>, asked: oneshot::Receiver<()>) -> Result<()> {
    let settings = Settings {
        backoff_min: NEVER,
        backoff_max: NEVER,
        ..Settings::new(
            config.collector.address.clone(),
            config.sensor_id.clone(),
            vec!["store".into()],
        )
    };
    let start = |ticks| {
        let source = source::kernel::start(&config.kernel, &config.stores, ticks)?;
        // Nobody waits any more only when this process is ending.
        let _ended = ready.send(());
        Ok::<_, source::kernel::StartError>(source)
    };
    let asked = async { asked.await.unwrap_or(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let places = Places::default();
    runtime
        .block_on(run_with(config, settings, places, start, asked))
        .context("the sensor did not start")?;
    Ok(())
}

/// The defaults of the sensor, and a key of its own.
fn config(backend: Backend, store: &Path, home: &Path) -> Result<Config> {
    let key_file = home.join("token.key");
    if !key_file.exists() {
        sensor_user::privacy::generate(&key_file)?;
    }
    Ok(Config {
        sensor_id: "bench".into(),
        collector: Collector {
            address: "http://127.0.0.1:1".into(),
            identity: "/nowhere/identity.pem".into(),
            ca: "/nowhere/ca.pem".into(),
        },
        privacy: Privacy::Token { key_file },
        queue: Queue {
            events_max: 200_000,
            bytes_max: 16 << 20,
            drain: Duration::ZERO,
        },
        spool: Some(Spool {
            directory: home.join("spool"),
            bytes_max: 512 << 20,
            age_max: Duration::from_hours(168),
            keep: Duration::from_hours(1),
        }),
        kernel: Kernel {
            backend,
            tick: Duration::from_millis(200),
            canary: Duration::from_mins(1),
            bulk_ring_bytes: 4 << 20,
            critical_ring_bytes: 1 << 20,
            guard: sensor_user::config::Guard::Off,
            quiet_sockets: Vec::new(),
            quiet_ports: Vec::new(),
            quiet_programs: Vec::new(),
            holders_file: None,
            own_files: vec![(Part::Program, std::env::current_exe()?)],
        },
        stores: vec![Store {
            name: "store".into(),
            canonical: store.canonicalize()?,
            service: None,
            plain: false,
            path: store.to_owned(),
        }],
    })
}
