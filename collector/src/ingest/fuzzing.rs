//! The checks of a stream without a stream, for the fuzz targets: no other way leads to them from outside.

use proto::prost::Message as _;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{EnrollRequest, FromSensor, Hello, RenewRequest};

use super::{WireError, convert, payload};
use crate::event::Block;
use crate::identity::RequestedKey;

/// Checks one message off the wire as a stream does, a batch as if Hello had said its epoch. Answers with the events of a batch
/// how many bytes they had when they were unpacked. A batch's check, which no fuzzer guesses, is taken to be right.
pub fn message(untrusted: &[u8]) -> Result<Option<(Block, usize)>, WireError> {
    let message =
        FromSensor::decode(untrusted).map_err(|error| WireError::Decode(error.to_string()))?;
    match message.message {
        None => Ok(None),
        Some(Message::Hello(hello)) => convert::hello(hello).map(|_| None),
        Some(Message::Heartbeat(heartbeat)) => convert::heartbeat(heartbeat).map(|_| None),
        Some(Message::Batch(mut batch)) => {
            batch.crc32c = batch.crc32c.map(|_| payload::check(&batch));
            let hello = convert::hello(Hello {
                sensor_id: "sensor".into(),
                epoch: batch.epoch.clone(),
                ..Hello::default()
            })?;
            let (kept, block) = convert::batch(batch, &hello)?;
            let unpacked = payload::plain(kept.encoding, &kept.payload)?.len();
            Ok(Some((block, unpacked)))
        }
    }
}

/// Checks what a stranger or a sensor sends to be certified, as the services do, but for token and signing; answers the key's bytes.
pub fn request(untrusted: &[u8]) -> Option<Vec<u8>> {
    let requested = match (
        EnrollRequest::decode(untrusted),
        RenewRequest::decode(untrusted),
    ) {
        (Ok(first), _) if !first.request.is_empty() => first.request,
        (_, Ok(next)) => next.request,
        (_, Err(_)) => return None,
    };
    let key = RequestedKey::read(&requested).ok()?;
    Some(rcgen::PublicKeyData::der_bytes(&key).to_vec())
}
