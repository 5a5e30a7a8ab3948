//! Certificates for all sensors, made at once with the key of the collector's authority.
//!
//! A token for each, as a hospital does it, would measure enrolment: that is a signature and two transactions per sensor.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use collector::identity::Authority;
use rcgen::KeyPair;
use rustls::client::Resumption;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, version};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::Outcome;
use crate::sensor::Identity;

/// Sensors whose connections come from one address: a restart leaves as many ports waiting again (RFC 9293, 3.6.1).
const SENSORS_PER_ADDRESS: u64 = 5_000;

/// Makes the identities of so many sensors.
pub(crate) fn make(data: &Path, sensors: u64) -> Outcome<Vec<Identity>> {
    let authority = Authority::open(data)?.ok_or("the collector has made no authority")?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    (0..sensors)
        .map(|number| {
            let name = format!("ws-{number:05}");
            let key = KeyPair::generate()?;
            let (now, valid) = (OffsetDateTime::now_utc(), Duration::DAY);
            let certificate = authority.sensor(&name, &key, now, valid)?;
            let mut tls = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&version::TLS13])?
                .with_root_certificates(roots.clone())
                .with_client_auth_cert(
                    vec![certificate],
                    PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
                )?;
            tls.alpn_protocols = vec![b"h2".to_vec()];
            // The collector gives no tickets; room for them would be memory of this program.
            tls.resumption = Resumption::disabled();
            let address = [127, 1, 0, 1 + (number / SENSORS_PER_ADDRESS % 250) as u8];
            Ok(Identity {
                name,
                epoch: Uuid::new_v4(),
                tls: Arc::new(tls),
                source: SocketAddr::from((address, 0)),
            })
        })
        .collect()
}
