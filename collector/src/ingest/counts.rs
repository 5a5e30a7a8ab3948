//! How often somebody was not let in, or something came damaged, since the collector started; each line of the log about it has the number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line about failed handshakes is written no more often: anybody on the network can cause one.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// TLS handshakes that failed: another authority, an expired certificate, another version, or no TLS at all.
    handshakes_failed: AtomicU64,
    /// Streams refused for who was at their other end.
    identities_refused: AtomicU64,
    /// Batches whose check was wrong.
    batches_damaged: AtomicU64,
    last_line: Mutex<Option<Instant>>,
    streams: AtomicU64,
}

/// A stream that is open; when it is dropped it has ended.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<Counts>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// A handshake has failed.
    pub(super) fn handshake_failed(&self, error: &std::io::Error) {
        let handshakes_failed = self.handshakes_failed.fetch_add(1, Ordering::Relaxed) + 1;
        let mut last = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() > LINE_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(%error, handshakes_failed, "somebody was not let in: the TLS handshake failed");
        }
    }

    /// A batch came damaged; answers how many have.
    pub(super) fn batch_damaged(&self) -> u64 {
        self.batches_damaged.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A stream begins.
    pub(super) fn open(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }

    /// Streams that are open now.
    pub(super) fn streams_open(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// A stream was refused for who was at its other end; answers how many there have been.
    pub(super) fn identity_refused(&self) -> u64 {
        self.identities_refused.fetch_add(1, Ordering::Relaxed) + 1
    }
}
