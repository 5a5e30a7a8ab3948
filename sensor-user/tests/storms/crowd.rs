//! Many processes and many connections.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;

use libtest_mimic::Failed;

use crate::acts::{sent_len, tree};
use crate::tally::Tally;
use crate::watch::{Watch, same};
use crate::{actor, sizes};

/// Many processes live for a moment and read a byte of a record.
pub(crate) fn processes(watch: &mut Watch) -> Result<(), Failed> {
    let count = sizes::processes();
    let record = tree(&watch.store().join("forest"), 0);
    let program =
        actor::command("processes", &[record.into(), count.to_string().into()])?.spawn()?;
    let pid = program.id();
    let tally = Tally::storm(watch, vec![program])?;
    same("losses", &tally.lost, &BTreeMap::new())?;
    let whole = tally
        .processes
        .values()
        .filter(|did| (did.opens, did.read) == (1, 1))
        .count();
    same("processes that read a byte", &whole, &count)?;
    same("forks", &tally.forks.get(&pid), &Some(&(count as u64)))?;
    let ended = |key| tally.exits.contains(key);
    same("ends", &tally.processes.keys().all(ended), &true)
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
    same("losses", &tally.lost, &BTreeMap::new())?;
    same("connections", &tally.flows.len(), &count)?;
    let sent: usize = (0..count).map(sent_len).sum();
    same("bytes sent", &tally.flows.values().sum(), &(sent as u64))
}
