//! From the wire to what the collector works with, or refused with the field that is wrong.
//!
//! A batch whose frame is wrong is refused as a whole. One event in it that breaks a rule becomes a gap that says which and
//! why: refused, its sensor would send it again for ever and nothing after it would arrive. The log keeps its bytes.
//!
//! **Invariant:** what comes out is complete and within bounds; nothing here panics, whatever the bytes. The same bytes
//! give the same events, live and from the log.

mod gap;
mod state;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proto::limits::{
    ARGUMENTS_MAX, EVENTS_MAX, LIST_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX,
};
use proto::prost::encoding::{DecodeContext, decode_key, skip_field};
use proto::prost::{DecodeError, Message as _};
use proto::sensor::v1 as wire;

pub(super) use state::{Hello, heartbeat, hello};

use super::payload;
use crate::event::{
    Access, Block, Carrier, CarrierKey, CarrierKind, Conflict, ConflictKind, Direction, Edge,
    EdgeKind, End, Event, Flow, FlowName, Gap, GapReason, Medium, NameForm, NameSource, Origin,
    PAST_IP, Process, ProcessKey, RecordId, RecordName, Tamper, TamperFile, TamperKind, What,
};
use crate::log::{Batch, Epoch, OWN_EPOCH, StoredBatch, content_hash};

/// Number of `events` in `EventBlock`.
const EVENTS_FIELD: u32 = 3;

/// A message that breaks the rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is longer than it may be.
    #[error("{field} has {length}, at most {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its bytes or entries.
        length: usize,
        /// How many it may have.
        max: usize,
    },
    /// An epoch is not 16 bytes.
    #[error("epoch has {0} bytes instead of 16")]
    Epoch(usize),
    /// A batch of another epoch than Hello said.
    #[error("the batch is of another epoch than Hello")]
    OtherEpoch,
    /// First and last sequence number do not make a batch.
    #[error("sequence numbers {first} to {last} do not make a batch")]
    Sequence {
        /// First number.
        first: u64,
        /// Last number.
        last: u64,
    },
    /// The payload is empty or too large.
    #[error("payload has {bytes} bytes; 1 to 262144 are allowed")]
    PayloadSize {
        /// Its size.
        bytes: usize,
    },
    /// The encoding is not one this version knows.
    #[error("encoding {0} is not known")]
    Encoding(i32),
    /// Another encoding than plain comes without the check it needs.
    #[error("batch.crc32c is missing, which every encoding but plain needs")]
    NoCheck,
    /// The payload is not what the sensor sent.
    #[error(
        "the batch's CRC32C is {found:08x}, the sensor says {said:08x}: it was damaged on its way or in the sensor's memory"
    )]
    Check {
        /// What it is here.
        found: u32,
        /// What the sensor says.
        said: u32,
    },
    /// The payload cannot be unpacked.
    #[error("payload is no zstd frame of a known size: {0}")]
    Zstd(&'static str),
    /// The payload is too large once it is unpacked.
    #[error("payload has {bytes} bytes when unpacked; 1 to 262144 are allowed")]
    UnpackedSize {
        /// What it says of itself.
        bytes: u64,
    },
    /// What is read back from the log is not what was written to it.
    #[error("its events are not those whose hash was stored with them")]
    NotAsStored,
    /// The payload is no `EventBlock`.
    #[error("payload is no EventBlock: {0}")]
    Decode(String),
    /// The payload holds another number of events than the sequence numbers say.
    #[error("payload holds {found} events, the sequence numbers say {expected}")]
    Count {
        /// Events in the payload.
        found: u64,
        /// What the numbers say.
        expected: u64,
    },
    /// An event that only the collector makes.
    #[error("it is a conflict, which only the collector finds")]
    NotOfSensors,
    /// The epoch is the collector's own.
    #[error("hello.epoch is all zeros, which is no random UUID")]
    OwnEpoch,
    /// A value is out of its bounds.
    #[error("{field} is {value}, which is out of bounds")]
    Bounds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// One event of a block is wrong.
    #[error("event {index} of the block: {error}")]
    Event {
        /// Its place, from 0.
        index: usize,
        /// What is wrong.
        error: Box<WireError>,
    },
}

