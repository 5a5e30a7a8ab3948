//! HTTPS: only who is vouched for by the certificates that count is asked.
//!
//! The key and the certificates beside this file are for these tests only (made with openssl, 100 years): `server.pem` is for
//! 127.0.0.1 and vouched for by `ca.pem`; `other.pem` vouches for nobody here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use ureq::tls::{PemItem, parse_pem};

use super::*;

const CA: &str = include_str!("tls/ca.pem");
const OTHER: &str = include_str!("tls/other.pem");
const SERVER: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");

fn der(pem: &str) -> Vec<u8> {
    match parse_pem(pem.as_bytes()).next().unwrap().unwrap() {
        PemItem::Certificate(certificate) => certificate.der().to_vec(),
        PemItem::PrivateKey(key) => key.der().to_vec(),
        _ => unreachable!(),
    }
}

fn server_config() -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der(KEY)));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(der(SERVER))], key);
    Arc::new(config.unwrap())
}

/// Serves one connection; gives what was asked, nothing when the client would not speak to it.
fn serve_one() -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(server_config()).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut asked = vec![0; 4_096];
        let Ok(length) = stream.read(&mut asked) else {
            return String::new();
        };
        stream.write_all(&Reply::ok("203.0.113.9\n").0).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (address, thread)
}

#[test]
fn a_server_is_asked_only_if_the_right_certificates_vouch_for_it() {
    let both = format!("{OTHER}{CA}");
    let refused = "does not answer";
    for (ca, said) in [
        (Some(CA), None),
        (Some(&both), None),
        (Some(OTHER), Some(refused)),
        // Those that the system trusts do not vouch for it.
        (None, Some(refused)),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (address, server) = serve_one();
        let mut config = config(place.path(), Kind::List, &format!("https://{address}/list"));
        if let Some(ca) = ca {
            let file = place.path().join("ca.pem");
            fs::write(&file, ca).unwrap();
            config.pull.as_mut().unwrap().ca_file = Some(file);
        }
        let came = pull_at(&config, NOW_S);
        let problem = told_of(&config).problem;
        assert_eq!(came, said.is_none(), "{problem:?}");
        let asked = server.join().unwrap();
        assert_eq!(asked.starts_with("GET /list HTTP/1.1\r\n"), came, "{asked}");
        if let Some(said) = said {
            assert!(problem.unwrap().contains(said));
            assert_eq!(asked, "", "nothing was said to whom nobody vouches for");
        }
    }
}

#[test]
fn a_file_of_certificates_that_has_none_is_said() {
    for (text, said) in [
        (None, "cannot be read"),
        (Some(""), "has no certificate"),
        (Some(KEY), "something else than certificates"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("ca.pem");
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let mut config = config(place.path(), Kind::List, "https://127.0.0.1:9/");
        config.pull.as_mut().unwrap().ca_file = Some(file);
        assert!(!pull_at(&config, NOW_S));
        let problem = told_of(&config).problem.unwrap();
        assert!(problem.contains(said), "{problem:?} does not say {said:?}");
    }
}
