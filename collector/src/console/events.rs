//! `chartwatch events`: the stored events of a span as lines of JSON, for other tools and for whoever checks the log.
//!
//! **Invariant:** each stored event of the span is one line, in the order of the log; a kind this version does not know
//! is counted, not hidden, as is a batch that is damaged. Times are nanoseconds since the Unix epoch, amounts are bytes.

use std::io::Write;

use serde::Serialize;

use super::{ConsoleError, json};
use crate::event::{
    Access, Block, Conflict, Direction, Edge, End, Event, Flow, Gap, NameForm, Process, ProcessKey,
    Tamper, What,
};
use crate::log::{LogError, LogReader, StoredBatch};
use crate::replay::{Decode, Span};

/// What can go wrong while events are written.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// They cannot be written.
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

/// What is in the log and was not written.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// Events of a kind this version does not know.
    pub unknown: u64,
    /// Batches that are damaged.
    pub damaged: u64,
    /// Position of the first damaged one, and what is wrong with it.
    pub first_damaged: Option<(i64, String)>,
}

/// Writes the events of a span; answers what of its batches was left out.
pub fn events(
    out: &mut impl Write,
    reader: &LogReader,
    span: Span,
    decode: Decode,
) -> Result<LeftOut, EventsError> {
    let mut left_out = LeftOut::default();
    let mut next = reader.first_pos_since(span.from_ns)?;
    loop {
        let page = reader.page(next)?;
        let Some(last) = page.last() else {
            return Ok(left_out);
        };
        next = last.pos + 1;
        for stored in &page {
            match decode(stored) {
                Ok(block) => {
                    left_out.unknown += block.unknown;
                    batch(out, stored, &block, span)?;
                }
                Err(reason) => {
                    left_out.damaged += 1;
                    left_out.first_damaged.get_or_insert((stored.pos, reason));
                }
            }
        }
    }
}

fn batch(
    out: &mut impl Write,
    stored: &StoredBatch,
    block: &Block,
    span: Span,
) -> Result<(), EventsError> {
    let epoch = uuid::Uuid::from_bytes(stored.epoch).to_string();
    for (seq, event) in (stored.first_seq..).zip(&block.events) {
        if !(span.from_ns..=span.to_ns).contains(&event.at_ns) {
            continue;
        }
        let line = EventForm {
            sensor: &stored.sensor,
            host: &block.origin.host,
            boot_id: &block.origin.boot_id,
            epoch: &epoch,
            // Which numbers the unknown ones have is not known, so neither are the others'.
            seq: (block.unknown == 0).then_some(seq),
            at_ns: event.at_ns,
            boot_ns: event.boot_ns,
            what: WhatForm::of(event),
        };
        json(out, &line)?;
    }
    Ok(())
}

/// One line.
#[derive(Debug, Serialize)]
struct EventForm<'a> {
    sensor: &'a str,
    host: &'a str,
    boot_id: &'a str,
    /// The run of sequence numbers it belongs to.
    epoch: &'a str,
    /// Its number; null when its batch holds events of a kind this version does not know.
    seq: Option<u64>,
    at_ns: u64,
    boot_ns: u64,
    /// One key, the kind, with what belongs to it.
    #[serde(flatten)]
    what: WhatForm<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum WhatForm<'a> {
    Process(ProcessForm<'a>),
    Access(AccessForm<'a>),
    Flow(FlowForm),
    Edge(EdgeForm<'a>),
    Tamper(TamperForm),
    Gap(GapForm<'a>),
    Conflict(ConflictForm),
}

#[derive(Debug, Serialize)]
struct KeyForm {
    pid: u32,
    start_cs: u64,
}

#[derive(Debug, Serialize)]
struct ProcessForm<'a> {
    key: KeyForm,
    parent: Option<KeyForm>,
    executable: &'a str,
    arguments: &'a [String],
    arguments_truncated: bool,
    uid: u32,
    user: &'a str,
    login_uid: Option<u32>,
    login_user: &'a str,
    session: Option<u32>,
    unit: &'a str,
    container: &'a str,
    given_bytes: u64,
    started_ns: u64,
    exited_ns: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AccessForm<'a> {
    process: KeyForm,
    store: &'a str,
    device: u32,
    inode: u64,
    generation: u32,
    name: Option<&'a str>,
    name_form: Option<&'static str>,
    opens: u64,
    bytes_read: u64,
    bytes_mapped: u64,
    bytes_written: u64,
    changes: u64,
    deletions: u64,
    listings: u64,
    first_ns: u64,
    last_ns: u64,
}

#[derive(Debug, Serialize)]
struct FlowForm {
    id: u64,
    process: KeyForm,
    protocol: u16,
    direction: &'static str,
    local: Option<String>,
    remote: String,
    bytes_out: u64,
    bytes_in: u64,
    bytes_out_before: u64,
    opened_ns: u64,
    last_ns: u64,
    closed: bool,
    name: Option<String>,
}

/// One end of an edge: a process, or a carrier by what it is and where it lies.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EndForm<'a> {
    Process(KeyForm),
    Carrier {
        carrier: &'static str,
        device: u32,
        inode: u64,
        generation: u32,
        path: &'a str,
        medium: &'static str,
    },
}

#[derive(Debug, Serialize)]
struct EdgeForm<'a> {
    from: EndForm<'a>,
    to: EndForm<'a>,
    kind: &'static str,
    stores: &'a [String],
    times: u64,
    bytes: u64,
    first_ns: u64,
    last_ns: u64,
}

