//! What the sensor reads of the kernel: records of the rings, entries of the maps, payloads of conversations, and the kernel's types.

use sensor_ebpf::layout::access::{AccessKey, AccessSum, Inode};
use sensor_ebpf::layout::edge::{EdgeKey, EdgeSum};
use sensor_ebpf::layout::flow::{DatagramKey, Datagrams, Ends, Socket};
use sensor_ebpf::layout::header::kind;
use sensor_ebpf::layout::limits::PAYLOAD_MAX;
use sensor_ebpf::layout::proc::Process;
use sensor_ebpf::layout::tamper::{TamperKey, TamperSum};
use sensor_user::decode::{self, DecodeError};
use sensor_user::event::{Event, Heard, Naming, What};
use sensor_user::load::btf::Btf;

use crate::bytes::Bytes;

/// What a path that did not fit has more than the kernel gave: a mark.
const MARK: usize = "/...".len();
/// Longest name of a conversation.
const NAME_MAX: usize = 253;
/// Addresses of an answer, at most.
const ADDRESSES_MAX: usize = 64;

/// A record of a ring, as it is and, since few inputs are as long as their kind, made as long as that.
pub fn record(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let decoded = decode::record(&bytes);
    if let Err(DecodeError::Length { expected, .. }) = decoded {
        bytes.resize(expected, 0);
        bounded(decode::record(&bytes), bytes.len());
    } else {
        bounded(decoded, bytes.len());
    }
}

/// What a conversation begins with: after a byte that says which conversation, its payload.
pub fn payload(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let about = bytes.u8();
    let (is_dns, is_tcp, incoming) = (about & 1 != 0, about & 2 != 0, about & 4 != 0);
    let said = bytes.take(PAYLOAD_MAX);
    let port: u16 = if is_dns { 53 } else { 443 };
    let protocol: u8 = if is_tcp { 6 } else { 17 };
    // As `layout::flow::Payload` has it: header, key, protocol, direction, length, bytes.
    let mut record = 7_u64.to_ne_bytes().to_vec();
    record.extend(kind::PAYLOAD.to_ne_bytes());
    record.extend([0; 4]);
    record.extend(42_u64.to_ne_bytes());
    record.extend([192, 0, 2, 7]);
    record.extend([0; 12]);
    record.extend(port.to_ne_bytes());
    record.extend([4, 0, 0, 0, 0, 0, protocol, u8::from(incoming), 0, 0]);
    record.extend((said.len() as u32).to_ne_bytes());
    record.extend(said);
    record.resize(record.len() + PAYLOAD_MAX - said.len(), 0);
    let decoded = decode::record(&record);
    assert!(decoded.is_ok(), "no record of the layout: {decoded:?}");
    bounded(decoded, said.len());
}

/// Holds an event against the bytes it was made of.
fn bounded(decoded: Result<Event, DecodeError>, len: usize) {
    match decoded.map(|event| event.what) {
        Ok(What::Exec(exec)) => {
            assert!(exec.untrusted_filename.len() + exec.untrusted_arguments.len() <= len);
        }
        Ok(What::Name(name)) => assert!(name.untrusted_path.len() <= len + MARK),
        Ok(What::Naming(naming)) => heard(&naming, len),
        Ok(What::Access(access)) => {
            let edges = decode::carried(&access);
            assert!(edges.is_empty() || decode::is_carrier(access.store.0));
        }
        Ok(_) | Err(_) => {}
    }
}

/// A name is as names are, and no longer than what was said; DNS may say it in fewer bytes by pointing back.
fn heard(naming: &Naming, len: usize) {
    let name = match &naming.heard {
        Heard::Nothing => return,
        Heard::Server(name) => {
            assert!(name.len() <= len, "a name longer than the hello");
            name
        }
        Heard::Question(name) => name,
        Heard::Answer(name, addresses) => {
            // A record of an answer has ten bytes beside its name and its address.
            assert!(addresses.len() <= (len / 10).min(ADDRESSES_MAX));
            name
        }
    };
    assert!(!name.is_empty() && name.len() <= NAME_MAX);
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    assert!(name.bytes().all(plain), "{name:?}");
}

/// Entries of the maps that the programs add up in.
pub fn sums(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    match bytes.u8() % 5 {
        0 => access(&mut bytes),
        1 => drop(decode::flow(
            bytes.u64(),
            &socket(&mut bytes),
            bytes.u8() & 1 != 0,
        )),
        2 => drop(decode::datagrams(
            &datagram_key(&mut bytes),
            &datagrams(&mut bytes),
            bytes.u8() & 1 != 0,
        )),
        3 => edge(&mut bytes),
        _ => tamper(&mut bytes),
    }
}

fn access(bytes: &mut Bytes<'_>) {
    let (key, sum, tick_ns) = (access_key(bytes), access_sum(bytes), bytes.u64());
    let access = decode::access(&key, &sum, tick_ns);
    assert!(access.first_boot_ns <= access.last_boot_ns);
    assert!(decode::carried(&access).len() <= 4);
}

