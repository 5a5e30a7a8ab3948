//! Storms while the machine or the sensor lacks something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;

use libtest_mimic::Failed;

use crate::tally::{NEWS, Tally};
use crate::watch::{Watch, same};
use crate::{actor, acts, forest, sizes};

/// The CPU that goes and comes back.
const CPU: &str = "/sys/devices/system/cpu/cpu1/online";
/// How often it goes.
const TIMES: usize = 6;

/// The store is read while a CPU is taken away and given back, again and again.
pub(crate) fn hotplug(watch: &mut Watch) -> Result<(), Failed> {
    let readers = forest::readers(watch, 2)?;
    let pids: Vec<u32> = readers.iter().map(Child::id).collect();
    let switch = std::thread::spawn(|| {
        for _ in 0..TIMES {
            for state in ["0", "1"] {
                fs::write(Path::new(CPU), state)?;
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
        }
        Ok::<(), std::io::Error>(())
    });
    let tally = Tally::storm(watch, readers)?;
    switch.join().map_err(|_| "the switch panicked")??;
    same("losses", &tally.lost, &BTreeMap::new())?;
    forest::exact(&tally, &pids)
}

/// With rings of one page much is lost, and the gaps say how much: records and bytes that did not come up are no more
/// than what was said to be lost, and of what is not in a ring nothing is lost.
pub(crate) fn one_page(watch: &mut Watch) -> Result<(), Failed> {
    let mut programs = forest::readers(watch, 2)?;
    let readers: Vec<u32> = programs.iter().map(Child::id).collect();
    let record = acts::tree(&watch.store().join("forest"), 0);
    let count = sizes::processes() / 100;
    let arguments = [record.into(), count.to_string().into()];
    let parent = actor::command("processes", &arguments)?.spawn()?;
    let pid = parent.id();
    programs.push(parent);
    let tally = Tally::storm(watch, programs)?;
    forest::only_rings(&tally)?;
    let opened = (sizes::trees() * readers.len() + count) as u64;
    let bytes = forest::total() * readers.len() as u64 + count as u64;
    forest::accounted(&tally, opened, bytes)?;
    forest::named(&tally)?;
    let forks = tally.forks.get(&pid).copied().unwrap_or(0);
    forest::all_or_lost("forks", forks as usize, count, tally.lost(NEWS))
}
