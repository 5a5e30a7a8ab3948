//! Many processes and many connections.

use std::io::Read as _;
use std::net::TcpListener;

use libtest_mimic::Failed;

use crate::acts::{SENT_MAX, sent_len, tree};
use crate::forest::{accounted, all_or_lost, only_rings};
use crate::tally::{ACCESSES, NEWS, Tally};
use crate::watch::Watch;
use crate::{actor, sizes};

/// Many processes live for a moment and read a byte of a record.
pub(crate) fn processes(watch: &mut Watch) -> Result<(), Failed> {
    let count = sizes::processes();
    let record = tree(&watch.store().join("forest"), 0);
    let program =
        actor::command("processes", &[record.into(), count.to_string().into()])?.spawn()?;
    let pid = program.id();
    let tally = Tally::storm(watch, vec![program])?;
    let news = tally.lost(NEWS);
    only_rings(&tally)?;
    accounted(&tally, count as u64, count as u64)?;
    let whole = tally
        .processes
        .values()
        .filter(|did| (did.opens, did.read) == (1, 1))
        .count();
    all_or_lost(
        "processes that read a byte",
        whole,
        count,
        tally.lost(ACCESSES),
    )?;
    let forks = tally.forks.get(&pid).copied().unwrap_or(0) as usize;
    all_or_lost("forks", forks, count, news)?;
    let known = tally.processes.len();
    let ended = tally.processes.keys();
    let ended = ended.filter(|key| tally.exits.contains(key)).count();
    all_or_lost("ends", ended, known, news)
}

/// Many connections are open for a moment, one after the other.
pub(crate) fn connections(watch: &mut Watch) -> Result<(), Failed> {
    let count = sizes::connections();
    let record = tree(&watch.store().join("forest"), 0);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let server = std::thread::spawn(move || {
        for _ in 0..count {
            let (mut socket, _) = listener.accept()?;
            socket.read_to_end(&mut Vec::new())?;
        }
        Ok::<(), std::io::Error>(())
    });
    let arguments = [
        record.into(),
        to.to_string().into(),
        count.to_string().into(),
    ];
    let program = actor::command("connections", &arguments)?.spawn()?;
    let tally = Tally::storm(watch, vec![program])?;
    server.join().map_err(|_| "the server panicked")??;
    only_rings(&tally)?;
    let news = tally.lost(NEWS);
    all_or_lost("connections", tally.flows.len(), count, news)?;
    let sent: usize = (0..count).map(sent_len).sum();
    let seen: u64 = tally.flows.values().sum();
    // What a lost end of a connection would have told is at most what the longest sends.
    all_or_lost("bytes sent", seen as usize, sent, news * SENT_MAX)
}
