//! What holds records hands them on: every process and every file on the way, and how many bytes went over.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Failed;
use sensor_user::event::{CarrierKind, Edge, EdgeKind, End, StoreId, What};
use sensor_user::load::hooks;

use crate::actor;
use crate::acts::datagram_len;
use crate::pty;
use crate::watch::{SERVICE, Watch, same, skipped};

/// Bytes of the record: many times what a pipe holds.
const LEN: usize = 1_000_000;
/// Datagrams of one conversation.
const DATAGRAMS: usize = 60;
/// Bytes that the service has in memory.
pub(crate) const SERVED: usize = 50_000;

/// Through a pipe into a file, which gets another name, and out of it through another pipe.
pub(crate) fn pipeline(watch: &mut Watch) -> Result<(), Failed> {
    std::fs::write(watch.store().join("handed.dcm"), vec![b'h'; LEN])?;
    let script =
        "cat store/handed.dcm | cat > copy; mv copy .hidden; cat .hidden | cat > /dev/null";
    let shell = Command::new("sh")
        .args(["-c", script])
        .current_dir(watch.elsewhere())
        .spawn()?;
    let shell = watch.finish(shell)?;
    watch.rest()?;
    let len = LEN as u64;
    let edges: Vec<&Edge> = watch
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Edge(edge) => Some(edge),
            _ => None,
        })
        .collect();
    // A pipe that a holder only could have written to, as that of its errors, is none of these.
    let was_written = |edge: &Edge| edges.iter().any(|other| other.to == edge.from);
    let by = |kind, carrier| {
        let of_kind = edges
            .iter()
            .filter(|edge| edge.kind == kind && carries(edge, carrier));
        let moved = of_kind.filter(|edge| kind == EdgeKind::Write || was_written(edge));
        moved.map(|edge| edge.bytes).sum::<u64>()
    };
    same(
        "into pipes",
        &by(EdgeKind::Write, CarrierKind::Pipe),
        &(2 * len),
    )?;
    same(
        "out of pipes",
        &by(EdgeKind::Read, CarrierKind::Pipe),
        &(2 * len),
    )?;
    same(
        "into the file",
        &by(EdgeKind::Write, CarrierKind::File),
        &len,
    )?;
    same(
        "out of the file",
        &by(EdgeKind::Read, CarrierKind::File),
        &len,
    )?;
    same("edges to the shell", &watch.edges_to(shell).count(), &0)
}

fn carries(edge: &Edge, wanted: CarrierKind) -> bool {
    [edge.from, edge.to]
        .iter()
        .any(|end| matches!(end, End::Carrier(kind, _) if *kind == wanted))
}

/// Into files without passing the memory of a process: by the calls that move bytes inside the kernel.
pub(crate) fn moved(watch: &mut Watch) -> Result<(), Failed> {
    let record = watch.store().join("moved.dcm");
    std::fs::write(&record, vec![b'm'; LEN])?;
    for way in ["sendfile", "splice", "copy-range"] {
        watch.forget();
        let to = watch.elsewhere().join(way);
        let arguments = [way.into(), record.clone().into(), to.into()];
        let mover = actor::command("move", &arguments)?.spawn()?;
        watch.finish(mover)?;
        watch.rest()?;
        let edges = watch.events.iter().filter_map(|event| match &event.what {
            What::Edge(edge) if edge.kind == EdgeKind::Write => Some(edge),
            _ => None,
        });
        let into_file = edges.filter(|edge| carries(edge, CarrierKind::File));
        let bytes: u64 = into_file.map(|edge| edge.bytes).sum();
        same(way, &bytes, &(LEN as u64))?;
    }
    Ok(())
}

/// Moves a record into a new file.
pub(crate) fn move_into(rest: &[OsString], record: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(record)?, File::create(to)?);
    let (out, into) = rustix::pipe::pipe()?;
    let mut left = LEN;
    while left > 0 {
        left -= match rest[0].to_str() {
            Some("sendfile") => rustix::fs::sendfile(&to, &from, None, left)?,
            Some("copy-range") => rustix::fs::copy_file_range(&from, None, &to, None, left)?,
            _ => {
                let flags = rustix::pipe::SpliceFlags::empty();
                let piped = rustix::pipe::splice(&from, None, &into, None, left, flags)?;
                let mut there = 0;
                while there < piped {
                    there += rustix::pipe::splice(&out, None, &to, None, piped - there, flags)?;
                }
                piped
            }
        };
    }
    Ok(())
}

