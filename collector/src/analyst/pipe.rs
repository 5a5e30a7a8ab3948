//! What a command writes, on its way to the analyst: bounded in what waits, and cut off when the analyst is let in no longer.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use proto::analyst::v1::RunReply;
use proto::analyst::v1::run_reply::Part;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::Status;

use crate::identity::{AnalystCertificate, Revoked};

/// Bytes of one part.
const PART_BYTES: usize = 32 * 1024;
/// An analyst who takes nothing for so long gives a command up.
const STALLED: Duration = Duration::from_mins(1);

/// The way to one analyst.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) parts: mpsc::Sender<Result<RunReply, Status>>,
    pub(super) revoked: watch::Receiver<Revoked>,
    pub(super) certificate: AnalystCertificate,
    pub(super) runtime: Handle,
}

impl Pipe {
    /// Sends one part; waits while the analyst is slow.
    pub(super) fn send(&self, part: Part) -> io::Result<()> {
        if self.certificate.is_revoked(&self.revoked.borrow()) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let reply = RunReply { part: Some(part) };
        let sent = self
            .runtime
            .block_on(async { timeout(STALLED, self.parts.send(Ok(reply))).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ErrorKind::BrokenPipe.into()),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Ends with a reason.
    pub(super) fn refuse(&self, status: Status) {
        let sent = self
            .runtime
            .block_on(async { timeout(STALLED, self.parts.send(Err(status))).await });
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("an analyst left before the end of a command");
        }
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
        let (parts, mut received) = mpsc::channel(4);
        let (told, revoked) = watch::channel(Revoked::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let pipe = Pipe {
            parts,
            revoked,
            certificate,
            runtime: runtime.handle().clone(),
        };
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
}
