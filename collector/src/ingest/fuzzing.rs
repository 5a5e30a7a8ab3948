//! The checks of a stream without a stream, for the fuzz targets: no other way leads to them from outside.

use proto::prost::Message as _;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::{FromSensor, Hello};

use super::{WireError, convert};
use crate::event::Block;

/// Checks one message off the wire as a stream does, a batch as if Hello had said its epoch.
pub fn message(untrusted: &[u8]) -> Result<Option<Block>, WireError> {
    let message =
        FromSensor::decode(untrusted).map_err(|error| WireError::Decode(error.to_string()))?;
    match message.message {
        None => Ok(None),
        Some(Message::Hello(hello)) => convert::hello(hello).map(|_| None),
        Some(Message::Heartbeat(heartbeat)) => convert::heartbeat(heartbeat).map(|_| None),
        Some(Message::Batch(batch)) => {
            let hello = convert::hello(Hello {
                sensor_id: "sensor".into(),
                epoch: batch.epoch.clone(),
                ..Hello::default()
            })?;
            convert::batch(batch, &hello).map(|(_, block)| Some(block))
        }
    }
}
