//! Writes those seeds that are no text: records, payloads, sums, types, blocks and messages, as sensor and kernel make them.
//!
//! `cargo run --example seeds` in this folder, after the layout or the protocol has changed. What is there under other names stays.

use std::path::Path;

use proto::prost::Message as _;
use proto::sensor::v1 as wire;
use sensor_ebpf::layout::header::kind;
use sensor_ebpf::layout::limits::{ARGUMENTS_SMALL, FILENAME_MAX, NAME_MAX, PATH_SMALL};

/// Nanoseconds since the Unix epoch at which all of it happens.
const AT_NS: u64 = 1_800_000_000_000_000_000;

fn main() -> std::io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let all = [
        records(),
        payloads(),
        sums(),
        btf(),
        blocks(),
        messages(),
        detect(),
    ];
    for (target, name, bytes) in all.into_iter().flatten() {
        let dir = seeds.join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(name), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

/// Bytes, front to back.
#[derive(Default)]
struct Maker(Vec<u8>);

impl Maker {
    fn kind(kind: u32) -> Self {
        Self::default().u64(77).u32(kind).u32(0)
    }
    fn u64(self, n: u64) -> Self {
        self.all(&n.to_ne_bytes())
    }
    fn u32(self, n: u32) -> Self {
        self.all(&n.to_ne_bytes())
    }
    fn u16(self, n: u16) -> Self {
        self.all(&n.to_ne_bytes())
    }
    fn all(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
    fn padded(self, bytes: &[u8], room: usize) -> Self {
        self.all(bytes).all(&vec![0; room - bytes.len()])
    }
    fn process(self, pid: u32) -> Self {
        self.u64(10_000_000).u32(pid).u32(0)
    }
    fn inode(self) -> Self {
        self.u64(4711).u32(8 << 20 | 1).u32(9)
    }
    fn ends(self) -> Self {
        let address = |maker: Self, last| maker.all(&[192, 0, 2, last]).all(&[0; 12]);
        address(address(self, 1), 7)
            .u16(40_000)
            .u16(443)
            .all(&[4, 6, 1, 0])
    }
}

fn records() -> Vec<Seed> {
    let fork = Maker::kind(kind::FORK).process(20).process(10).u64(1 << 3);
    let exec = Maker::kind(kind::EXEC_SMALL)
        .process(20)
        .process(10)
        .u32(1000)
        .u32(8)
        .u32(13)
        .u32(40)
        .padded(b"/bin/cat", FILENAME_MAX)
        .padded(b"cat\0a.dcm\0-n\0", ARGUMENTS_SMALL);
    let name = Maker::kind(kind::NAME_SMALL)
        .inode()
        .u32(3)
        .u32(2)
        .u32(3)
        .u32(12)
        .padded(b"a.dcm\0study\0", PATH_SMALL + NAME_MAX);
    let flow = Maker::kind(kind::FLOW)
        .u64(42)
        .process(20)
        .u64(5)
        .u64(0xdead)
        .u64(77)
        .u64(1000)
        .u64(2000)
        .ends()
        .u32(1)
        .u32(0);
    let access = sum(Maker::kind(kind::ACCESS).inode().process(20)).u32(0);
    vec![
        ("record", "fork", fork.0),
        ("record", "exec", exec.0),
        ("record", "exit", Maker::kind(kind::EXIT).process(20).0),
        ("record", "name", name.0),
        ("record", "flow", flow.0),
        ("record", "access", access.0),
    ]
}

fn sum(maker: Maker) -> Maker {
    let amounts = [1, 4096, 0, 10, 1, 0, 0];
    let maker = maker.u64(5).u32(1).u32(9);
    amounts.into_iter().fold(maker, Maker::u64).u32(3)
}

fn sums() -> Vec<Seed> {
    let begin = |which: u8| Maker::default().all(&[which]);
    let access = sum(begin(0).inode().u64(10_000_000).u32(20)).u64(4_000_000);
    let flow = begin(1).u64(42).u64(10_000_000).u32(20);
    let flow = [5, 0xdead, 77, 1000, 2000]
        .into_iter()
        .fold(flow, Maker::u64)
        .ends();
    let edge = begin(3).u64(1).u32(20).u64(2).u32(30).u32(4);
    let edge = [5, 9, 2, 4096, 6, 5, 7, 1, 1024, 2]
        .into_iter()
        .fold(edge, Maker::u64);
    let tamper = begin(4).u64(1).u32(20).u32(1).u32(9);
    let tamper = [5, 9, 2, 1, 5, 7, 1, 1]
        .into_iter()
        .fold(tamper, Maker::u64);
    vec![
        ("sums", "access", access.0),
        ("sums", "flow", flow.0),
        ("sums", "edge", edge.0),
        ("sums", "tamper", tamper.0),
    ]
}

/// A byte that says which conversation, and what it begins with.
fn payloads() -> Vec<Seed> {
    let header = |flags: u8, answers: u8| [0, 7, flags, 0, 0, 1, 0, answers, 0, 0, 0, 0];
    let question = b"\x04pacs\x07example\0\0\x01\0\x01";
    let query = Maker::default().all(&[1]).all(&header(1, 0)).all(question);
    let answer = Maker::default()
        .all(&[5])
        .all(&header(0x81, 1))
        .all(question)
        .all(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07");
    let message = Maker::default().all(&header(1, 0)).all(question).0;
    let stream = Maker::default()
        .all(&[3])
        .all(&(message.len() as u16).to_be_bytes())
        .all(&message);
    vec![
        ("payload", "dns-question", query.0),
        ("payload", "dns-answer", answer.0),
        ("payload", "dns-stream", stream.0),
        (
            "payload",
            "tls-hello",
            Maker::default().all(&[2]).all(&hello()).0,
        ),
    ]
}

fn hello() -> Vec<u8> {
    let server = b"records.example";
    let len = |extra: usize| ((server.len() + extra) as u16).to_be_bytes();
    let name = Maker::default()
        .all(&[0, 0])
        .all(&len(5))
        .all(&len(3))
        .all(&[0])
        .all(&len(0));
    let extensions = Maker::default()
        .all(&[0, 43, 0, 3, 2, 3, 4])
        .all(&name.all(server).0)
        .0;
    let body = Maker::default()
        .all(&[3, 3])
        .all(&[9; 32])
        .all(&[4, 1, 2, 3, 4, 0, 2, 0x13, 1, 1, 0])
        .all(&(extensions.len() as u16).to_be_bytes())
        .all(&extensions)
        .0;
    let body_len = body.len() as u16;
    Maker::default()
        .all(&[22, 3, 1])
        .all(&(body_len + 4).to_be_bytes())
        .all(&[1, 0])
        .all(&body_len.to_be_bytes())
        .all(&body)
        .0
}

/// `struct a { int b; struct { int c; }; }`, and a function and a tracepoint `f`.
fn btf() -> Vec<Seed> {
    let texts = b"\0int\0a\0b\0c\0f\0btf_trace_f\0";
    let (int, a, b, c, f, trace) = (1, 5, 7, 9, 11, 13);
    let types: [&[u32]; 7] = [
        &[int, 1 << 24, 4, 32],
        &[a, 4 << 24 | 2, 8, b, 1, 0, 0, 3, 32],
        &[0, 4 << 24 | 1, 4, c, 1, 0],
        &[0, 13 << 24 | 2, 0, 0, 6, b, 1],
        &[f, 12 << 24, 4],
        &[0, 2 << 24, 4],
        &[trace, 8 << 24, 6],
    ];
    let circle = [a, 4 << 24 | 2, 8, 0, 1, 0, 0, 1, 32];
    vec![
        ("btf", "small", blob(&types.concat(), texts)),
        // Once its members were looked through two to the power of 32 times.
        (
            "btf",
            "struct-that-holds-itself-twice",
            blob(&circle, texts),
        ),
    ]
}

/// A header, types and texts.
fn blob(types: &[u32], texts: &[u8]) -> Vec<u8> {
    let len = 4 * types.len() as u32;
    let header = Maker::default().u16(0xeb9f).all(&[1, 0]).u32(24);
    let header = [0, len, len, texts.len() as u32]
        .into_iter()
        .fold(header, Maker::u32);
    types.iter().copied().fold(header, Maker::u32).all(texts).0
}

fn id(pid: u32) -> wire::ProcessId {
    wire::ProcessId { pid, start_cs: 9 }
}

fn event(body: wire::event::Body) -> wire::Event {
    wire::Event {
        time_unix_ns: AT_NS,
        time_boot_ns: 3_000_000_000,
        body: Some(body),
    }
}

fn process(pid: u32) -> wire::Event {
    event(wire::event::Body::Process(wire::Process {
        id: Some(id(pid)),
        parent: Some(id(1)),
        executable: "/usr/bin/curl".into(),
        arguments: vec!["curl".into(), "-T".into(), "a.dcm".into()],
        uid: 1000,
        user: "alice".into(),
        started_unix_ns: AT_NS - 1_000_000_000,
        ..wire::Process::default()
    }))
}

fn access(pid: u32) -> wire::Event {
    event(wire::event::Body::Access(wire::Access {
        process: Some(id(pid)),
        store: "pacs".into(),
        record: Some(wire::RecordId {
            device: 1,
            inode: 2,
            generation: 3,
        }),
        name: "token".into(),
        name_form: wire::NameForm::Token.into(),
        opens: 1,
        bytes_read: 1 << 20,
        deletions: 1,
        first_unix_ns: AT_NS - 500_000_000,
        last_unix_ns: AT_NS,
        ..wire::Access::default()
    }))
}

fn flow(pid: u32) -> wire::Event {
    event(wire::event::Body::Flow(wire::Flow {
        id: 42,
        process: Some(id(pid)),
        protocol: 6,
        direction: wire::Direction::Connected.into(),
        remote: Some(wire::Endpoint {
            address: vec![203, 0, 113, 9],
            port: 443,
        }),
        bytes_out: 1 << 20,
        opened_unix_ns: AT_NS - 400_000_000,
        last_unix_ns: AT_NS,
        name: "a.evil.example".into(),
        name_source: wire::NameSource::Server.into(),
        ..wire::Flow::default()
    }))
}

fn edge(from: u32, to: wire::edge_end::End) -> wire::Event {
    let from = wire::edge_end::End::Process(id(from));
    event(wire::event::Body::Edge(wire::Edge {
        from: Some(wire::EdgeEnd { end: Some(from) }),
        to: Some(wire::EdgeEnd { end: Some(to) }),
        kind: wire::EdgeKind::Write.into(),
        stores: vec!["pacs".into()],
        times: 1,
        bytes: 1 << 20,
        first_unix_ns: AT_NS - 300_000_000,
        last_unix_ns: AT_NS,
    }))
}

fn carrier() -> wire::edge_end::End {
    wire::edge_end::End::Carrier(wire::Carrier {
        kind: wire::CarrierKind::File.into(),
        device: 1,
        inode: 77,
        generation: 1,
        path: "/media/stick/a.zip".into(),
        medium: wire::CarrierMedium::Removable.into(),
    })
}

fn tamper() -> wire::Event {
    event(wire::event::Body::Tamper(wire::Tamper {
        process: Some(id(30)),
        kind: wire::TamperKind::Signal.into(),
        number: 9,
        times: 1,
        first_unix_ns: AT_NS,
        last_unix_ns: AT_NS,
        ..wire::Tamper::default()
    }))
}

fn gap() -> wire::Event {
    event(wire::event::Body::Gap(wire::Gap {
        reason: wire::GapReason::RingFull.into(),
        count: 3,
        from_unix_ns: AT_NS - 1,
        to_unix_ns: AT_NS,
        detail: "bulk".into(),
        lost: wire::EventClass::Reads.into(),
        stores: vec!["pacs".into()],
        epoch: vec![7; 16],
        first_seq: 3,
        last_seq: 9,
    }))
}

fn encoded(events: Vec<wire::Event>) -> Vec<u8> {
    let block = wire::EventBlock {
        host: "h".into(),
        boot_id: "b".into(),
        events,
    };
    block.encode_to_vec()
}

fn all_kinds() -> Vec<wire::Event> {
    let handed = edge(20, wire::edge_end::End::Process(id(21)));
    vec![
        process(20),
        access(20),
        handed,
        edge(20, carrier()),
        flow(21),
        tamper(),
        gap(),
    ]
}

fn blocks() -> Vec<Seed> {
    let wrong = event(wire::event::Body::Access(wire::Access::default()));
    vec![
        ("block", "all-kinds", encoded(all_kinds())),
        ("block", "one-is-wrong", encoded(vec![wrong, access(20)])),
    ]
}

fn messages() -> Vec<Seed> {
    use wire::from_sensor::Message;
    let message = |message| {
        let message = wire::FromSensor {
            message: Some(message),
        };
        message.encode_to_vec()
    };
    let hello = wire::Hello {
        sensor_id: "ward-7".into(),
        version: "0.1.0".into(),
        epoch: vec![7; 16],
        ..wire::Hello::default()
    };
    let batch = wire::Batch {
        epoch: vec![7; 16],
        first_seq: 1,
        last_seq: 7,
        encoding: wire::Encoding::Plain.into(),
        payload: encoded(all_kinds()),
        crc32c: None,
        follows_seq: None,
    };
    let packed = wire::Batch {
        encoding: wire::Encoding::Zstd.into(),
        payload: frame(&batch.payload),
        crc32c: Some(0),
        ..batch.clone()
    };
    let heartbeat = wire::Heartbeat {
        time_unix_ns: AT_NS,
        backend: "lsm".into(),
        kernel: "6.12".into(),
        stores: vec!["pacs".into()],
        hooks: vec![wire::HookCount {
            hook: "file_open".into(),
            seen: 3,
            ..wire::HookCount::default()
        }],
        ..wire::Heartbeat::default()
    };
    vec![
        ("message", "hello", message(Message::Hello(hello))),
        ("message", "batch", message(Message::Batch(batch))),
        ("message", "packed", message(Message::Batch(packed))),
        (
            "message",
            "heartbeat",
            message(Message::Heartbeat(heartbeat)),
        ),
    ]
}

/// A zstd frame of one block that is not compressed (RFC 8878, 3.1.1).
fn frame(content: &[u8]) -> Vec<u8> {
    let size = content.len() as u32;
    let block = (size << 3 | 1).to_le_bytes();
    let magic = 0xfd2f_b528_u32.to_le_bytes();
    [
        &magic,
        &[0xa0][..],
        &size.to_le_bytes(),
        &block[..3],
        content,
    ]
    .concat()
}

/// Blocks with their lengths before them: a theft in two blocks, and records taken away.
fn detect() -> Vec<Seed> {
    let framed = |blocks: &[Vec<wire::Event>]| {
        let encoded = blocks.iter().map(|events| encoded(events.clone()));
        encoded
            .fold(Maker::default(), |maker, block| {
                maker.u16(block.len() as u16).all(&block)
            })
            .0
    };
    let direct = [vec![process(20), access(20)], vec![flow(20)]];
    vec![
        ("detect", "direct", framed(&direct)),
        ("detect", "chain", framed(&[all_kinds()])),
        ("detect", "twice", framed(&[all_kinds(), all_kinds()])),
    ]
}
