//! Performs ways: starts their processes and their other ends, and listens to what the processes say of themselves.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::actor;
use crate::way::{Peer, Place, Way};

/// How the act ends that cannot be done on this machine.
pub(crate) const UNSUPPORTED: u8 = 77;
/// What tells the receiver of datagrams that the act is over.
const END: &[u8] = b"the act is over";

/// What was done, by whom and to what: facts to hold the events against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// The process.
    pub(crate) pid: u32,
    /// Device number and inode of the record.
    pub(crate) file: (u64, u64),
    /// The other end.
    pub(crate) peer: Option<SocketAddr>,
    /// Bytes that came there.
    pub(crate) received: u64,
    /// The port the process listened on.
    pub(crate) port: u16,
}

/// How an act ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It did what it should.
    Done(Done),
    /// It cannot be done here, and why.
    Unsupported(String),
    /// It failed.
    Failed(String),
}

/// An act under way.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    other_end: OtherEnd,
    done: Done,
}

#[derive(Debug)]
enum OtherEnd {
    Nobody,
    Tcp(SocketAddr, JoinHandle<io::Result<u64>>),
    Udp(SocketAddr, JoinHandle<io::Result<u64>>),
    /// Starts when the port is known.
    Client(Option<JoinHandle<io::Result<u64>>>),
}

impl OtherEnd {
    fn of(peer: Peer) -> io::Result<Self> {
        Ok(match peer {
            Peer::None => Self::Nobody,
            Peer::Client => Self::Client(None),
            Peer::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let address = listener.local_addr()?;
                Self::Tcp(address, std::thread::spawn(move || receive(&listener)))
            }
            Peer::Udp(address) => {
                let socket = UdpSocket::bind(address)?;
                let address = socket.local_addr()?;
                Self::Udp(address, std::thread::spawn(move || count(&socket)))
            }
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address, _) | Self::Udp(address, _) => Some(*address),
            Self::Nobody | Self::Client(_) => None,
        }
    }

    /// Ends it, and gives the bytes that came. An act that failed may have left it waiting, so it is met.
    fn end(self, good: bool) -> io::Result<u64> {
        let thread = match self {
            Self::Nobody | Self::Client(None) => return Ok(0),
            Self::Client(Some(thread)) => thread,
            Self::Tcp(address, thread) => {
                // Refused, or let in and thrown out, when it was met by the act: then it has ended, or will.
                let met = [
                    io::ErrorKind::ConnectionRefused,
                    io::ErrorKind::ConnectionReset,
                ];
                if !good
                    && let Err(error) = TcpStream::connect(address)
                    && !met.contains(&error.kind())
                {
                    return Err(error);
                }
                thread
            }
            Self::Udp(address, thread) => {
                let any = if address.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                UdpSocket::bind(any)?.send_to(END, address)?;
                thread
            }
        };
        let counted = thread
            .join()
            .map_err(|_| io::Error::other("the other end panicked"))?;
        if good { counted } else { Ok(0) }
    }
}

/// Takes one connection, reads it to its end and answers with one byte.
fn receive(listener: &TcpListener) -> io::Result<u64> {
    let (mut socket, _) = listener.accept()?;
    let received = io::copy(&mut socket, &mut io::sink())?;
    socket.write_all(b"k")?;
    Ok(received)
}

/// Counts what datagrams bring until the last one.
fn count(socket: &UdpSocket) -> io::Result<u64> {
    socket.set_read_timeout(Some(Duration::from_mins(2)))?;
    let mut buffer = vec![0; 1 << 16];
    let mut received = 0;
    loop {
        let len = socket.recv(&mut buffer)?;
        if &buffer[..len] == END {
            return Ok(received);
        }
        received += len as u64;
    }
}

/// Asks a server, and reads all it gives.
fn ask(port: u16) -> io::Result<u64> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.write_all(b"GET")?;
    io::copy(&mut socket, &mut io::sink())
}

impl Running {
    /// Makes the place, and starts the act.
    pub(crate) fn start(way: &Way, home: &Path) -> io::Result<Self> {
        let other_end = OtherEnd::of(way.peer)?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let place = Place::new(home, way.name, other_end.address().unwrap_or(nowhere));
        place.prepare()?;
        let record = std::fs::metadata(place.record())?;
        let mut command = actor::command(way.name, &place.arguments())?;
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let done = Done {
            pid: child.id(),
            file: (record.dev(), record.ino()),
            peer: other_end.address(),
            ..Done::default()
        };
        let out = child.stdout.take();
        let out = BufReader::new(out.ok_or_else(|| io::Error::other("no output"))?);
        Ok(Self {
            child,
            out,
            other_end,
            done,
        })
    }

    /// Waits until it has done the first half and pauses, or has ended.
    pub(crate) fn until_ready(&mut self) -> io::Result<()> {
        while let Some(line) = self.line()? {
            if line == "ready" {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets it go on to its end.
    pub(crate) fn end(mut self) -> io::Result<Ended> {
        drop(self.child.stdin.take());
        while self.line()?.is_some() {}
        let mut complaint = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut complaint)?;
        }
        let status = self.child.wait()?;
        self.done.received = self.other_end.end(status.success())?;
        let complaint = complaint.trim().to_owned();
        Ok(if status.success() {
            Ended::Done(self.done)
        } else if status.code() == Some(i32::from(UNSUPPORTED)) {
            Ended::Unsupported(complaint)
        } else {
            Ended::Failed(format!("{status}: {complaint}"))
        })
    }

    /// One line of what it says, taken to heart; nothing at the end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
        match words.as_slice() {
            ["process", pid] => self.done.pid = number(pid)? as u32,
            ["file", device, inode] => self.done.file = (number(device)?, number(inode)?),
            ["port", port] => {
                self.done.port = number(port)? as u16;
                let port = self.done.port;
                self.other_end = OtherEnd::Client(Some(std::thread::spawn(move || ask(port))));
            }
            _ => {}
        }
        Ok(Some(line.trim().to_owned()))
    }
}
