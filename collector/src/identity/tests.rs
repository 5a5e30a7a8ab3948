//! Keys are private and kept, and certificates say what was asked for.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use rcgen::KeyPair;
use time::{Duration, OffsetDateTime};

use super::*;

fn mode(file: &Path) -> u32 {
    file.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_is_made_once_kept_private_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::open_or_make(dir.path()).unwrap();
    let (key, certificate) = (dir.path().join("pki/ca.key"), dir.path().join("pki/ca.pem"));
    assert_eq!((mode(&key), mode(&directory(dir.path()))), (0o600, 0o700));
    let again = Authority::open_or_make(dir.path()).unwrap();
    assert_eq!(made.certificate(), again.certificate());

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = Authority::open(dir.path()).unwrap_err().to_string();
    assert!(
        said.contains("ca.key: mode 0644") && said.contains("chmod 600"),
        "{said}"
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let said = Authority::open(dir.path()).unwrap_err().to_string();
    assert!(said.contains("not the certificate of the key"), "{said}");
    std::fs::remove_file(&certificate).unwrap();
    let said = Authority::open_or_make(dir.path()).unwrap_err().to_string();
    assert!(said.contains("ca.pem: is not there"), "{said}");
    assert!(
        !certificate.exists(),
        "nothing is made in the place of what is lost"
    );
}

#[test]
fn a_sensors_certificate_says_its_name_and_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_make(dir.path()).unwrap();
    let key = KeyPair::generate().unwrap();
    for (from, days) in [(1_700_000_000, 30), (4_000_000_000, 1)] {
        let now = OffsetDateTime::from_unix_timestamp(from).unwrap();
        let certificate = authority.sensor("ws-12.ward", &key, now, Duration::days(days));
        let read = SensorCertificate::read(&certificate.unwrap()).unwrap();
        assert_eq!(&*read.name, "ws-12.ward");
        assert_eq!(
            (read.not_before, read.not_after),
            (from, from + days * 86_400)
        );
    }
    let nameless = SensorCertificate::read(authority.certificate());
    assert!(
        matches!(nameless, Err(PeerError::Names(0) | PeerError::Form(_))),
        "{nameless:?}"
    );
}

#[test]
fn what_is_no_certificate_is_refused_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_make(dir.path()).unwrap();
    let whole = authority.certificate().to_vec();
    for length in 0..whole.len() {
        assert!(SensorCertificate::read(&whole[..length].to_vec().into()).is_err());
    }
}

#[test]
fn a_token_is_spent_once_before_it_expires_and_kept_as_a_hash() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Book::open(dir.path()),
        Err(IdentityError::NeverRan(_))
    ));
    let authority = Authority::open_or_make(dir.path()).unwrap();
    let book = Book::open_or_make(dir.path()).unwrap();
    let (first, second) = (Secret::make().unwrap(), Secret::make().unwrap());
    let bytes = |secret: &Secret| -> Vec<u8> {
        let token = secret.token("ws-12", "c:7443", &authority);
        let hex = token.rsplit(' ').next().unwrap();
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    book.add(&first, "ws-12", 100, 200).unwrap();
    book.add(&second, "ws-13", 100, 200).unwrap();
    assert_eq!(book.spend(&[1; 32], 150).unwrap(), None, "unknown");
    assert_eq!(
        book.spend(&bytes(&first), 150).unwrap().as_deref(),
        Some("ws-12")
    );
    assert_eq!(book.spend(&bytes(&first), 151).unwrap(), None, "spent");
    assert_eq!(book.spend(&bytes(&second), 200).unwrap(), None, "expired");
    drop(book);
    for file in ["book.db", "book.db-wal"] {
        let kept = std::fs::read(directory(dir.path()).join(file)).unwrap();
        assert!(
            !kept.windows(32).any(|part| part == bytes(&second)),
            "{file} holds the secret"
        );
    }
}

#[test]
fn requests_are_taken_with_a_key_on_p256_and_its_own_signature_only() {
    let key = KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["whoever".to_owned()]).unwrap();
    let request = params.serialize_request(&key).unwrap().der().to_vec();
    let read = RequestedKey::read(&request).unwrap();
    assert_eq!(rcgen::PublicKeyData::der_bytes(&read), key.public_key_raw());
    for length in 0..request.len() {
        assert!(
            RequestedKey::read(&request[..length]).is_err(),
            "cut to {length}"
        );
    }
    for at in 0..request.len() {
        let mut other = request.clone();
        other[at] ^= 1;
        assert!(RequestedKey::read(&other).is_err(), "byte {at} is another");
    }
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = params.serialize_request(&other).unwrap();
    assert_eq!(RequestedKey::read(request.der()), Err(RequestError::Form));
    assert_eq!(RequestedKey::read(&[0x30; 5_000]), Err(RequestError::Form));
}
