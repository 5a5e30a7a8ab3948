//! Packing: bounds of a block, and what becomes of reports when the queue is full.
#![allow(clippy::unwrap_used, reason = "tests")]

use proto::prost::Message as _;

use super::*;
use crate::event::{Edge, EdgeKind, End, Flow, Medium, ProcessKey};
use crate::report::NamedEdge;

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

/// What a process did with a record.
fn access(boot_ns: u64, bytes_read: u64) -> Report {
    use crate::event::{Access, RecordId, StoreId};
    let access = Access {
        process: PROCESS,
        store: StoreId(1),
        record: RecordId {
            device: 1,
            inode: boot_ns,
            generation: 0,
        },
        opens: 1,
        bytes_read,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_boot_ns: 0,
        last_boot_ns: boot_ns,
    };
    let body = Body::Access(crate::report::NamedAccess {
        access,
        store: "imaging".into(),
        name: None,
    });
    Report { boot_ns, body }
}

/// The class and the stores of each block in the queue, and the times of its events.
fn worth_of(spool: &Spool) -> Vec<(Class, String, Vec<u64>)> {
    let mut blocks = Vec::new();
    let mut seq = 0;
    while let Some(batch) = spool.in_memory_after(seq) {
        let plain = encode::numbered(uuid::Uuid::nil(), &batch, false).unwrap();
        let block = v1::EventBlock::decode(plain.payload.as_slice()).unwrap();
        let times = block.events.iter().map(|event| event.time_boot_ns);
        let (class, stores) = (batch.about.class, batch.about.stores.to_string());
        blocks.push((class, stores, times.collect()));
        seq = batch.last_seq;
    }
    blocks
}

#[test]
fn a_tick_of_many_is_taken_apart_by_what_its_events_are_worth() {
    let mut bench = bench(100_000, 1 << 30);
    let reports = (0..99).map(|n| match n % 3 {
        0 => access(n, 100),
        1 => flow(n),
        _ => access(n, 0),
    });
    bench.packer.pack(&tick(1, reports.collect()));
    let times = |of| (of..99).step_by(3).collect::<Vec<u64>>();
    let imaging = || "imaging".to_owned();
    assert_eq!(
        worth_of(&bench.spool),
        [
            (Class::Evidence, String::new(), times(1)),
            (Class::Reads, imaging(), times(0)),
            (Class::Rest, imaging(), times(2)),
        ]
    );
}

fn handed_on(boot_ns: u64, kind: EdgeKind) -> Report {
    let other = ProcessKey {
        pid: 8,
        start_cs: 9,
    };
    let edge = Edge {
        from: End::Process(PROCESS),
        to: End::Process(other),
        kind,
        stores: Vec::new(),
        times: 1,
        bytes: 1,
        first_boot_ns: boot_ns,
        last_boot_ns: boot_ns,
    };
    let body = Body::Edge(NamedEdge {
        edge,
        stores: Vec::new(),
        carrier: String::new(),
        medium: Medium::Fixed,
    });
    Report { boot_ns, body }
}

/// The other way round, who passes on what another has read is a service to detection.
#[test]
fn of_many_what_went_over_sockets_comes_behind_what_was_read() {
    let mut bench = bench(100_000, 1 << 30);
    let reports = (0..90).map(|n| match n % 3 {
        0 => handed_on(n, EdgeKind::Loopback),
        1 => handed_on(n, EdgeKind::Read),
        _ => access(n, 100),
    });
    bench.packer.pack(&tick(1, reports.collect()));
    let firsts: Vec<_> = worth_of(&bench.spool)
        .into_iter()
        .map(|(class, _, times)| (class, times[0]))
        .collect();
    let expected = [
        (Class::Evidence, 1),
        (Class::Reads, 2),
        (Class::Evidence, 0),
    ];
    assert_eq!(firsts, expected);
}

#[test]
fn few_share_a_block_that_is_worth_as_much_as_the_best_of_them() {
    let mut bench = bench(100_000, 1 << 30);
    bench
        .packer
        .pack(&tick(1, vec![access(1, 0), access(2, 9)]));
    bench.packer.pack(&tick(1, vec![access(3, 9), flow(4)]));
    bench.packer.pack(&tick(1, vec![access(5, 0)]));
    let classes: Vec<_> = worth_of(&bench.spool)
        .into_iter()
        .map(|(class, _, times)| (class, times))
        .collect();
    assert_eq!(
        classes,
        [
            (Class::Reads, vec![1, 2]),
            (Class::Evidence, vec![3, 4]),
            (Class::Rest, vec![5]),
        ]
    );
}

#[test]
fn a_part_that_is_refused_takes_none_of_the_others_with_it() {
    let mut bench = bench(60, 1 << 30);
    let reports = (0..100).map(|n| if n < 50 { access(n, 9) } else { flow(n) });
    bench.packer.pack(&tick(1, reports.collect()));
    assert_eq!(bench.metrics.queue_accepted.get(), 50, "the flows");
    assert_eq!(bench.metrics.queue_refused.get(), 50, "the reads");
    assert!(
        worth_of(&bench.spool)
            .iter()
            .all(|(class, ..)| *class == Class::Evidence)
    );
}

#[test]
fn an_end_is_worth_little_only_if_it_was_said_before_whose_it_is() {
    let process = |said_before, exited_boot_ns| {
        worth::class(&Body::Process(Box::new(crate::report::Process {
            said_before,
            exited_boot_ns,
            key: PROCESS,
            parent: None,
            image: Arc::default(),
            owner: crate::report::Owner::default(),
            user: "".into(),
            login_user: "".into(),
            scope: Arc::default(),
            given_bytes: 0,
        })))
    };
    assert_eq!(process(true, Some(1)), Class::Rest);
    assert_eq!(process(false, Some(1)), Class::Evidence);
    assert_eq!(process(true, None), Class::Evidence);
}