/// Checks a batch and everything in it.
pub(super) fn batch(batch: wire::Batch, hello: &Hello) -> Result<(Batch, Block), WireError> {
    let epoch = epoch(&batch.epoch)?;
    let offered_from = hello.offered_from(epoch).ok_or(WireError::OtherEpoch)?;
    let (first, last) = (batch.first_seq, bounded("batch.last_seq", batch.last_seq)?);
    if first == 0 || last < first {
        return Err(WireError::Sequence { first, last });
    }
    if batch.payload.is_empty() || batch.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(WireError::PayloadSize {
            bytes: batch.payload.len(),
        });
    }
    let encoding = payload::encoding(&batch)?;
    let plain = payload::plain(encoding, &batch.payload)?;
    let decoded = block(&hello.sensor, &plain)?;
    let (found, expected) = (
        decoded.events.len() as u64 + decoded.unknown,
        (last - first).saturating_add(1),
    );
    if found != expected {
        return Err(WireError::Count { found, expected });
    }
    let batch = Batch {
        sensor: hello.sensor.clone(),
        epoch,
        first_seq: first,
        last_seq: last,
        offered_from,
        content: content_hash(&plain),
        encoding,
        payload: batch.payload,
    };
    Ok((batch, decoded))
}

/// Decodes a batch that the log kept.
pub fn stored(batch: &StoredBatch) -> Result<Block, WireError> {
    let plain = payload::plain(batch.encoding, &batch.payload)?;
    if batch
        .content
        .is_some_and(|content| content != content_hash(&plain))
    {
        return Err(WireError::NotAsStored);
    }
    if batch.epoch == OWN_EPOCH {
        own(&batch.sensor, &plain)
    } else {
        block(&batch.sensor, &plain)
    }
}

/// Decodes what the collector itself said about a sensor.
pub(super) fn own(sensor: &Arc<str>, payload: &[u8]) -> Result<Block, WireError> {
    decode(sensor, payload, Author::Collector)
}

/// Who wrote an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    Sensor,
    Collector,
}

/// Decodes the events of a batch, as they were before they were encoded.
pub fn block(sensor: &Arc<str>, payload: &[u8]) -> Result<Block, WireError> {
    decode(sensor, payload, Author::Sensor)
}

fn decode(sensor: &Arc<str>, payload: &[u8], author: Author) -> Result<Block, WireError> {
    let count = events(payload).map_err(|error| WireError::Decode(error.to_string()))?;
    if count > EVENTS_MAX {
        return Err(WireError::TooLong {
            field: "block.events",
            length: count,
            max: EVENTS_MAX,
        });
    }
    let block =
        wire::EventBlock::decode(payload).map_err(|error| WireError::Decode(error.to_string()))?;
    let origin = Origin {
        sensor: sensor.clone(),
        boot_id: required("block.boot_id", &block.boot_id)?.into(),
        host: required("block.host", &block.host)?.into(),
    };
    let mut events = Vec::with_capacity(block.events.len());
    let mut unknown = 0;
    for (index, raw) in block.events.into_iter().enumerate() {
        let times = (raw.time_unix_ns, raw.time_boot_ns);
        match event(raw, author) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => unknown += 1,
            Err(error) => {
                let error = WireError::Event {
                    index,
                    error: Box::new(error),
                };
                events.push(refused(&error, times, events.last()));
            }
        }
    }
    Ok(Block {
        origin,
        events,
        // What the collector says itself says nothing of what is to come.
        older_to_come: block.older_to_come || author == Author::Collector,
        unknown,
        missing_before: 0,
        pos: 0,
    })
}