/// Two processes that hold records of different stores write to one pipe: who reads it afterwards holds those of both.
pub(crate) fn two_stores(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::RECEIVED) || watch.is_blind_to(hooks::HANDED) {
        return skipped("what is received over unix sockets is not seen here");
    }
    std::fs::write(watch.store().join("small.dcm"), [b's'; 1_000])?;
    let socket = watch.elsewhere().join("both");
    let script = "{ cat store/small.dcm; \"$1\" --act give; } | { sleep 1; exec \"$2\" --act serve-input \"$3\"; }";
    let mut pipeline = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(watch.elsewhere().join(SERVICE))
        .arg(std::env::current_exe()?)
        .arg(&socket)
        .current_dir(watch.elsewhere())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = pipeline.stdout.as_mut().ok_or("no output")?;
    out.read_exact(&mut [0])?;
    let client = actor::command("receive-unix", &[socket.into()])?.spawn()?;
    let to = watch.finish(client)?;
    watch.finish(pipeline)?;
    let edges: Vec<_> = watch.edges_to(to).collect();
    let [edge] = edges.as_slice() else {
        return Err(format!("one edge was to come up: {edges:?}").into());
    };
    same("stores", &edge.stores, &vec![StoreId(1), StoreId(2)])
}

/// In datagrams, to each kind of address of the host, one half over a connected socket.
pub(crate) fn datagrams(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::RECEIVED) {
        return skipped("what is received over sockets is not seen here");
    }
    for address in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"] {
        let (from, to) = exchange(watch, address)?;
        let edges: Vec<_> = watch.edges_to(to).collect();
        for edge in &edges {
            let from_sender = matches!(edge.from, End::Process(process) if process.pid == from);
            same("from the sender", &from_sender, &true)?;
            same("what", &edge.kind, &EdgeKind::Loopback)?;
            same("stores", &edge.stores, &vec![StoreId(1)])?;
        }
        let bytes: u64 = edges.iter().map(|edge| edge.bytes).sum();
        let sent: usize = (0..DATAGRAMS).map(datagram_len).sum();
        same(address, &bytes, &(sent as u64))?;
    }
    Ok(())
}

/// What carries no records by nature is not followed.
pub(crate) fn quiet_port(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::RECEIVED) {
        return skipped("what is received over sockets is not seen here");
    }
    let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let home = tempfile::tempdir()?;
    std::fs::create_dir(home.path().join("store"))?;
    let mut own = Watch::with(&watch.backend, home, &["store"], |settings| {
        settings.quiet_ports = vec![address.port()];
    })?;
    let (from, to) = exchange(&mut own, &address.to_string())?;
    same("flows of the sender", &own.flows(from).len(), &1)?;
    same("edges", &own.edges_to(to).count(), &0)
}

/// What is written to a pseudo terminal, whoever runs there, has who reads at its other end.
pub(crate) fn shown(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::SHOWN) {
        return skipped("what is shown on pseudo terminals is not seen here");
    }
    let record = watch.store().join("shown.dcm");
    std::fs::write(&record, vec![b't'; SERVED])?;
    let mut reader = actor::command("watch-terminal", &[SERVED.to_string().into()])?.spawn()?;
    let terminal = File::options().write(true).open(said(&mut reader)?)?;
    let writer = Command::new("cat").arg(&record).stdout(terminal).spawn()?;
    let from = watch.finish(writer)?;
    let to = watch.finish(reader)?;
    over_terminal(watch, from, to)
}

