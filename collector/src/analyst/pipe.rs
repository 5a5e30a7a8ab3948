//! What a command writes, on its way to the analyst: bounded in what waits, and cut off when the analyst is let in no longer or takes it too slowly.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto::analyst::v1::RunReply;
use proto::analyst::v1::run_reply::Part;
use tokio::runtime::Handle;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::Status;

use crate::identity::{AnalystCertificate, Revoked};

/// Bytes of one part.
const PART_BYTES: usize = 32 * 1024;
/// Parts that wait for a slow analyst.
const PARTS_MAX: usize = 8;
/// How long an analyst is waited for, and how much of that comes back with each part that is taken: who takes less than 4 KiB in a second for
/// minutes gives a command up. It holds a place that others wait for.
const PATIENCE: Duration = Duration::from_mins(1);
const REGAINED: Duration = Duration::from_secs(8);

/// What travels, and the end where it comes out.
pub(super) type Parts = mpsc::Receiver<Result<RunReply, Status>>;

/// The way to one analyst.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) certificate: AnalystCertificate,
    parts: mpsc::Sender<Result<RunReply, Status>>,
    /// Room for a reason, so that it can be said to who takes nothing.
    last: OwnedPermit<Result<RunReply, Status>>,
    revoked: watch::Receiver<Revoked>,
    patience: Mutex<Patience>,
    runtime: Handle,
}

/// How long an analyst is waited for yet.
#[derive(Debug)]
struct Patience(Duration);

impl Patience {
    /// After a part that was taken after so long.
    fn taken(&mut self, waited: Duration) {
        self.0 = (self.0.saturating_sub(waited) + REGAINED).min(PATIENCE);
    }
}

impl Pipe {
    /// A way, and its end.
    pub(super) fn new(
        certificate: AnalystCertificate,
        revoked: watch::Receiver<Revoked>,
        runtime: Handle,
    ) -> Option<(Self, Parts)> {
        let (parts, end) = mpsc::channel(PARTS_MAX + 1);
        let last = parts.clone().try_reserve_owned().ok()?;
        let pipe = Self {
            certificate,
            parts,
            last,
            revoked,
            patience: Mutex::new(Patience(PATIENCE)),
            runtime,
        };
        Some((pipe, end))
    }

    /// Sends one part; waits while the analyst is slow.
    pub(super) fn send(&self, part: Part) -> io::Result<()> {
        if self.certificate.is_revoked(&self.revoked.borrow()) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let reply = RunReply { part: Some(part) };
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let sent = self
            .runtime
            .block_on(async { timeout(patience.0, self.parts.send(Ok(reply))).await });
        patience.taken(began.elapsed());
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ErrorKind::BrokenPipe.into()),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Ends with a reason; waits for nothing.
    pub(super) fn refuse(self, status: Status) {
        self.last.send(Err(status));
    }

    /// Standard output or standard error of a command.
    pub(super) fn writer(&self, to: fn(Vec<u8>) -> Part) -> Writer<'_> {
        Writer {
            pipe: self,
            to,
            waiting: Vec::new(),
        }
    }
}

/// One of the two.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pipe: &'a Pipe,
    to: fn(Vec<u8>) -> Part,
    waiting: Vec<u8>,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART_BYTES - self.waiting.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.waiting.extend_from_slice(taken);
        if self.waiting.len() == PART_BYTES {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.pipe.send((self.to)(std::mem::take(&mut self.waiting)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Authority, Book};

    #[test]
    fn who_is_revoked_gets_nothing_more_of_a_command_that_runs() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_make(data.path()).unwrap();
        let now = time::OffsetDateTime::now_utc();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = authority.analyst("anna", &key, now, time::Duration::DAY);
        let certificate = AnalystCertificate::read(&certificate.unwrap()).unwrap();
        let (told, revoked) = watch::channel(Revoked::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let (pipe, mut received) = Pipe::new(certificate, revoked, handle).unwrap();
        let mut out = pipe.writer(Part::Out);
        out.write_all(b"before").unwrap();
        out.flush().unwrap();
        let mut book = Book::open_or_make(data.path()).unwrap();
        book.revoke("analyst:anna", now.unix_timestamp()).unwrap();
        told.send_replace(book.revoked().unwrap());
        out.write_all(b"after").unwrap();
        assert_eq!(out.flush().unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(received.try_recv().is_ok() && received.try_recv().is_err());
    }

    #[test]
    fn who_takes_nothing_is_told_why_all_the_same() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_make(data.path()).unwrap();
        let (now, key) = (
            time::OffsetDateTime::now_utc(),
            rcgen::KeyPair::generate().unwrap(),
        );
        let certificate = authority.analyst("anna", &key, now, time::Duration::DAY);
        let certificate = AnalystCertificate::read(&certificate.unwrap()).unwrap();
        // Of this kind, since somebody has to look at the time.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (_told, revoked) = watch::channel(Revoked::default());
        let handle = runtime.handle().clone();
        let (pipe, mut received) = Pipe::new(certificate, revoked, handle).unwrap();
        for _ in 0..PARTS_MAX {
            pipe.send(Part::Out(vec![0])).unwrap();
        }
        pipe.patience.lock().unwrap().0 = Duration::from_millis(1);
        let full = pipe.send(Part::Out(vec![0])).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::TimedOut);
        pipe.refuse(Status::deadline_exceeded("too slow"));
        let parts = std::iter::from_fn(|| received.try_recv().ok()).collect::<Vec<_>>();
        assert_eq!(parts.len(), PARTS_MAX + 1);
        assert!(parts[PARTS_MAX].is_err());
    }

    #[test]
    fn patience_ends_for_who_takes_little_for_long_and_not_for_who_is_slow() {
        let lasts = |waited: u64| {
            let mut patience = Patience(PATIENCE);
            let waited = Duration::from_secs(waited);
            (0..10_000)
                .take_while(|_| {
                    let lasts = waited < patience.0;
                    patience.taken(waited);
                    lasts
                })
                .count()
        };
        assert_eq!(lasts(8), 10_000);
        assert_eq!(lasts(59), 1);
        assert!((4..20).contains(&lasts(15)), "{}", lasts(15));
        assert_eq!(lasts(61), 0);
    }
}