/// Counts the events of a payload, before any of them takes memory: decoded, an empty one takes many times its two bytes.
fn events(mut payload: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !payload.is_empty() {
        let (tag, wire_type) = decode_key(&mut payload)?;
        count += usize::from(tag == EVENTS_FIELD);
        skip_field(wire_type, tag, &mut payload, DecodeContext::default())?;
    }
    Ok(count)
}

/// What stands in the place of an event that breaks a rule; where its times do too, with those of the event before.
fn refused(error: &WireError, (at_ns, boot_ns): (u64, u64), before: Option<&Event>) -> Event {
    let before = before.map_or((0, 0), |event| (event.at_ns, event.boot_ns));
    let at_ns = bounded("time_unix_ns", at_ns).unwrap_or(before.0);
    Event {
        at_ns,
        boot_ns: bounded("time_boot_ns", boot_ns).unwrap_or(before.1),
        what: What::Gap(Gap {
            reason: GapReason::Refused,
            count: 1,
            from_ns: at_ns,
            to_ns: at_ns,
            detail: error.to_string(),
        }),
    }
}

fn event(raw: wire::Event, author: Author) -> Result<Option<Event>, WireError> {
    let at_ns = bounded("time_unix_ns", raw.time_unix_ns)?;
    let boot_ns = bounded("time_boot_ns", raw.time_boot_ns)?;
    let Some(body) = raw.body else {
        return Ok(None);
    };
    let what = match body {
        wire::event::Body::Process(raw) => What::Process(process(raw)?),
        wire::event::Body::Access(raw) => What::Access(access(raw)?),
        wire::event::Body::Flow(raw) => What::Flow(flow(raw)?),
        wire::event::Body::Edge(raw) => match edge(raw)? {
            Some(edge) => What::Edge(edge),
            None => return Ok(None),
        },
        wire::event::Body::Tamper(raw) => What::Tamper(tamper(raw)?),
        wire::event::Body::Gap(raw) => What::Gap(gap::gap(raw)?),
        wire::event::Body::Conflict(_) if author == Author::Sensor => {
            return Err(WireError::NotOfSensors);
        }
        wire::event::Body::Conflict(raw) => What::Conflict(conflict(raw)?),
    };
    Ok(Some(Event {
        at_ns,
        boot_ns,
        what,
    }))
}

fn process(raw: wire::Process) -> Result<Process, WireError> {
    at_most("process.arguments", raw.arguments.len(), ARGUMENTS_MAX)?;
    let exited = bounded("process.exited_unix_ns", raw.exited_unix_ns)?;
    Ok(Process {
        key: key("process.id", raw.id)?,
        parent: raw
            .parent
            .map(|id| key("process.parent", Some(id)))
            .transpose()?,
        executable: long("process.executable", raw.executable)?,
        arguments: raw
            .arguments
            .into_iter()
            .map(|argument| long("process.arguments", argument))
            .collect::<Result<_, _>>()?,
        arguments_truncated: raw.arguments_truncated,
        uid: raw.uid,
        user: short("process.user", raw.user)?,
        login_uid: raw.login_uid,
        login_user: short("process.login_user", raw.login_user)?,
        session: raw.session,
        unit: short("process.unit", raw.unit)?,
        container: short("process.container", raw.container)?,
        given_bytes: bounded("process.given_bytes", raw.given_bytes)?,
        started_ns: bounded("process.started_unix_ns", raw.started_unix_ns)?,
        exited_ns: (exited != 0).then_some(exited),
    })
}

