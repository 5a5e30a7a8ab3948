//! All sensors together: one is told what all do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::meter::Meter;
use crate::sensor::{Identity, Plan, Sensor, Work};
use crate::{Outcome, say};

/// How often it is looked how far something is.
const POLL: Duration = Duration::from_millis(10);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Sensors that run; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    plan: watch::Sender<Plan>,
    pub(crate) meter: Arc<Meter>,
    size: u64,
    _sensors: JoinSet<()>,
}

impl Crowd {
    /// Starts sensors with these identities, the first of them robbed if it is asked for. Their numbers begin with `first`.
    pub(crate) fn start(
        identities: Vec<Identity>,
        first: u64,
        target: SocketAddr,
        robbed: bool,
    ) -> Outcome<Self> {
        let work = Work::Idle;
        let (plan, told) = watch::channel(Plan { target, work });
        let meter = Arc::new(Meter::default());
        let size = identities.len() as u64;
        let mut sensors = JoinSet::new();
        for (number, identity) in (first..).zip(identities) {
            let sensor = Sensor::new(number, identity, told.clone(), meter.clone());
            let is_robbed = robbed && number == first;
            let sensor = if is_robbed { sensor.robbed()? } else { sensor };
            sensors.spawn(sensor.run());
        }
        Ok(Self {
            plan,
            meter,
            size,
            _sensors: sensors,
        })
    }

    pub(crate) fn work(&self, work: Work) {
        self.plan.send_modify(|plan| plan.work = work);
    }

    /// Waits until all are connected and welcomed.
    pub(crate) async fn connected(&self) -> Outcome<()> {
        let connections = || self.meter.connections();
        let so_far = || format!("{} of {} sensors connected", connections(), self.size);
        self.until(|| connections() == self.size, so_far).await
    }

    /// Waits until everything that was made is acknowledged.
    pub(crate) async fn drained(&self) -> Outcome<()> {
        let left = || self.meter.unacknowledged();
        self.until(|| left() == 0, || format!("{} events wait", left()))
            .await
    }

    /// Waits until so many batches have been acknowledged since the beginning.
    pub(crate) async fn came_to(&self, batches: u64) -> Outcome<()> {
        let done = || self.meter.batches_persisted();
        let so_far = || format!("{} of {batches} batches acknowledged", done());
        self.until(|| done() >= batches, so_far).await
    }

    async fn until(&self, is_so: impl Fn() -> bool, so_far: impl Fn() -> String) -> Outcome<()> {
        let (began, mut said) = (Instant::now(), Instant::now());
        while !is_so() {
            if began.elapsed() > PATIENCE {
                let failures = self.meter.take_failures();
                return Err(format!("{} after {PATIENCE:?}: {failures:?}", so_far()).into());
            }
            if said.elapsed() > Duration::from_millis(500) {
                said = Instant::now();
                say(&so_far(), false);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}
