//! Who holds records, what carries them and which conversations there are, over a restart of the sensor: kept in a file, and told to
//! the programs again at the next start of the same boot.
//!
//! The file is a memory of this boot alone, since afterwards no process is there any more and devices have other numbers. So it is renamed
//! into its place and never synced: it outlives the sensor, and need not outlive the machine. What is in it is checked against what there
//! is: a process that ended is left out, one that became another program holds what it held, and what a holder has started meanwhile holds
//! the same (`still`). Totals of conversations go on from where they were.
//!
//! **Invariant:** a file that cannot be read or understood is said and left behind, and the sensor starts.

mod memory;
mod still;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sensor_ebpf::layout::access::{Carrier, Inode};
use sensor_ebpf::layout::config::Holder;
use sensor_ebpf::layout::flow::{DatagramKey, Datagrams, Ends, Local, Socket};
use sensor_ebpf::layout::proc::Process;
use thiserror::Error;

use super::{AttemptError, Kernel};
use crate::config::Store;
use crate::durable;
use memory::{BYTES_MAX, Memory, Rows};
use still::Table;

/// Most carriers that are kept, and most conversations of each sort; of more, the latest.
const EACH_MAX: usize = 16_384;

/// Why what was kept cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum KeptError {
    /// It is too long.
    #[error("it has more than {BYTES_MAX} bytes")]
    Long,
    /// It is cut off, or was changed.
    #[error("its end does not fit what is before: it was cut off or changed")]
    Damaged,
    /// A line is not what it should be.
    #[error("line {0} is none of this sensor's")]
    Line(usize),
    /// The system's reason.
    #[error("{0}")]
    Io(String),
}

/// What was found of what was kept.
#[derive(Debug, Clone)]
pub struct Found {
    /// When it was kept, boot clock, nanoseconds.
    pub at_ns: u64,
    /// Holders then.
    pub holders: usize,
    /// Those that still run.
    pub alive: usize,
    /// Processes that they have started since.
    pub started: usize,
    /// Connections by cookie: as they are now, or absent when they are no more, as they were.
    pub connections: Vec<(u64, Socket, bool)>,
}

/// The file, and what it was last written with.
#[derive(Debug)]
pub struct Kept {
    file: PathBuf,
    boot: String,
    stores: BTreeMap<u32, String>,
    written: Option<Rows>,
    /// That it cannot be written was said.
    said: bool,
}

impl Kept {
    /// A file for these stores, in this boot.
    pub(super) fn new(file: &Path, stores: &[Store]) -> Self {
        let names = (1..).zip(stores);
        Self {
            file: file.to_owned(),
            boot: boot(),
            stores: names.map(|(n, store)| (n, store.name.clone())).collect(),
            written: None,
            said: false,
        }
    }