fn access(raw: wire::Access) -> Result<Access, WireError> {
    let record = raw.record.ok_or(WireError::Missing("access.record"))?;
    let form = match wire::NameForm::try_from(raw.name_form) {
        Ok(wire::NameForm::Token) => Some(NameForm::Token),
        Ok(wire::NameForm::Plain) => Some(NameForm::Plain),
        Ok(wire::NameForm::Unspecified) | Err(_) => None,
    };
    let text = long("access.name", raw.name)?;
    Ok(Access {
        process: key("access.process", raw.process)?,
        store: required("access.store", &raw.store)?.to_owned(),
        record: RecordId {
            device: record.device,
            inode: record.inode,
            generation: record.generation,
        },
        name: form
            .filter(|_| !text.is_empty())
            .map(|form| RecordName { text, form }),
        opens: raw.opens,
        bytes_read: bounded("access.bytes_read", raw.bytes_read)?,
        bytes_mapped: bounded("access.bytes_mapped", raw.bytes_mapped)?,
        bytes_written: bounded("access.bytes_written", raw.bytes_written)?,
        changes: bounded("access.changes", raw.changes)?,
        deletions: bounded("access.deletions", raw.deletions)?,
        listings: bounded("access.listings", raw.listings)?,
        first_ns: bounded("access.first_unix_ns", raw.first_unix_ns)?,
        last_ns: bounded("access.last_unix_ns", raw.last_unix_ns)?,
    })
}

fn byte(field: &'static str, value: u32) -> Result<u16, WireError> {
    match u8::try_from(value) {
        Ok(byte) => Ok(byte.into()),
        Err(_) => Err(WireError::Bounds {
            field,
            value: value.into(),
        }),
    }
}

fn flow(raw: wire::Flow) -> Result<Flow, WireError> {
    let remote = raw.remote.ok_or(WireError::Missing("flow.remote"))?;
    let name = name(raw.name_source, raw.name)?;
    let protocol = match raw.address_family {
        0 => byte("flow.protocol", raw.protocol)?,
        family => PAST_IP + byte("flow.address_family", family)?,
    };
    Ok(Flow {
        id: raw.id,
        process: key("flow.process", raw.process)?,
        protocol,
        direction: match wire::Direction::try_from(raw.direction) {
            Ok(wire::Direction::Connected) => Direction::Connected,
            Ok(wire::Direction::Accepted) => Direction::Accepted,
            Ok(wire::Direction::Unspecified) | Err(_) => Direction::Unknown,
        },
        local: raw
            .local
            .filter(|end| !end.address.is_empty())
            .map(|end| endpoint("flow.local", &end))
            .transpose()?,
        remote: endpoint("flow.remote", &remote)?,
        bytes_out: bounded("flow.bytes_out", raw.bytes_out)?,
        bytes_out_before: bounded("flow.bytes_out_before", raw.bytes_out_before)?,
        bytes_in: bounded("flow.bytes_in", raw.bytes_in)?,
        opened_ns: bounded("flow.opened_unix_ns", raw.opened_unix_ns)?,
        last_ns: bounded("flow.last_unix_ns", raw.last_unix_ns)?,
        closed: raw.closed,
        name,
    })
}

fn name(source: i32, name: String) -> Result<Option<FlowName>, WireError> {
    if name.is_empty() {
        return Ok(None);
    }
    let source = match wire::NameSource::try_from(source) {
        Ok(wire::NameSource::Answer) => NameSource::Answer,
        Ok(wire::NameSource::Question) => NameSource::Question,
        Ok(wire::NameSource::Server) => NameSource::Server,
        Ok(wire::NameSource::Unspecified) | Err(_) => NameSource::Unknown,
    };
    let name = short("flow.name", name)?;
    Ok(Some(FlowName { source, name }))
}

