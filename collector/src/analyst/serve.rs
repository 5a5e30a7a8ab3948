//! The analyst's interface over the network: TLS 1.3 with client certificates, roles, and bounds on what runs at a time.

use std::io::{ErrorKind, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::analyst::v1::analyst_server::{Analyst, AnalystServer};
use proto::analyst::v1::run_reply::Part;
use proto::analyst::v1::{RenewReply, RenewRequest, RunReply, RunRequest};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::limits::{COMMANDS_EACH, Limits, Permits};
use super::pipe::Pipe;
use super::refusal::Refused;
use super::{Bench, Command, renewal, run, wire};
use crate::audit::{Action, Desk, Entry, Who};
use crate::config::{Config, DetectConfig};
use crate::identity::{AnalystCertificate, Book, IdentityError, Revoked, Role, Server};
use crate::ingest::{self, Caller, Enroll};
use crate::intel::Status as FeedStatus;

/// Connections that are open at a time: an idle one costs a handshake's memory.
const CONNECTIONS_MAX: usize = 64;
/// A connection takes no more commands after so long, so that an idle one is not kept for ever, and is cut when what still
/// runs on it then has not ended within the grace.
const CONNECTION_AGE: Duration = Duration::from_mins(10);
const CONNECTION_GRACE: Duration = Duration::from_hours(12);
/// Largest request taken off the wire: the tokens to turn back, and their frame.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the collector works with now: thresholds, intelligence, and the feeds' state.
pub type Now = Arc<dyn Fn(bool) -> (DetectConfig, Vec<FeedStatus>) + Send + Sync>;

/// The service, one for all analysts.
#[derive(Clone)]
pub struct Interface(Arc<Inner>);

struct Inner {
    /// As the collector was started with it: what counts at once is in `now`.
    config: Arc<Config>,
    now: Now,
    book: Mutex<Book>,
    /// Held by who administers: one after the other, so that each is looked at again after what the one before has done.
    administers: Mutex<()>,
    audit: Desk,
    revoked: watch::Receiver<Revoked>,
    /// Renews certificates; `None` where the hospital's authority makes them.
    renewal: Option<Enroll>,
    limits: Limits,
}

impl std::fmt::Debug for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interface")
            .field("data", &self.0.config.data_dir)
            .finish_non_exhaustive()
    }
}

impl Interface {
    /// A service on a collector's data. `now` tells what the collector works with, and the feeds' state when it is asked for it.
    pub fn new(
        config: Config,
        now: Now,
        book: Book,
        audit: Desk,
        revoked: watch::Receiver<Revoked>,
        renewal: Option<Enroll>,
    ) -> Self {
        Self(Arc::new(Inner {
            config: Arc::new(config),
            now,
            book: Mutex::new(book),
            administers: Mutex::new(()),
            audit,
            revoked,
            renewal,
            limits: Limits::new(),
        }))
    }
}

#[tonic::async_trait]
impl Analyst for Interface {
    type RunStream = Pin<Box<dyn Stream<Item = Result<RunReply, Status>> + Send>>;

    async fn run(&self, request: Request<RunRequest>) -> Result<Response<Self::RunStream>, Status> {
        let (shown, who) = self.0.shown(&ingest::caller(&request));
        let command = wire::command(request.into_inner()).map_err(Refused::from);
        let said = command
            .as_ref()
            .map_or_else(|_| String::new(), Command::said);
        let asks = who.clone();
        let accepted = self.accepted(&who, &said, move |inner| {
            let (shown, command) = (shown?, command?);
            let permits = inner.accept(&shown, &command, &asks)?;
            Ok((shown.certificate, command, permits))
        });
        let (certificate, command, permits) = accepted.await?;
        let (revoked, runtime) = (self.0.revoked.clone(), Handle::current());
        let pipe = Pipe::new(certificate, revoked, runtime);
        let (pipe, parts) = pipe.ok_or_else(|| Status::internal("an answer has no room"))?;
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || inner.carry_out(command, &who, pipe, permits));
        Ok(Response::new(Box::pin(ReceiverStream::new(parts))))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let (shown, who) = self.0.shown(&ingest::caller(&request));
        let (asked, inner, by) = (request.into_inner(), self.0.clone(), who.clone());
        let renewed = self.accepted(&who, "renewal", move |_| {
            let certificate = shown?.certificate;
            inner.limits.of(&certificate.name).come()?;
            inner.entitled(&certificate, Role::Read)?;
            let renewal = inner.renewal.as_ref().ok_or(Refused::NotRenewed)?;
            let reply = renewal::renew(renewal, &certificate, by, asked);
            // Who was revoked while it was made gets none that would be later than the revocation.
            inner.entitled(&certificate, Role::Read)?;
            Ok(reply)
        });
        renewed.await?.map(Response::new)
    }
}

