//! Packing: bounds of a block, and what becomes of reports when the queue is full.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::event::{Flow, ProcessKey};

const PROCESS: ProcessKey = ProcessKey {
    pid: 7,
    start_cs: 9,
};

fn flow(boot_ns: u64) -> Report {
    let end = "10.0.0.1:80".parse().unwrap();
    let body = Body::Flow(Flow {
        id: boot_ns,
        process: PROCESS,
        protocol: 6,
        direction: crate::event::Direction::Connected,
        local: end,
        remote: end,
        bytes_out: 1,
        family: 0,
        name: None,
        bytes_out_before: 0,
        bytes_in: 2,
        opened_boot_ns: 0,
        closed: false,
    });
    Report { boot_ns, body }
}

/// A gap with a long text: a report of a size one chooses.
fn large(boot_ns: u64, bytes: usize) -> Report {
    let gap = Gap {
        reason: GapReason::Decode,
        count: 1,
        from_boot_ns: 0,
        to_boot_ns: 0,
        detail: "x".repeat(bytes),
    };
    Report {
        boot_ns,
        body: Body::Gap(gap),
    }
}

fn tick(round: u64, reports: Vec<Report>) -> Tick {
    Tick {
        round,
        offset: Offset::fixed(0),
        reports,
    }
}

struct Bench {
    packer: Packer,
    spool: Arc<Spool>,
    resend: Resend,
    metrics: Arc<Metrics>,
}

fn bench(events_max: u64, bytes_max: u64) -> Bench {
    let spool = Arc::new(Spool::new(events_max, bytes_max));
    let (resend, metrics) = (Resend::default(), Arc::new(Metrics::default()));
    let host = Host {
        name: "h".into(),
        boot_id: "b".into(),
    };
    let (_, ticks) = mpsc::channel(1);
    let packer = Packer::new(
        host,
        ticks,
        Arc::clone(&spool),
        resend.clone(),
        Arc::clone(&metrics),
    );
    Bench {
        packer,
        spool,
        resend,
        metrics,
    }
}

/// Everything in the queue, decoded, checked for bounds and numbers.
fn queued(spool: &Spool) -> Vec<v1::Event> {
    let mut events = Vec::new();
    let mut seq = spool.first_held() - 1;
    while let Some(batch) = spool.in_memory_after(seq) {
        assert!(batch.payload.len() <= BATCH_BYTES_MAX);
        let plain = encode::numbered(uuid::Uuid::nil(), &batch, false).unwrap();
        assert!(plain.payload.len() <= BATCH_BYTES_MAX);
        let block = v1::EventBlock::decode(plain.payload.as_slice()).unwrap();
        assert_eq!((block.host.as_str(), block.boot_id.as_str()), ("h", "b"));
        assert_eq!(
            block.events.len() as u64,
            batch.last_seq - batch.first_seq + 1
        );
        assert_eq!(batch.first_seq, seq + 1);
        assert!(block.events.len() <= BATCH_EVENTS_MAX);
        seq = batch.last_seq;
        events.extend(block.events);
    }
    events
}

#[test]
fn a_large_tick_becomes_several_blocks_in_order() {
    let mut bench = bench(100_000, 1 << 30);
    bench
        .packer
        .pack(&tick(1, (0..20).map(|n| large(n, 60_000)).collect()));
    bench.packer.pack(&tick(1, (20..3_020).map(flow).collect()));
    let times: Vec<u64> = queued(&bench.spool)
        .iter()
        .map(|e| e.time_boot_ns)
        .collect();
    assert_eq!(times, (0..3_020).collect::<Vec<u64>>());
    assert_eq!(bench.metrics.queue_accepted.get(), 3_020);
}

#[test]
fn blocks_fill_to_the_bound_and_not_beyond() {
    for bytes in (BATCH_BYTES_MAX / 2 - 60)..(BATCH_BYTES_MAX / 2 + 10) {
        let mut bench = bench(100_000, 1 << 30);
        bench
            .packer
            .pack(&tick(1, vec![large(1, bytes), large(2, bytes)]));
        assert_eq!(queued(&bench.spool).len(), 2, "{bytes}");
    }
}

#[test]
fn what_is_refused_is_counted_and_said_once_there_is_room() {
    let mut bench = bench(1_000, 1 << 30);
    bench.packer.pack(&tick(1, (1..=900).map(flow).collect()));
    bench
        .packer
        .pack(&tick(1, (901..=1_100).map(flow).collect()));
    assert_eq!(bench.resend.round(), 2, "processes are asked for again");
    bench.packer.pack(&tick(1, vec![flow(1_101)]));
    bench.packer.pack(&tick(2, vec![flow(1_102)]));
    assert_eq!(bench.metrics.queue_refused.get(), 202);
    assert_eq!(
        queued(&bench.spool).len(),
        900,
        "no gap while there is no room"
    );

    bench.spool.persisted(bench.spool.epoch(), 900).unwrap();
    bench.packer.confess();
    bench.packer.pack(&tick(2, vec![flow(1_103)]));
    bench
        .packer
        .pack(&tick(bench.resend.round(), vec![flow(1_104)]));
    let events = queued(&bench.spool);
    let gap = |event: &v1::Event| match &event.body {
        Some(v1::event::Body::Gap(gap)) => {
            Some((gap.reason(), gap.count, gap.from_unix_ns, gap.to_unix_ns))
        }
        _ => None,
    };
    assert_eq!(
        gap(&events[0]),
        Some((v1::GapReason::QueueFull, 202, 901, 1_102))
    );
    assert_eq!(
        gap(&events[1]),
        Some((v1::GapReason::QueueFull, 1, 1_103, 1_103)),
        "made before the new round"
    );
    assert_eq!((events[2].time_boot_ns, events.len()), (1_104, 3));
    assert_eq!(bench.metrics.queue_gaps.get(), 2);
}