/// None for an edge with an end of a kind this version does not know.
fn edge(raw: wire::Edge) -> Result<Option<Edge>, WireError> {
    at_most("edge.stores", raw.stores.len(), LIST_MAX)?;
    let stores = raw.stores.into_iter();
    let stores: Result<_, _> = stores.map(|store| short("edge.stores", store)).collect();
    let (Some(from), Some(to)) = (end("edge.from", raw.from)?, end("edge.to", raw.to)?) else {
        return Ok(None);
    };
    Ok(Some(Edge {
        from,
        to,
        kind: match wire::EdgeKind::try_from(raw.kind) {
            Ok(wire::EdgeKind::MemoryCall) => EdgeKind::MemoryCall,
            Ok(wire::EdgeKind::Ptrace) => EdgeKind::Ptrace,
            Ok(wire::EdgeKind::ProcMem) => EdgeKind::ProcMem,
            Ok(wire::EdgeKind::Write) => EdgeKind::Write,
            Ok(wire::EdgeKind::Read) => EdgeKind::Read,
            Ok(wire::EdgeKind::Map) => EdgeKind::Map,
            Ok(wire::EdgeKind::UnixSocket) => EdgeKind::UnixSocket,
            Ok(wire::EdgeKind::Loopback) => EdgeKind::Loopback,
            Ok(wire::EdgeKind::Terminal) => EdgeKind::Terminal,
            Ok(wire::EdgeKind::Unspecified) | Err(_) => EdgeKind::Unknown,
        },
        stores: stores?,
        times: raw.times,
        bytes: bounded("edge.bytes", raw.bytes)?,
        first_ns: bounded("edge.first_unix_ns", raw.first_unix_ns)?,
        last_ns: bounded("edge.last_unix_ns", raw.last_unix_ns)?,
    }))
}

/// None for an end of a kind this version does not know.
fn end(field: &'static str, raw: Option<wire::EdgeEnd>) -> Result<Option<End>, WireError> {
    match raw.ok_or(WireError::Missing(field))?.end {
        Some(wire::edge_end::End::Process(id)) => {
            key(field, Some(id)).map(|key| Some(End::Process(key)))
        }
        Some(wire::edge_end::End::Carrier(raw)) => carrier(raw).map(|c| Some(End::Carrier(c))),
        None => Ok(None),
    }
}

fn carrier(raw: wire::Carrier) -> Result<Carrier, WireError> {
    Ok(Carrier {
        key: CarrierKey {
            kind: match wire::CarrierKind::try_from(raw.kind) {
                Ok(wire::CarrierKind::File) => CarrierKind::File,
                Ok(wire::CarrierKind::Pipe) => CarrierKind::Pipe,
                Ok(wire::CarrierKind::Memory) => CarrierKind::Memory,
                Ok(wire::CarrierKind::Unspecified) | Err(_) => CarrierKind::Unknown,
            },
            device: raw.device,
            inode: raw.inode,
            generation: raw.generation,
        },
        path: long("carrier.path", raw.path)?,
        medium: match wire::CarrierMedium::try_from(raw.medium) {
            Ok(wire::CarrierMedium::Removable) => Medium::Removable,
            Ok(wire::CarrierMedium::Network) => Medium::Network,
            Ok(wire::CarrierMedium::Image) => Medium::Image,
            Ok(wire::CarrierMedium::Unspecified) | Err(_) => Medium::Fixed,
        },
    })
}

fn tamper(raw: wire::Tamper) -> Result<Tamper, WireError> {
    let kind = wire::TamperKind::try_from(raw.kind);
    Ok(Tamper {
        process: key("tamper.process", raw.process)?,
        kind: match kind {
            Ok(wire::TamperKind::Signal) => TamperKind::Signal,
            Ok(wire::TamperKind::Trace) => TamperKind::Trace,
            Ok(wire::TamperKind::Map) => TamperKind::Map,
            Ok(wire::TamperKind::Program) => TamperKind::Program,
            Ok(wire::TamperKind::Link) => TamperKind::Link,
            Ok(wire::TamperKind::File) => TamperKind::File(tamper_file(raw.number)),
            Ok(wire::TamperKind::Unspecified) | Err(_) => TamperKind::Unknown,
        },
        number: match kind {
            Ok(wire::TamperKind::File) => 0,
            _ => raw.number,
        },
        times: bounded("tamper.times", raw.times)?,
        denied: bounded("tamper.denied", raw.denied)?,
        first_ns: bounded("tamper.first_unix_ns", raw.first_unix_ns)?,
        last_ns: bounded("tamper.last_unix_ns", raw.last_unix_ns)?,
    })
}

