//! Records made by hand: whole, cut short, garbled.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Bytes of a record, front to back.
#[derive(Default)]
struct Maker(Vec<u8>);

impl Maker {
    fn kind(kind: u32) -> Self {
        Self::default().u64(77).u32(kind).u32(0)
    }
    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn u16(mut self, n: u16) -> Self {
        self.0.extend(n.to_ne_bytes());
        self
    }
    fn u8s(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
    fn padded(self, bytes: &[u8], room: usize) -> Self {
        let rest = vec![0; room - bytes.len()];
        self.u8s(bytes).u8s(&rest)
    }
    fn process(self, pid: u32, start_ns: u64) -> Self {
        self.u64(start_ns).u32(pid).u32(0)
    }
    fn inode(self) -> Self {
        self.u64(4711).u32(8 << 20 | 1).u32(9)
    }
}

fn fork() -> Vec<u8> {
    Maker::kind(kind::FORK)
        .process(20, 123_456_789)
        .process(10, 5_000_000)
        .u64(1 << 3)
        .0
}

fn exec(arguments: &[u8], all: u32, room: usize, kind: u32) -> Vec<u8> {
    let head = Maker::kind(kind)
        .process(20, 10_000_000)
        .process(10, 0)
        .u32(1000)
        .u32(8)
        .u32(all)
        .u32(0);
    head.padded(b"/bin/cat", FILENAME_MAX)
        .padded(arguments, room)
        .0
}

fn name(path: &[u8], parts: u32, all: u32) -> Vec<u8> {
    let head = Maker::kind(kind::NAME_SMALL)
        .inode()
        .u32(3)
        .u32(parts)
        .u32(all)
        .u32(path.len() as u32);
    head.padded(path, PATH_SMALL + NAME_MAX).0
}

fn tcp(version: u8, local: [u32; 4], direction: u8) -> Vec<u8> {
    let mut maker = Maker::kind(kind::FLOW)
        .u64(42)
        .process(20, 10_000_000)
        .u64(5)
        .u64(0xdead)
        .u64(77)
        .u64(1000)
        .u64(2000);
    for word in local
        .into_iter()
        .chain([u32::from_ne_bytes([192, 0, 2, 7]), 0, 0, 0])
    {
        maker = maker.u32(word);
    }
    maker
        .u16(40000)
        .u16(443)
        .u8s(&[version, 6, direction, 0])
        .u32(1)
        .u32(0)
        .0
}

fn every_kind() -> Vec<Vec<u8>> {
    let sum = Maker::kind(kind::ACCESS)
        .inode()
        .process(20, 10_000_000)
        .u64(1)
        .u64(2)
        .u64(3)
        .u64(4)
        .u64(5)
        .u64(6)
        .u64(7)
        .u64(8)
        .u64(9);
    vec![
        fork(),
        exec(b"cat\0a\0", 6, ARGUMENTS_SMALL, kind::EXEC_SMALL),
        exec(b"cat\0a\0", 6, ARGUMENTS_LARGE, kind::EXEC_LARGE),
        Maker::kind(kind::EXIT).process(20, 10_000_000).0,
        name(b"b\0a\0", 2, 2),
        sum.u32(1).u32(0).0,
        tcp(4, [u32::from_ne_bytes([192, 0, 2, 1]), 0, 0, 0], CONNECTED),
    ]
}

#[test]
fn a_fork_keeps_hundredths_of_seconds() {
    let event = record(&fork()).unwrap();
    assert_eq!(event.boot_ns, 77);
    let child = ProcessKey {
        pid: 20,
        start_cs: 12,
    };
    let parent = ProcessKey {
        pid: 10,
        start_cs: 0,
    };
    assert_eq!(
        event.what,
        What::Fork(Fork {
            child,
            parent,
            holds: true
        })
    );
}

#[test]
fn arguments_say_when_they_were_longer() {
    let cases: [(&[u8], u32, usize, u32, bool); 3] = [
        (b"cat\0a\0", 6, ARGUMENTS_SMALL, kind::EXEC_SMALL, false),
        (b"cat\0a\0", 6, ARGUMENTS_LARGE, kind::EXEC_LARGE, false),
        (
            &[b'x'; ARGUMENTS_LARGE],
            5000,
            ARGUMENTS_LARGE,
            kind::EXEC_LARGE,
            true,
        ),
    ];
    for (arguments, all, room, kind, truncated) in cases {
        let What::Exec(exec) = record(&exec(arguments, all, room, kind)).unwrap().what else {
            panic!("no exec")
        };
        assert_eq!(exec.untrusted_arguments, arguments);
        assert_eq!(exec.untrusted_filename, b"/bin/cat");
        assert_eq!((exec.uid, exec.arguments_truncated), (1000, truncated));
    }
}

#[test]
fn a_file_name_ends_at_a_nul_or_with_its_length() {
    let whole = exec(b"cat\0", 4, ARGUMENTS_SMALL, kind::EXEC_SMALL);
    for (len, expected) in [(4_u32, &b"/bin"[..]), (8, b"/bin/cat"), (32, b"/bin/cat")] {
        let mut bytes = whole.clone();
        bytes[52..56].copy_from_slice(&len.to_le_bytes());
        let What::Exec(exec) = record(&bytes).unwrap().what else {
            panic!("no exec")
        };
        assert_eq!(exec.untrusted_filename, expected, "{len}");
    }
}

#[test]
fn names_are_turned_round() {
    let cases: [(&[u8], u32, u32, &[u8]); 3] = [
        (b"scan.dcm\0", 1, 1, b"scan.dcm"),
        (b"scan.dcm\0ct\0doe\0", 3, 3, b"doe/ct/scan.dcm"),
        (b"scan.dcm\0ct\0", 2, 5, b".../ct/scan.dcm"),
    ];
    for (path, parts, all, expected) in cases {
        let What::Name(name) = record(&name(path, parts, all)).unwrap().what else {
            panic!("no name")
        };
        assert_eq!(name.untrusted_path, expected);
        assert_eq!(name.store, StoreId(3));
        assert_eq!(
            name.record,
            RecordId {
                device: 8 << 20 | 1,
                inode: 4711,
                generation: 9
            }
        );
    }
    for (path, parts) in [(&b"scan.dcm\0ct\0"[..], 1), (b"scan.dcm", 1), (b"", 1)] {
        assert!(
            record(&name(path, parts, parts)).is_err(),
            "{path:?} was taken for {parts} parts"
        );
    }
}

#[test]
fn addresses_are_in_network_order() {
    let four = [u32::from_ne_bytes([192, 0, 2, 1]), 0, 0, 0];
    let six = [
        u32::from_ne_bytes([0x20, 1, 0xd, 0xb8]),
        0,
        0,
        u32::from_ne_bytes([0, 0, 0, 1]),
    ];
    for (version, local, expected) in [
        (4, four, "192.0.2.1:40000"),
        (6, six, "[2001:db8::1]:40000"),
    ] {
        let What::Flow(flow) = record(&tcp(version, local, ACCEPTED)).unwrap().what else {
            panic!("no flow")
        };
        assert_eq!(flow.local, expected.parse().unwrap());
        assert_eq!(
            (
                flow.bytes_out_before,
                flow.bytes_out,
                flow.bytes_in,
                flow.closed
            ),
            (77, 1000, 2000, true)
        );
        assert_eq!((flow.direction, flow.id), (Direction::Accepted, 42));
    }
    assert!(record(&tcp(5, four, ACCEPTED)).is_err());
    assert!(record(&tcp(4, four, 9)).is_err());
}

#[test]
fn conversations_of_one_socket_have_ids_of_their_own() {
    let key = |port| DatagramKey {
        cookie: 1,
        remote: [1, 0, 0, 0],
        remote_port: port,
        version: 4,
        pad: [0; 5],
    };
    assert_ne!(datagrams_id(&key(53)), datagrams_id(&key(54)));
    assert_eq!(datagrams_id(&key(53)), datagrams_id(&key(53)));
}

#[test]
fn every_other_length_is_an_error() {
    for whole in every_kind() {
        assert!(record(&whole).is_ok());
        for len in 0..whole.len() {
            assert!(record(&whole[..len]).is_err());
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(record(&longer).is_err());
    }
}

#[test]
fn garbage_never_panics() {
    for whole in every_kind() {
        for at in 0..whole.len().min(400) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = whole.clone();
                bad[at] = value;
                let _any = record(&bad);
            }
        }
    }
    assert_eq!(record(&Maker::kind(99).0), Err(DecodeError::Kind(99)));
}

