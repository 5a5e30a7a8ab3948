//! Makes events of what the kernel programs say.
//!
//! Kernel bytes are untrusted input: names and arguments are chosen by whoever runs a program, and a record may be of
//! another layout than this build's. Nothing is cast; every length and value is checked, and what does not fit is an error
//! to be counted.
//!
//! **Invariant:** no I/O, no clock, no panic on any input.

mod names;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sensor_ebpf::layout::access as layout;
use sensor_ebpf::layout::edge::{
    EdgeKey, EdgeSum, LOOPBACK, MEMORY_CALL, PROC_MEM, PTRACE, TERMINAL, UNIX_SOCKET,
};
use sensor_ebpf::layout::flow::{
    ACCEPTED, CONNECTED, DNS_PORT, DatagramKey, Datagrams, Ends, Payload, Socket, TCP,
};
use sensor_ebpf::layout::header::{Header, kind};
use sensor_ebpf::layout::limits::{
    ARGUMENTS_LARGE, ARGUMENTS_SMALL, FILENAME_MAX, NAME_MAX, PATH_LARGE, PATH_SMALL, PAYLOAD_MAX,
};
use sensor_ebpf::layout::proc as border;
use sensor_ebpf::layout::tamper::{
    FILE, FILE_AUTHORITY, FILE_CONFIGURATION, FILE_IDENTITY, FILE_KEY, FILE_PROGRAM, FILE_SPOOL,
    FILE_UNIT, LINK, MAP, PROGRAM, SIGNAL, TRACE, TamperKey, TamperSum,
};
use thiserror::Error;

use crate::event::{
    Access, CarrierKind, Direction, Edge, EdgeKind, End, Event, Exec, Exit, Flow, Fork, Heard,
    Name, Naming, Part, ProcessKey, RecordId, StoreId, Tamper, Target, What,
};

/// Nanoseconds in a hundredth of a second.
const CENTISECOND_NS: u64 = 10_000_000;

/// Why bytes from the kernel are no event.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A record of a kind this build does not know.
    #[error("record of the unknown kind {0}")]
    Kind(u32),
    /// A record that is not as long as its kind.
    #[error("record of kind {kind} is {found} bytes long instead of {expected}")]
    Length {
        /// Its kind.
        kind: u32,
        /// Its bytes.
        found: usize,
        /// The bytes of its kind.
        expected: usize,
    },
    /// A value out of its bounds.
    #[error("{what} is {value}, which it cannot be")]
    Value {
        /// What.
        what: &'static str,
        /// Its value.
        value: u64,
    },
}

/// Makes an event of a record from a ring.
pub fn record(bytes: &[u8]) -> Result<Event, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    if bytes.len() < size_of::<Header>() {
        return Err(DecodeError::Length {
            kind: 0,
            found: bytes.len(),
            expected: size_of::<Header>(),
        });
    }
    let (boot_ns, kind) = (reader.u64(), reader.u32());
    reader.skip(4);
    let expected = length(kind)?;
    if bytes.len() != expected {
        return Err(DecodeError::Length {
            kind,
            found: bytes.len(),
            expected,
        });
    }
    let what = match kind {
        kind::FORK => What::Fork(Fork {
            child: reader.process(),
            parent: reader.process(),
            holds: reader.u64() != 0,
        }),
        kind::EXEC_SMALL => What::Exec(reader.exec(ARGUMENTS_SMALL)?),
        kind::EXEC_LARGE => What::Exec(reader.exec(ARGUMENTS_LARGE)?),
        kind::EXIT => What::Exit(Exit {
            process: reader.process(),
        }),
        kind::NAME_SMALL => What::Name(reader.name(PATH_SMALL)?),
        kind::NAME_LARGE => What::Name(reader.name(PATH_LARGE)?),
        kind::ACCESS => {
            let (key, sum) = (reader.access_key(), reader.access_sum());
            // Told by itself, it is a single touch.
            What::Access(access(&key, &sum, 0))
        }
        kind::FLOW => {
            let (cookie, socket) = (reader.u64(), reader.socket());
            What::Flow(flow(cookie, &socket, reader.u32() != 0)?)
        }
        kind::PAYLOAD => What::Naming(reader.naming()?),
        other => return Err(DecodeError::Kind(other)),
    };
    Ok(Event { boot_ns, what })
}

