//! Reports in the form they travel: the one place where a field of ours becomes a field of the protocol.
//!
//! Text grows on its way here, by escapes and tokens, so it is cut here to what the protocol allows.
//!
//! **Invariant:** pure; every report has a form, and every form is within the protocol's limits.

use std::net::{IpAddr, SocketAddr};

use proto::limits::{ARGUMENTS_MAX, LIST_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use proto::sensor::v1;

use crate::clock::{self, Offset};
use crate::event::{
    CarrierKind, Direction, EdgeKind, End, Flow, FlowName, Gap, GapReason, Medium, NameSource,
    Part, ProcessKey, RecordId, Tamper, Target,
};
use crate::health::{Canary, Health, HookCount};
use crate::privacy::NameForm;
use crate::report::{Body, NamedAccess, NamedEdge, Process, Report};
use crate::spool::{Class, Gone, Loss, LossKind, Spool};

/// A report, with its times by the wall clock as it was then.
pub(super) fn event(report: &Report, offset: Offset) -> v1::Event {
    use v1::event::Body as Wire;
    let body = match &report.body {
        Body::Process(process) => Wire::Process(self::process(process, offset)),
        Body::Access(access) => Wire::Access(self::access(access, offset)),
        Body::Flow(flow) => Wire::Flow(self::flow(flow, report.boot_ns, offset)),
        Body::Edge(edge) => Wire::Edge(self::edge(edge, offset)),
        Body::Tamper(tamper) => Wire::Tamper(self::tamper(tamper, offset)),
        Body::Gap(gap) => Wire::Gap(self::gap(gap, offset)),
    };
    v1::Event {
        time_unix_ns: offset.unix_ns(report.boot_ns),
        time_boot_ns: report.boot_ns,
        body: Some(body),
    }
}

/// What the disk spool lost, as a gap that is said now.
pub(super) fn loss(loss: &Loss) -> v1::Event {
    let (reason, detail) = match loss.kind {
        LossKind::Full => (
            v1::GapReason::QueueFull,
            "the sensor's disk spool was full (spool.max_bytes): what is worth least went, the oldest of it first",
        ),
        LossKind::Old => (
            v1::GapReason::QueueFull,
            "events waited in the sensor's disk spool for longer than spool.max_age_hours",
        ),
        LossKind::Damaged => (
            v1::GapReason::Restart,
            "batches in the sensor's disk spool were damaged: their check failed, or they were gone",
        ),
        LossKind::SetAside => (
            v1::GapReason::Restart,
            "the database of the sensor's disk spool was damaged, removed or replaced, and was set aside with what it held",
        ),
        LossKind::Removed => (
            v1::GapReason::Restart,
            "the database of the sensor's disk spool was removed while the sensor was stopped: whatever it held is lost",
        ),
        LossKind::Killed => (
            v1::GapReason::Restart,
            "the sensor did not end in good order: what it had not yet written to its disk spool is lost",
        ),
    };
    v1::Event {
        time_unix_ns: clock::unix_ns(),
        time_boot_ns: clock::boot_ns(),
        body: Some(v1::event::Body::Gap(v1::Gap {
            reason: reason.into(),
            count: loss.count,
            from_unix_ns: loss.from_unix_ns,
            to_unix_ns: loss.to_unix_ns,
            detail: detail.to_owned(),
            ..what(loss.what.as_ref())
        })),
    }
}

/// What was given up, as far as that is known.
fn what(gone: Option<&Gone>) -> v1::Gap {
    let Some(gone) = gone else {
        return v1::Gap::default();
    };
    let class = match gone.class {
        Class::Rest => v1::EventClass::Rest,
        Class::Reads => v1::EventClass::Reads,
        Class::Evidence => v1::EventClass::Evidence,
    };
    v1::Gap {
        lost: class.into(),
        stores: gone.stores.iter().cloned().collect(),
        epoch: gone.epoch.as_bytes().to_vec(),
        first_seq: gone.numbers.0,
        last_seq: gone.numbers.1,
        ..v1::Gap::default()
    }
}

/// The host's clocks, now.
pub(super) fn clocks() -> v1::Clocks {
    let boot_ns = clock::boot_ns();
    v1::Clocks {
        boot_ns,
        unix_ns: Offset::measure().unix_ns(boot_ns),
    }
}

/// What is not delivered yet.
pub(super) fn depth(spool: &Spool) -> v1::SpoolDepth {
    let depth = spool.depth();
    v1::SpoolDepth {
        events: depth.events,
        memory_bytes: depth.bytes,
        disk_bytes: spool.disk_bytes(),
        backlog_events: depth.backlog,
        backlog_since_unix_ns: depth.backlog_since_ns,
    }
}

fn canary(canary: Canary, offset: Offset) -> v1::Canary {
    let state = match canary.seen {
        None => v1::CanaryState::Unspecified,
        Some(true) => v1::CanaryState::Seen,
        Some(false) => v1::CanaryState::Missed,
    };
    let seen_unix_ns = match canary.seen_boot_ns {
        0 => 0,
        boot_ns => offset.unix_ns(boot_ns),
    };
    v1::Canary {
        state: state.into(),
        seen_unix_ns,
    }
}

/// The sensor's state, now.
pub(super) fn heartbeat(
    health: &Health,
    stores: &[String],
    spool: &Spool,
    lost: u64,
) -> v1::Heartbeat {
    let (clocks, depth) = (clocks(), depth(spool));
    v1::Heartbeat {
        time_unix_ns: clocks.unix_ns,
        canary: Some(canary(health.canary, Offset::measure())),
        clocks: Some(clocks),
        queued_events: depth.events,
        spool: Some(depth),
        backend: health.backend.clone(),
        backend_reason: cut(&health.backend_reason, TEXT_BYTES_MAX),
        kernel: cut(&health.kernel, NAME_BYTES_MAX),
        hooks: health.hooks.iter().map(hook).collect(),
        lost_events: lost + health.lost_events,
        stores: stores.iter().take(LIST_MAX).cloned().collect(),
    }
}

/// The beginning of a text, as many whole characters as fit.
fn cut(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

/// Arguments that fit, and whether all of it did.
fn arguments(all: &[String]) -> (Vec<String>, bool) {
    let fits = |argument: &String| argument.len() <= TEXT_BYTES_MAX;
    let whole = all.len() <= ARGUMENTS_MAX && all.iter().all(fits);
    let kept = all.iter().take(ARGUMENTS_MAX);
    (kept.map(|text| cut(text, TEXT_BYTES_MAX)).collect(), whole)
}

fn process(process: &Process, offset: Offset) -> v1::Process {
    let (arguments, whole) = arguments(&process.image.arguments);
    v1::Process {
        id: Some(process_id(process.key)),
        parent: process.parent.map(process_id),
        executable: cut(&process.image.executable, TEXT_BYTES_MAX),
        arguments,
        arguments_truncated: process.image.truncated || !whole,
        uid: process.owner.uid,
        user: cut(&process.user, NAME_BYTES_MAX),
        login_uid: process.owner.login_uid,
        login_user: cut(&process.login_user, NAME_BYTES_MAX),
        unit: cut(&process.scope.unit, NAME_BYTES_MAX),
        container: cut(&process.scope.container, NAME_BYTES_MAX),
        started_unix_ns: offset.start_unix_ns(process.key.start_cs),
        given_bytes: process.given_bytes,
        exited_unix_ns: process.exited_boot_ns.map_or(0, |end| offset.unix_ns(end)),
        session: process.owner.session,
    }
}

fn access(named: &NamedAccess, offset: Offset) -> v1::Access {
    let access = &named.access;
    let (name, form) = match &named.name {
        Some((name, NameForm::Token)) if name.len() <= TEXT_BYTES_MAX => {
            (name.clone(), v1::NameForm::Token)
        }
        Some((name, NameForm::Plain)) => (cut(name, TEXT_BYTES_MAX), v1::NameForm::Plain),
        // Nobody could turn a part of a token back.
        Some((_, NameForm::Token)) | None => (String::new(), v1::NameForm::Unspecified),
    };
    v1::Access {
        process: Some(process_id(access.process)),
        store: named.store.to_string(),
        record: Some(record_id(access.record)),
        name,
        name_form: form.into(),
        opens: access.opens,
        bytes_read: access.bytes_read,
        bytes_mapped: access.bytes_mapped,
        bytes_written: access.bytes_written,
        changes: access.changes,
        deletions: access.deletions,
        listings: access.listings,
        first_unix_ns: offset.unix_ns(access.first_boot_ns),
        last_unix_ns: offset.unix_ns(access.last_boot_ns),
    }
}

fn flow(flow: &Flow, last_boot_ns: u64, offset: Offset) -> v1::Flow {
    let direction = match flow.direction {
        Direction::Connected => v1::Direction::Connected,
        Direction::Accepted => v1::Direction::Accepted,
    };
    let name = flow.name.as_ref();
    v1::Flow {
        id: flow.id,
        process: Some(process_id(flow.process)),
        protocol: flow.protocol.into(),
        address_family: flow.family.into(),
        direction: direction.into(),
        local: Some(endpoint(flow.local)),
        remote: Some(endpoint(flow.remote)),
        bytes_out: flow.bytes_out,
        bytes_out_before: flow.bytes_out_before,
        bytes_in: flow.bytes_in,
        opened_unix_ns: offset.unix_ns(flow.opened_boot_ns),
        last_unix_ns: offset.unix_ns(last_boot_ns),
        closed: flow.closed,
        name: name
            .map(|name| cut(&name.name, NAME_BYTES_MAX))
            .unwrap_or_default(),
        name_source: name.map_or(v1::NameSource::Unspecified, source).into(),
    }
}

const fn source(name: &FlowName) -> v1::NameSource {
    match name.source {
        NameSource::Answer => v1::NameSource::Answer,
        NameSource::Question => v1::NameSource::Question,
        NameSource::Server => v1::NameSource::Server,
    }
}

fn edge(named: &NamedEdge, offset: Offset) -> v1::Edge {
    let edge = &named.edge;
    let kind = match edge.kind {
        EdgeKind::MemoryCall => v1::EdgeKind::MemoryCall,
        EdgeKind::Ptrace => v1::EdgeKind::Ptrace,
        EdgeKind::ProcMem => v1::EdgeKind::ProcMem,
        EdgeKind::Write => v1::EdgeKind::Write,
        EdgeKind::Read => v1::EdgeKind::Read,
        EdgeKind::Map => v1::EdgeKind::Map,
        EdgeKind::UnixSocket => v1::EdgeKind::UnixSocket,
        EdgeKind::Loopback => v1::EdgeKind::Loopback,
        EdgeKind::Terminal => v1::EdgeKind::Terminal,
    };
    v1::Edge {
        from: Some(end(edge.from, named)),
        to: Some(end(edge.to, named)),
        kind: kind.into(),
        stores: (named.stores.iter().take(LIST_MAX))
            .map(ToString::to_string)
            .collect(),
        times: edge.times,
        bytes: edge.bytes,
        first_unix_ns: offset.unix_ns(edge.first_boot_ns),
        last_unix_ns: offset.unix_ns(edge.last_boot_ns),
    }
}

fn end(end: End, named: &NamedEdge) -> v1::EdgeEnd {
    let end = match end {
        End::Process(process) => v1::edge_end::End::Process(process_id(process)),
        End::Carrier(kind, file) => v1::edge_end::End::Carrier(v1::Carrier {
            kind: match kind {
                CarrierKind::File => v1::CarrierKind::File,
                CarrierKind::Pipe => v1::CarrierKind::Pipe,
                CarrierKind::Memory => v1::CarrierKind::Memory,
            }
            .into(),
            device: file.device,
            inode: file.inode,
            generation: file.generation,
            path: cut(&named.carrier, TEXT_BYTES_MAX),
            medium: match named.medium {
                Medium::Fixed => v1::CarrierMedium::Unspecified,
                Medium::Removable => v1::CarrierMedium::Removable,
                Medium::Network => v1::CarrierMedium::Network,
                Medium::Image => v1::CarrierMedium::Image,
            }
            .into(),
        }),
    };
    v1::EdgeEnd { end: Some(end) }
}

fn tamper(tamper: &Tamper, offset: Offset) -> v1::Tamper {
    let (kind, number) = match tamper.target {
        Target::Signal(number) => (v1::TamperKind::Signal, number),
        Target::Trace => (v1::TamperKind::Trace, 0),
        Target::Map(id) => (v1::TamperKind::Map, id),
        Target::Program(id) => (v1::TamperKind::Program, id),
        Target::Link(id) => (v1::TamperKind::Link, id),
        Target::File(part) => (v1::TamperKind::File, self::part(part) as u32),
    };
    v1::Tamper {
        process: Some(process_id(tamper.process)),
        kind: kind.into(),
        number,
        times: tamper.times,
        denied: tamper.denied,
        first_unix_ns: offset.unix_ns(tamper.first_boot_ns),
        last_unix_ns: offset.unix_ns(tamper.last_boot_ns),
    }
}

const fn part(part: Part) -> v1::TamperFile {
    match part {
        Part::Program => v1::TamperFile::Program,
        Part::Configuration => v1::TamperFile::Configuration,
        Part::Key => v1::TamperFile::Key,
        Part::Unit => v1::TamperFile::Unit,
        Part::Spool => v1::TamperFile::Spool,
        Part::Identity => v1::TamperFile::Identity,
        Part::Authority => v1::TamperFile::Authority,
    }
}

fn gap(gap: &Gap, offset: Offset) -> v1::Gap {
    let reason = match gap.reason {
        GapReason::RingFull => v1::GapReason::RingFull,
        GapReason::MapFull => v1::GapReason::MapFull,
        GapReason::HookFailed => v1::GapReason::HookFailed,
        GapReason::Decode => v1::GapReason::Decode,
        GapReason::QueueFull => v1::GapReason::QueueFull,
        GapReason::Blind => v1::GapReason::Blind,
        GapReason::Skipped => v1::GapReason::Skipped,
    };
    v1::Gap {
        reason: reason.into(),
        count: gap.count,
        from_unix_ns: offset.unix_ns(gap.from_boot_ns),
        to_unix_ns: offset.unix_ns(gap.to_boot_ns),
        detail: cut(&gap.detail, TEXT_BYTES_MAX),
        ..v1::Gap::default()
    }
}

fn process_id(key: ProcessKey) -> v1::ProcessId {
    v1::ProcessId {
        pid: key.pid,
        start_cs: key.start_cs,
    }
}

fn record_id(record: RecordId) -> v1::RecordId {
    v1::RecordId {
        device: record.device,
        inode: record.inode,
        generation: record.generation,
    }
}

fn endpoint(end: SocketAddr) -> v1::Endpoint {
    let address = match end.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    v1::Endpoint {
        address,
        port: end.port().into(),
    }
}

fn hook(count: &HookCount) -> v1::HookCount {
    v1::HookCount {
        hook: count.hook.clone(),
        seen: count.seen,
        reported: count.reported,
        summed: count.summed,
        ignored: count.ignored,
        failed: count.failed,
        dropped: count.dropped,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::{Image, Owner, Scope};

    fn with(arguments: Vec<String>) -> v1::Process {
        let key = ProcessKey {
            pid: 1,
            start_cs: 1,
        };
        let image = Image {
            arguments,
            ..Image::default()
        };
        let offset = Offset::fixed(0);
        let whole = Process {
            key,
            parent: None,
            given_bytes: 0,
            image: Arc::new(image),
            owner: Owner::default(),
            user: "ü".repeat(200).into(),
            login_user: Arc::default(),
            scope: Arc::new(Scope {
                unit: "u".repeat(300),
                ..Scope::default()
            }),
            exited_boot_ns: None,
            said_before: false,
        };
        process(&whole, offset)
    }

    #[test]
    fn what_is_longer_than_the_protocol_allows_is_cut_and_said_to_be() {
        let short = with(vec!["sh".into(), "x".repeat(TEXT_BYTES_MAX)]);
        assert_eq!(short.arguments[1].len(), TEXT_BYTES_MAX);
        assert!(!short.arguments_truncated);
        // Two bytes each, and the bound is even: a character that would be cut in two is left out.
        assert_eq!(short.user.chars().count(), 127);
        assert_eq!(short.unit.len(), NAME_BYTES_MAX);
        let long = with(vec!["sh".into(), "é".repeat(TEXT_BYTES_MAX)]);
        assert_eq!(long.arguments[1].len(), TEXT_BYTES_MAX);
        assert!(long.arguments_truncated);
        let many = with(vec![String::new(); ARGUMENTS_MAX + 1]);
        assert_eq!(many.arguments.len(), ARGUMENTS_MAX);
        assert!(many.arguments_truncated);
    }
}
