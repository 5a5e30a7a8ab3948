//! A simulated sensor: keeps a connection as the real one does, and delivers what happens on its workstation.
//!
//! **Invariant:** what was made is sent until it is acknowledged, in order, the same bytes each time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::sensor::v1::EventBlock;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};
use uuid::Uuid;

use crate::day::Workstation;
use crate::meter::Meter;
use crate::wire::{Batch, Link};

/// How the real sensor's link behaves (`sensor-user/src/link/client.rs`).
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Who a sensor is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) epoch: Uuid,
    pub(crate) tls: Arc<ClientConfig>,
    /// Where its connections come from; more than one address, since an address has ports for some ten thousand only.
    pub(crate) source: SocketAddr,
}

/// What the sensors do at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Work {
    /// Nothing but heartbeats.
    Idle,
    /// Each sends a batch of so many events after so long, whatever became of the ones before.
    Steady { events: u64, every: Duration },
    /// Each has so many batches under way at any time.
    Full { events: u64, under_way: usize },
}

/// Where to, and what to do there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) work: Work,
}

/// One sensor.
pub(crate) struct Sensor {
    identity: Identity,
    workstation: Workstation,
    plan: watch::Receiver<Plan>,
    meter: Arc<Meter>,
    /// Not acknowledged, with the moment each was due.
    waiting: VecDeque<(Batch, Instant)>,
    /// How many of those were handed to this connection.
    sent: usize,
    next_seq: u64,
    /// When the next batch of steady work is due.
    due: Option<Instant>,
}

impl Sensor {
    pub(crate) fn new(
        number: u64,
        identity: Identity,
        plan: watch::Receiver<Plan>,
        meter: Arc<Meter>,
    ) -> Self {
        let workstation = Workstation::new(number, Uuid::new_v4().to_string());
        Self {
            identity,
            workstation,
            plan,
            meter,
            waiting: VecDeque::new(),
            sent: 0,
            next_seq: 1,
            due: None,
        }
    }

    /// Has a theft to tell as its first words.
    pub(crate) fn robbed(mut self) -> Result<Self, String> {
        let block = self.workstation.theft(now_ns());
        self.queue(&block, Instant::now())?;
        Ok(self)
    }

    /// Runs until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut wait = BACKOFF_MIN;
        loop {
            let began = Instant::now();
            let error = match self.connection().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.meter.failed(error);
            if began.elapsed() > BACKOFF_MAX {
                wait = BACKOFF_MIN;
            }
            sleep(jittered(wait)).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn connection(&mut self) -> Result<std::convert::Infallible, String> {
        let target = self.plan.borrow().target;
        let first = self.waiting.front();
        let first = first.map_or(self.next_seq, |(batch, _)| batch.first_seq);
        let (mut link, persisted) = Link::open(&self.identity, target, first).await?;
        self.acknowledged(persisted, false);
        self.sent = 0;
        let connected = Meter::connected(&self.meter);
        let ended = self.deliver(&mut link).await;
        drop(connected);
        ended
    }

    async fn deliver(&mut self, link: &mut Link) -> Result<std::convert::Infallible, String> {
        // Sensors have started at different times.
        let mut beat = interval_at(Instant::now() + part_of(HEARTBEAT), HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.make()?;
            if let Some((batch, _)) = self.waiting.get(self.sent)
                && link.covers(batch)
            {
                // The real sensor hears while it waits for room; here nothing depends on which comes first.
                link.send(batch).await?;
                self.sent += 1;
                if self.sent < self.waiting.len() {
                    continue;
                }
            }
            tokio::select! {
                heard = link.hear() => {
                    if let Some(persisted) = heard? {
                        self.acknowledged(persisted, true);
                    }
                }
                _ = beat.tick() => link.beat(self.waiting.len() as u64),
                () = at(self.due) => {}
                changed = self.plan.changed() => {
                    changed.map_err(|error| error.to_string())?;
                    self.due = None;
                }
            }
        }
    }

    /// Makes the batches that are due.
    fn make(&mut self) -> Result<(), String> {
        let work = self.plan.borrow_and_update().work;
        match work {
            Work::Idle => self.due = None,
            Work::Steady { events, every } => {
                let mut due = self.due.unwrap_or_else(|| Instant::now() + part_of(every));
                while due <= Instant::now() {
                    self.happened(events, due)?;
                    due += every;
                }
                self.due = Some(due);
            }
            Work::Full { events, under_way } => {
                self.due = None;
                while self.waiting.len() < under_way {
                    self.happened(events, Instant::now())?;
                }
            }
        }
        Ok(())
    }

    fn happened(&mut self, events: u64, due: Instant) -> Result<(), String> {
        let block = self.workstation.block(now_ns(), events);
        self.queue(&block, due)
    }

    fn queue(&mut self, block: &EventBlock, due: Instant) -> Result<(), String> {
        let batch = Batch::new(self.next_seq, block)?;
        self.meter.made(batch.events(), batch.cost, batch.bytes());
        self.next_seq = batch.last_seq + 1;
        self.waiting.push_back((batch, due));
        Ok(())
    }

    /// Forgets what the log holds.
    fn acknowledged(&mut self, persisted: u64, timed: bool) {
        while let Some((batch, due)) = self.waiting.pop_front() {
            if batch.last_seq > persisted {
                self.waiting.push_front((batch, due));
                return;
            }
            self.sent = self.sent.saturating_sub(1);
            self.meter
                .persisted(batch.events(), timed.then(|| due.elapsed()));
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A random part of `wait`, at least half of it, as the real sensor waits.
fn jittered(wait: Duration) -> Duration {
    wait / 2 + part_of(wait / 2)
}

/// A random part of a time.
fn part_of(time: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    time.mul_f64((random >> 32) as f64 / f64::from(u32::MAX))
}

pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
