//! TLS before a collector for tests: takes it off, and takes only certificates of one authority.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use sensor_user::link::Files;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority.
pub(crate) struct Authority {
    root: CertificateDer<'static>,
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            root: certificate.der().clone(),
            root_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A sensor's files in a directory, which trust this authority's collectors.
    pub(crate) fn files(&self, directory: &Path, name: &str, mode: u32) -> Files {
        let (certificate, key) = self.certify(name);
        let files = Files {
            identity: directory.join("identity.pem"),
            ca: directory.join("ca.pem"),
        };
        std::fs::remove_file(&files.identity).ok();
        let mut out = std::fs::OpenOptions::new();
        let mut out = out
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&files.identity)
            .unwrap();
        let text = key.serialize_pem() + &certificate.pem();
        std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        std::fs::write(&files.ca, &self.root_pem).unwrap();
        files
    }

    /// Takes TLS off what comes and hands it on to `collector`; answers where.
    pub(crate) async fn before(&self, collector: SocketAddr, name: &str) -> SocketAddr {
        let (certificate, key) = self.certify(name);
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut near = acceptor.accept(stream).await?;
                    let mut far = TcpStream::connect(collector).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        address
    }
}
