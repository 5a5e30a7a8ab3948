//! How long detection takes for an edge of a host's graph, and how much memory the graph needs.
//!
//! `cargo xtask bench graph` runs it. Prints rows of `metric, value, unit` as JSON. The graph is one of many jobs: one of a
//! few readers writes a file of its own, a packer reads it and hands it to a sender, so three in four of its ends are new
//! and every step carries records.

use std::fs;
use std::time::Instant;

use collector::config::DetectConfig;
use collector::detect::Detector;
use collector::event::{
    Access, Block, Carrier, CarrierKey, CarrierKind, Edge, EdgeKind, End, Event, Medium, Origin,
    ProcessKey, RecordId, What,
};

/// Edges of the graph.
const EDGES: u64 = 1_000_000;
/// Edges of a job.
const EDGES_PER_JOB: u64 = 3;
/// Readers, each with many jobs.
const READERS: u64 = 100;
/// Jobs whose edges come in one block.
const JOBS_PER_BLOCK: u64 = 300;
/// Bytes that go over each edge.
const BYTES: u64 = 4_096;
const SECOND_NS: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut detector = Detector::new(DetectConfig::default());
    detector.block(&block(accesses()));
    let before = resident_bytes()?;
    let jobs = EDGES / EDGES_PER_JOB;
    let mut nanoseconds = Vec::new();
    for first in (0..jobs).step_by(JOBS_PER_BLOCK as usize) {
        let block = block(edges(first..(first + JOBS_PER_BLOCK).min(jobs)));
        let begin = Instant::now();
        let alerts = detector.block(&block);
        let each = begin.elapsed().as_nanos() as f64 / block.events.len() as f64;
        nanoseconds.push(each);
        assert!(
            alerts.is_empty(),
            "nothing is sent, so nothing is to be told"
        );
    }
    let bytes = resident_bytes()?.saturating_sub(before);
    nanoseconds.sort_by(f64::total_cmp);
    let mean = nanoseconds.iter().sum::<f64>() / nanoseconds.len() as f64 / 1e3;
    let at = |share: f64| nanoseconds[((nanoseconds.len() - 1) as f64 * share) as usize] / 1e3;
    let rows = serde_json::json!([
        { "metric": "edges", "value": jobs * EDGES_PER_JOB, "unit": "edges" },
        { "metric": "time_per_edge", "value": round(mean), "unit": "us" },
        { "metric": "time_per_edge_median_block", "value": round(at(0.5)), "unit": "us" },
        { "metric": "time_per_edge_slowest_block", "value": round(at(1.0)), "unit": "us" },
        { "metric": "memory_per_edge", "value": bytes / (jobs * EDGES_PER_JOB), "unit": "bytes" },
        { "metric": "memory", "value": bytes / 1_000_000, "unit": "MB" },
    ]);
    serde_json::to_writer_pretty(std::io::stdout().lock(), &rows)?;
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Memory of this process that is there, bytes (`VmRSS` of `proc_pid_status(5)`).
fn resident_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse::<u64>()? * 1_024)
}

fn block(events: Vec<Event>) -> Block {
    Block {
        origin: Origin {
            sensor: "bench".into(),
            boot_id: "bench".into(),
            host: "bench".into(),
        },
        events,
        unknown: 0,
        older_to_come: false,
        missing_before: 0,
        pos: 0,
    }
}

fn event(at_ns: u64, what: What) -> Event {
    Event {
        at_ns,
        boot_ns: at_ns,
        what,
    }
}

fn process(number: u64) -> ProcessKey {
    ProcessKey {
        pid: (number % 4_000_000) as u32,
        start_cs: number / 100,
    }
}

/// Every reader reads what it will write.
fn accesses() -> Vec<Event> {
    let read = |reader: u64| Access {
        process: process(reader),
        store: "pacs".into(),
        record: RecordId {
            device: 1,
            inode: reader,
            generation: 0,
        },
        name: None,
        opens: 1,
        bytes_read: BYTES * EDGES,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_ns: SECOND_NS,
        last_ns: SECOND_NS,
    };
    (0..READERS)
        .map(|reader| event(SECOND_NS, What::Access(read(reader))))
        .collect()
}

fn edges(jobs: std::ops::Range<u64>) -> Vec<Event> {
    jobs.flat_map(|job| {
        let at_ns = 2 * SECOND_NS + job * 1_000_000;
        let file = End::Carrier(Carrier {
            key: CarrierKey {
                kind: CarrierKind::File,
                device: 1,
                inode: 1_000_000 + job,
                generation: 0,
            },
            path: format!("/tmp/work/{job}.zip"),
            medium: Medium::Fixed,
        });
        let (packer, sender) = (process(1_000 + 2 * job), process(1_001 + 2 * job));
        [
            (
                End::Process(process(job % READERS)),
                file.clone(),
                EdgeKind::Write,
            ),
            (file, End::Process(packer), EdgeKind::Read),
            (
                End::Process(packer),
                End::Process(sender),
                EdgeKind::UnixSocket,
            ),
        ]
        .map(|(from, to, kind)| {
            let edge = Edge {
                from,
                to,
                kind,
                stores: vec!["pacs".into()],
                times: 1,
                bytes: BYTES,
                first_ns: at_ns,
                last_ns: at_ns,
            };
            event(at_ns, What::Edge(edge))
        })
    })
    .collect()
}
