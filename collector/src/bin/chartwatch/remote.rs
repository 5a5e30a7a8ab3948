//! A command carried out by the collector, over TLS 1.3 with the analyst's certificate.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use collector::analyst::{Command, request};
use collector::audit::Hash;
use collector::identity::AnalystCertificate;
use collector::text;
use hyper_util::rt::TokioIo;
use proto::analyst::v1::RenewRequest;
use proto::analyst::v1::analyst_client::AnalystClient;
use proto::analyst::v1::run_reply::Part;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::keeping::{self, Files};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long a renewal may take.
const RENEW_WITHIN: Duration = Duration::from_secs(20);
/// Largest part of an answer, and its frame.
const PART_MAX: usize = 64 * 1024;

/// How a command ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Its exit status.
    pub(super) exit: u8,
    /// What a person has to agree to for it to be done.
    pub(super) to_agree: Option<Hash>,
}

/// Has a command carried out.
pub(super) fn run(
    address: &str,
    files: &Files,
    command: Command,
    out: &mut impl Write,
) -> Result<Ended, anyhow::Error> {
    let identity = files.identity()?;
    let config = files.client(&identity)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let channel = connect(address, config).await;
        let channel = channel.map_err(|error| explained(&error, files, &identity))?;
        let mut client = AnalystClient::new(channel.clone()).max_decoding_message_size(PART_MAX);
        let refused = |status: tonic::Status| match status.code() {
            tonic::Code::Unimplemented if status.message().is_empty() => anyhow::anyhow!(
                "{address}: analysts are not served there; ask for the address that is `listen` below [analyst] at the collector"
            ),
            _ => explained(&refusal(&status), files, &identity),
        };
        let answer = client.run(request(command)).await.map_err(refused)?;
        let mut parts = answer.into_inner();
        let mut ended = Ended::default();
        let mut renew = false;
        while let Some(reply) = parts.message().await.map_err(refused)? {
            match reply.part {
                Some(Part::Out(bytes)) => out.write_all(&bytes).context("failed to write")?,
                Some(Part::Told(bytes)) => std::io::stderr()
                    .write_all(&bytes)
                    .context("failed to write")?,
                Some(Part::ToAgree(hash)) => ended.to_agree = Hash::parse(&hash),
                Some(Part::RenewInS(seconds)) => renew = seconds == 0,
                Some(Part::Exit(exit)) => {
                    ended.exit = u8::try_from(exit).unwrap_or(1);
                    if renew {
                        renewed(channel, files, &identity).await;
                    }
                    return Ok(ended);
                }
                None => {}
            }
        }
        bail!("the collector ended the connection before the command was done; what was printed is a part of it")
    })
}

/// Has another key certified and puts it in the place of the one that was shown. That it cannot be fails no command: the one before still counts.
async fn renewed(channel: Channel, files: &Files, shown: &[u8]) {
    let done = tokio::time::timeout(RENEW_WITHIN, renew(channel, files, shown)).await;
    let done = done.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
    if let Err(error) = done {
        super::say(&format!(
            "chartwatch: note: your certificate could not be renewed: {}; the next command tries again",
            text::reasons(&error)
        ));
    }
}

async fn renew(channel: Channel, files: &Files, shown: &[u8]) -> Result<(), anyhow::Error> {
    // Who comes second finds that it is being done, or has been.
    let Some(_lock) = files.try_lock()? else {
        return Ok(());
    };
    if files.identity()? != shown {
        return Ok(());
    }
    let (key, request) = keeping::new_key()?;
    let asked = RenewRequest { request };
    let reply = AnalystClient::new(channel).renew(asked).await;
    let reply = reply.map_err(|status| refusal(&status))?.into_inner();
    keeping::keep(files, &key, &reply.chain, &reply.authorities)
}

/// What the collector said, or why nothing could be asked.
fn refusal(status: &tonic::Status) -> anyhow::Error {
    let said = format!("the collector refused: {}", text::clean(status.message()));
    match tls_error(status) {
        Some(error) => anyhow::Error::new(error).context(said),
        None => anyhow::anyhow!(said),
    }
}

/// An error with what is to be done about it, where that is another certificate. The collector's clock counts, so this is looked at only then.
fn explained(error: &anyhow::Error, files: &Files, identity: &[u8]) -> anyhow::Error {
    let certificate = files.certificate(identity);
    let name = certificate
        .as_ref()
        .map_or_else(|| "NAME".to_owned(), |own| text::clean(&own.name));
    let again = format!(
        "ask an administrator for a new token (`chartwatch-collector token --analyst {name} --role ROLES`), then run `chartwatch enroll --replace --token-file FILE`"
    );
    let own = files.identity.display();
    let told = |alert: AlertDescription| matches!(error.downcast_ref(), Some(rustls::Error::AlertReceived(said)) if *said == alert);
    let is_over = certificate
        .as_ref()
        .is_some_and(AnalystCertificate::has_expired);
    if told(AlertDescription::CertificateExpired) || is_over {
        let until = certificate.map_or(0, |own| own.not_after.unsigned_abs());
        let until = text::time(until.saturating_mul(1_000_000_000));
        return anyhow::anyhow!(
            "{own}: the certificate has expired, on {until}; {again} ({error})"
        );
    }
    if told(AlertDescription::UnknownCA) || told(AlertDescription::DecryptError) {
        return anyhow::anyhow!(
            "{own}: the collector does not believe the certificate: its authority was changed while you were away; {again}"
        );
    }
    // Authorities of one name tell each other's certificates by the signature.
    let of_another = |error: &rustls::Error| {
        use CertificateError::{BadSignature, UnknownIssuer};
        matches!(
            error,
            rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)
        )
    };
    if error.downcast_ref().is_some_and(of_another) {
        let ca = files.ca.display();
        return anyhow::anyhow!(
            "the collector there is of no authority in {ca}: it is another one, or its authority was changed while you were away; {again}"
        );
    }
    // What TLS said stands in the first line already.
    anyhow::anyhow!("{error}")
}

/// What TLS said, wherever in an error it stands.
fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls.clone());
    }
    // An I/O error is its own source's source: what it holds is asked for by itself.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .and_then(|inner| tls_error(inner));
    held.or_else(|| error.source().and_then(tls_error))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, anyhow::Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

/// Connects to `HOST:PORT`, whose certificate must have that host's name.
pub(super) async fn connect(address: &str, config: ClientConfig) -> Result<Channel, anyhow::Error> {
    let port = |address: &str| address.rsplit_once(':')?.1.parse::<u16>().ok();
    if port(address).is_none() {
        bail!("{address:?} is no HOST:PORT, such as collector.hospital.example:7444");
    }
    let config = Arc::new(config);
    let connector = tower::service_fn(move |uri: Uri| {
        let config = config.clone();
        async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("{address:?} is no HOST:PORT"))?
        .connect_timeout(CONNECT_WITHIN);
    let connected =
        tokio::time::timeout(CONNECT_WITHIN, endpoint.connect_with_connector(connector));
    let connected = connected
        .await
        .with_context(|| format!("no connection to {address}: no answer in time"))?;
    connected.map_err(|error| {
        let said = format!("no connection to {address}: {}", cause(&error));
        match tls_error(&error) {
            Some(error) => anyhow::Error::new(error).context(said),
            None => anyhow::anyhow!(said),
        }
    })
}

/// The first cause of an error: the others say only that there was one.
fn cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