#[test]
fn an_edge_says_what_has_been_added() {
    let end = |pid| border::Process {
        start_ns: 20_000_000,
        pid,
        pad: 0,
    };
    let key = EdgeKey {
        from: end(1),
        to: end(2),
        kind: PTRACE,
        pad: 0,
    };
    let told = EdgeSum {
        first_ns: 10,
        last_ns: 20,
        times: 2,
        bytes: 16,
        stores: 1 << 3,
    };
    let sum = EdgeSum {
        last_ns: 30,
        times: 5,
        bytes: 40,
        stores: 1 << 3 | 1 << 63,
        ..told
    };
    let ends = |pid| End::Process(ProcessKey { pid, start_cs: 2 });
    let first = edge(&key, &told, None).unwrap();
    assert_eq!((first.times, first.bytes, first.first_boot_ns), (2, 16, 10));
    assert_eq!(
        (first.from, first.to, first.kind),
        (ends(1), ends(2), EdgeKind::Ptrace)
    );
    let next = edge(&key, &sum, Some(&told)).unwrap();
    assert_eq!((next.times, next.bytes, next.first_boot_ns), (3, 24, 20));
    assert_eq!(next.stores, [StoreId(3), StoreId(63)]);
    let unknown = EdgeKey { kind: 77, ..key };
    assert!(edge(&unknown, &sum, None).is_err());
}