/// And the other way round: what is typed there by a program has who reads what is typed.
pub(crate) fn typed(watch: &mut Watch) -> Result<(), Failed> {
    if watch.is_blind_to(hooks::SHOWN) {
        return skipped("what is shown on pseudo terminals is not seen here");
    }
    let record = watch.store().join("typed.dcm");
    std::fs::write(&record, vec![b't'; SERVED])?;
    let mut writer = actor::command("type", &[record.into()])?.spawn()?;
    let terminal = said(&mut writer)?;
    let mut head = Command::new("head");
    let reader = head.args(["-c", &SERVED.to_string()]).arg(terminal);
    let to = watch.run(reader.stdout(Stdio::null()))?;
    let from = watch.finish(writer)?;
    over_terminal(watch, from, to)
}

fn over_terminal(watch: &Watch, from: u32, to: u32) -> Result<(), Failed> {
    let edges: Vec<_> = watch.edges_to(to).collect();
    for edge in &edges {
        let from_writer = matches!(edge.from, End::Process(process) if process.pid == from);
        same("from the writer", &from_writer, &true)?;
        same("what", &edge.kind, &EdgeKind::Terminal)?;
        same("stores", &edge.stores, &vec![StoreId(1)])?;
    }
    let bytes: u64 = edges.iter().map(|edge| edge.bytes).sum();
    same("bytes", &bytes, &(SERVED as u64))
}

/// The line that a process says first.
fn said(process: &mut Child) -> Result<String, Failed> {
    let mut line = String::new();
    let out = process.stdout.take().ok_or("no output")?;
    BufReader::new(out).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Makes a pseudo terminal, says where its other end is, and reads so much of what is shown there.
pub(crate) fn watch_terminal(bytes: usize) -> io::Result<()> {
    let (mut terminal, other) = pty::open()?;
    writeln!(io::stdout().lock(), "{}", other.display())?;
    terminal.read_exact(&mut vec![0; bytes])
}

/// The same, but types a record, and stays until its standard input ends.
pub(crate) fn type_record(record: &Path) -> io::Result<()> {
    let (mut terminal, other) = pty::open()?;
    let content = std::fs::read(record)?;
    writeln!(io::stdout().lock(), "{}", other.display())?;
    terminal.write_all(&content)?;
    io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
}

/// One process sends datagrams to another that takes them at such an address, and answers each.
fn exchange(watch: &mut Watch, address: &str) -> Result<(u32, u32), Failed> {
    let record = watch.store().join("datagrams-handed.dcm");
    std::fs::write(&record, [b'd'; 100])?;
    let count = || DATAGRAMS.to_string().into();
    let mut receiver = actor::command("receive-datagrams", &[address.into(), count()])?.spawn()?;
    let at = said(&mut receiver)?;
    let arguments = [record.into(), at.into(), count()];
    let sender = actor::command("datagrams", &arguments)?.spawn()?;
    let from = watch.finish(sender)?;
    let to = watch.finish(receiver)?;
    Ok((from, to))
}

/// Says its address, takes so many datagrams, and answers each with one byte.
pub(crate) fn receive_datagrams(address: SocketAddr, count: usize) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    writeln!(io::stdout().lock(), "{}", socket.local_addr()?)?;
    let mut content = vec![0; 65_536];
    for _ in 0..count {
        let (_, from) = socket.recv_from(&mut content)?;
        socket.send_to(b"k", from)?;
    }
    Ok(())
}

/// Writes something of what a service holds.
pub(crate) fn give() -> io::Result<()> {
    io::stdout().write_all(&[b'g'; 100])
}

/// Takes everything there is, and then serves.
pub(crate) fn serve_input(socket: &Path) -> io::Result<()> {
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    serve(socket)
}

/// The service: gives whoever comes first what it has in memory.
pub(crate) fn serve(socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    io::stdout().write_all(b"!")?;
    io::stdout().flush()?;
    let (mut client, _) = listener.accept()?;
    client.write_all(&vec![b's'; SERVED])
}

/// Its client.
pub(crate) fn receive(socket: &Path) -> io::Result<()> {
    let mut found = Vec::new();
    UnixStream::connect(socket)?.read_to_end(&mut found)?;
    if found.len() == SERVED {
        Ok(())
    } else {
        Err(io::Error::other("the service gave too little"))
    }
}