impl Interface {
    /// What comes of looking at the disk, where roles, revocations and the audit log are; a refusal is said in the audit log.
    async fn accepted<T: Send + 'static>(
        &self,
        who: &Who,
        said: &str,
        look: impl FnOnce(&Inner) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        let inner = self.0.clone();
        let looked = tokio::task::spawn_blocking(move || look(&inner)).await;
        let looked = looked.map_err(|_| Status::internal("the command ended with a panic"))?;
        looked.map_err(|refused| {
            self.0.audit(who, said, &refused);
            refused.status()
        })
    }
}

/// The certificate of a connection.
struct Shown {
    certificate: AnalystCertificate,
    /// Fingerprint of the collector's own authority that signed it; `None` when a hospital's did.
    authority: Option<String>,
}

impl Inner {
    /// What a connection has shown, and who that is.
    fn shown(&self, caller: &Caller) -> (Result<Shown, Refused>, Who) {
        let from = caller.from();
        let stranger = Who::Stranger { from };
        let Some(certificate) = caller.certificate() else {
            return (Err(Refused::NoCertificate), stranger);
        };
        let read = match AnalystCertificate::read(certificate) {
            Ok(read) => read,
            Err(error) => return (Err(Refused::Certificate(error.to_string())), stranger),
        };
        let who = Who::Certified {
            name: read.name.to_string(),
            from,
        };
        let authority = renewal::signer(self.renewal.as_ref(), certificate);
        let shown = authority.map(|authority| Shown {
            certificate: read,
            authority,
        });
        (shown, who)
    }

