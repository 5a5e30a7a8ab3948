//! Many records, many reads, many threads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Child;

use libtest_mimic::Failed;

use crate::acts::{tree, tree_len};
use crate::tally::{ACCESSES, Did, NAMES, NEWS, Tally};
use crate::watch::{Watch, same};
use crate::{actor, sizes};

/// Where the records lie in the store.
const FOREST: &str = "forest";
/// Most events for any number of reads of one record by one process: it comes up once a tick.
const EVENTS_MAX: u64 = 100;
/// Threads that read at one time.
const THREADS: usize = 64;

/// Makes the records, before there is a sensor that would have to name them.
pub(crate) fn plant(store: &Path) -> io::Result<()> {
    let forest = store.join(FOREST);
    for n in 0..sizes::trees() {
        let file = tree(&forest, n);
        if n % 100 == 0 {
            fs::create_dir_all(file.parent().unwrap_or(&forest))?;
        }
        fs::write(file, &[b'x'; 1024][..tree_len(n)])?;
    }
    Ok(())
}

/// Every record is read on every CPU at once, each process beginning at another.
pub(crate) fn every_core(watch: &mut Watch) -> Result<(), Failed> {
    let readers = readers(watch, std::thread::available_parallelism()?.get())?;
    let pids: Vec<u32> = readers.iter().map(Child::id).collect();
    let tally = Tally::storm(watch, readers)?;
    only_rings(&tally)?;
    let all = (sizes::trees() * pids.len()) as u64;
    accounted(&tally, all, total() * pids.len() as u64)?;
    named(&tally)?;
    if tally.lost(ACCESSES) == 0 {
        exact(&tally, &pids)?;
    }
    Ok(())
}

/// Whatever was lost found a ring full: the one loss that a machine which does not let the sensor run can force.
pub(crate) fn only_rings(tally: &Tally) -> Result<(), Failed> {
    if !tally.lost.is_empty() {
        eprintln!("lost: {:?}, {} bytes", tally.lost, tally.lost_bytes);
    }
    let mut others = tally.lost.clone();
    others.retain(|what, _| ![NEWS, ACCESSES, NAMES].contains(&what.as_str()));
    same("losses but of rings", &others, &BTreeMap::new())
}

/// So many records were opened once and read in one call, and what of it did not come up was said to be lost. An access
/// that is lost is an opening or a reading.
pub(crate) fn accounted(tally: &Tally, opened: u64, bytes: u64) -> Result<(), Failed> {
    let (mut seen, mut opens, mut read) = (0, 0, 0);
    for did in tally.processes.values() {
        seen += did.records.len();
        opens += did.opens as usize;
        read += did.read;
    }
    let accesses = tally.lost(ACCESSES);
    all_or_lost("openings", opens, opened as usize, accesses)?;
    all_or_lost("records", seen, opened as usize, accesses)?;
    same("bytes seen and lost", &(read + tally.lost_bytes), &bytes)
}

/// Records without a name are no more than names were lost: one that finds no room is told at the record's next access,
/// and said to be lost until then.
pub(crate) fn named(tally: &Tally) -> Result<(), Failed> {
    let (nameless, names) = (tally.nameless() as u64, tally.lost(NAMES));
    same(
        &format!("{nameless} records without a name are among the {names} names lost"),
        &(nameless <= names),
        &true,
    )
}

/// Everything came up, but for what was said to be lost; with nothing lost, all of it.
pub(crate) fn all_or_lost(what: &str, seen: usize, all: usize, lost: u64) -> Result<(), Failed> {
    same(
        &format!("{what}: {seen} seen of {all} with {lost} lost"),
        &(seen <= all && seen as u64 + lost >= all as u64),
        &true,
    )
}

/// Starts programs that read the whole forest.
pub(crate) fn readers(watch: &Watch, count: usize) -> Result<Vec<Child>, Failed> {
    let (forest, trees) = (watch.store().join(FOREST), sizes::trees());
    let start = |n: usize| {
        let first = n * trees / count;
        let arguments = [
            forest.clone().into(),
            trees.to_string().into(),
            first.to_string().into(),
        ];
        Ok(actor::command("forest", &arguments)?.spawn()?)
    };
    (0..count).map(start).collect()
}

/// Bytes of all records.
pub(crate) fn total() -> u64 {
    (0..sizes::trees()).map(|n| tree_len(n) as u64).sum()
}

/// Each of the readers has come up with every record and every byte.
pub(crate) fn exact(tally: &Tally, readers: &[u32]) -> Result<(), Failed> {
    let trees = sizes::trees();
    for pid in readers {
        let did = tally.of(*pid).ok_or("a reader did not come up")?;
        same("distinct records", &did.records.len(), &trees)?;
        same("opens", &did.opens, &(trees as u64))?;
        same("bytes read", &did.read, &total())?;
    }
    Ok(())
}

/// One record is read byte by byte, and that is told in few events.
pub(crate) fn single_bytes(watch: &mut Watch) -> Result<(), Failed> {
    let times = sizes::single_bytes();
    let record = tree(&watch.store().join(FOREST), 0);
    let program = actor::command("bytes", &[record.into(), times.to_string().into()])?.spawn()?;
    let pid = program.id();
    let tally = Tally::storm(watch, vec![program])?;
    let did = tally.of(pid).ok_or("the reader did not come up")?;
    same("records", &did.records.len(), &1)?;
    same("bytes read", &did.read, &(times as u64))?;
    eprintln!("{times} reads came up in {} events", did.events);
    same(
        &format!("at most {EVENTS_MAX} events for it, not {}", did.events),
        &(did.events <= EVENTS_MAX),
        &true,
    )
}

/// Many threads of one process read the same record, and each one of its own.
pub(crate) fn threads(watch: &mut Watch) -> Result<(), Failed> {
    let (common, own) = sizes::thread_reads();
    let arguments = [
        watch.store().join(FOREST).into(),
        THREADS.to_string().into(),
        common.to_string().into(),
        own.to_string().into(),
    ];
    let program = actor::command("threads", &arguments)?.spawn()?;
    let pid = program.id();
    let tally = Tally::storm(watch, vec![program])?;
    let did: &Did = tally.of(pid).ok_or("the threads did not come up")?;
    same("records", &did.records.len(), &(THREADS + 1))?;
    same("opens", &did.opens, &(2 * THREADS as u64))?;
    same("bytes", &did.read, &((THREADS * (common + own)) as u64))
}
