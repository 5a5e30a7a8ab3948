//! What the other end is called: names that a process asks for before it sends.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

use crate::sys::Helper;
use crate::way::{self, Act, Expect, LEN, Peer, Place, Way, finish, way};

/// Each way has a name of its own: the address is the same, and an answer that came over another way would do for this one.
const OVER_UDP: &str = "udp.archive.example";
const OVER_TCP: &str = "tcp.archive.example";
const IN_HELLO: &str = "hello.archive.example";
const LISTENER: Peer = Peer::Tcp("127.0.0.1:0");
/// Who is asked: an address of this machine that nobody uses.
const RESOLVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 77, 0, 53), 53);

pub(crate) const WAYS: &[Way] = &[
    way(
        "dns-udp",
        over_udp,
        &[Expect::Sent(6), Expect::Named(OVER_UDP)],
    )
    .with(LISTENER),
    way(
        "dns-tcp",
        over_tcp,
        &[Expect::Sent(6), Expect::Named(OVER_TCP)],
    )
    .with(LISTENER),
    way(
        "tls-server-name",
        server_name,
        &[Expect::Sent(6), Expect::Named(IN_HELLO)],
    )
    .with(LISTENER),
];

/// What second processes do.
pub(crate) const HELPERS: &[(&str, Act)] = &[
    ("answer-over-udp", answer_over_udp),
    ("answer-over-tcp", answer_over_tcp),
];

fn question(name: &'static str) -> io::Result<Vec<u8>> {
    let mut packet = Packet::new_query(7);
    let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
    let name = Name::new_unchecked(name);
    packet
        .questions
        .push(Question::new(name, kind, class, false));
    packet.build_bytes_vec().map_err(io::Error::other)
}

/// The answer: the name that was asked for is that of this machine.
fn answer(question: &[u8]) -> io::Result<Vec<u8>> {
    let mut packet = Packet::parse(question)
        .map_err(io::Error::other)?
        .into_reply();
    let address = u32::from(Ipv4Addr::LOCALHOST);
    let data = RData::A(A { address });
    let asked = packet.questions.first();
    let name = asked.map(|asked| asked.qname.clone());
    let name = name.ok_or_else(|| io::Error::other("nothing was asked"))?;
    packet
        .answers
        .push(ResourceRecord::new(name, CLASS::IN, 60, data));
    packet.build_bytes_vec().map_err(io::Error::other)
}

fn over_udp(place: &Place) -> io::Result<()> {
    place.hold()?;
    let (helper, _) = Helper::start("answer-over-udp", place)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(&question(OVER_UDP)?, RESOLVER)?;
    socket.recv(&mut [0; 512])?;
    helper.end()?;
    place.upload(LEN)
}

/// Answers once, and stays until the other process is done.
fn answer_over_udp(_place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind(RESOLVER)?;
    let server = std::thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 512];
        let (len, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&answer(&buffer[..len])?, from).map(drop)
    });
    stay(server)
}

/// Over TCP a message has its length before it (RFC 1035, 4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

fn over_tcp(place: &Place) -> io::Result<()> {
    place.hold()?;
    let (helper, _) = Helper::start("answer-over-tcp", place)?;
    let mut socket = TcpStream::connect(SocketAddr::from(RESOLVER))?;
    socket.write_all(&framed(&question(OVER_TCP)?))?;
    socket.read_to_end(&mut Vec::new())?;
    helper.end()?;
    place.upload(LEN)
}

fn answer_over_tcp(_place: &Place) -> io::Result<()> {
    let listener = TcpListener::bind(RESOLVER)?;
    let server = std::thread::spawn(move || -> io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut len = [0; 2];
        socket.read_exact(&mut len)?;
        let mut question = vec![0; u16::from_be_bytes(len).into()];
        socket.read_exact(&mut question)?;
        socket.write_all(&framed(&answer(&question)?))
    });
    stay(server)
}

fn stay(server: JoinHandle<io::Result<()>>) -> io::Result<()> {
    way::pause()?;
    server
        .join()
        .map_err(|_| io::Error::other("the server panicked"))?
}

/// A hello of TLS 1.2 with nothing in it but the server's name (RFC 5246, 7.4.1.2; RFC 6066, 3).
fn server_name(place: &Place) -> io::Result<()> {
    let content = place.hold()?;
    let len = |n: usize| (n as u16).to_be_bytes();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(len(IN_HELLO.len() + 9));
    body.extend([0, 0]);
    body.extend(len(IN_HELLO.len() + 5));
    body.extend(len(IN_HELLO.len() + 3));
    body.push(0);
    body.extend(len(IN_HELLO.len()));
    body.extend(IN_HELLO.as_bytes());
    let mut hello = vec![22, 3, 1];
    hello.extend(len(body.len() + 4));
    hello.extend([1, 0]);
    hello.extend(len(body.len()));
    hello.extend(&body);
    let mut socket = TcpStream::connect(place.peer)?;
    socket.write_all(&hello)?;
    socket.write_all(&content)?;
    finish(&socket)
}
