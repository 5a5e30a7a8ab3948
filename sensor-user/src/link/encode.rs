//! How the events of a block are encoded: compressed once when the block is closed, and unpacked again only for a collector
//! that takes nothing else.
//!
//! **Invariant:** what does not get smaller stays plain. What is unpacked is at most [`BATCH_BYTES_MAX`] bytes.

use proto::sensor::v1;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{compress_bound, get_frame_content_size};

use crate::spool::{BATCH_BYTES_MAX, Batch, Encoding, check};

/// A sensor spends more on compressing than on anything else, so this is the best of the levels that leave single bytes as they are. On
/// blocks of the corpus' recordings it takes 6 % more bytes than level 1, on blocks of first reads 12 %, for half the instructions;
/// each lower level takes 6 % more for ever less.
const LEVEL: i32 = -1;

/// Compresses blocks, one after the other, in memory that it keeps.
#[derive(Default)]
pub(super) struct Compress {
    compressor: Option<Compressor<'static>>,
    /// As long as any block became.
    packed: Vec<u8>,
}

impl std::fmt::Debug for Compress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compress").finish_non_exhaustive()
    }
}

impl Compress {
    /// The block as it is kept and sent.
    pub(super) fn block(&mut self, plain: &[u8]) -> (Encoding, Vec<u8>) {
        match self.frame(plain) {
            Ok(packed) if packed.len() < plain.len() => (Encoding::Zstd, packed.to_vec()),
            Ok(_) => (Encoding::Plain, plain.to_vec()),
            Err(error) => {
                tracing::debug!(%error, "a block is sent as it is");
                (Encoding::Plain, plain.to_vec())
            }
        }
    }

    fn frame(&mut self, plain: &[u8]) -> std::io::Result<&[u8]> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        self.packed.clear();
        self.packed.reserve(compress_bound(plain.len()));
        let bytes = compressor.compress_to_buffer(plain, &mut self.packed)?;
        Ok(&self.packed[..bytes])
    }
}

/// A batch in the form it travels: as it is kept, or unpacked where the collector does not take that.
pub(super) fn numbered(
    epoch: uuid::Uuid,
    batch: &Batch,
    takes_zstd: bool,
) -> std::io::Result<v1::Batch> {
    let (encoding, payload) = match batch.encoding {
        Encoding::Plain => (v1::Encoding::Plain, batch.payload.to_vec()),
        Encoding::Zstd if takes_zstd => (v1::Encoding::Zstd, batch.payload.to_vec()),
        Encoding::Zstd => (v1::Encoding::Plain, unpack(&batch.payload)?),
    };
    Ok(v1::Batch {
        epoch: epoch.as_bytes().to_vec(),
        first_seq: batch.first_seq,
        last_seq: batch.last_seq,
        follows_seq: (batch.follows + 1 < batch.first_seq).then_some(batch.follows),
        encoding: encoding.into(),
        crc32c: Some(check((batch.first_seq, batch.last_seq), &payload)),
        payload,
    })
}

fn unpack(frame: &[u8]) -> std::io::Result<Vec<u8>> {
    Decompressor::new()?.decompress(frame, unpacked_bytes(Encoding::Zstd, frame))
}

/// What a batch costs of the collector's credit: the bytes of its events before they were encoded.
pub(super) fn cost(batch: &Batch) -> u64 {
    unpacked_bytes(batch.encoding, &batch.payload) as u64
}

/// Bytes of a payload when it is unpacked.
fn unpacked_bytes(encoding: Encoding, payload: &[u8]) -> usize {
    let said = match encoding {
        Encoding::Plain => None,
        Encoding::Zstd => get_frame_content_size(payload).ok().flatten(),
    };
    let bytes = said.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.map_or(payload.len(), |bytes| bytes.min(BATCH_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::spool::About;

    fn batch(encoding: Encoding, payload: Vec<u8>) -> Batch {
        Batch {
            first_seq: 3,
            last_seq: 4,
            follows: 2,
            stands_for: 0,
            written_ns: 0,
            about: About::default(),
            encoding,
            payload: Arc::new(payload),
        }
    }

    #[test]
    fn a_block_is_compressed_where_that_helps_and_unpacked_for_whom_does_not_take_it() {
        let mut compress = Compress::default();
        let plain = b"ward-7 ".repeat(1000);
        let (encoding, packed) = compress.block(&plain);
        assert!(
            encoding == Encoding::Zstd && packed.len() < 100,
            "{}",
            packed.len()
        );
        assert_eq!(unpacked_bytes(encoding, &packed), plain.len());
        let kept = batch(encoding, packed.clone());
        let newer = numbered(uuid::Uuid::nil(), &kept, true).unwrap();
        assert_eq!(
            (newer.encoding(), newer.payload),
            (v1::Encoding::Zstd, packed)
        );
        assert_eq!(newer.crc32c, Some(kept.check()));
        let older = numbered(uuid::Uuid::nil(), &kept, false).unwrap();
        assert_eq!(older.encoding(), v1::Encoding::Plain);
        assert_eq!(older.payload, plain);
        assert_eq!(
            older.crc32c,
            Some(batch(Encoding::Plain, plain).check()),
            "the check is of what travels"
        );
    }

    #[test]
    fn what_does_not_get_smaller_stays_as_it_is() {
        let (encoding, payload) = Compress::default().block(&[1, 2, 3]);
        assert_eq!((encoding, payload), (Encoding::Plain, vec![1, 2, 3]));
    }
}
