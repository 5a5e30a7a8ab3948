//! One-time tokens, with which an administrator lets a sensor ask for its first certificate.
//!
//! **Invariant:** the secret is on the token and nowhere else: what is kept is its hash.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Authority, IdentityError};

/// Bytes of the secret: nobody finds one by trying, so a plain hash of it is enough to keep.
const SECRET_BYTES: usize = 32;

/// A secret that was just made.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn make() -> Result<Self, IdentityError> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_| IdentityError::Random)?;
        Ok(Self(secret))
    }

    /// By what the audit log names it.
    pub fn mark(&self) -> String {
        mark(&self.0)
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }

    /// The line that is carried to the sensor: kind, sensor, address, fingerprint of the authority, secret.
    pub fn token(&self, sensor: &str, address: &str, authority: &Authority) -> String {
        self.line("chartwatch-token-1", sensor, address, authority)
    }

    /// The line that is carried to an analyst; of another kind, so that neither takes the other's.
    pub fn analyst_token(&self, analyst: &str, address: &str, authority: &Authority) -> String {
        self.line("chartwatch-analyst-1", analyst, address, authority)
    }

    fn line(&self, kind: &str, name: &str, address: &str, authority: &Authority) -> String {
        let fingerprint = authority.fingerprint();
        let secret = hex(&self.0);
        format!("{kind} {name} {address} {fingerprint} {secret}")
    }
}

/// What is kept of a secret.
pub(super) fn hash(secret: &[u8]) -> Vec<u8> {
    digest(&SHA256, secret).as_ref().to_vec()
}

/// By what a token is named in the audit log, from being made to being spent: the beginning of the hash that is kept of it.
pub(crate) fn mark(secret: &[u8]) -> String {
    hex(&hash(secret)[..8])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
