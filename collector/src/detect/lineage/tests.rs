//! The narrowest step, the order of time, and what is forgotten.

use super::*;
use crate::event::{CarrierKind, RecordId};

const SECOND: u64 = 1_000_000_000;
const STORE: &str = "pacs";

fn key(pid: u32) -> ProcessKey {
    ProcessKey { pid, start_cs: 1 }
}

fn reads(lineage: &mut Lineage, pid: u32, second: u64, bytes: u64) {
    lineage.access(&Access {
        process: key(pid),
        store: STORE.into(),
        record: RecordId {
            device: 1,
            inode: 1,
            generation: 0,
        },
        name: None,
        opens: 1,
        bytes_read: bytes,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_ns: second * SECOND,
        last_ns: second * SECOND,
    });
}

fn process(pid: u32) -> End {
    End::Process(key(pid))
}

fn pipe(inode: u64) -> End {
    End::Carrier(Carrier {
        key: CarrierKey {
            kind: CarrierKind::Pipe,
            device: 13,
            inode,
            generation: 0,
        },
        path: String::new(),
        medium: Medium::Fixed,
    })
}

fn goes(lineage: &mut Lineage, from: End, to: End, ms: u64, bytes: u64) {
    goes_by(lineage, EdgeKind::UnixSocket, from, to, ms, bytes);
}

fn goes_by(lineage: &mut Lineage, kind: EdgeKind, from: End, to: End, ms: u64, bytes: u64) {
    lineage.edge(&Edge {
        from,
        to,
        kind,
        stores: Vec::new(),
        times: 1,
        bytes,
        first_ns: ms * 1_000_000,
        last_ns: ms * 1_000_000,
    });
}

fn starts(lineage: &mut Lineage, parent: u32, pid: u32, second: u64, given_bytes: u64) {
    let process = Process {
        key: key(pid),
        parent: Some(key(parent)),
        executable: String::new(),
        arguments: Vec::new(),
        arguments_truncated: false,
        uid: 0,
        user: String::new(),
        login_uid: None,
        login_user: String::new(),
        session: None,
        unit: String::new(),
        container: String::new(),
        given_bytes,
        started_ns: second * SECOND,
        exited_ns: None,
    };
    lineage.started(&process, second * SECOND);
}

/// What a process can have of what each source read.
fn has(lineage: &mut Lineage, pid: u32) -> Vec<(u32, u64)> {
    lineage.spread();
    lineage
        .shares(key(pid), STORE)
        .map(|(source, share)| (source.pid, share.bytes))
        .collect()
}

#[test]
fn the_narrowest_step_of_a_path_bounds_it() {
    for (steps, expect) in [
        ([5_000, 5_000, 5_000], 4_000),
        ([5_000, 100, 5_000], 100),
        ([200, 5_000, 5_000], 200),
        ([5_000, 5_000, 300], 300),
    ] {
        let mut lineage = Lineage::default();
        reads(&mut lineage, 1, 1, 4_000);
        goes(&mut lineage, process(1), pipe(1), 2_000, steps[0]);
        goes(&mut lineage, pipe(1), process(2), 2_000, steps[1]);
        goes(&mut lineage, process(2), process(3), 3_000, steps[2]);
        assert_eq!(has(&mut lineage, 3), [(1, expect)], "{steps:?}");
        assert_eq!(lineage.path(STORE, key(1), key(3)).len(), 3);
    }
}

#[test]
fn what_comes_out_of_two_pipes_adds_up_and_two_sources_are_two() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 4_000);
    reads(&mut lineage, 2, 1, 700);
    goes(&mut lineage, process(1), pipe(1), 2_000, 100);
    goes(&mut lineage, pipe(1), process(3), 2_000, 100);
    goes(&mut lineage, process(1), pipe(2), 2_000, 900);
    goes(&mut lineage, pipe(2), process(3), 2_000, 900);
    goes(&mut lineage, process(2), process(3), 2_000, 9_000);
    assert_eq!(has(&mut lineage, 3), [(1, 1_000), (2, 700)]);
    let path = lineage.path(STORE, key(1), key(3));
    assert_eq!(
        path.iter().map(|hop| hop.bytes).collect::<Vec<_>>(),
        [Some(900), Some(900)]
    );
}

#[test]
fn of_two_processes_the_wider_counts() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 4_000);
    for (between, bytes) in [(2, 100), (3, 900)] {
        goes(&mut lineage, process(1), process(between), 2_000, bytes);
        goes(&mut lineage, process(between), process(4), 2_000, bytes);
    }
    assert_eq!(has(&mut lineage, 4), [(1, 900)]);
}

#[test]
fn a_store_that_is_copied_file_by_file_is_packed_out_of_all_of_them() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 400_000);
    for file in 0..400 {
        goes(&mut lineage, process(1), pipe(file), 2_000, 1_000);
    }
    for file in 0..400 {
        goes(&mut lineage, pipe(file), process(2), 5_000, 1_000);
        lineage.spread();
    }
    assert_eq!(has(&mut lineage, 2), [(1, 400_000)]);
}

