//! Certificate requests (RFC 2986), as strict as can be: an ECDSA key on P-256, and the signature that shows who has it.
//!
//! **Invariant:** comes from the network; nothing here panics, whatever the bytes.

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader};

/// Longest request that is looked at.
const BYTES_MAX: usize = 4_096;
/// `id-ecPublicKey` and `secp256r1` (RFC 5480, 2.1.1), `ecdsa-with-SHA256` (RFC 5758, 3.2).
const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10_045, 2, 1];
const P256: &[u64] = &[1, 2, 840, 10_045, 3, 1, 7];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10_045, 4, 3, 2];

/// The key of a request whose sender has shown to have the other half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedKey(Vec<u8>);

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is too long, or no request with an ECDSA P-256 key.
    #[error("the certificate request is none with an ECDSA P-256 key (RFC 2986)")]
    Form,
    /// Its signature is not of its key.
    #[error("the certificate request is not signed with its own key")]
    Signature,
}

impl RequestedKey {
    /// Reads a request in DER and checks its signature. The name in it is not looked at.
    ///
    /// # Errors
    ///
    /// It is no such request, or not signed with its own key.
    pub fn read(request: &[u8]) -> Result<Self, RequestError> {
        if request.len() > BYTES_MAX {
            return Err(RequestError::Form);
        }
        let (signed, signature) = outer(request).map_err(|_| RequestError::Form)?;
        let point = inner(&signed).map_err(|_| RequestError::Form)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point)
            .verify(&signed, &signature)
            .map_err(|_| RequestError::Signature)?;
        Ok(Self(point))
    }
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// What is signed, and the signature.
fn outer(request: &[u8]) -> ASN1Result<(Vec<u8>, Vec<u8>)> {
    yasna::parse_der(request, |reader| {
        reader.read_sequence(|reader| {
            let signed = reader.next().read_der()?;
            let algorithm = reader
                .next()
                .read_sequence(|reader| reader.next().read_oid())?;
            must_be(&algorithm, ECDSA_WITH_SHA256)?;
            Ok((signed, bytes(reader.next())?))
        })
    })
}

/// The point of the key.
fn inner(signed: &[u8]) -> ASN1Result<Vec<u8>> {
    yasna::parse_der(signed, |reader| {
        reader.read_sequence(|reader| {
            if reader.next().read_u8()? != 0 {
                return Err(ASN1Error::new(ASN1ErrorKind::Invalid));
            }
            reader.next().read_der()?; // subject
            let point = reader.next().read_sequence(|reader| {
                reader.next().read_sequence(|reader| {
                    must_be(&reader.next().read_oid()?, EC_PUBLIC_KEY)?;
                    must_be(&reader.next().read_oid()?, P256)
                })?;
                bytes(reader.next())
            })?;
            reader.next().read_der()?; // attributes
            Ok(point)
        })
    })
}

/// A string of bits that is one of bytes.
fn bytes(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    let (bytes, bits) = reader.read_bitvec_bytes()?;
    if bits != bytes.len() * 8 {
        return Err(ASN1Error::new(ASN1ErrorKind::Invalid));
    }
    Ok(bytes)
}

fn must_be(found: &ObjectIdentifier, expected: &[u64]) -> ASN1Result<()> {
    if found.components().as_slice() == expected {
        Ok(())
    } else {
        Err(ASN1Error::new(ASN1ErrorKind::Invalid))
    }
}
