//! Events as a sensor would send them: a nurse's session, curl in it, records, an upload.

use proto::sensor::v1::event::Body;
use proto::sensor::v1::{
    Access, Direction, Endpoint, Event, Flow, NameForm, NameSource, Process, ProcessId, RecordId,
};

const SECOND: u64 = 1_000_000_000;
/// 2026-03-16T03:00:00Z.
pub(crate) const START: u64 = 1_773_630_000 * SECOND;

pub(crate) fn at(second: u64) -> u64 {
    START + second * SECOND
}

pub(crate) fn event(second: u64, body: Body) -> Event {
    Event {
        time_unix_ns: at(second),
        time_boot_ns: second * SECOND,
        body: Some(body),
    }
}

pub(crate) fn id(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start_cs: u64::from(pid),
    }
}

pub(crate) fn process(
    second: u64,
    pid: u32,
    parent: Option<u32>,
    executable: &str,
    exited: u64,
) -> Event {
    let process = Process {
        id: Some(id(pid)),
        parent: parent.map(id),
        executable: executable.into(),
        arguments: vec![executable.into(), "-F".into(), "f=@two words\x1b[2J".into()],
        uid: 1001,
        user: "anna".into(),
        login_uid: Some(1001),
        login_user: "anna".into(),
        session: Some(3),
        unit: "session-3.scope".into(),
        started_unix_ns: at(0),
        exited_unix_ns: exited,
        ..Process::default()
    };
    event(second, Body::Process(process))
}

pub(crate) fn read(second: u64, pid: u32, record: u64, bytes: u64) -> Event {
    let access = Access {
        process: Some(id(pid)),
        store: "pacs".into(),
        record: Some(RecordId {
            device: 8 << 20 | 1,
            inode: record,
            generation: 1,
        }),
        name: format!("token{record}"),
        name_form: NameForm::Token.into(),
        opens: 1,
        bytes_read: bytes,
        first_unix_ns: at(second),
        last_unix_ns: at(second),
        ..Access::default()
    };
    event(second, Body::Access(access))
}

pub(crate) fn sent(second: u64, pid: u32, bytes: u64, closed: bool) -> Event {
    let flow = Flow {
        id: u64::from(pid),
        process: Some(id(pid)),
        protocol: 6,
        direction: Direction::Connected.into(),
        local: Some(Endpoint {
            address: vec![10, 0, 0, 5],
            port: 40_000,
        }),
        remote: Some(Endpoint {
            address: vec![203, 0, 113, 9],
            port: 443,
        }),
        bytes_out: bytes,
        bytes_in: 300,
        bytes_out_before: 0,
        address_family: 0,
        opened_unix_ns: at(second.saturating_sub(1)),
        last_unix_ns: at(second),
        closed,
        name: "files.example".into(),
        name_source: NameSource::Server.into(),
    };
    event(second, Body::Flow(flow))
}

/// A whole theft by one process: three records of 50,000 bytes read, 150,300 sent, gone.
pub(crate) fn theft(second: u64, pid: u32) -> Vec<Event> {
    vec![
        process(second, 1, None, "/sbin/init", 0),
        process(second, 900, Some(1), "/bin/bash", 0),
        process(second, pid, Some(900), "/usr/bin/curl", 0),
        read(second + 1, pid, 1, 50_000),
        read(second + 1, pid, 2, 50_000),
        read(second + 2, pid, 3, 50_000),
        sent(second + 3, pid, 150_300, true),
        process(second + 4, pid, Some(900), "/usr/bin/curl", at(second + 4)),
    ]
}
