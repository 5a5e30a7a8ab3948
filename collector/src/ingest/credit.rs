//! Byte credits: how many bytes of a sensor's events may be between the connection and the disk, and so in memory.
//!
//! Every stream has a window. What it may still send, what of it is on its way to the disk, and what has become durable and was
//! not granted again yet add up to it. Windows share what there is for all: the more streams, the smaller each, but never smaller
//! than the largest batch and what is not worth a message. A window that is too large shrinks with what becomes durable.
//!
//! **Invariant:** what is in hand of all streams that know credits is at most the sum of their windows, which is [`ALL_BYTES`] as long
//! as there are at most `ALL_BYTES / WINDOW_BYTES_MIN` (819) of them, and [`WINDOW_BYTES_MIN`] (320 KiB) for each when there are more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::limits::PAYLOAD_BYTES_MAX;

use super::Refusal;

/// Bytes of events for all streams, as long as each can have its smallest window.
const ALL_BYTES: u64 = 256 * 1024 * 1024;
/// Less than so much is not granted: it waits for more.
const GRANT_BYTES_MIN: u64 = 64 * 1024;
/// Smallest window: with nothing on its way, there is always room for the largest batch.
const WINDOW_BYTES_MIN: u64 = PAYLOAD_BYTES_MAX as u64 + GRANT_BYTES_MIN;
/// Largest window: enough to keep a disk busy with one stream.
const WINDOW_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The streams that share what there is.
#[derive(Debug, Default)]
pub(super) struct Streams(AtomicU64);

impl Streams {
    /// The window that each may have.
    fn share(&self) -> u64 {
        let streams = self.0.load(Ordering::Relaxed).max(1);
        (ALL_BYTES / streams).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
    }
}

/// The credit of one stream.
#[derive(Debug)]
pub(super) struct Credit {
    streams: Arc<Streams>,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    /// What the sensor may still send.
    left: u64,
    /// What has become durable, or the window grew by, and is not granted yet.
    owed: u64,
    window: u64,
}

impl Credit {
    /// The credit of a new stream.
    pub(super) fn open(streams: &Arc<Streams>) -> Self {
        streams.0.fetch_add(1, Ordering::Relaxed);
        let window = streams.share();
        Self {
            streams: streams.clone(),
            books: Mutex::new(Books {
                left: window,
                owed: 0,
                window,
            }),
        }
    }

    /// What the sensor begins with.
    pub(super) fn window(&self) -> u64 {
        self.with(|books| books.window)
    }

    /// The sensor has sent so many bytes; refused when it may not.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Refusal> {
        self.with(|books| {
            let left = books.left;
            books.left = left
                .checked_sub(bytes)
                .ok_or(Refusal::Credit { bytes, left })?;
            Ok(())
        })
    }

    /// So many bytes have become durable; answers what the sensor is to be granted now, if it is worth a message.
    pub(super) fn durable(&self, bytes: u64) -> Option<u64> {
        let share = self.streams.share();
        self.with(|books| {
            books.owed += bytes;
            let too_much = books.window.saturating_sub(share).min(books.owed);
            books.owed -= too_much;
            books.window -= too_much;
            let more = share.saturating_sub(books.window);
            books.owed += more;
            books.window += more;
            if books.owed < GRANT_BYTES_MIN {
                return None;
            }
            books.left += books.owed;
            Some(std::mem::take(&mut books.owed))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.streams.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LARGEST: u64 = PAYLOAD_BYTES_MAX as u64;

    /// Left, on the way, and owed add up to the window.
    fn adds_up(credit: &Credit, on_the_way: u64) {
        credit.with(|books| assert_eq!(books.left + on_the_way + books.owed, books.window));
    }

    #[test]
    fn whoever_sends_more_than_was_granted_is_refused() {
        let credit = Credit::open(&Arc::default());
        assert_eq!(credit.window(), WINDOW_BYTES_MAX);
        for _ in 0..8 {
            credit.spend(LARGEST).unwrap();
        }
        let refusal = credit.spend(1).unwrap_err().to_string();
        assert!(
            refusal.contains("1 bytes") && refusal.contains("0 are left"),
            "{refusal}"
        );
        assert_eq!(credit.durable(LARGEST), Some(LARGEST));
        credit.spend(LARGEST).unwrap();
        adds_up(&credit, 8 * LARGEST);
    }

    #[test]
    fn small_batches_are_not_granted_one_by_one_and_the_largest_always_fits() {
        let credit = Credit::open(&Arc::default());
        let mut grants = 0;
        for _ in 0..1000 {
            credit.spend(1000).unwrap();
            grants += usize::from(credit.durable(1000).is_some());
            adds_up(&credit, 0);
            assert!(credit.with(|books| books.left) >= LARGEST);
        }
        assert!((10..=16).contains(&grants), "{grants} grants");
    }

    #[test]
    fn windows_shrink_with_many_streams_and_grow_again_with_few() {
        let streams = Arc::default();
        let first = Credit::open(&streams);
        let others: Vec<Credit> = (0..10_000).map(|_| Credit::open(&streams)).collect();
        assert_eq!(others[9_999].window(), WINDOW_BYTES_MIN);
        let sum: u64 = others[9_000..].iter().map(Credit::window).sum();
        assert_eq!(sum, 1000 * WINDOW_BYTES_MIN);
        for _ in 0..20 {
            first.spend(LARGEST).unwrap();
            first.durable(LARGEST);
            adds_up(&first, 0);
        }
        assert_eq!(first.window(), WINDOW_BYTES_MIN);
        first.spend(LARGEST).unwrap();
        drop(others);
        let granted = first.durable(LARGEST).unwrap();
        assert!(granted > LARGEST, "{granted}");
        assert_eq!(first.window(), WINDOW_BYTES_MAX);
        adds_up(&first, 0);
    }
}
