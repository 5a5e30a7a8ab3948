//! What the storms are made of, each in a process of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::actor::{address, number, path};

/// Does what a process was started for.
pub(crate) fn perform(act: &str, rest: &[OsString]) -> io::Result<()> {
    match act {
        "forest" => forest(&path(rest, 0)?, number(rest, 1)?, number(rest, 2)?),
        "bytes" => bytes(&path(rest, 0)?, number(rest, 1)?),
        "processes" => processes(&path(rest, 0)?, number(rest, 1)?),
        "connections" => connections(&path(rest, 0)?, address(rest, 1)?, number(rest, 2)?),
        "threads" => threads(
            &path(rest, 0)?,
            number(rest, 1)?,
            number(rest, 2)?,
            number(rest, 3)?,
        ),
        other => Err(io::Error::other(format!("no act is called {other}"))),
    }
}

/// Where the n-th record of a forest lies: a hundred in each directory.
pub(crate) fn tree(forest: &Path, n: usize) -> PathBuf {
    forest.join(format!("{}/{n}.dcm", n / 100))
}

/// Bytes of the n-th record of a forest.
pub(crate) const fn tree_len(n: usize) -> usize {
    n % 7 * 100 + 1
}

/// Reads every record of a forest once, beginning at one of them.
fn forest(forest: &Path, trees: usize, first: usize) -> io::Result<()> {
    let mut buffer = [0; 1024];
    for n in (first..trees).chain(0..first) {
        // One call: what a second one gives at the end is nothing, and not what is measured.
        let got = File::open(tree(forest, n))?.read(&mut buffer)?;
        if got != tree_len(n) {
            return Err(io::Error::other("short read"));
        }
    }
    Ok(())
}

/// Reads a record byte by byte, so many times.
fn bytes(record: &Path, times: usize) -> io::Result<()> {
    let file = File::open(record)?;
    for _ in 0..times {
        file.read_exact_at(&mut [0], 0)?;
    }
    Ok(())
}

/// Starts so many processes, one after the other, of which each reads one byte of the record and ends.
fn processes(record: &Path, count: usize) -> io::Result<()> {
    for _ in 0..count {
        // SAFETY: this process has one thread, so its child may do anything; it leaves without running what waits for
        // the end of the parent.
        match unsafe { libc::fork() } {
            0 => {
                let read = File::open(record).and_then(|f| f.read_exact_at(&mut [0], 0));
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(i32::from(read.is_err())) }
            }
            -1 => return Err(io::Error::last_os_error()),
            child => ended(child)?,
        }
    }
    Ok(())
}

fn ended(child: i32) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: the status is an int of this function.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } == child && status == 0 {
        Ok(())
    } else {
        Err(io::Error::other("a child failed"))
    }
}

/// Most bytes sent over a connection.
pub(crate) const SENT_MAX: u64 = 50;

/// Bytes sent over the n-th connection.
pub(crate) const fn sent_len(n: usize) -> usize {
    n % SENT_MAX as usize + 1
}

/// Reads a record, then makes so many connections, one after the other, and sends something over each; the other end
/// closes first, and keeps the port from being taken for a while.
fn connections(record: &Path, to: SocketAddr, count: usize) -> io::Result<()> {
    let _content = std::fs::read(record)?;
    for n in 0..count {
        let mut socket = TcpStream::connect(to)?;
        socket.write_all(&[b'x'; SENT_MAX as usize][..sent_len(n)])?;
        socket.shutdown(std::net::Shutdown::Write)?;
        if socket.read(&mut [0])? != 0 {
            return Err(io::Error::other("an answer"));
        }
    }
    Ok(())
}

/// So many threads read record 0 and each one record of its own, so many times one byte.
fn threads(forest: &Path, threads: usize, common: usize, own: usize) -> io::Result<()> {
    let all: Vec<_> = (1..=threads)
        .map(|n| {
            let forest = forest.to_owned();
            std::thread::spawn(move || {
                bytes(&tree(&forest, 0), common)?;
                bytes(&tree(&forest, n), own)
            })
        })
        .collect();
    all.into_iter().try_for_each(|thread| {
        thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?
    })
}