/// Bytes of a record of this kind.
fn length(kind: u32) -> Result<usize, DecodeError> {
    Ok(match kind {
        kind::FORK => size_of::<border::Fork>(),
        kind::EXEC_SMALL => size_of::<border::Exec<ARGUMENTS_SMALL>>(),
        kind::EXEC_LARGE => size_of::<border::Exec<ARGUMENTS_LARGE>>(),
        kind::EXIT => size_of::<border::Exit>(),
        kind::NAME_SMALL => size_of::<layout::Name<PATH_SMALL>>(),
        kind::NAME_LARGE => size_of::<layout::Name<PATH_LARGE>>(),
        kind::ACCESS => size_of::<layout::Access>(),
        kind::FLOW => size_of::<sensor_ebpf::layout::flow::Flow>(),
        kind::PAYLOAD => size_of::<Payload>(),
        other => return Err(DecodeError::Kind(other)),
    })
}

/// Makes an access of a sum from the kernel's map, `tick_ns` being the length of a tick of the kernel. The last touch is
/// as exact as that.
#[must_use]
pub fn access(key: &layout::AccessKey, sum: &layout::AccessSum, tick_ns: u64) -> Access {
    let ticks = sum.last_tick.wrapping_sub(sum.first_tick);
    Access {
        process: process(&key.process),
        store: StoreId(sum.store),
        record: record_id(&key.file),
        opens: sum.opens,
        bytes_read: sum.read,
        bytes_mapped: sum.mapped,
        bytes_written: sum.written,
        changes: sum.changed,
        deletions: sum.deleted,
        listings: sum.listed,
        first_boot_ns: sum.first_ns,
        last_boot_ns: sum
            .first_ns
            .saturating_add(u64::from(ticks).saturating_mul(tick_ns)),
    }
}

fn carrier_kind(store: u32) -> Option<CarrierKind> {
    match store {
        layout::CARRIER_FILE => Some(CarrierKind::File),
        layout::CARRIER_PIPE => Some(CarrierKind::Pipe),
        layout::CARRIER_MEMORY => Some(CarrierKind::Memory),
        _ => None,
    }
}

/// True for the store number of what is no record but may carry what is.
#[must_use]
pub fn is_carrier(store: u32) -> bool {
    carrier_kind(store).is_some()
}

/// Makes edges of a sum that is no record's but a carrier's; none of one that is a record's.
#[must_use]
pub fn carried(access: &Access) -> Vec<Edge> {
    let Some(kind) = carrier_kind(access.store.0) else {
        return Vec::new();
    };
    let (process, carrier) = (
        End::Process(access.process),
        End::Carrier(kind, access.record),
    );
    let edges = [
        (carrier, process, EdgeKind::Read, access.bytes_read),
        (carrier, process, EdgeKind::Map, access.bytes_mapped),
        (process, carrier, EdgeKind::Write, access.bytes_written),
        // Of a carrier, how much of it was mapped so that what is written there is written to it.
        (process, carrier, EdgeKind::Map, access.listings),
    ];
    let edges = edges.into_iter().filter(|(.., bytes)| *bytes > 0);
    edges
        .map(|(from, to, kind, bytes)| Edge {
            from,
            to,
            kind,
            stores: Vec::new(),
            times: 0,
            bytes,
            first_boot_ns: access.first_boot_ns,
            last_boot_ns: access.last_boot_ns,
        })
        .collect()
}

