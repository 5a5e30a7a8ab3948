//! What happens on a simulated workstation: somebody opens studies in a viewer, over and over.
//!
//! A study is a viewer that starts, reads records of the store, fetches others from the archive, writes a few thumbnails to
//! a cache, and ends. So the collector's detection has processes, accesses, flows and edges that belong together, and nothing of
//! it is a theft: little leaves beside what is read. [`theft`] is one, to see that detection works.

use proto::sensor::v1;
use proto::sensor::v1::event::Body;

/// Events of a study.
const STUDY: u64 = 50;
/// Records of a workstation's store; studies come again.
const RECORDS: u64 = 4_000;
const DESKTOP_PID: u32 = 1_200;
const SECOND_NS: u64 = 1_000_000_000;
const DEVICE: u32 = 0x0080_0001;

/// One workstation.
#[derive(Debug)]
pub(crate) struct Workstation {
    number: u64,
    host: String,
    boot_id: String,
    /// Event times are never earlier than the ones before.
    now_ns: u64,
    /// Events so far.
    events: u64,
}

impl Workstation {
    pub(crate) fn new(number: u64, boot_id: String) -> Self {
        Self {
            number,
            host: format!("ws-{number:05}.ward.example"),
            boot_id,
            now_ns: 0,
            events: 0,
        }
    }

    /// The next events, which happened until `now_ns`.
    pub(crate) fn block(&mut self, now_ns: u64, events: u64) -> v1::EventBlock {
        self.now_ns = self.now_ns.max(now_ns.saturating_sub(events * 1_000));
        let events = (0..events).map(|_| self.event()).collect();
        self.pack(events)
    }

    /// Somebody copies records to a place outside.
    pub(crate) fn theft(&mut self, now_ns: u64) -> v1::EventBlock {
        self.now_ns = self.now_ns.max(now_ns);
        let thief = Viewer::of(self.number, 0);
        let mut stolen = access(thief, 1);
        stolen.bytes_read = 50_000_000;
        let mut sent = flow(thief, 1, [203, 0, 113, 9], 443);
        sent.bytes_out = 40_000_000;
        sent.closed = true;
        let whole = [
            Body::Process(self.process(thief, "/usr/bin/curl")),
            Body::Access(self.at_access(stolen)),
            Body::Flow(self.at_flow(sent)),
        ];
        let events = whole.into_iter().map(|body| self.now(body)).collect();
        self.pack(events)
    }

    fn pack(&self, events: Vec<v1::Event>) -> v1::EventBlock {
        v1::EventBlock {
            host: self.host.clone(),
            boot_id: self.boot_id.clone(),
            events,
            older_to_come: false,
        }
    }

    fn event(&mut self) -> v1::Event {
        self.now_ns += 1_000;
        let (study, step) = (1 + self.events / STUDY, self.events % STUDY);
        self.events += 1;
        let viewer = Viewer::of(self.number, study);
        let body = match step {
            0 => Body::Process(self.process(viewer, "/opt/viewer/bin/viewer")),
            1 | 11 | 21 | 31 | 41 | 47 => {
                let mut fetched = flow(viewer, study, [10, 20, 0, 15], 11_112);
                (fetched.bytes_out, fetched.bytes_in) = (step * 60, step * 900_000);
                fetched.closed = step == 47;
                Body::Flow(self.at_flow(fetched))
            }
            5 | 15 | 25 | 35 | 45 => Body::Edge(self.thumbnail(viewer, study)),
            49 => {
                let mut ended = self.process(viewer, "/opt/viewer/bin/viewer");
                ended.exited_unix_ns = self.now_ns;
                Body::Process(ended)
            }
            _ => Body::Access(self.at_access(access(viewer, (study * 37 + step) % RECORDS))),
        };
        self.now(body)
    }

