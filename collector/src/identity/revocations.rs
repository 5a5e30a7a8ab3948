//! Keeps up with what administrators revoke while the collector runs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::{Book, IdentityError, Revoked};

/// How often the database is asked: a revocation counts within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the book is told that the collector runs.
const ALIVE_EVERY: Duration = Duration::from_mins(1);

/// Starts a thread that tells what has been revoked. It ends when nobody listens any more. A database that cannot be read leaves what
/// was read before.
///
/// # Errors
///
/// The database cannot be read now, or the thread cannot be started.
pub fn watch(book: Book) -> Result<watch::Receiver<Revoked>, IdentityError> {
    let (told, revoked) = watch::channel(book.revoked()?);
    book.alive(now_s())?;
    std::thread::Builder::new()
        .name("revocations".into())
        .spawn(move || look(&book, &told))
        .map_err(IdentityError::Thread)?;
    Ok(revoked)
}

fn look(book: &Book, told: &watch::Sender<Revoked>) {
    let mut failing = false;
    let mut alive = Instant::now();
    while !told.is_closed() {
        std::thread::sleep(LOOK_EVERY);
        if alive.elapsed() >= ALIVE_EVERY {
            alive = Instant::now();
            if let Err(error) = book.alive(now_s()) {
                tracing::warn!(%error, "the time could not be kept beside the revocations");
            }
        }
        match book.revoked() {
            Ok(now) => {
                failing = false;
                told.send_if_modified(|before| {
                    let changed = *before != now;
                    *before = now;
                    changed
                });
            }
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "what is revoked from now on is not seen");
            }
            Err(_) => {}
        }
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
