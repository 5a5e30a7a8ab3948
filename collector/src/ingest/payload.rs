//! The payload of a batch: checked and unpacked.
//!
//! **Invariant:** what is unpacked is bounded before anything is allocated for it, by what the frame says of itself and by what
//! is allowed; a frame that holds more or less than it says is refused.

use std::borrow::Cow;
use std::cell::RefCell;

use proto::limits::PAYLOAD_BYTES_MAX;
use proto::sensor::v1 as wire;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::WireError;
use crate::log::Encoding;

/// How the payload of a batch is encoded, once its check is right.
pub(super) fn encoding(batch: &wire::Batch) -> Result<Encoding, WireError> {
    let encoding = match wire::Encoding::try_from(batch.encoding) {
        Ok(wire::Encoding::Plain) => Encoding::Plain,
        Ok(wire::Encoding::Zstd) => Encoding::Zstd,
        Ok(wire::Encoding::Unspecified) | Err(_) => {
            return Err(WireError::Encoding(batch.encoding));
        }
    };
    match (batch.crc32c, encoding) {
        (Some(said), _) => {
            let found = check(batch);
            (found == said)
                .then_some(encoding)
                .ok_or(WireError::Check { found, said })
        }
        (None, Encoding::Plain) => Ok(encoding),
        (None, Encoding::Zstd) => Err(WireError::NoCheck),
    }
}

/// CRC32C of a batch's numbers and payload.
pub(super) fn check(batch: &wire::Batch) -> u32 {
    let first = crc32c::crc32c(&batch.first_seq.to_le_bytes());
    let numbers = crc32c::crc32c_append(first, &batch.last_seq.to_le_bytes());
    crc32c::crc32c_append(numbers, &batch.payload)
}

/// The events as they were before they were encoded, 1 to [`PAYLOAD_BYTES_MAX`] bytes.
pub(super) fn plain(encoding: Encoding, payload: &[u8]) -> Result<Cow<'_, [u8]>, WireError> {
    match encoding {
        Encoding::Plain => Ok(Cow::Borrowed(payload)),
        Encoding::Zstd => unpack(payload).map(Cow::Owned),
    }
}

/// What a batch costs of its sensor's credit: the bytes of its events before they were encoded, as it says. Whether that is true
/// shows when it is unpacked.
pub(super) fn cost(batch: &wire::Batch) -> u64 {
    let said = if batch.encoding == wire::Encoding::Zstd as i32 {
        get_frame_content_size(&batch.payload).ok().flatten()
    } else {
        None
    };
    said.unwrap_or(batch.payload.len() as u64)
}

fn unpack(frame: &[u8]) -> Result<Vec<u8>, WireError> {
    thread_local! {
        // 160 KiB that would else be taken for every batch.
        static UNPACK: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let bytes = get_frame_content_size(frame)
        .map_err(|_| WireError::Zstd("its header is wrong"))?
        .ok_or(WireError::Zstd("its header says no size"))?;
    let size = usize::try_from(bytes)
        .ok()
        .filter(|size| (1..=PAYLOAD_BYTES_MAX).contains(size))
        .ok_or(WireError::UnpackedSize { bytes })?;
    if find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(WireError::Zstd("it is cut off, or something follows it"));
    }
    let unpacked = UNPACK.with_borrow_mut(|unpack| {
        let unpack = match unpack {
            Some(unpack) => unpack,
            none => none.insert(Decompressor::new()?),
        };
        unpack.decompress(frame, size)
    });
    match unpacked {
        Ok(plain) if plain.len() == size => Ok(plain),
        Ok(_) => Err(WireError::Zstd("it holds less than it says")),
        Err(_) => Err(WireError::Zstd(
            "what it holds is damaged or more than it says",
        )),
    }
}

#[cfg(test)]
mod tests;
