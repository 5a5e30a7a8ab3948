//! Frames as hostile sensors make them: none takes memory for what it only claims.
#![allow(clippy::unwrap_used, reason = "tests")]

use zstd::bulk::compress;

use super::*;

fn batch(encoding: wire::Encoding, payload: &[u8], crc32c: Option<u32>) -> wire::Batch {
    wire::Batch {
        epoch: vec![7; 16],
        first_seq: 3,
        last_seq: 4,
        encoding: encoding.into(),
        payload: payload.to_vec(),
        crc32c,
        follows_seq: None,
    }
}

/// A frame that says it holds `bytes`, whatever it holds.
fn claiming(frame: &[u8], bytes: u64) -> Vec<u8> {
    // RFC 8878, 3.1.1.1: magic, a descriptor for one segment and a size of eight bytes, the size, and then the blocks.
    let mut claims = frame[..4].to_vec();
    claims.push(0b1110_0000);
    claims.extend(bytes.to_le_bytes());
    let descriptor = frame[4];
    let size_bytes = match descriptor >> 6 {
        0 => usize::from(descriptor & 0b10_0000 != 0),
        n => 1 << n,
    };
    let window = usize::from(descriptor & 0b10_0000 == 0);
    claims.extend(&frame[5 + window + size_bytes..]);
    claims
}

#[test]
fn a_frame_is_unpacked_to_what_was_packed() {
    for bytes in [1, 100, PAYLOAD_BYTES_MAX] {
        let content = vec![5; bytes];
        let frame = compress(&content, 3).unwrap();
        assert_eq!(plain(Encoding::Zstd, &frame).unwrap(), content);
        let as_it_claims = claiming(&frame, bytes as u64);
        assert_eq!(plain(Encoding::Zstd, &as_it_claims).unwrap(), content);
    }
    assert_eq!(
        plain(Encoding::Plain, b"as it is").unwrap(),
        &b"as it is"[..]
    );
}

#[test]
fn a_frame_that_unpacks_to_more_than_is_allowed_or_said_is_refused() {
    let frame = compress(&vec![5; 5000], 3).unwrap();
    let bomb = compress(&vec![0; PAYLOAD_BYTES_MAX + 1], 3).unwrap();
    assert!(bomb.len() < 100, "a bomb is small: {}", bomb.len());
    let followed = [frame.clone(), frame.clone()].concat();
    let cases = [
        (bomb, "payload has 262145 bytes when unpacked"),
        (claiming(&frame, u64::MAX - 2), "bytes when unpacked"),
        (claiming(&frame, 1 << 40), "payload has 1099511627776 bytes"),
        (claiming(&frame, 0), "payload has 0 bytes when unpacked"),
        (claiming(&frame, 4999), "damaged or more than it says"),
        (claiming(&frame, 5001), "than it says"),
        (followed, "something follows it"),
        (frame[..frame.len() - 1].to_vec(), "it is cut off"),
        (frame[..3].to_vec(), "its header"),
        (b"no frame at all".to_vec(), "its header is wrong"),
        (Vec::new(), "its header"),
    ];
    for (frame, part) in cases {
        let error = plain(Encoding::Zstd, &frame).unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn every_flipped_bit_of_a_batch_is_found_by_its_check() {
    let frame = compress(&vec![5; 5000], 3).unwrap();
    let good = batch(wire::Encoding::Zstd, &frame, None);
    let good = wire::Batch {
        crc32c: Some(check(&good)),
        ..good
    };
    assert_eq!(encoding(&good), Ok(Encoding::Zstd));
    for bit in 0..frame.len() * 8 {
        let mut flipped = good.clone();
        flipped.payload[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(encoding(&flipped), Err(WireError::Check { .. })));
    }
    let renumbered = wire::Batch {
        last_seq: 5,
        ..good
    };
    assert!(matches!(
        encoding(&renumbered),
        Err(WireError::Check { .. })
    ));
}

#[test]
fn only_plain_comes_without_a_check_and_a_wrong_one_is_refused_there_too() {
    let older = batch(wire::Encoding::Plain, b"block", None);
    assert_eq!(encoding(&older), Ok(Encoding::Plain));
    let wrong = batch(wire::Encoding::Plain, b"block", Some(1));
    assert!(matches!(
        encoding(&wrong),
        Err(WireError::Check { said: 1, .. })
    ));
    let unchecked = batch(wire::Encoding::Zstd, b"block", None);
    assert_eq!(encoding(&unchecked), Err(WireError::NoCheck));
    let unknown = wire::Batch {
        encoding: 9,
        ..older
    };
    assert_eq!(encoding(&unknown), Err(WireError::Encoding(9)));
}
