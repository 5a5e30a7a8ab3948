//! A command carried out by the collector, over TLS 1.3 with the analyst's certificate.

use std::fs::File;
use std::io::{Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use collector::analyst::{Command, request};
use collector::audit::Hash;
use collector::text;
use hyper_util::rt::TokioIo;
use proto::analyst::v1::analyst_client::AnalystClient;
use proto::analyst::v1::run_reply::Part;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Larger than any chain of certificates.
const BYTES_MAX: u64 = 1 << 20;
/// Largest part of an answer, and its frame.
const PART_MAX: usize = 64 * 1024;

/// The files of an analyst.
pub(super) struct Files {
    /// Key and certificate.
    pub(super) identity: PathBuf,
    /// The authority the collector's certificate is checked with.
    pub(super) ca: PathBuf,
}

impl Files {
    /// Those of a directory.
    pub(super) fn below(directory: &Path) -> Self {
        Self {
            identity: directory.join("identity.pem"),
            ca: directory.join("ca.pem"),
        }
    }

    fn client(&self) -> Result<ClientConfig, anyhow::Error> {
        let identity = read(&self.identity, true)?;
        let shown = self.identity.display();
        let key = PrivateKeyDer::from_pem_slice(&identity)
            .with_context(|| format!("{shown}: holds no key; enrol again"))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca, &read(&self.ca, false)?)? {
            roots
                .add(authority)
                .with_context(|| format!("{}: is no authority; enrol again", self.ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&self.identity, &identity)?, key)
            .with_context(|| format!("{shown}: key and certificate do not fit; enrol again"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

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
    let config = files.client()?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let channel = connect(address, config).await?;
        let mut client = AnalystClient::new(channel).max_decoding_message_size(PART_MAX);
        let refused = |status: tonic::Status| match status.code() {
            tonic::Code::Unimplemented => anyhow::anyhow!(
                "{address}: analysts are not served there; ask for the address that is `listen` below [analyst] at the collector"
            ),
            _ => anyhow::anyhow!("the collector refused: {}", text::clean(status.message())),
        };
        let answer = client.run(request(command)).await.map_err(refused)?;
        let mut parts = answer.into_inner();
        let mut ended = Ended::default();
        while let Some(reply) = parts.message().await.map_err(refused)? {
            match reply.part {
                Some(Part::Out(bytes)) => out.write_all(&bytes).context("failed to write")?,
                Some(Part::Told(bytes)) => std::io::stderr()
                    .write_all(&bytes)
                    .context("failed to write")?,
                Some(Part::ToAgree(hash)) => ended.to_agree = Hash::parse(&hash),
                Some(Part::Exit(exit)) => {
                    ended.exit = u8::try_from(exit).unwrap_or(1);
                    return Ok(ended);
                }
                None => {}
            }
        }
        bail!("the collector ended the connection before the command was done; what was printed is a part of it")
    })
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
    connected.map_err(|error| anyhow::anyhow!("no connection to {address}: {}", cause(&error)))
}

/// The first cause of an error: the others say only that there was one.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, anyhow::Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.with_context(|| format!("{}: cannot be read; enrol again", file.display()))?;
    if all.is_empty() {
        bail!("{}: holds no certificate; enrol again", file.display());
    }
    Ok(all)
}

/// Reads a file. Permissions are those of the file that was opened, not of whatever has its name later.
pub(super) fn read(path: &Path, private: bool) -> Result<Vec<u8>, anyhow::Error> {
    let shown = path.display();
    let file = File::open(path).with_context(|| {
        format!("{shown}: cannot be read; `chartwatch enroll --token-file FILE` makes it")
    })?;
    let mode = file.metadata().with_context(|| shown.to_string())?.mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        bail!("{shown}: mode {mode:04o} lets others read or change it; run `chmod 600 {shown}`");
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| shown.to_string())?;
    Ok(bytes)
}