/// Makes a flow of a TCP socket's entry.
pub fn flow(cookie: u64, socket: &Socket, closed: bool) -> Result<Flow, DecodeError> {
    let (local, remote) = ends(&socket.ends)?;
    Ok(Flow {
        id: cookie,
        process: process(&socket.process),
        protocol: socket.ends.protocol,
        family: 0,
        direction: direction(socket.ends.direction)?,
        local,
        remote,
        bytes_out: socket.out,
        bytes_out_before: socket.before,
        bytes_in: socket.r#in,
        opened_boot_ns: socket.opened_ns,
        closed,
        name: None,
    })
}

/// Makes a flow of a UDP conversation's entry. One socket may talk to many, so its id is taken from both.
pub fn datagrams(key: &DatagramKey, sums: &Datagrams, closed: bool) -> Result<Flow, DecodeError> {
    let (local, remote) = ends(&sums.ends)?;
    let (protocol, family) = match sums.ends.version {
        0 => (0, sums.ends.protocol),
        _ => (sums.ends.protocol, 0),
    };
    Ok(Flow {
        id: datagrams_id(key),
        process: process(&sums.process),
        protocol,
        family,
        direction: direction(sums.ends.direction)?,
        local,
        remote,
        bytes_out: sums.out,
        bytes_out_before: 0,
        bytes_in: sums.r#in,
        opened_boot_ns: sums.opened_ns,
        closed,
        name: None,
    })
}

/// Makes an edge of an entry, with what has been added since `told`.
pub fn edge(key: &EdgeKey, sum: &EdgeSum, told: Option<&EdgeSum>) -> Result<Edge, DecodeError> {
    let kind = match key.kind {
        MEMORY_CALL => EdgeKind::MemoryCall,
        PTRACE => EdgeKind::Ptrace,
        PROC_MEM => EdgeKind::ProcMem,
        UNIX_SOCKET => EdgeKind::UnixSocket,
        LOOPBACK => EdgeKind::Loopback,
        TERMINAL => EdgeKind::Terminal,
        other => {
            return Err(DecodeError::Value {
                what: "kind of an edge",
                value: u64::from(other),
            });
        }
    };
    let stores = (0..u64::BITS).filter(|n| sum.stores >> n & 1 == 1);
    Ok(Edge {
        from: End::Process(process(&key.from)),
        to: End::Process(process(&key.to)),
        kind,
        stores: stores.map(StoreId).collect(),
        times: sum.times.saturating_sub(told.map_or(0, |told| told.times)),
        bytes: sum.bytes.saturating_sub(told.map_or(0, |told| told.bytes)),
        first_boot_ns: told.map_or(sum.first_ns, |told| told.last_ns),
        last_boot_ns: sum.last_ns,
    })
}

fn part(number: u32) -> Result<Part, DecodeError> {
    Ok(match number {
        FILE_PROGRAM => Part::Program,
        FILE_CONFIGURATION => Part::Configuration,
        FILE_KEY => Part::Key,
        FILE_UNIT => Part::Unit,
        FILE_SPOOL => Part::Spool,
        FILE_IDENTITY => Part::Identity,
        FILE_AUTHORITY => Part::Authority,
        other => {
            return Err(DecodeError::Value {
                what: "file of the sensor",
                value: u64::from(other),
            });
        }
    })
}

/// Makes an attempt of an entry, with what has been added since `told`.
pub fn tamper(
    key: &TamperKey,
    sum: &TamperSum,
    told: Option<&TamperSum>,
) -> Result<Tamper, DecodeError> {
    let target = match key.what {
        SIGNAL => Target::Signal(key.number),
        TRACE => Target::Trace,
        MAP => Target::Map(key.number),
        PROGRAM => Target::Program(key.number),
        LINK => Target::Link(key.number),
        FILE => Target::File(part(key.number)?),
        other => {
            return Err(DecodeError::Value {
                what: "kind of an attempt",
                value: u64::from(other),
            });
        }
    };
    Ok(Tamper {
        process: process(&key.process),
        target,
        times: sum.times.saturating_sub(told.map_or(0, |told| told.times)),
        denied: sum
            .denied
            .saturating_sub(told.map_or(0, |told| told.denied)),
        first_boot_ns: told.map_or(sum.first_ns, |told| told.last_ns),
        last_boot_ns: sum.last_ns,
    })
}

