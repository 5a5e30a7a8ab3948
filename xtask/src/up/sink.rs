//! The far end of the demonstration: an HTTP listener that throws away what it is sent and counts it exactly.
//!
//! It is this program, started again inside the namespace as the hidden command `demo-sink`. It says where it listens
//! in its first line and then one line of JSON per connection. It ends when its standard input does, so it cannot
//! outlive who started it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::netns::Namespace;
use crate::step::own_program;

/// Most bytes of a request's head that are looked at.
const HEAD_MAX: usize = 64 * 1024;

/// Listens and counts; started by `up` only.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Address to listen on; the kernel chooses the port
    #[arg(long)]
    address: IpAddr,
}

/// What one connection brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Bytes taken from the socket: request lines, headers and bodies.
    pub(crate) bytes: u64,
    /// The other end.
    pub(crate) from: SocketAddr,
}

/// Runs the hidden command.
///
/// # Errors
/// The address cannot be listened on, or standard output is gone.
pub(crate) fn run(args: &Args) -> Result<()> {
    let listener = TcpListener::bind((args.address, 0))
        .with_context(|| format!("failed to listen on {}", args.address))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}",
        listener
            .local_addr()
            .context("failed to read the own address")?
    )?;
    out.flush()?;
    let (sender, receiver) = channel();
    thread::spawn({
        let sender = sender.clone();
        move || accept(&listener, &sender)
    });
    thread::spawn(move || {
        // End of input, or an error of it: either way the one who started us is gone.
        drop(std::io::stdin().lock().read_to_end(&mut Vec::new()));
        drop(sender.send(Event::Parent));
    });
    for event in receiver {
        match event {
            Event::Parent => return Ok(()),
            Event::Connection(result) => {
                writeln!(out, "{}", serde_json::to_string(&result?)?)?;
                out.flush()?;
            }
        }
    }
    Ok(())
}

enum Event {
    Connection(Result<Received>),
    Parent,
}

fn accept(listener: &TcpListener, sender: &std::sync::mpsc::Sender<Event>) {
    for stream in listener.incoming() {
        let sender = sender.clone();
        thread::spawn(move || {
            let received = stream
                .context("failed to accept a connection")
                .and_then(|stream| serve(&stream));
            drop(sender.send(Event::Connection(received)));
        });
    }
}

/// Answers one request after the other until the other end closes.
fn serve(stream: &TcpStream) -> Result<Received> {
    let from = stream
        .peer_addr()
        .context("failed to read the address of the other end")?;
    let mut counted = Counted { stream, bytes: 0 };
    let mut buffer = Vec::new();
    while let Some(request) = request(&mut counted, &mut buffer)? {
        discard(&mut counted, &mut buffer, &request)?;
        let mut stream = stream;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .context("failed to answer")?;
    }
    Ok(Received {
        bytes: counted.bytes,
        from,
    })
}

/// What the head of a request says.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Bytes of the body that follow.
    length: u64,
    /// The sender waits to be told to go on (RFC 9110 10.1.1).
    expects: bool,
}

/// Reads a head; what was read beyond it stays in `buffer`. `None` when the other end has closed between requests.
fn request(counted: &mut Counted<'_>, buffer: &mut Vec<u8>) -> Result<Option<Request>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return parse(&String::from_utf8_lossy(&head)).map(Some);
        }
        if buffer.len() > HEAD_MAX {
            bail!("the head of a request is longer than {HEAD_MAX} bytes");
        }
        if counted.more(buffer)? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                bail!("the connection ended within a request's head")
            };
        }
    }
}

fn parse(head: &str) -> Result<Request> {
    let mut request = Request {
        length: 0,
        expects: false,
    };
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                request.length = value
                    .trim()
                    .parse()
                    .context("content-length is no number")?;
            }
            "expect" => request.expects = value.trim().eq_ignore_ascii_case("100-continue"),
            "transfer-encoding" => bail!("this listener takes bodies with a content-length only"),
            _ => {}
        }
    }
    Ok(request)
}

/// Reads a body to its end and forgets it.
fn discard(counted: &mut Counted<'_>, buffer: &mut Vec<u8>, request: &Request) -> Result<()> {
    if request.expects {
        let mut stream = counted.stream;
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .context("failed to answer")?;
    }
    let mut left = request.length;
    loop {
        let taken = left.min(buffer.len() as u64);
        buffer.drain(..taken as usize);
        left -= taken;
        if left == 0 {
            return Ok(());
        }
        if counted.more(buffer)? == 0 {
            bail!("the connection ended {left} bytes before the end of a body");
        }
    }
}

/// A socket, and how much came from it.
struct Counted<'a> {
    stream: &'a TcpStream,
    bytes: u64,
}

impl Counted<'_> {
    fn more(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let mut piece = [0; 16 * 1024];
        let length = self
            .stream
            .read(&mut piece)
            .context("failed to read from a connection")?;
        self.bytes += length as u64;
        buffer.extend_from_slice(&piece[..length]);
        Ok(length)
    }
}

/// The sink as `up` holds it: a child in the namespace.
#[derive(Debug)]
pub(crate) struct Sink {
    child: Child,
    /// Its end ends the sink.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Sink {
    /// Starts it inside the namespace.
    ///
    /// # Errors
    /// It could not be started or said nothing.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let program = own_program();
        let mut child = namespace
            .command(&program)?
            .args(["demo-sink", "--address", &namespace.address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the listener in the network namespace")?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .context("the listener has no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        // From here on a failure ends the child by dropping the sink.
        let mut sink = Self {
            child,
            input,
            lines,
            address: SocketAddr::new(namespace.address.into(), 0),
        };
        let first = sink
            .line()
            .context("the listener did not say where it listens")?;
        sink.address = first
            .parse()
            .with_context(|| format!("the listener said {first:?}"))?;
        Ok(sink)
    }

    /// What the next connection that ends brought.
    ///
    /// # Errors
    /// The listener ended, or no connection ended in time.
    pub(crate) fn received(&self) -> Result<Received> {
        let line = self.line().context("the listener saw no connection end")?;
        serde_json::from_str(&line).with_context(|| format!("the listener said {line:?}"))
    }

    fn line(&self) -> Result<String> {
        Ok(self.lines.recv_timeout(Duration::from_secs(30))?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            crate::step::say(format!("the listener could not be waited for: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_from_the_socket_is_counted() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || serve(&listener.accept().unwrap().0).unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        let first = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(first).unwrap();
        let mut answer = [0; 25];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        let rest = b"helloPUT /x HTTP/1.1\r\ncontent-length: 2\r\n\r\nok";
        client.write_all(rest).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("200 OK").count(), 2);
        assert_eq!(
            server.join().unwrap().bytes,
            (first.len() + rest.len()) as u64
        );
    }

    #[test]
    fn heads_are_read() {
        let check = |head: &str, length, expects| {
            assert_eq!(parse(head).unwrap(), Request { length, expects });
        };
        check("POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n", 12, false);
        check(
            "POST / HTTP/1.1\r\nEXPECT: 100-Continue\r\ncontent-length:3\r\n\r\n",
            3,
            true,
        );
        check("GET / HTTP/1.1\r\n\r\n", 0, false);
        assert!(parse("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
