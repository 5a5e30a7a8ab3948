//! What sensors say to the collector, and what detection makes of it.

use std::sync::Arc;

use collector::config::DetectConfig;
use collector::detect::Detector;
use collector::event::{Block, Event, What};
use collector::{ingest, sink};
use proto::limits::{ARGUMENTS_MAX, LIST_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX};

use crate::bytes::Bytes;

/// Blocks of one input for detection.
const BLOCKS_MAX: usize = 8;
/// Bytes of what a refused event is told by.
const REASON_MAX: usize = 256;

/// A message of a stream, as it comes off the wire.
pub fn message(bytes: &[u8]) {
    if let Ok(Some((block, unpacked))) = ingest::fuzzing::message(bytes) {
        assert!(unpacked <= PAYLOAD_BYTES_MAX);
        bounded(&block, unpacked);
    }
}

/// The payload of a batch, from the wire or from the log.
pub fn block(bytes: &[u8]) {
    let payload = &bytes[..bytes.len().min(PAYLOAD_BYTES_MAX)];
    let sensor = Arc::from("sensor");
    let Ok(block) = ingest::block(&sensor, payload) else {
        return;
    };
    bounded(&block, payload.len());
    let again = ingest::block(&sensor, payload);
    assert!(
        again.is_ok_and(|again| again == block),
        "the same bytes give other events"
    );
}

/// Blocks of one sensor, one after the other: their lengths, two bytes each, stand before them.
pub fn detect(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let sensor = Arc::from("sensor");
    let mut detector = Detector::new(DetectConfig::default());
    for _ in 0..BLOCKS_MAX {
        let len = usize::from(bytes.u16());
        let Ok(mut block) = ingest::block(&sensor, bytes.take(len)) else {
            continue;
        };
        block.missing_before = u64::from(len % 7 == 0);
        for alert in detector.block(&block) {
            let finding = sink::ocsf::finding(&alert);
            assert!(finding.is_ok_and(|line| !line.contains('\n')));
        }
    }
}

/// Holds a block against the bytes it was made of: an event has two bytes at least, and every text lies in the payload.
fn bounded(block: &Block, len: usize) {
    let events = block.events.len() + block.unknown as usize;
    assert!(events <= len / 2, "{events} events of {len} bytes");
    assert!(
        block.origin.host.len() <= NAME_BYTES_MAX && block.origin.boot_id.len() <= NAME_BYTES_MAX
    );
    let texts: usize = block.events.iter().map(told).sum();
    assert!(texts <= len, "{texts} bytes of text in {len}");
    for event in &block.events {
        assert!(i64::try_from(event.at_ns).is_ok() && i64::try_from(event.boot_ns).is_ok());
    }
}

/// Bytes of the texts that an event has of its sensor.
fn told(event: &Event) -> usize {
    match &event.what {
        What::Process(process) => {
            assert!(process.arguments.len() <= ARGUMENTS_MAX);
            let arguments: usize = process.arguments.iter().map(String::len).sum();
            process.executable.len() + process.user.len() + arguments
        }
        What::Access(access) => {
            access.store.len() + access.name.as_ref().map_or(0, |name| name.text.len())
        }
        What::Flow(flow) => flow.name.as_ref().map_or(0, |name| name.name.len()),
        What::Edge(edge) => {
            assert!(edge.stores.len() <= LIST_MAX);
            edge.stores.iter().map(String::len).sum()
        }
        What::Tamper(_) => 0,
        What::Conflict(_) => unreachable!("no sensor says it"),
        What::Gap(gap) if gap.reason == collector::event::GapReason::Refused => {
            assert!(
                gap.detail.len() <= REASON_MAX,
                "{} bytes of reason",
                gap.detail.len()
            );
            0
        }
        What::Gap(gap) => {
            assert!(gap.detail.len() <= TEXT_BYTES_MAX);
            gap.detail.len()
        }
    }
}