/// Names a process the way `/proc` does.
#[must_use]
pub const fn process(process: &border::Process) -> ProcessKey {
    ProcessKey {
        pid: process.pid,
        start_cs: process.start_ns / CENTISECOND_NS,
    }
}

const fn record_id(file: &layout::Inode) -> RecordId {
    RecordId {
        device: file.dev,
        inode: file.ino,
        generation: file.generation,
    }
}

/// FNV-1a over cookie and remote end; the top bit keeps it apart from the cookies of TCP sockets, which count from 1.
fn datagrams_id(key: &DatagramKey) -> u64 {
    let remote = key.remote.iter().flat_map(|word| word.to_ne_bytes());
    let bytes = key
        .cookie
        .to_ne_bytes()
        .into_iter()
        .chain(remote)
        .chain(key.remote_port.to_ne_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1 << 63
}

fn direction(value: u8) -> Result<Direction, DecodeError> {
    match value {
        CONNECTED => Ok(Direction::Connected),
        ACCEPTED => Ok(Direction::Accepted),
        other => Err(DecodeError::Value {
            what: "direction of a flow",
            value: u64::from(other),
        }),
    }
}

fn ends(ends: &Ends) -> Result<(SocketAddr, SocketAddr), DecodeError> {
    let address = |words: &[u32; 4]| -> Result<IpAddr, DecodeError> {
        match ends.version {
            0 => Ok(Ipv4Addr::UNSPECIFIED.into()),
            4 => Ok(Ipv4Addr::from(words[0].to_ne_bytes()).into()),
            6 => {
                let mut bytes = [0; 16];
                for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
                    to.copy_from_slice(&word.to_ne_bytes());
                }
                Ok(Ipv6Addr::from(bytes).to_canonical())
            }
            other => Err(DecodeError::Value {
                what: "IP version of a flow",
                value: u64::from(other),
            }),
        }
    };
    let local = SocketAddr::new(address(&ends.local)?, ends.local_port);
    let remote = SocketAddr::new(address(&ends.remote)?, ends.remote_port);
    Ok((local, remote))
}

