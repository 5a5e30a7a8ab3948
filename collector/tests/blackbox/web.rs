//! A small HTTP server on loopback that answers as a test says, broken answers included; also used by the unit tests of `intel/pull`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered, byte for byte.
#[derive(Debug, Clone)]
pub(crate) struct Reply(pub(crate) Vec<u8>);

impl Reply {
    /// A status, headers (each with its line break) and a body whose length is announced.
    pub(crate) fn new(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}");
        Self(format!("{head}connection: close\r\n\r\n{body}").into_bytes())
    }

    pub(crate) fn ok(body: &str) -> Self {
        Self::new(200, "", body)
    }
}

/// A server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Web {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Answers one request to a connection, one after the other.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (asking, ending) = (Arc::clone(&asked), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.unwrap(), &asking, &answer);
            }
        });
        Self {
            address,
            asked,
            over,
            thread: Some(thread),
        }
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it from waiting; where that fails it has ended.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Request>>, answer: &impl Fn(&Request) -> Reply) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let headers = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
    let pair = |line: String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let request = Request {
        target: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        headers: headers.filter_map(pair).collect(),
    };
    asked.lock().unwrap().push(request.clone());
    // Who has heard enough may be gone.
    let mut stream = stream;
    let _sent_or_gone = stream.write_all(&answer(&request).0);
}