    fn now(&self, body: Body) -> v1::Event {
        v1::Event {
            time_unix_ns: self.now_ns,
            time_boot_ns: self.now_ns % (1_000_000 * SECOND_NS),
            body: Some(body),
        }
    }

    fn process(&self, viewer: Viewer, executable: &str) -> v1::Process {
        let name = name(u64::from(viewer.0.pid));
        v1::Process {
            id: Some(viewer.0),
            parent: Some(v1::ProcessId {
                pid: DESKTOP_PID,
                start_cs: 4_000,
            }),
            executable: executable.to_owned(),
            arguments: vec![executable.to_owned(), "--study".to_owned(), name],
            uid: 1_000,
            user: "radiology".to_owned(),
            login_uid: Some(1_000),
            login_user: "radiology".to_owned(),
            unit: "session-3.scope".to_owned(),
            started_unix_ns: self.now_ns,
            session: Some(3),
            given_bytes: 3_210,
            ..v1::Process::default()
        }
    }

    fn at_access(&self, access: v1::Access) -> v1::Access {
        v1::Access {
            first_unix_ns: self.now_ns.saturating_sub(900_000),
            last_unix_ns: self.now_ns,
            ..access
        }
    }

    fn at_flow(&self, flow: v1::Flow) -> v1::Flow {
        v1::Flow {
            opened_unix_ns: self.now_ns.saturating_sub(900_000),
            last_unix_ns: self.now_ns,
            ..flow
        }
    }

    fn thumbnail(&self, viewer: Viewer, study: u64) -> v1::Edge {
        let inode = 900_000 + study % 64;
        let file = v1::Carrier {
            kind: v1::CarrierKind::File.into(),
            device: DEVICE,
            inode,
            path: format!("/home/radiology/.cache/viewer/thumbnail-{inode}.png"),
            ..v1::Carrier::default()
        };
        let end = |end| Some(v1::EdgeEnd { end: Some(end) });
        v1::Edge {
            from: end(v1::edge_end::End::Process(viewer.0)),
            to: end(v1::edge_end::End::Carrier(file)),
            kind: v1::EdgeKind::Write.into(),
            times: 1,
            bytes: 8_192,
            first_unix_ns: self.now_ns,
            last_unix_ns: self.now_ns,
            ..v1::Edge::default()
        }
    }
}

/// The process that shows a study.
#[derive(Debug, Clone, Copy)]
struct Viewer(v1::ProcessId);

impl Viewer {
    fn of(workstation: u64, study: u64) -> Self {
        Self(v1::ProcessId {
            pid: 2_000 + (study % 4_000_000) as u32,
            start_cs: 10_000 + workstation + study * 100,
        })
    }
}

fn access(viewer: Viewer, record: u64) -> v1::Access {
    v1::Access {
        process: Some(viewer.0),
        store: "pacs".to_owned(),
        record: Some(v1::RecordId {
            device: DEVICE,
            inode: 10_000 + record,
            generation: 7,
        }),
        name: name(record),
        name_form: v1::NameForm::Token.into(),
        opens: 1,
        bytes_read: 524_288,
        ..v1::Access::default()
    }
}

fn flow(viewer: Viewer, study: u64, to: [u8; 4], port: u32) -> v1::Flow {
    v1::Flow {
        id: study,
        process: Some(viewer.0),
        protocol: 6,
        direction: v1::Direction::Connected.into(),
        local: Some(v1::Endpoint {
            address: vec![10, 20, 7, 31],
            port: 40_000 + (study % 20_000) as u32,
        }),
        remote: Some(v1::Endpoint {
            address: to.to_vec(),
            port,
        }),
        ..v1::Flow::default()
    }
}

/// Looks like the token of `studies/2026/1.2.840.113619.2.55/IM-0001-0042.dcm`, and cannot be compressed either.
fn name(record: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = record.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..88)
        .map(|_| {
            // Marsaglia, Xorshift RNGs, 2003.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(LETTERS[(state >> 58) as usize])
        })
        .collect()
}