fn edge(bytes: &mut Bytes<'_>) {
    let key = EdgeKey {
        from: process(bytes),
        to: process(bytes),
        kind: bytes.u32() % 8,
        pad: 0,
    };
    let (sum, told) = (edge_sum(bytes), edge_sum(bytes));
    for told in [None, Some(&told)] {
        let Ok(edge) = decode::edge(&key, &sum, told) else {
            continue;
        };
        assert!(edge.bytes <= sum.bytes && edge.times <= sum.times);
        assert_eq!(edge.stores.len() as u32, sum.stores.count_ones());
    }
}

fn tamper(bytes: &mut Bytes<'_>) {
    let key = TamperKey {
        process: process(bytes),
        what: bytes.u32() % 8,
        number: bytes.u32(),
    };
    let (sum, told) = (tamper_sum(bytes), tamper_sum(bytes));
    for told in [None, Some(&told)] {
        if let Ok(tamper) = decode::tamper(&key, &sum, told) {
            assert!(tamper.times <= sum.times && tamper.denied <= sum.denied);
        }
    }
}

fn process(bytes: &mut Bytes<'_>) -> Process {
    Process {
        start_ns: bytes.u64(),
        pid: bytes.u32(),
        pad: 0,
    }
}

fn access_key(bytes: &mut Bytes<'_>) -> AccessKey {
    AccessKey {
        file: Inode {
            ino: bytes.u64(),
            dev: bytes.u32(),
            generation: bytes.u32(),
        },
        process: process(bytes),
    }
}

fn access_sum(bytes: &mut Bytes<'_>) -> AccessSum {
    AccessSum {
        first_ns: bytes.u64(),
        first_tick: bytes.u32(),
        last_tick: bytes.u32(),
        opens: bytes.u64(),
        read: bytes.u64(),
        mapped: bytes.u64(),
        written: bytes.u64(),
        changed: bytes.u64(),
        deleted: bytes.u64(),
        listed: bytes.u64(),
        store: bytes.u32(),
        pad: 0,
    }
}

fn words(bytes: &mut Bytes<'_>) -> [u32; 4] {
    [bytes.u32(), bytes.u32(), bytes.u32(), bytes.u32()]
}

fn ends(bytes: &mut Bytes<'_>) -> Ends {
    Ends {
        local: words(bytes),
        remote: words(bytes),
        local_port: bytes.u16(),
        remote_port: bytes.u16(),
        version: bytes.u8() % 8,
        protocol: bytes.u8(),
        direction: bytes.u8() % 4,
        pad: 0,
    }
}

fn socket(bytes: &mut Bytes<'_>) -> Socket {
    Socket {
        process: process(bytes),
        opened_ns: bytes.u64(),
        sk: bytes.u64(),
        before: bytes.u64(),
        out: bytes.u64(),
        r#in: bytes.u64(),
        ends: ends(bytes),
    }
}

fn datagram_key(bytes: &mut Bytes<'_>) -> DatagramKey {
    DatagramKey {
        cookie: bytes.u64(),
        remote: words(bytes),
        remote_port: bytes.u16(),
        version: bytes.u8(),
        pad: [0; 5],
    }
}

fn datagrams(bytes: &mut Bytes<'_>) -> Datagrams {
    Datagrams {
        process: process(bytes),
        opened_ns: bytes.u64(),
        last_ns: bytes.u64(),
        out: bytes.u64(),
        r#in: bytes.u64(),
        ends: ends(bytes),
        pad: 0,
    }
}

fn edge_sum(bytes: &mut Bytes<'_>) -> EdgeSum {
    EdgeSum {
        first_ns: bytes.u64(),
        last_ns: bytes.u64(),
        times: bytes.u64(),
        bytes: bytes.u64(),
        stores: bytes.u64(),
    }
}

fn tamper_sum(bytes: &mut Bytes<'_>) -> TamperSum {
    TamperSum {
        first_ns: bytes.u64(),
        last_ns: bytes.u64(),
        times: bytes.u64(),
        denied: bytes.u64(),
    }
}

/// The kernel's description of its types.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else {
        return;
    };
    for (container, path) in [
        ("task_struct", "mm"),
        ("a", "b"),
        ("a", "b.c"),
        ("file", "f_inode"),
    ] {
        if let Some(place) = btf.member(container, path) {
            assert!(place.offset <= u64::from(u32::MAX / 8));
        }
    }
    let names = ["f", "btf_trace_f"];
    for name in names {
        let _found = (
            btf.has_function(name),
            btf.has_call(name),
            btf.tracepoint_arguments(name),
        );
    }
    let excerpt = btf.excerpt(&names.into());
    // A type has at least twelve bytes, and its excerpt that many and one of these names.
    assert!(excerpt.len() <= 32 + 2 * bytes.len() + names.len());
    let again = Btf::parse(&excerpt);
    assert!(again.is_ok_and(|again| again.has_call("f") == btf.has_call("f")));
}