#[test]
fn what_a_process_puts_down_and_takes_up_again_is_not_more() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 4_000);
    goes(&mut lineage, process(1), process(2), 2_000, 100);
    for _ in 0..5 {
        goes(&mut lineage, process(2), pipe(1), 3_000, 5_000);
        goes(&mut lineage, pipe(1), process(2), 3_000, 5_000);
    }
    assert_eq!(has(&mut lineage, 2), [(1, 100)]);
}

#[test]
fn steps_are_in_order_of_time_but_for_a_tick() {
    for (second_at, expect) in [
        (1_000, vec![]),
        (4_700, vec![]),
        (4_750, vec![(1, 400)]),
        (5_000, vec![(1, 400)]),
        (9_000, vec![(1, 400)]),
    ] {
        let mut lineage = Lineage::default();
        reads(&mut lineage, 1, 1, 400);
        goes(&mut lineage, process(2), process(3), second_at, 400);
        goes(&mut lineage, process(1), process(2), 5_000, 400);
        assert_eq!(has(&mut lineage, 3), expect, "second step at {second_at}");
    }
}

#[test]
fn only_what_went_over_since_counts() {
    let mut lineage = Lineage::default();
    goes(&mut lineage, process(1), process(2), 1_000, 1_000_000);
    reads(&mut lineage, 1, 5, 4_000_000);
    goes(&mut lineage, process(1), process(2), 6_000, 60);
    assert_eq!(has(&mut lineage, 2), [(1, 60)]);
}

#[test]
fn a_program_has_what_it_was_given_and_a_copy_everything() {
    for (given, at, expect) in [
        (300, 9, vec![(1, 300)]),
        (9_000, 9, vec![(1, 4_000)]),
        (0, 9, vec![(1, 4_000)]),
        (300, 2, vec![]),
        (0, 2, vec![]),
    ] {
        let mut lineage = Lineage::default();
        reads(&mut lineage, 1, 5, 4_000);
        starts(&mut lineage, 1, 2, at, given);
        // It is told of again when it exits.
        starts(&mut lineage, 1, 2, at, given);
        assert_eq!(has(&mut lineage, 2), expect, "{given} given at {at}");
    }
}

#[test]
fn memory_that_was_read_without_a_count_is_bounded_by_nothing() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 4_000);
    goes_by(
        &mut lineage,
        EdgeKind::ProcMem,
        process(1),
        process(2),
        2_000,
        0,
    );
    goes(&mut lineage, process(1), process(3), 2_000, 0);
    assert_eq!(has(&mut lineage, 2), [(1, 4_000)]);
    assert_eq!(has(&mut lineage, 3), []);
}

#[test]
fn circles_end() {
    let mut lineage = Lineage::default();
    reads(&mut lineage, 1, 1, 4_000);
    for (from, to, bytes) in [(1, 2, 50), (2, 3, 9_000), (3, 2, 9_000), (3, 1, 9_000)] {
        goes(&mut lineage, process(from), process(to), 2_000, bytes);
    }
    assert_eq!(has(&mut lineage, 3), [(1, 50)]);
    assert_eq!(has(&mut lineage, 2), [(1, 50)]);
    assert_eq!(has(&mut lineage, 1), [(1, 4_000)]);
    assert_eq!(lineage.path(STORE, key(1), key(3)).len(), 2);
}

/// A generator of numbers that are the same in every run.
fn number(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn where_it_ends_does_not_depend_on_when_it_is_passed_on() {
    let mut seed = 7;
    for _ in 0..20 {
        let (mut often, mut once) = (Lineage::default(), Lineage::default());
        for _ in 0..200 {
            let (from, to) = (number(&mut seed) % 9, number(&mut seed) % 9);
            let (ms, bytes) = (number(&mut seed) % 60_000, number(&mut seed) % 10_000);
            let (from, to) = (from as u32, to as u32);
            for lineage in [&mut often, &mut once] {
                if from == to {
                    reads(lineage, from, ms / 1_000, bytes);
                } else {
                    goes(lineage, process(from), process(to), ms, bytes);
                }
            }
            often.spread();
        }
        for pid in 0..9 {
            assert_eq!(has(&mut often, pid), has(&mut once, pid), "process {pid}");
        }
    }
}

#[test]
fn memory_is_bounded_and_what_carried_something_is_counted() {
    let room = 800;
    let mut lineage = Lineage::with_room_for(room);
    reads(&mut lineage, 1, 1, 4_000);
    goes(&mut lineage, process(1), process(2), 500_000, 4_000);
    lineage.spread();
    let many = 4 * room as u64;
    for n in 0..many {
        goes(&mut lineage, process(3), pipe(n), 1_000 + n, 10);
    }
    assert!(lineage.steps.len() <= room && lineage.nodes.len() <= room);
    assert_eq!(lineage.forgotten(), 0, "from 3 nothing came");
    assert_eq!(has(&mut lineage, 2), [(1, 4_000)]);
    goes(&mut lineage, process(1), process(2), 900_000, 4_000);
    for n in 0..many {
        goes(&mut lineage, process(1), pipe(n), 600_000 + n, 10);
        lineage.spread();
    }
    assert!(lineage.steps.len() <= room && lineage.nodes.len() <= room);
    assert!(lineage.forgotten() > 0);
    assert_eq!(has(&mut lineage, 2), [(1, 4_000)], "the weakest go first");
}
