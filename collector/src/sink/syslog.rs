//! Findings over syslog (RFC 5424) on TCP, at least once.
//!
//! Plain TCP syslog has no acknowledgement, so one is made from what TCP has: after the last message has stayed on a
//! healthy connection for the settle time, this side ends its half of the connection and waits for the other to end
//! its own. A receiver does that when it has read everything; one that died with bytes unread, or lost them on the
//! way, answers with a reset. Only then the cursor moves. On anything else all that is not settled is sent again, and
//! receivers tell duplicates by the id and revision in the structured data.
//!
//! Some receivers never end their half. `TCP_USER_TIMEOUT` (RFC 5482) is shorter than the wait for it, so a wait that
//! runs out without an error means that the receiver's TCP has acknowledged every byte, and that has to do.
//!
//! **Invariant:** the cursor never moves past a message that was not at least acknowledged by the receiver's TCP.

use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::rfc5424::Message;
use super::{PAGE, SinkError};
use crate::alerts::{AlertStore, Cursor, Entry};
use crate::config::SyslogSinkConfig;

/// Name of the sink, and key of its cursor.
const NAME: &str = "syslog";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Sent bytes that stay unacknowledged for so long end the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the receiver may take to end its half.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection takes new messages for so long before it is settled.
const BURST: Duration = Duration::from_secs(10);
/// Wait after the first failure; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(CLOSE_TIMEOUT.as_secs() > USER_TIMEOUT.as_secs());

/// Starts the sink's thread. It ends when `newest` is closed and everything is delivered, or cannot be at once.
pub fn spawn(
    store: AlertStore,
    config: SyslogSinkConfig,
    hostname: String,
    newest: watch::Receiver<i64>,
    runtime: Handle,
) -> Result<JoinHandle<()>, std::io::Error> {
    let sink = Sink {
        store,
        config,
        hostname,
        newest,
        ending: false,
    };
    std::thread::Builder::new()
        .name("sink-syslog".into())
        .spawn(move || runtime.block_on(sink.run()))
}

struct Sink {
    store: AlertStore,
    config: SyslogSinkConfig,
    hostname: String,
    newest: watch::Receiver<i64>,
    /// The collector is stopping: nothing new will come.
    ending: bool,
}

impl Sink {
    async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        let mut down = false;
        loop {
            match self.deliver().await {
                Ok(()) => {
                    if std::mem::take(&mut down) {
                        tracing::info!(receiver = %self.config.address, "syslog receiver is back; nothing was lost");
                    }
                    backoff = BACKOFF_MIN;
                    if self.ending {
                        return;
                    }
                    self.ending = self.newest.changed().await.is_err();
                }
                Err(error) => {
                    if !std::mem::replace(&mut down, true) {
                        tracing::warn!(%error, "findings wait for the syslog receiver; what was not settled is sent again");
                    }
                    if self.ending {
                        tracing::warn!(
                            "findings not delivered over syslog are sent at the next start"
                        );
                        return;
                    }
                    self.pause(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Waits half to all of a time, at random, so that many senders do not come back at once; shorter when stopping.
    async fn pause(&mut self, longest: Duration) {
        let half = longest / 2;
        let jitter = (Uuid::new_v4().as_u128() % half.as_micros().max(1)) as u64;
        let until = Instant::now() + half + Duration::from_micros(jitter);
        while !self.ending {
            tokio::select! {
                () = sleep_until(until) => return,
                changed = self.newest.changed() => self.ending = changed.is_err(),
            }
        }
    }

    /// Delivers everything there is; returns at once when there is nothing.
    async fn deliver(&mut self) -> Result<(), SinkError> {
        loop {
            self.newest.mark_unchanged();
            let cursor = self.store.cursor(NAME)?;
            if self.store.entries_after(cursor.position, 1)?.is_empty() {
                return Ok(());
            }
            let mut stream = self.connect().await?;
            let position = self.send(&mut stream, cursor.position).await?;
            self.settle(stream).await?;
            self.store
                .set_cursor(NAME, &Cursor { position, ..cursor })?;
        }
    }

    async fn connect(&self) -> Result<TcpStream, SinkError> {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.config.address)).await;
        let stream = connecting
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|e| self.error(e))?;
        SockRef::from(&stream)
            .set_tcp_user_timeout(Some(USER_TIMEOUT))
            .map_err(|e| self.error(e))?;
        Ok(stream)
    }

    /// Sends what there is and what comes meanwhile, until the last message has stayed for the settle time.
    async fn send(&mut self, stream: &mut TcpStream, mut position: i64) -> Result<i64, SinkError> {
        let burst_end = Instant::now() + BURST;
        loop {
            self.newest.mark_unchanged();
            loop {
                let entries = self.store.entries_after(position, PAGE)?;
                let Some(last) = entries.last() else { break };
                position = last.position;
                for entry in &entries {
                    let frame = self.frame(entry);
                    let written = timeout(WRITE_TIMEOUT, stream.write_all(&frame)).await;
                    written
                        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
                        .map_err(|e| self.error(e))?;
                }
            }
            if !self.stays_healthy(stream, burst_end).await? {
                return Ok(position);
            }
        }
    }

    /// Waits the settle time. True when there is more to send before it is over; an error when the receiver left.
    async fn stays_healthy(
        &mut self,
        stream: &mut TcpStream,
        burst_end: Instant,
    ) -> Result<bool, SinkError> {
        let settled = Instant::now() + self.config.settle;
        let mut unexpected = [0; 512];
        loop {
            let more = !self.ending && Instant::now() < burst_end;
            tokio::select! {
                () = sleep_until(settled) => return Ok(false),
                changed = self.newest.changed(), if more => match changed {
                    Ok(()) => return Ok(true),
                    Err(_) => self.ending = true,
                },
                read = stream.read(&mut unexpected) => match read {
                    Ok(0) => return Err(SinkError::Closed { address: self.config.address.clone() }),
                    Ok(_) => {} // Syslog receivers say nothing; whatever this is, it does not matter.
                    Err(source) => return Err(self.error(source)),
                },
            }
        }
    }

    /// Ends this half and waits for the receiver to end its own.
    async fn settle(&self, mut stream: TcpStream) -> Result<(), SinkError> {
        stream.shutdown().await.map_err(|e| self.error(e))?;
        let mut unexpected = [0; 512];
        let end = async {
            loop {
                match stream.read(&mut unexpected).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(source) => return Err(self.error(source)),
                }
            }
        };
        tokio::select! {
            end = end => end,
            () = sleep(CLOSE_TIMEOUT) => {
                tracing::debug!("the syslog receiver does not end its half; its TCP has acknowledged everything");
                Ok(())
            }
        }
    }

    fn frame(&self, entry: &Entry) -> Vec<u8> {
        Message {
            facility: self.config.facility,
            severity: severity(&entry.severity),
            time_ns: entry.revised_ns,
            hostname: &self.hostname,
            pid: std::process::id(),
            enterprise: self.config.enterprise,
            parameters: &[("id", &entry.id), ("revision", &entry.revision.to_string())],
            text: &entry.finding,
        }
        .frame()
    }

    fn error(&self, source: std::io::Error) -> SinkError {
        SinkError::Syslog {
            address: self.config.address.clone(),
            source,
        }
    }
}

/// RFC 5424, table 2: critical, error, warning, notice.
fn severity(level: &str) -> u8 {
    match level {
        "critical" => 2,
        "high" => 3,
        "medium" => 4,
        _ => 5,
    }
}
