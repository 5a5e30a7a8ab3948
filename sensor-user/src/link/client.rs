//! The task that keeps a connection to the collector, and takes it up again when it breaks.
//!
//! Between attempts it waits: twice as long after every failure, up to a bound, and each time a random part of that, so
//! that a hospital's sensors do not all come back in the same moment.
//!
//! **Invariant:** it ends only when the queue is drained; a collector that is away, slow or wrong is tried for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::sensor::v1;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::identity::Files;
use super::lane::Lane;
use super::session::{Ended, Session, SessionError};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::report::Resend;
use crate::spool::{Batch, Spool};

/// How the link behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://HOST:PORT` of the collector, or `http://` and a loopback address.
    pub address: String,
    /// What the sensor shows and trusts there; `None` for `http://`.
    pub identity: Option<Files>,
    /// The sensor's own name.
    pub sensor_id: String,
    /// Names of the stores, for the heartbeat.
    pub stores: Vec<String>,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Time without traffic after which the connection is probed.
    pub keepalive: Duration,
    /// Longest wait for a connection, a Welcome, an answer to a probe, and the end of a stream.
    pub answer_within: Duration,
    /// Wait after the first failure.
    pub backoff_min: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// So many events that wait are worth a lane of its own for what happens from then on.
    pub lane_events: u64,
}

impl Settings {
    /// The settings of a real sensor.
    #[must_use]
    pub fn new(address: String, sensor_id: String, stores: Vec<String>) -> Self {
        Self {
            address,
            identity: None,
            sensor_id,
            stores,
            heartbeat: Duration::from_secs(5),
            keepalive: Duration::from_secs(10),
            answer_within: Duration::from_secs(10),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            lane_events: 10_000,
        }
    }
}

/// The link, ready to start.
#[derive(Debug)]
pub struct Client {
    pub(super) settings: Settings,
    pub(super) spool: Arc<Spool>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) metrics: Arc<Metrics>,
    resend: Resend,
    /// Told after the first attempt to connect, whatever its end.
    tried: Arc<Notify>,
    /// The collector's log that was last met.
    log_id: Option<Vec<u8>>,
    /// The highest sequence number ever handed to a connection, of the live epoch and of the one whose turn it is.
    sent_max: BTreeMap<Uuid, u64>,
    /// The live epoch of which the collector's log was found to hold more than that: from then on nothing of it is forgotten on a
    /// Welcome's word.
    contested: Option<Uuid>,
    /// The last connection had two lanes and was refused for what is in one of them: the next one has one, which tells which it is.
    pub(super) one_lane: bool,
    /// The connection has two lanes.
    pub(super) has_lanes: bool,
    /// The log, and how far it held the live epoch, when what was acknowledged was last offered again: once is enough.
    offered_again: Option<(Vec<u8>, u64)>,
}

impl Client {
    /// A link that is not yet connected.
    #[must_use]
    pub fn new(
        settings: Settings,
        spool: Arc<Spool>,
        health: watch::Receiver<Health>,
        resend: Resend,
        metrics: Arc<Metrics>,
    ) -> Self {
        let tried = Arc::new(Notify::new());
        Self {
            settings,
            spool,
            health,
            metrics,
            resend,
            tried,
            log_id: None,
            sent_max: BTreeMap::new(),
            contested: None,
            one_lane: false,
            has_lanes: false,
            offered_again: None,
        }
    }

    /// Is told once the first attempt to connect has ended, well or not.
    #[must_use]
    pub fn first_attempt(&self) -> Arc<Notify> {
        Arc::clone(&self.tried)
    }

    /// Starts it; it ends when the queue is drained.
    pub fn start(self, tasks: &mut JoinSet<()>) {
        tasks.spawn(self.run());
    }

