//! Reports in the form they travel: the one place where a field of ours becomes a field of the protocol.
//!
//! **Invariant:** pure; every report has a form.

use std::net::{IpAddr, SocketAddr};

use proto::sensor::v1;

use crate::clock::{self, Offset};
use crate::event::{
    Direction, EdgeKind, Flow, FlowName, Gap, GapReason, NameSource, ProcessKey, RecordId, Tamper,
    Target,
};
use crate::health::{Health, HookCount};
use crate::privacy::NameForm;
use crate::report::{Body, NamedAccess, NamedEdge, Process, Report};

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

/// The sensor's state, now.
pub(super) fn heartbeat(
    health: &Health,
    stores: &[String],
    queued: u64,
    lost: u64,
) -> v1::Heartbeat {
    v1::Heartbeat {
        time_unix_ns: clock::unix_ns(),
        backend: health.backend.clone(),
        backend_reason: health.backend_reason.clone(),
        kernel: health.kernel.clone(),
        hooks: health.hooks.iter().map(hook).collect(),
        queued_events: queued,
        lost_events: lost + health.lost_events,
        stores: stores.to_vec(),
    }
}

fn process(process: &Process, offset: Offset) -> v1::Process {
    v1::Process {
        id: Some(process_id(process.key)),
        parent: process.parent.map(process_id),
        executable: process.image.executable.clone(),
        arguments: process.image.arguments.clone(),
        arguments_truncated: process.image.truncated,
        uid: process.owner.uid,
        user: process.user.to_string(),
        login_uid: process.owner.login_uid,
        login_user: process.login_user.to_string(),
        unit: process.scope.unit.clone(),
        container: process.scope.container.clone(),
        started_unix_ns: offset.start_unix_ns(process.key.start_cs),
        exited_unix_ns: process.exited_boot_ns.map_or(0, |end| offset.unix_ns(end)),
        session: process.owner.session,
    }
}

fn access(named: &NamedAccess, offset: Offset) -> v1::Access {
    let access = &named.access;
    let (name, form) = match &named.name {
        Some((name, NameForm::Token)) => (name.clone(), v1::NameForm::Token),
        Some((name, NameForm::Plain)) => (name.clone(), v1::NameForm::Plain),
        None => (String::new(), v1::NameForm::Unspecified),
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
        name: name.map(|name| name.name.clone()).unwrap_or_default(),
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
    let end = |process| v1::EdgeEnd {
        end: Some(v1::edge_end::End::Process(process_id(process))),
    };
    let kind = match edge.kind {
        EdgeKind::MemoryCall => v1::EdgeKind::MemoryCall,
        EdgeKind::Ptrace => v1::EdgeKind::Ptrace,
        EdgeKind::ProcMem => v1::EdgeKind::ProcMem,
    };
    v1::Edge {
        from: Some(end(edge.from)),
        to: Some(end(edge.to)),
        kind: kind.into(),
        stores: named.stores.iter().map(ToString::to_string).collect(),
        times: edge.times,
        bytes: edge.bytes,
        first_unix_ns: offset.unix_ns(edge.first_boot_ns),
        last_unix_ns: offset.unix_ns(edge.last_boot_ns),
    }
}

fn tamper(tamper: &Tamper, offset: Offset) -> v1::Tamper {
    let (kind, number) = match tamper.target {
        Target::Signal(number) => (v1::TamperKind::Signal, number),
        Target::Trace => (v1::TamperKind::Trace, 0),
        Target::Map(id) => (v1::TamperKind::Map, id),
        Target::Program(id) => (v1::TamperKind::Program, id),
        Target::Link(id) => (v1::TamperKind::Link, id),
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
        detail: gap.detail.clone(),
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