    /// Tells the programs what was kept, as far as it still holds; absent where nothing was in this boot.
    pub(super) fn restore(&self, kernel: &mut Kernel) -> Result<Option<Found>, AttemptError> {
        let memory = match self.read() {
            Ok(Some(memory)) => memory,
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "what was kept of holders of records cannot be used, and is left out");
                return Ok(None);
            }
        };
        let stores = |mask| renumbered(mask, &memory.stores, &self.stores);
        let held = |row: &[u64; 3]| (number(row[0]), row[1], stores(row[2]));
        let holders: Vec<_> = memory.rows.holders.iter().map(held).collect();
        let holders: Vec<_> = holders
            .into_iter()
            .filter(|(.., held)| *held != 0)
            .collect();
        let (alive, started) = Table::read().still(&holders, memory.at_ns);
        for (pid, holder) in alive
            .iter()
            .chain(started.iter().map(|(pid, kept)| (pid, kept)))
        {
            kernel.tell_kept_holder(*pid, *holder)?;
        }
        for row in &memory.rows.carriers {
            let (key, carrier) = carrier(row);
            let stores = stores(carrier.stores);
            if stores != 0 {
                kernel.tell_carrier(key, Carrier { stores, ..carrier })?;
            }
        }
        let mut connections = Vec::with_capacity(memory.rows.sockets.len());
        for (cookie, socket) in memory.rows.sockets.iter().map(socket) {
            let stores = alive.get(&socket.process.pid).map(|holder| holder.stores);
            let local = stores.map(|stores| Local {
                process: socket.process,
                stores,
            });
            let now = kernel.tell_socket(cookie, socket, local)?;
            connections.push((cookie, now.unwrap_or(socket), now.is_some()));
        }
        for (key, sums) in memory.rows.datagrams.iter().map(datagrams) {
            kernel.tell_datagrams(key, sums)?;
        }
        Ok(Some(Found {
            at_ns: memory.at_ns,
            holders: memory.rows.holders.len(),
            alive: alive.len(),
            started: started.len(),
            connections,
        }))
    }

    fn read(&self) -> Result<Option<Memory>, KeptError> {
        let said = |error: io::Error| KeptError::Io(error.to_string());
        let file = match fs::File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(said(error)),
        };
        let mut bytes = Vec::new();
        let mut bounded = file.take(BYTES_MAX + 1);
        bounded.read_to_end(&mut bytes).map_err(said)?;
        let memory = Memory::parse(&bytes)?;
        let is_of_this_boot = memory.boot == self.boot && !self.boot.is_empty();
        Ok(is_of_this_boot.then_some(memory))
    }

    /// Writes down what there is, if that has changed or it is the `last` time. A failure is said once; then a restart forgets.
    ///
    /// # Errors
    ///
    /// When a map of the kernel programs cannot be used.
    pub fn save(&mut self, kernel: &Kernel, now_ns: u64, last: bool) -> Result<(), AttemptError> {
        let rows = rows(kernel)?;
        if !last && self.written.as_ref() == Some(&rows) {
            return Ok(());
        }
        let memory = Memory {
            boot: self.boot.clone(),
            at_ns: now_ns,
            stores: self.stores.clone(),
            rows,
        };
        match replace(&self.file, memory.format().as_bytes()) {
            Ok(()) => {
                self.written = Some(memory.rows);
                self.said = false;
            }
            Err(error) if !self.said => {
                tracing::warn!(file = %self.file.display(), %error, "who holds records cannot be written down, and a restart of the sensor forgets it; see kernel.holders_file");
                self.said = true;
            }
            Err(_) => {}
        }
        Ok(())
    }
}

/// All there is to keep.
fn rows(kernel: &Kernel) -> Result<Rows, AttemptError> {
    let mut rows = Rows {
        holders: kernel.held()?.iter().map(row_of_holder).collect(),
        carriers: kernel.carriers()?.iter().map(row_of_carrier).collect(),
        sockets: kernel.sockets()?.iter().map(row_of_socket).collect(),
        datagrams: kernel.datagrams()?.iter().map(row_of_datagrams).collect(),
    };
    rows.holders.sort_unstable();
    latest(&mut rows.carriers, 3);
    latest(&mut rows.sockets, 3);
    latest(&mut rows.datagrams, 4);
    Ok(rows)
}

/// The latest, by the moment in such a column.
fn latest<const N: usize>(rows: &mut Vec<[u64; N]>, column: usize) {
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row[column], *row)));
    rows.truncate(EACH_MAX);
}

fn row_of_holder(holder: &Holder) -> [u64; 3] {
    let Process { pid, start_ns, .. } = holder.process;
    [pid.into(), start_ns, holder.stores]
}

fn row_of_carrier((key, carrier): &(Inode, Carrier)) -> [u64; 5] {
    let (dev, generation) = (key.dev.into(), key.generation.into());
    [key.ino, dev, generation, carrier.last_ns, carrier.stores]
}

fn carrier(&[ino, dev, generation, last_ns, stores]: &[u64; 5]) -> (Inode, Carrier) {
    let (dev, generation) = (number(dev), number(generation));
    let key = Inode {
        ino,
        dev,
        generation,
    };
    (key, Carrier { stores, last_ns })
}

fn row_of_socket((cookie, socket): &(u64, Socket)) -> [u64; 21] {
    let Process { pid, start_ns, .. } = socket.process;
    let head = [
        *cookie,
        pid.into(),
        start_ns,
        socket.opened_ns,
        socket.sk,
        socket.before,
        socket.out,
        socket.r#in,
    ];
    joined(head, row_of_ends(&socket.ends))
}

