//! A restart of the sensor forgets nobody: who held records before holds them after it, whatever it has become meanwhile, and so does
//! what it has started meanwhile; files that carry records carry them still, and totals of connections go on.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use sensor_user::event::{End, GapReason, What};

use crate::actor;
use crate::acts::{appears, finish};
use crate::flows::receive;
use crate::watch::{Watch, same};

/// Bytes of each upload: few enough to be taken in by a socket that nobody reads from.
const BYTES: usize = 20_000;
/// Reads a record and writes it to a file; while there is no sensor starts an upload, and becomes another.
const SCRIPT: &str = "read -r a <store/r.dcm; echo \"$a\" >copy; echo held; read -r down; \
    \"$0\" --act upload-after go \"$1\" \"$2\" & echo $!; exec \"$0\" --act upload-after go \"$1\" \"$2\"";

pub(crate) fn remembered(watch: &mut Watch) -> Result<(), Failed> {
    let home = tempfile::tempdir()?;
    std::fs::create_dir(home.path().join("store"))?;
    std::fs::write(home.path().join("store/r.dcm"), "records\n")?;
    let (place, file) = (home.path().to_owned(), home.path().join("state/holders"));
    let backend = watch.backend.clone();
    let start = |home| {
        Watch::with(&backend, home, &["store"], |settings| {
            settings.holders_file = Some(file.clone());
        })
    };
    let mut first = start(home)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?.to_string();
    let received = std::thread::spawn(move || -> io::Result<Vec<u64>> {
        // The one that is open all the time comes first, and ends last.
        let (held, _) = listener.accept()?;
        let others = [receive(&listener)?, receive(&listener)?];
        let all = crate::files::drain(&held)?;
        (&held).write_all(b"k")?;
        Ok([&others[..], &[all]].concat())
    });

    let around = [
        place.join("store/r.dcm").into(),
        place.join("end").into(),
        to.clone().into(),
        BYTES.to_string().into(),
    ];
    let mut sender = actor::command("upload-around", &around)?.spawn()?;
    let mut sent = String::new();
    BufReader::new(sender.stdout.take().ok_or("no output")?).read_line(&mut sent)?;
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(std::env::current_exe()?)
        .args([&to, &BYTES.to_string()])
        .current_dir(&place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(shell.stdout.take().ok_or("no output")?).lines();
    let held = said.next().ok_or("nothing said")??;
    same("what is said", &held.as_str(), &"held")?;
    let (shell_pid, sender_pid) = (shell.id(), sender.id());
    first.until("what both hold", |w| {
        let wrote = w.events.iter().any(|event| {
            matches!(&event.what,
            What::Edge(edge) if matches!(edge.from, End::Process(p) if p.pid == shell_pid))
        });
        wrote
            && w.flows(sender_pid)
                .iter()
                .any(|f| f.bytes_out == BYTES as u64)
    })?;
    let home = first.stop()?;

    let mut input = shell.stdin.take().ok_or("no input")?;
    input.write_all(b"down\n")?;
    let child_pid: u32 = said.next().ok_or("nothing said")??.parse()?;

    let mut second = start(home)?;
    std::fs::write(place.join("go"), "")?;
    second.finish(shell)?;
    let closed = |w: &Watch, pid| w.flows(pid).iter().any(|flow| flow.closed);
    second.until("the uploads", |w| {
        closed(w, shell_pid) && closed(w, child_pid)
    })?;
    std::fs::write(place.join("end"), "")?;
    second.finish(sender)?;
    second.until("the long upload", |w| closed(w, sender_pid))?;
    let received = received.join().map_err(|_| "the receiver panicked")??;
    let once = BYTES as u64;
    same("bytes received", &received, &vec![once, once, 2 * once])?;
    for (pid, bytes) in [(shell_pid, once), (child_pid, once), (sender_pid, 2 * once)] {
        let sums: Vec<_> = second
            .flows(pid)
            .iter()
            .map(|flow| flow.bytes_out)
            .collect();
        same("bytes out", &sums, &vec![bytes])?;
    }
    let reader = second.run(
        Command::new("cat")
            .arg(place.join("copy"))
            .stdout(Stdio::null()),
    )?;
    let carried: Vec<_> = second.edges_to(reader).map(|edge| edge.bytes).collect();
    same("out of the file", &carried, &vec![8])?;
    let gaps = second.events.iter().filter(|event| {
        matches!(&event.what, What::Gap(gap) if gap.reason == GapReason::Blind && gap.detail.contains("did not run"))
    });
    same("gaps", &gaps.count(), &1)
}

/// Reads a record, sends, says so, waits for a file, and sends as much again.
pub(crate) fn upload_around(
    record: &Path,
    end: &Path,
    to: SocketAddr,
    bytes: usize,
) -> io::Result<()> {
    let _content = std::fs::read(record)?;
    let mut socket = TcpStream::connect(to)?;
    socket.write_all(&vec![b'x'; bytes])?;
    writeln!(io::stdout().lock(), "sent")?;
    appears(end)?;
    socket.write_all(&vec![b'x'; bytes])?;
    finish(&socket)
}
