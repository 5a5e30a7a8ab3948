//! Flows: who talks to whom, and how many bytes go over, exactly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use sensor_user::event::{Direction, Flow};
use sensor_user::load::hooks;

use crate::actor;
use crate::acts;
use crate::files::{drain, make};
use crate::watch::{Watch, same, skipped};

/// Bytes of the big upload.
const BYTES: usize = 3_000_000;
/// Why a test of a connection that is older than its process's first record cannot run.
const UNSEEN: &str = "this kernel has no sock_send_length, and the sensor says so";

/// Takes one connection, reads it to its end and answers with one byte; gives the bytes.
pub(crate) fn receive(listener: &TcpListener) -> std::io::Result<u64> {
    let (mut socket, _) = listener.accept()?;
    let received = drain(&socket)?;
    socket.write_all(b"k")?;
    Ok(received)
}

fn only(watch: &Watch, pid: u32) -> Result<&Flow, Failed> {
    match watch.flows(pid).as_slice() {
        [flow] => Ok(flow),
        other => Err(format!("one flow should have come up: {other:?}").into()),
    }
}

/// Runs an act that sends [`BYTES`] to a listener on `address`, and checks its one flow.
fn upload(watch: &mut Watch, act: &str, address: &str) -> Result<(), Failed> {
    let record = make(watch, "upload.dcm", 100)?;
    let listener = TcpListener::bind(address)?;
    let to = listener.local_addr()?;
    let receiver = std::thread::spawn(move || receive(&listener));
    let arguments = [
        record.into(),
        to.to_string().into(),
        BYTES.to_string().into(),
    ];
    let pid = watch.run(&mut actor::command(act, &arguments)?)?;
    let received = receiver.join().map_err(|_| "the receiver panicked")??;
    watch.until("the flow's end", |w| w.flows(pid).iter().any(|f| f.closed))?;
    let flow = only(watch, pid)?;
    same("bytes received", &received, &(BYTES as u64))?;
    same("bytes out", &flow.bytes_out, &received)?;
    same("bytes in", &flow.bytes_in, &1)?;
    same("remote end", &flow.remote, &to)?;
    same("local address", &flow.local.ip(), &to.ip())?;
    same("local port is known", &(flow.local.port() != 0), &true)?;
    same("direction", &flow.direction, &Direction::Connected)?;
    same("protocol", &flow.protocol, &6)
}

/// A record is read and bytes are sent to an IPv4 address.
pub(crate) fn upload4(watch: &mut Watch) -> Result<(), Failed> {
    upload(watch, "upload", "127.0.0.1:0")
}

/// The same over IPv6.
pub(crate) fn upload6(watch: &mut Watch) -> Result<(), Failed> {
    upload(watch, "upload", "[::1]:0")
}

/// The connection is there before the record is read.
pub(crate) fn opened_before(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::SENT) {
        return skipped(UNSEEN);
    }
    upload(watch, "connect-first", "127.0.0.1:0")
}

/// A copy of a record is read and sent by one call, after which its process holds records for the first time.
pub(crate) fn sent_copy(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "copied.dcm", 300_001)?;
    let copy = watch.elsewhere().join("copied");
    watch.run(Command::new("cp").arg(&record).arg(&copy))?;
    watch.rest()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let receiver = std::thread::spawn(move || receive(&listener));
    let pid = watch.run(&mut actor::command(
        "sendfile",
        &[copy.into(), to.to_string().into()],
    )?)?;
    let received = receiver.join().map_err(|_| "the receiver panicked")??;
    watch.until("the flow's end", |w| w.flows(pid).iter().any(|f| f.closed))?;
    let flow = only(watch, pid)?;
    same("bytes received", &received, &300_001)?;
    same("bytes out", &flow.bytes_out, &received)?;
    same("remote end", &flow.remote, &to)
}

/// A process that never connects: it accepts, and sends the record there.
pub(crate) fn served(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::SENT) {
        return skipped(UNSEEN);
    }
    let record = make(watch, "served.dcm", 123_457)?;
    let mut child = actor::command("serve", &[record.into()])?.spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let server: SocketAddr = line.trim().parse()?;
    let mut client = TcpStream::connect(server)?;
    client.write_all(b"GET")?;
    let mut content = Vec::new();
    client.read_to_end(&mut content)?;
    let own = client.local_addr()?;
    drop(client);
    let pid = watch.finish(child)?;
    watch.until("the flow's end", |w| w.flows(pid).iter().any(|f| f.closed))?;
    let flow = only(watch, pid)?;
    same("content", &content.len(), &123_457)?;
    same("bytes out", &flow.bytes_out, &123_457)?;
    same("bytes in", &flow.bytes_in, &3)?;
    same("ends", &(flow.local, flow.remote), &(server, own))?;
    same("direction", &flow.direction, &Direction::Accepted)
}

