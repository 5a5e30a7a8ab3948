//! What strangers send to be certified, and certificates.

use collector::identity::SensorCertificate;
use collector::ingest;

/// A point of P-256 as certificates have it (SEC 1, 2.3.3): a byte and two coordinates.
const POINT_BYTES: usize = 65;

/// A request for a certificate, first or next, as it comes off the wire. The same bytes as a certificate too: one that was verified is
/// read by the same reader.
pub fn request(bytes: &[u8]) {
    let key = ingest::fuzzing::request(bytes);
    if let Some(key) = &key {
        assert_eq!((key.len(), key[0]), (POINT_BYTES, 4));
        let held = bytes.windows(key.len()).any(|part| part == &key[..]);
        assert!(held, "a key that nobody sent");
    }
    assert_eq!(key, ingest::fuzzing::request(bytes));
    if let Ok(certificate) = SensorCertificate::read(&bytes.into()) {
        assert!(certificate.name.len() <= bytes.len());
    }
}