#[derive(Debug, Serialize)]
struct TamperForm {
    process: KeyForm,
    kind: &'static str,
    number: u32,
    times: u64,
    denied: u64,
    first_ns: u64,
    last_ns: u64,
}

#[derive(Debug, Serialize)]
struct GapForm<'a> {
    reason: &'static str,
    count: u64,
    from_ns: u64,
    to_ns: u64,
    detail: &'a str,
}

#[derive(Debug, Serialize)]
struct ConflictForm {
    kind: &'static str,
    epoch: String,
    first_seq: u64,
    last_seq: u64,
    other: String,
}

impl ConflictForm {
    fn of(conflict: &Conflict) -> Self {
        let other = conflict.other.iter().map(|byte| format!("{byte:02x}"));
        Self {
            kind: conflict.kind.name(),
            epoch: uuid::Uuid::from_bytes(conflict.epoch).to_string(),
            first_seq: conflict.first_seq,
            last_seq: conflict.last_seq,
            other: other.collect(),
        }
    }
}

impl<'a> WhatForm<'a> {
    fn of(event: &'a Event) -> Self {
        match &event.what {
            What::Process(process) => Self::Process(ProcessForm::of(process)),
            What::Access(access) => Self::Access(AccessForm::of(access)),
            What::Flow(flow) => Self::Flow(FlowForm::of(flow)),
            What::Edge(edge) => Self::Edge(EdgeForm::of(edge)),
            What::Tamper(tamper) => Self::Tamper(TamperForm::of(tamper)),
            What::Gap(gap) => Self::Gap(GapForm::of(gap)),
            What::Conflict(conflict) => Self::Conflict(ConflictForm::of(conflict)),
        }
    }
}

impl From<ProcessKey> for KeyForm {
    fn from(key: ProcessKey) -> Self {
        Self {
            pid: key.pid,
            start_cs: key.start_cs,
        }
    }
}

impl<'a> ProcessForm<'a> {
    fn of(process: &'a Process) -> Self {
        Self {
            key: process.key.into(),
            parent: process.parent.map(KeyForm::from),
            executable: &process.executable,
            arguments: &process.arguments,
            arguments_truncated: process.arguments_truncated,
            uid: process.uid,
            user: &process.user,
            login_uid: process.login_uid,
            login_user: &process.login_user,
            session: process.session,
            unit: &process.unit,
            container: &process.container,
            given_bytes: process.given_bytes,
            started_ns: process.started_ns,
            exited_ns: process.exited_ns,
        }
    }
}

impl<'a> AccessForm<'a> {
    fn of(access: &'a Access) -> Self {
        let name = access.name.as_ref();
        Self {
            process: access.process.into(),
            store: &access.store,
            device: access.record.device,
            inode: access.record.inode,
            generation: access.record.generation,
            name: name.map(|name| name.text.as_str()),
            name_form: name.map(|name| match name.form {
                NameForm::Token => "token",
                NameForm::Plain => "plain",
            }),
            opens: access.opens,
            bytes_read: access.bytes_read,
            bytes_mapped: access.bytes_mapped,
            bytes_written: access.bytes_written,
            changes: access.changes,
            deletions: access.deletions,
            listings: access.listings,
            first_ns: access.first_ns,
            last_ns: access.last_ns,
        }
    }
}

impl FlowForm {
    fn of(flow: &Flow) -> Self {
        Self {
            id: flow.id,
            process: flow.process.into(),
            protocol: flow.protocol,
            direction: match flow.direction {
                Direction::Unknown => "unknown",
                Direction::Connected => "connected",
                Direction::Accepted => "accepted",
            },
            local: flow.local.map(|end| end.to_string()),
            remote: flow.remote.to_string(),
            bytes_out: flow.bytes_out,
            bytes_in: flow.bytes_in,
            bytes_out_before: flow.bytes_out_before,
            opened_ns: flow.opened_ns,
            last_ns: flow.last_ns,
            closed: flow.closed,
            name: flow.name.as_ref().map(|name| name.name.clone()),
        }
    }
}

impl<'a> EndForm<'a> {
    fn of(end: &'a End) -> Self {
        match end {
            End::Process(key) => Self::Process((*key).into()),
            End::Carrier(carrier) => Self::Carrier {
                carrier: carrier.key.kind.name(),
                device: carrier.key.device,
                inode: carrier.key.inode,
                generation: carrier.key.generation,
                path: &carrier.path,
                medium: carrier.medium.name(),
            },
        }
    }
}

impl<'a> EdgeForm<'a> {
    fn of(edge: &'a Edge) -> Self {
        Self {
            from: EndForm::of(&edge.from),
            to: EndForm::of(&edge.to),
            kind: edge.kind.name(),
            stores: &edge.stores,
            times: edge.times,
            bytes: edge.bytes,
            first_ns: edge.first_ns,
            last_ns: edge.last_ns,
        }
    }
}

impl TamperForm {
    fn of(tamper: &Tamper) -> Self {
        Self {
            process: tamper.process.into(),
            kind: tamper.kind.name(),
            number: tamper.number,
            times: tamper.times,
            denied: tamper.denied,
            first_ns: tamper.first_ns,
            last_ns: tamper.last_ns,
        }
    }
}

impl<'a> GapForm<'a> {
    fn of(gap: &'a Gap) -> Self {
        Self {
            reason: gap.reason.name(),
            count: gap.count,
            from_ns: gap.from_ns,
            to_ns: gap.to_ns,
            detail: &gap.detail,
        }
    }
}