/// While a connection stays open its bytes are told on the tick.
pub(crate) fn long(watch: &mut Watch) -> Result<(), Failed> {
    let record = make(watch, "long.dcm", 100)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let receiver = std::thread::spawn(move || receive(&listener));
    let arguments = [record.into(), to.to_string().into(), "70000".into()];
    let mut child = actor::command("trickle", &arguments)?.spawn()?;
    let pid = child.id();
    let open = |w: &Watch| {
        w.flows(pid)
            .iter()
            .any(|f| f.bytes_out == 70_000 && !f.closed)
    };
    watch.until("the bytes of the open flow", open)?;
    drop(child.stdin.take());
    watch.finish(child)?;
    receiver.join().map_err(|_| "the receiver panicked")??;
    watch.until("the flow's end", |w| w.flows(pid).iter().any(|f| f.closed))?;
    same("bytes out", &only(watch, pid)?.bytes_out, &70_000)
}

/// Takes so many datagrams, and answers each with one byte.
fn answer(socket: &UdpSocket, count: usize) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    for _ in 0..count {
        // What does not fit is cut off: only who sent it matters here.
        let (_, sender) = socket.recv_from(&mut [0; 16])?;
        socket.send_to(b"k", sender)?;
    }
    Ok(())
}

/// Datagrams of many lengths, to a named address and over a connected socket.
fn datagrams(watch: &mut Watch, address: &str) -> Result<(), Failed> {
    const COUNT: usize = 60;
    let record = make(watch, "datagrams.dcm", 100)?;
    let receiver = UdpSocket::bind(address)?;
    let to = receiver.local_addr()?;
    let arguments = [
        record.into(),
        to.to_string().into(),
        COUNT.to_string().into(),
    ];
    let child = actor::command("datagrams", &arguments)?.spawn()?;
    let pid = child.id();
    answer(&receiver, COUNT)?;
    watch.finish(child)?;
    let sent: usize = (0..COUNT).map(acts::datagram_len).sum();
    watch.until("the datagrams", |w| {
        w.flows(pid).iter().any(|f| f.bytes_in == COUNT as u64)
    })?;
    let flow = only(watch, pid)?;
    same("bytes out", &flow.bytes_out, &(sent as u64))?;
    same("remote end", &flow.remote, &to)?;
    same("protocol", &flow.protocol, &17)
}

/// UDP over IPv4.
pub(crate) fn datagrams4(watch: &mut Watch) -> Result<(), Failed> {
    datagrams(watch, "127.0.0.1:0")
}

/// UDP over IPv6.
pub(crate) fn datagrams6(watch: &mut Watch) -> Result<(), Failed> {
    datagrams(watch, "[::1]:0")
}

/// A process that has touched no record talks to whom it likes.
pub(crate) fn without_records(watch: &mut Watch) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let receiver = std::thread::spawn(move || receive(&listener));
    let tcp = watch.run(&mut actor::command(
        "upload-only",
        &[to.to_string().into(), "5000".into()],
    )?)?;
    receiver.join().map_err(|_| "the receiver panicked")??;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = socket.local_addr()?;
    let child = actor::command("datagrams-only", &[to.to_string().into(), "2".into()])?.spawn()?;
    let udp = child.id();
    answer(&socket, 2)?;
    watch.finish(child)?;
    watch.rest()?;
    same(
        "flows",
        &(watch.flows(tcp).len(), watch.flows(udp).len()),
        &(0, 0),
    )
}

/// The sensor has sung its canary, and is no holder for that: what it says to the collector is not reported to the
/// collector.
pub(crate) fn own(watch: &mut Watch) -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.write_all(b"events")?;
    let (server, _) = listener.accept()?;
    drop(client);
    same("bytes", &drain(server)?, &6)?;
    watch.rest()?;
    same("own flows", &watch.flows(std::process::id()).len(), &0)
}