fn socket(row: &[u64; 21]) -> (u64, Socket) {
    let ([cookie, pid, start, opened_ns, sk, before, out, r#in], ends) = parted(row);
    let socket = Socket {
        process: process(pid, start),
        opened_ns,
        sk,
        before,
        out,
        r#in,
        ends: self::ends(&ends),
    };
    (cookie, socket)
}

fn row_of_datagrams((key, sums): &(DatagramKey, Datagrams)) -> [u64; 20] {
    let Process { pid, start_ns, .. } = sums.process;
    let head = [
        key.cookie,
        pid.into(),
        start_ns,
        sums.opened_ns,
        sums.last_ns,
        sums.out,
        sums.r#in,
    ];
    joined(head, row_of_ends(&sums.ends))
}

fn datagrams(row: &[u64; 20]) -> (DatagramKey, Datagrams) {
    let ([cookie, pid, start, opened_ns, last_ns, out, r#in], ends) = parted(row);
    let ends = self::ends(&ends);
    let key = DatagramKey {
        cookie,
        remote: ends.remote,
        remote_port: ends.remote_port,
        version: ends.version,
        pad: [0; 5],
    };
    let sums = Datagrams {
        process: process(pid, start),
        opened_ns,
        last_ns,
        out,
        r#in,
        ends,
        pad: 0,
    };
    (key, sums)
}

#[allow(clippy::many_single_char_names, reason = "the words of two addresses")]
fn row_of_ends(ends: &Ends) -> [u64; 13] {
    let ([a, b, c, d], [e, f, g, h]) = (ends.local.map(u64::from), ends.remote.map(u64::from));
    let (local, remote) = (ends.local_port.into(), ends.remote_port.into());
    let (version, protocol) = (ends.version.into(), ends.protocol.into());
    let direction = ends.direction.into();
    [
        a, b, c, d, e, f, g, h, local, remote, version, protocol, direction,
    ]
}

#[allow(clippy::many_single_char_names, reason = "the words of two addresses")]
fn ends(
    &[
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        local,
        remote,
        version,
        protocol,
        direction,
    ]: &[u64; 13],
) -> Ends {
    Ends {
        local: [a, b, c, d].map(number),
        remote: [e, f, g, h].map(number),
        local_port: local as u16,
        remote_port: remote as u16,
        version: version as u8,
        protocol: protocol as u8,
        direction: direction as u8,
        pad: 0,
    }
}

const fn process(pid: u64, start_ns: u64) -> Process {
    Process {
        start_ns,
        pid: number(pid),
        pad: 0,
    }
}

/// A number that was one of 32 bits; the file's check says that it is.
const fn number(wide: u64) -> u32 {
    wide as u32
}

fn joined<const A: usize, const B: usize, const N: usize>(a: [u64; A], b: [u64; B]) -> [u64; N] {
    let mut all = a.into_iter().chain(b);
    std::array::from_fn(|_| all.next().unwrap_or(0))
}

fn parted<const A: usize, const B: usize, const N: usize>(row: &[u64; N]) -> ([u64; A], [u64; B]) {
    let at = |n: usize| row.get(n).copied().unwrap_or(0);
    (std::array::from_fn(at), std::array::from_fn(|n| at(A + n)))
}

/// Puts a file in the place of another; only the sensor may read it.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        durable::make_directory(directory, 0o700)?;
    }
    let mut new = file.to_owned().into_os_string();
    new.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(bytes)?;
    fs::rename(new, file)
}

/// Which boot this is; empty where the host does not say, and then nothing is taken for kept.
fn boot() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}

/// The stores of a set by the numbers that they have now; those that are none any more are left out.
fn renumbered(mask: u64, then: &BTreeMap<u32, String>, now: &BTreeMap<u32, String>) -> u64 {
    let bit = |store: &u32| 1_u64 << (store & 63);
    let held = then.iter().filter(|(number, _)| mask & bit(number) != 0);
    held.flat_map(|(_, name)| now.iter().filter(move |(_, other)| *other == name))
        .fold(0, |stores, (number, _)| stores | bit(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_known_by_name() {
        let then = [(1, "pacs".to_owned()), (2, "lab".to_owned())].into();
        let now = [(1, "lab".to_owned()), (2, "x".to_owned())].into();
        assert_eq!(renumbered(0b110, &then, &now), 0b10);
        assert_eq!(renumbered(0b10, &then, &now), 0);
    }

    #[test]
    fn rows_are_what_they_were() {
        let row: [u64; 21] = std::array::from_fn(|n| n as u64);
        assert_eq!(row_of_socket(&socket(&row)), row);
        let row: [u64; 20] = std::array::from_fn(|n| n as u64);
        assert_eq!(row_of_datagrams(&datagrams(&row)), row);
        assert_eq!(row_of_carrier(&carrier(&[1, 2, 3, 4, 5])), [1, 2, 3, 4, 5]);
    }
}
