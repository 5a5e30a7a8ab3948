//! Bytes from the network never panic, and what decodes is within bounds. The rules one by one are tested from
//! outside, in `tests/blackbox/delivery.rs`.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::log::Encoding;

fn payload() -> Vec<u8> {
    let id = || {
        Some(wire::ProcessId {
            pid: 7,
            start_cs: 9,
        })
    };
    let access = wire::Access {
        process: id(),
        store: "pacs".into(),
        record: Some(wire::RecordId {
            device: 1,
            inode: 2,
            generation: 3,
        }),
        name: "token".into(),
        name_form: wire::NameForm::Token.into(),
        bytes_read: 5,
        ..wire::Access::default()
    };
    let mut mapped = vec![0; 10];
    mapped.extend([0xff, 0xff, 192, 0, 2, 1]);
    let flow = wire::Flow {
        process: id(),
        protocol: 17,
        remote: Some(wire::Endpoint {
            address: mapped,
            port: 53,
        }),
        ..wire::Flow::default()
    };
    let event = |body| wire::Event {
        time_unix_ns: 4,
        time_boot_ns: 3,
        body,
    };
    let end = || {
        Some(wire::EdgeEnd {
            end: Some(wire::edge_end::End::Process(id()?)),
        })
    };
    let edge = wire::Edge {
        from: end(),
        to: end(),
        kind: 99,
        stores: vec!["pacs".into()],
        ..wire::Edge::default()
    };
    let unknown_end = wire::Edge {
        to: Some(wire::EdgeEnd { end: None }),
        ..edge.clone()
    };
    let events = vec![
        event(Some(wire::event::Body::Access(access))),
        event(Some(wire::event::Body::Flow(flow))),
        event(Some(wire::event::Body::Edge(edge))),
        event(Some(wire::event::Body::Edge(unknown_end))),
        event(None),
    ];
    wire::EventBlock {
        host: "h".into(),
        boot_id: "b".into(),
        events,
        older_to_come: true,
    }
    .encode_to_vec()
}

#[test]
fn a_block_becomes_what_it_says() {
    let block = block(&"s".into(), &payload()).unwrap();
    assert!(block.older_to_come);
    assert_eq!(
        (block.events.len(), block.unknown, block.span()),
        (3, 2, Some((4, 4)))
    );
    let What::Flow(flow) = &block.events[1].what else {
        panic!("a flow")
    };
    assert_eq!(
        flow.remote.to_string(),
        "192.0.2.1:53",
        "mapped IPv4 is IPv4"
    );
    assert_eq!((flow.local, flow.direction), (None, Direction::Unknown));
    let What::Edge(edge) = &block.events[2].what else {
        panic!("an edge")
    };
    let End::Process(from) = edge.from else {
        panic!("a process")
    };
    assert_eq!((from.pid, edge.kind), (7, EdgeKind::Unknown));
    assert_eq!(edge.stores, ["pacs"]);
}

/// Events that say nothing are two bytes each on the way and many times that in memory.
#[test]
fn a_block_of_more_events_than_can_say_something_is_refused_before_they_take_memory() {
    let with = |count: usize| {
        let header = wire::EventBlock {
            host: "ws-12".into(),
            boot_id: "b".into(),
            ..wire::EventBlock::default()
        };
        let empty = [((EVENTS_FIELD as u8) << 3) | 2, 0].repeat(count);
        [header.encode_to_vec(), empty].concat()
    };
    let sensor = "ws-12".into();
    let known = block(&sensor, &with(EVENTS_MAX)).unwrap();
    assert_eq!(known.events.len() as u64 + known.unknown, EVENTS_MAX as u64);
    let error = block(&sensor, &with(EVENTS_MAX + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "block.events has 16385, at most 16384 are allowed"
    );
}

#[test]
fn cut_and_flipped_bytes_are_an_error_or_a_block_and_never_a_panic() {
    let good = payload();
    let mut refused = 0;
    for cut in 0..good.len() {
        refused += usize::from(block(&"s".into(), &good[..cut]).is_err());
    }
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            refused += usize::from(block(&"s".into(), &bad).is_err());
        }
    }
    assert!(refused > good.len(), "most of them are noticed: {refused}");
}

/// What sensors of version 0.1.0 send, byte for byte: Hello, a batch and a heartbeat.
const OLDER: [&[u8]; 3] = [
    b"\x0a\x22\x0a\x05ws-12\x12\x050.1.0\x1a\x10\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x20\x01",
    b"\x12\x24\x0a\x10\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x10\x01\x18\x01\x20\x01\
      \x2a\x0a\x0a\x01h\x12\x01b\x1a\x02\x08\x04",
    b"\x1a\x11\x08\x05\x12\x03lsm\x30\x07\x38\x02\x42\x04pacs",
];

#[test]
fn bytes_of_the_version_before_are_still_read_and_mean_the_same() {
    use wire::from_sensor::Message;
    let [hello, batch, heartbeat] = OLDER.map(|bytes| {
        let read = wire::FromSensor::decode(bytes).unwrap();
        assert_eq!(read.encode_to_vec(), bytes, "nothing is added to it");
        read.message.unwrap()
    });
    let (Message::Hello(hello), Message::Batch(batch), Message::Heartbeat(heartbeat)) =
        (hello, batch, heartbeat)
    else {
        panic!("another order")
    };
    let hello = super::hello(hello).unwrap();
    assert_eq!((&*hello.sensor, &*hello.version), ("ws-12", "0.1.0"));
    let (kept, block) = super::batch(batch, &hello).unwrap();
    assert_eq!((kept.first_seq, kept.offered_from), (1, 1));
    assert_eq!((kept.encoding, block.unknown), (Encoding::Plain, 1));
    let heartbeat = super::heartbeat(heartbeat).unwrap();
    assert_eq!((heartbeat.said_ns, heartbeat.queued_events), (5, 7));
    assert_eq!(heartbeat.stores, ["pacs"]);
}
