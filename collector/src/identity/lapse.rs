//! A time of which the book of tokens and revocations knows nothing though certificates were made in it: it was restored from an older backup.
//!
//! While the collector runs it writes the time into the book now and then. Between the last such time and the start nobody made a certificate, unless
//! the book that is there now is not the one that was there last.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Book, IdentityError};
use crate::text;

/// The last time in the book may be so old though the book is the one that was there last.
const SLACK_S: i64 = 180;

/// The time between the last run that the book knows of and this one.
#[derive(Debug)]
pub struct Lapse {
    /// First and last second in it; the first is after the last when there is no such time.
    from_s: i64,
    until_s: i64,
    said: AtomicBool,
}

impl Lapse {
    /// What the book says when the collector starts at `now_s`. A book that has never known a time knows of no lapse.
    ///
    /// # Errors
    ///
    /// SQLite says no.
    pub fn read(book: &Book, now_s: i64) -> Result<Self, IdentityError> {
        let last = book.alive_until()?;
        Ok(Self {
            from_s: last.map_or(i64::MAX, |last| last.saturating_add(SLACK_S)),
            until_s: now_s,
            said: AtomicBool::new(false),
        })
    }

    /// Says once what is missing, when a certificate that this collector has made is of that time; answers whether it is.
    pub fn is_shown_by(&self, sensor: &str, from_s: i64) -> bool {
        let shown = (self.from_s..self.until_s).contains(&from_s);
        if shown && !self.said.swap(true, Ordering::Relaxed) {
            let time = |s: i64| text::time(s.unsigned_abs().saturating_mul(1_000_000_000));
            tracing::error!(
                sensor = %sensor.escape_debug(),
                certified = time(from_s),
                known_until = time(self.from_s.saturating_sub(SLACK_S)),
                "tokens and revocations were restored from a backup: a sensor shows a certificate that was made since. Revoke again what was revoked since then (`chartwatch-collector revoke`)"
            );
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::identity::Authority;

    #[test]
    fn a_certificate_from_between_the_books_last_time_and_the_start_shows_an_older_book() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_make(dir.path()).unwrap();
        let book = Book::open_or_make(dir.path()).unwrap();
        let new = Lapse::read(&book, 5_000).unwrap();
        assert!(!new.is_shown_by("ws-1", 4_000), "a book without a time");
        book.alive(1_000).unwrap();
        book.alive(900).unwrap();
        let lapse = Lapse::read(&book, 5_000).unwrap();
        for (from_s, expect) in [
            (900, false),
            (1_000 + SLACK_S - 1, false),
            (1_000 + SLACK_S, true),
            (4_999, true),
            (5_000, false),
        ] {
            assert_eq!(lapse.is_shown_by("ws-1", from_s), expect, "{from_s}");
        }
        // The clock was set back since.
        let lapse = Lapse::read(&book, 500).unwrap();
        assert!(!lapse.is_shown_by("ws-1", 800));
    }
}