/// Reads a record from front to back. The record's length has been checked, so what is read past its end, which is
/// nothing, reads as zeroes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let start = self.at.min(self.bytes.len());
        let end = start.saturating_add(len).min(self.bytes.len());
        self.at = end;
        &self.bytes[start..end]
    }

    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut out = [0; N];
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    fn skip(&mut self, len: usize) {
        self.take(len);
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.fixed())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.fixed())
    }

    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.fixed())
    }

    fn u8(&mut self) -> u8 {
        self.fixed::<1>()[0]
    }

    fn words(&mut self) -> [u32; 4] {
        [self.u32(), self.u32(), self.u32(), self.u32()]
    }

    fn border_process(&mut self) -> border::Process {
        border::Process {
            start_ns: self.u64(),
            pid: self.u32(),
            pad: self.u32(),
        }
    }

    fn process(&mut self) -> ProcessKey {
        process(&self.border_process())
    }

    fn inode(&mut self) -> layout::Inode {
        layout::Inode {
            ino: self.u64(),
            dev: self.u32(),
            generation: self.u32(),
        }
    }

    fn access_key(&mut self) -> layout::AccessKey {
        layout::AccessKey {
            file: self.inode(),
            process: self.border_process(),
        }
    }

    fn access_sum(&mut self) -> layout::AccessSum {
        layout::AccessSum {
            first_ns: self.u64(),
            first_tick: self.u32(),
            last_tick: self.u32(),
            opens: self.u64(),
            read: self.u64(),
            mapped: self.u64(),
            written: self.u64(),
            changed: self.u64(),
            deleted: self.u64(),
            listed: self.u64(),
            store: self.u32(),
            pad: self.u32(),
        }
    }

    fn ends(&mut self) -> Ends {
        Ends {
            local: self.words(),
            remote: self.words(),
            local_port: self.u16(),
            remote_port: self.u16(),
            version: self.u8(),
            protocol: self.u8(),
            direction: self.u8(),
            pad: self.u8(),
        }
    }

    fn socket(&mut self) -> Socket {
        Socket {
            process: self.border_process(),
            opened_ns: self.u64(),
            sk: self.u64(),
            before: self.u64(),
            out: self.u64(),
            r#in: self.u64(),
            ends: self.ends(),
        }
    }

    fn datagram_key(&mut self) -> DatagramKey {
        DatagramKey {
            cookie: self.u64(),
            remote: self.words(),
            remote_port: self.u16(),
            version: self.u8(),
            pad: self.fixed(),
        }
    }

    /// Who is asked answers, and who asks says what for: anything else names nothing.
    fn naming(&mut self) -> Result<Naming, DecodeError> {
        let key = self.datagram_key();
        let (protocol, incoming) = (self.u8(), self.u8() != 0);
        self.skip(2);
        let len = self.u32() as usize;
        if len > PAYLOAD_MAX {
            return Err(DecodeError::Value {
                what: "length of a payload",
                value: len as u64,
            });
        }
        let bytes = &self.take(PAYLOAD_MAX)[..len];
        let is_tcp = protocol == TCP;
        let heard = if key.remote_port == DNS_PORT {
            names::dns(bytes, is_tcp)
        } else {
            names::hello(bytes)
        };
        let fits = matches!(heard, Heard::Answer(..)) == incoming;
        Ok(Naming {
            flow: if is_tcp {
                key.cookie
            } else {
                datagrams_id(&key)
            },
            heard: if fits { heard } else { Heard::Nothing },
        })
    }

    fn exec(&mut self, room: usize) -> Result<Exec, DecodeError> {
        let (process, parent, uid) = (self.process(), self.process(), self.u32());
        let (filename_len, all) = (self.u32() as usize, self.u32() as usize);
        let environment = u64::from(self.u32());
        if filename_len >= FILENAME_MAX {
            return Err(DecodeError::Value {
                what: "length of a file name",
                value: filename_len as u64,
            });
        }
        let filename = &self.take(FILENAME_MAX)[..filename_len];
        let end = filename.iter().position(|byte| *byte == 0);
        let arguments = self.take(room);
        Ok(Exec {
            process,
            parent,
            uid,
            untrusted_filename: filename[..end.unwrap_or(filename_len)].to_vec(),
            untrusted_arguments: arguments[..all.min(room)].to_vec(),
            arguments_truncated: all > room,
            given_bytes: all as u64 + environment,
        })
    }

    /// The parts lie from the file's own name upwards.
    fn name(&mut self, room: usize) -> Result<Name, DecodeError> {
        let (record, store) = (record_id(&self.inode()), self.u32());
        let (parts, all, len) = (
            self.u32() as usize,
            self.u32() as usize,
            self.u32() as usize,
        );
        if len > room {
            return Err(DecodeError::Value {
                what: "length of a record's path",
                value: len as u64,
            });
        }
        let path = &self.take(room + NAME_MAX)[..len];
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
        // What follows the last NUL is empty.
        if names.pop().is_some_and(|rest| !rest.is_empty()) || names.len() != parts {
            return Err(DecodeError::Value {
                what: "number of parts of a record's path",
                value: parts as u64,
            });
        }
        if all > parts {
            // Directories that did not fit: the path is marked as incomplete, for it names no file any more.
            names.push(b"...");
        }
        names.reverse();
        Ok(Name {
            record,
            store: StoreId(store),
            is_carrier: is_carrier(store),
            untrusted_path: names.join(&b'/'),
        })
    }
}

#[cfg(test)]
mod tests;