fn tamper_file(number: u32) -> TamperFile {
    match i32::try_from(number).map(wire::TamperFile::try_from) {
        Ok(Ok(wire::TamperFile::Program)) => TamperFile::Program,
        Ok(Ok(wire::TamperFile::Configuration)) => TamperFile::Configuration,
        Ok(Ok(wire::TamperFile::Key)) => TamperFile::Key,
        Ok(Ok(wire::TamperFile::Unit)) => TamperFile::Unit,
        Ok(Ok(wire::TamperFile::Spool)) => TamperFile::Spool,
        Ok(Ok(wire::TamperFile::Identity)) => TamperFile::Identity,
        Ok(Ok(wire::TamperFile::Authority)) => TamperFile::Authority,
        Ok(Ok(wire::TamperFile::Unspecified) | Err(_)) | Err(_) => TamperFile::Unknown,
    }
}

fn conflict(raw: wire::Conflict) -> Result<Conflict, WireError> {
    at_most("conflict.other", raw.other.len(), 32)?;
    Ok(Conflict {
        kind: match wire::ConflictKind::try_from(raw.kind) {
            Ok(wire::ConflictKind::Overlap) => ConflictKind::Overlap,
            Ok(wire::ConflictKind::TwoPlaces) => ConflictKind::TwoPlaces,
            Ok(wire::ConflictKind::Unspecified) | Err(_) => ConflictKind::Unknown,
        },
        epoch: epoch(&raw.epoch)?,
        first_seq: bounded("conflict.first_seq", raw.first_seq)?,
        last_seq: bounded("conflict.last_seq", raw.last_seq)?,
        other: raw.other,
    })
}

fn endpoint(field: &'static str, raw: &wire::Endpoint) -> Result<SocketAddr, WireError> {
    let address = if let Ok(v4) = <[u8; 4]>::try_from(raw.address.as_slice()) {
        IpAddr::from(v4)
    } else if let Ok(v6) = <[u8; 16]>::try_from(raw.address.as_slice()) {
        IpAddr::from(v6).to_canonical()
    } else {
        return Err(WireError::Bounds {
            field,
            value: raw.address.len() as u64,
        });
    };
    let port = u16::try_from(raw.port).map_err(|_| WireError::Bounds {
        field,
        value: raw.port.into(),
    })?;
    Ok(SocketAddr::new(address, port))
}

fn key(field: &'static str, id: Option<wire::ProcessId>) -> Result<ProcessKey, WireError> {
    let id = id.ok_or(WireError::Missing(field))?;
    Ok(ProcessKey {
        pid: id.pid,
        start_cs: id.start_cs,
    })
}

fn epoch(bytes: &[u8]) -> Result<Epoch, WireError> {
    bytes.try_into().map_err(|_| WireError::Epoch(bytes.len()))
}

/// Numbers are kept in signed columns, so the upper half is not allowed; no honest count or time reaches it.
fn bounded(field: &'static str, value: u64) -> Result<u64, WireError> {
    if i64::try_from(value).is_ok() {
        Ok(value)
    } else {
        Err(WireError::Bounds { field, value })
    }
}

fn required<'a>(field: &'static str, text: &'a str) -> Result<&'a str, WireError> {
    at_most(field, text.len(), NAME_BYTES_MAX)?;
    if text.is_empty() {
        Err(WireError::Missing(field))
    } else {
        Ok(text)
    }
}

fn short(field: &'static str, text: String) -> Result<String, WireError> {
    at_most(field, text.len(), NAME_BYTES_MAX)?;
    Ok(text)
}

fn long(field: &'static str, text: String) -> Result<String, WireError> {
    at_most(field, text.len(), TEXT_BYTES_MAX)?;
    Ok(text)
}

fn at_most(field: &'static str, length: usize, max: usize) -> Result<(), WireError> {
    if length > max {
        Err(WireError::TooLong { field, length, max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
