//! What a way of access is: an act in a process of its own, and what must come up of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::actor;

/// Bytes of each record: whole pages, so that it can be read past the page cache.
pub(crate) const LEN: usize = 12_288;
/// Bytes that are sent where it is not the record itself.
pub(crate) const BYTES: usize = 100_000;

/// What a process does; an error of kind `Unsupported` says that it cannot be done on this machine.
pub(crate) type Act = fn(&Place) -> io::Result<()>;

/// One row of the matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// Its name, unique.
    pub(crate) name: &'static str,
    /// Performs it.
    pub(crate) act: Act,
    /// Who is at the other end.
    pub(crate) peer: Peer,
    /// The process is started before the sensor, and goes on (see [`pause`]) when the sensor runs.
    pub(crate) early: bool,
    /// All of it must come up.
    pub(crate) expect: &'static [Expect],
}

/// How a process gets what another holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// The other's memory is read.
    Memory,
    /// A pipe is read.
    Pipe,
    /// A file is read.
    File,
    /// A file is mapped.
    Map,
    /// A unix socket is received from.
    Unix,
    /// A connection within the machine is.
    Loopback,
    /// A pseudo terminal is read.
    Terminal,
}

/// What must come up of the process under test.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// So many bytes read of the record, none mapped, none written.
    Read(u64),
    /// So many bytes mapped.
    Mapped(u64),
    /// So many bytes written.
    Written(u64),
    /// At least the record's length, read or mapped: who did it decides in how many pieces.
    Whole,
    /// A change of the record other than by writing.
    Changed,
    /// The names in the directory were asked for, and nothing else was done with it.
    Listed,
    /// A loss of the record, or of a name of it.
    Deleted,
    /// So many losses, of whatever records.
    DeletedMany(u64),
    /// A flow of this protocol to the peer with exactly the bytes it got (and, over TCP, the byte it answered).
    Sent(u8),
    /// The flow to the peer is told with this name.
    Named(&'static str),
    /// A flow on the port that the process said, with the record out and the three bytes of the request in.
    Served,
    /// A flow of any kind: the process is known to hold what is a record's, though it never opened one.
    Holder,
    /// So many bytes that it got by this road of another process.
    Got(Road, u64),
    /// A flow of any kind and protocol, with these bytes out.
    AnySent(u64),
}

/// The other end of the wire, on the test's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nobody.
    None,
    /// A listener that takes one connection, counts, and answers one byte.
    Tcp(&'static str),
    /// A socket that counts what comes.
    Udp(&'static str),
    /// One that connects to the port the process says, asks and reads to the end.
    Client,
}

/// A way that reads in the given act and must come up as said.
pub(crate) const fn way(name: &'static str, act: Act, expect: &'static [Expect]) -> Way {
    Way {
        name,
        act,
        peer: Peer::None,
        early: false,
        expect,
    }
}

impl Way {
    /// Begins before the sensor does.
    pub(crate) const fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// Has another end.
    pub(crate) const fn with(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }
}

/// Where an act takes place.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    home: PathBuf,
    name: String,
    /// The peer's address.
    pub(crate) peer: SocketAddr,
}

impl Place {
    /// The place of a way's act below the home of all.
    pub(crate) fn new(home: &Path, name: &str, peer: SocketAddr) -> Self {
        Self {
            home: home.to_owned(),
            name: name.to_owned(),
            peer,
        }
    }

    /// The same with another peer.
    pub(crate) fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    /// The same from an actor's arguments.
    pub(crate) fn from_arguments(rest: &[OsString]) -> io::Result<Self> {
        Ok(Self::new(
            &actor::path(rest, 0)?,
            actor::text(rest, 1)?,
            actor::address(rest, 2)?,
        ))
    }

    /// The arguments that give it to an actor.
    pub(crate) fn arguments(&self) -> [OsString; 3] {
        [
            self.home.clone().into(),
            self.name.clone().into(),
            self.peer.to_string().into(),
        ]
    }

    /// The store's root.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.join("store")
    }

    /// The root of the store that is renamed.
    pub(crate) fn second_store(&self) -> PathBuf {
        self.home.join("second")
    }

    /// This way's own directory in the store.
    pub(crate) fn inside(&self) -> PathBuf {
        self.store().join(&self.name)
    }

    /// This way's own directory outside of every store.
    pub(crate) fn outside(&self) -> PathBuf {
        self.home.join("elsewhere").join(&self.name)
    }

    /// The record, of [`LEN`] bytes.
    pub(crate) fn record(&self) -> PathBuf {
        self.inside().join("record.dcm")
    }

    /// Opens the record for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(self.record())
    }

    /// Becomes a process that holds a record, by reading it.
    pub(crate) fn hold(&self) -> io::Result<Vec<u8>> {
        fs::read(self.record())
    }

    /// Makes the directories and the record. At the end a directory is renamed, which makes void what the sensor knows
    /// from our own touch of the record: the act's is to be the first.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(self.inside())?;
        fs::create_dir_all(self.outside())?;
        fs::write(self.record(), content(LEN))?;
        let (old, new) = (self.outside().join("old"), self.outside().join("new"));
        fs::create_dir(&old)?;
        fs::rename(old, new)
    }

    /// Sends so many bytes to the peer over TCP and waits for its answer.
    pub(crate) fn upload(&self, bytes: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(self.peer)?;
        socket.write_all(&content(bytes))?;
        finish(&socket)
    }
}

/// Waits until the sensor runs, when it was started early; else goes on at once.
pub(crate) fn pause() -> io::Result<()> {
    say("ready")?;
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}

/// The process to be watched is another one.
pub(crate) fn watch_process(pid: u32) -> io::Result<()> {
    say(&format!("process {pid}"))
}

/// The record is another file.
pub(crate) fn watch_file(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    say(&format!("file {} {}", metadata.dev(), metadata.ino()))
}

/// This process listens on the port: the peer may connect.
pub(crate) fn listens(port: u16) -> io::Result<()> {
    say(&format!("port {port}"))
}

/// Says that all is sent, and waits for the answer.
pub(crate) fn finish(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if answer == b"k" {
        Ok(())
    } else {
        Err(io::Error::other("no answer"))
    }
}

/// One line to the test.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// What a record of this length holds.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Checks that the whole record was got.
pub(crate) fn whole(found: &[u8]) -> io::Result<()> {
    if found == content(LEN) {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "the record was not what came: {} bytes",
            found.len()
        )))
    }
}

/// Cannot be done on this machine.
pub(crate) fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why.to_owned())
}