    /// Whether a command is carried out for whom a certificate names.
    fn accept(&self, shown: &Shown, command: &Command, who: &Who) -> Result<Permits, Refused> {
        // First, so that who asks in a loop costs nobody the disk.
        let share = self.limits.of(&shown.certificate.name);
        share.come()?;
        self.may(&shown.certificate, command)?;
        let permits = self.limits.run(&share, command)?;
        self.audit.ready().map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written to");
            Refused::Audit
        })?;
        self.note_shown(shown);
        // Who looks at the same again and again makes a line and a count.
        let looked = Entry::new(Action::Looked).by(who.clone());
        self.audit.repeated(looked.about(&command.said()));
        Ok(permits)
    }

    /// Whether somebody may have a command carried out.
    fn may(&self, certificate: &AnalystCertificate, command: &Command) -> Result<(), Refused> {
        self.entitled(certificate, command.needs())?;
        let name = &*certificate.name;
        match command {
            // So of administrators one is always left, and more roles take another name, which the audit log has.
            Command::Administer(task) if task.analyst() == Some(name) => {
                Err(Refused::Oneself(name.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody has a role, as the disk says now and not as was told a second ago: nothing is done after a revocation.
    fn entitled(&self, certificate: &AnalystCertificate, needs: Role) -> Result<(), Refused> {
        if certificate.has_expired() {
            return Err(Refused::Expired);
        }
        let failed = |error: IdentityError| {
            tracing::error!(%error, "roles cannot be looked up");
            Refused::Book
        };
        let (revoked, roles) = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let roles = book.roles(&certificate.name).map_err(failed)?;
            (book.revoked().map_err(failed)?, roles)
        };
        if certificate.is_revoked(&revoked) {
            return Err(Refused::Revoked);
        }
        if roles.may(needs) {
            return Ok(());
        }
        let name = certificate.name.to_string();
        Err(Refused::Role { name, needs, roles })
    }

    /// Keeps which authority an analyst knows, for who changes it.
    fn note_shown(&self, shown: &Shown) {
        let Some(authority) = &shown.authority else {
            return;
        };
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = book.shown(&shown.certificate, authority) {
            tracing::warn!(%error, "which authority an analyst knows could not be kept");
        }
    }

    /// Lets one administrate at a time. Two that take each other's role would otherwise leave none.
    fn take_turn(
        &self,
        certificate: &AnalystCertificate,
        command: &Command,
    ) -> Result<Option<MutexGuard<'_, ()>>, Refused> {
        // A proposal is tried on the log, which is long, and changes nothing.
        if command.needs() != Role::Administer || command.is_long() {
            return Ok(None);
        }
        let turn = self
            .administers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.may(certificate, command)?;
        Ok(Some(turn))
    }

    /// Says in the audit log that somebody was refused.
    fn audit(&self, who: &Who, said: &str, refused: &Refused) {
        let entry = Entry::new(Action::AnalystRefused).by(who.clone());
        let entry = entry.about(said).with("reason", &refused.to_string());
        self.audit.repeated(entry);
    }

    fn carry_out(&self, command: Command, who: &Who, pipe: Pipe, permits: Permits) {
        if let Some(seconds) = renewal::due(self.renewal.as_ref(), &pipe.certificate)
            && let Err(error) = pipe.send(Part::RenewInS(seconds))
        {
            tracing::debug!(%error, "an analyst left before a command began");
            return;
        }
        let turn = match self.take_turn(&pipe.certificate, &command) {
            Ok(turn) => turn,
            Err(refused) => {
                self.audit(who, &command.said(), &refused);
                return pipe.refuse(refused.status());
            }
        };
        let said = command.said();
        let approves = matches!(&command, Command::Approve(asked) if asked.agreed.is_some());
        let wants_feeds = matches!(&command, Command::Intel { values, .. } if values.is_empty());
        let (detect, feeds) = (self.now)(wants_feeds);
        let bench = Bench {
            data: self.config.data_dir.clone(),
            config: self.config.clone(),
            detect,
            feeds,
            file: None,
            share: Some(self.limits.of(&pipe.certificate.name)),
            who: who.clone(),
            terminal: false,
        };
        let (mut out, mut told) = (pipe.writer(Part::Out), pipe.writer(Part::Told));
        let done = run(&bench, command, &mut out, &mut told);
        drop(turn);
        if approves && done.is_ok() {
            read_again();
        }
        let exit = match &done {
            Ok(_) => 0,
            Err(error) => error.exit(),
        };
        let last = (|| {
            out.flush()?;
            if let Err(error) = &done {
                writeln!(told, "chartwatch: {error}")?;
            }
            told.flush()?;
            if let Ok(Some(hash)) = &done {
                pipe.send(Part::ToAgree(hash.to_string()))?;
            }
            pipe.send(Part::Exit(exit.into()))
        })();
        drop(permits);
        drop((out, told));
        let Err(error) = last else {
            return;
        };
        let refused = match error.kind() {
            ErrorKind::PermissionDenied => Refused::Revoked,
            ErrorKind::TimedOut => Refused::Slow,
            _ => return tracing::debug!(%error, "an analyst left before the end of a command"),
        };
        self.audit(who, &said, &refused);
        pipe.refuse(refused.status());
    }
}

/// Has the configuration read again, as `systemctl reload` does: the daemon waits for this signal, and nothing else serves analysts.
fn read_again() {
    use rustix::process::{Signal, getpid, kill_process};
    if let Err(error) = kill_process(getpid(), Signal::HUP) {
        tracing::error!(%error, "what was approved counts only after a reload");
    }
}

/// Serves analysts until `stopping` turns true; with `enroll` also whoever comes with a token.
///
/// # Errors
///
/// Whatever makes the HTTP/2 layer end before that.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<Server>,
    interface: Interface,
    enroll: Option<Enroll>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let stop = async move {
        // An error means that the collector was dropped, which is as good a reason.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the collector was dropped");
        }
    };
    let audit = interface.0.audit.clone();
    let (door, connections) = ingest::door(listener, tls, audit, CONNECTIONS_MAX);
    let server = AnalystServer::new(interface).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let served = tonic::transport::Server::builder()
        .max_concurrent_streams(u32::try_from(COMMANDS_EACH).ok())
        .max_connection_age(CONNECTION_AGE)
        .max_connection_age_grace(CONNECTION_GRACE)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(server)
        .add_optional_service(enroll.map(Enroll::into_server))
        .serve_with_incoming_shutdown(connections, stop)
        .await;
    door.abort();
    served
}