    async fn run(mut self) {
        let mut wait = self.settings.backoff_min;
        loop {
            let (began, turn) = (Instant::now(), self.spool.turn());
            let error = match self.connection().await {
                Ok(Ended::Drained) => return,
                // The next one is for another epoch, or goes on behind a hole.
                Ok(Ended::Turned) => {
                    self.one_lane = false;
                    continue;
                }
                Err(error) => error,
            };
            if error.is_contested() && self.has_lanes {
                self.one_lane = true;
                continue;
            }
            if error.is_contested() && self.spool.pass_over(turn.0) {
                tracing::error!(epoch = %turn.0, %error, "the collector has other events under the numbers of an earlier start: this machine was put back to a snapshot, or copied. They stay in the spool and are not delivered; what comes after them is");
                continue;
            }
            if matches!(error, SessionError::Renewed) {
                tracing::info!("the certificate was renewed, connecting with it");
                continue;
            }
            self.metrics.link_failures.one();
            // A connection was good if it made something durable, or lasted. One that only began is no reason for haste.
            if self.spool.turn() != turn || began.elapsed() > self.settings.backoff_max {
                wait = self.settings.backoff_min;
            }
            let pause = jittered(wait);
            wait = (wait * 2).min(self.settings.backoff_max);
            let address = &self.settings.address;
            let retry_ms = pause.as_millis();
            tracing::warn!(%address, %error, retry_ms, "not connected to the collector, events wait in the queue");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drained(&self.spool) => return,
            }
        }
    }

    /// One connection from its beginning to its end; good only when all of its epoch was delivered.
    async fn connection(&mut self) -> Result<Ended, SessionError> {
        let tried = Arc::clone(&self.tried);
        let spool = Arc::clone(&self.spool);
        self.has_lanes = false;
        let session = tokio::select! {
            session = Session::open(self) => session,
            () = drained(&spool) => return Ok(Ended::Drained),
        };
        tried.notify_one();
        session?.deliver().await
    }

    /// Takes in what the collector's log holds; answers after which sequence number to go on.
    pub(super) async fn welcomed(
        &mut self,
        (epoch, first): (Uuid, u64),
        welcome: &v1::Welcome,
    ) -> Result<u64, SessionError> {
        self.metrics.link_welcomes.one();
        let live = self.spool.live_epoch();
        (self.sent_max).retain(|known, _| *known == epoch || *known == live);
        let held_before = first - 1;
        let persisted = welcome.persisted.unwrap_or(0);
        if self.is_contested(epoch, persisted, held_before) {
            return Ok(held_before);
        }
        self.spool.persisted(epoch, persisted)?;
        let another = self
            .log_id
            .as_ref()
            .is_some_and(|log| *log != welcome.log_id);
        if another || persisted < held_before {
            // What was said of processes is in the other log, or was lost with the end of this one.
            self.metrics.resend_rounds.one();
            self.resend.ask();
            tracing::warn!(
                persisted,
                forgotten = held_before,
                "the collector's log lacks events it once held, going on with what is left"
            );
            self.offer_again(epoch, persisted, &welcome.log_id).await;
        }
        self.log_id = Some(welcome.log_id.clone());
        tracing::info!(address = %self.settings.address, persisted, "connected to the collector");
        // Not from what is the first now: what went since Hello was said is a hole that the next one has to say.
        let taken_up_again = self.spool.first_held() < first;
        Ok(if taken_up_again {
            persisted
        } else {
            persisted.max(held_before)
        })
    }

    /// Whether the log holds more of the live epoch than was ever sent. Whoever sent that had this epoch and was not this sensor. What is
    /// here goes out all the same: the collector compares it with what it has, refuses what is other, and tells somebody.
    fn is_contested(&mut self, epoch: Uuid, persisted: u64, held_before: u64) -> bool {
        if epoch != self.spool.live_epoch() {
            return false;
        }
        let contested = self.contested == Some(epoch);
        let sent = self.sent_max.get(&epoch).copied().unwrap_or(0);
        if !contested && persisted > sent.max(held_before) {
            self.contested = Some(epoch);
            tracing::error!(
                persisted,
                sent,
                "the collector's log holds more of this start of the sensor than was ever sent: this machine was put back to a snapshot, or copied. Start the sensor anew on the machine that is to stay"
            );
        }
        self.contested == Some(epoch)
    }

    /// The lane of the live epoch ahead of an earlier one, if the collector takes it. Where something is wrong with what it has of the
    /// live epoch there is none: that is looked into when it is the live epoch's turn.
    pub(super) fn live_lane(
        &mut self,
        asked: Option<(Uuid, u64)>,
        welcome: &v1::Welcome,
    ) -> Result<Option<Lane>, SessionError> {
        let (Some((epoch, first)), Some(persisted)) = (asked, welcome.live_persisted) else {
            return Ok(None);
        };
        if self.is_contested(epoch, persisted, first - 1) || persisted < first - 1 {
            return Ok(None);
        }
        self.spool.persisted(epoch, persisted)?;
        self.has_lanes = true;
        Ok(Some(Lane::new(epoch, persisted)))
    }

    /// What is kept though it was acknowledged goes to a log that lacks it.
    async fn offer_again(&mut self, epoch: Uuid, persisted: u64, log_id: &[u8]) {
        let lacking = Some((log_id.to_vec(), persisted));
        if self.offered_again != lacking {
            self.offered_again = lacking;
            self.spool.offer_again(epoch, persisted).await;
        }
    }

    pub(super) fn count_sent(&mut self, epoch: Uuid, batch: &Batch) {
        self.metrics.batches_sent.one();
        let sent_max = self.sent_max.entry(epoch).or_default();
        if batch.last_seq <= *sent_max {
            self.metrics.batches_resent.one();
        }
        *sent_max = (*sent_max).max(batch.last_seq);
    }
}

/// Waits until there is nothing to connect for. Takes wake-ups meant for a session, which looks before it waits.
async fn drained(spool: &Spool) {
    while !spool.is_drained() {
        spool.changed().await;
    }
}

/// A random part of `wait`, at least half of it.
fn jittered(wait: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    // The upper half of a random UUID has 60 random bits; its lowest 8 are among them.
    wait / 2 + wait / 2 * (random & 0xff) as u32 / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_half_and_whole() {
        let wait = Duration::from_secs(1);
        for _ in 0..1000 {
            let pause = jittered(wait);
            assert!(pause >= wait / 2 && pause <= wait, "{pause:?}");
        }
    }
}
