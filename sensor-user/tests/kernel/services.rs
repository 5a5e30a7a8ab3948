//! Who serves records holds them without having opened any: who receives from it has read so much of its store. It is known by its
//! program or by its unit, and both may come, go and come back.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use sensor_user::event::{EdgeKind, End, StoreId};
use sensor_user::load::hooks;

use crate::actor;
use crate::hands::SERVED;
use crate::watch::{SERVICE, UNIT, VERSIONS, Watch, same, skipped};

/// How long a program may take to be known as one that serves, from when its file is there.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that is there when the sensor starts.
pub(crate) fn given(watch: &mut Watch) -> Result<(), Failed> {
    if is_blind(watch)? {
        return Ok(());
    }
    let program = watch.elsewhere().join(SERVICE);
    let edges = conversation(watch, &mut Command::new(program))?;
    same("edges", &edges, &vec![vec![StoreId(2)]])
}

/// One that comes later, and another that is put in its place, are known without another word.
pub(crate) fn replaced(watch: &mut Watch) -> Result<(), Failed> {
    if is_blind(watch)? {
        return Ok(());
    }
    let directory = watch.elsewhere().join("versions/16");
    std::fs::create_dir_all(&directory)?;
    let program = directory.join("serve");
    for _ in 0..2 {
        let new = directory.join("serve.new");
        std::fs::copy(std::env::current_exe()?, &new)?;
        std::fs::rename(&new, &program)?;
        let patience = Instant::now() + PATIENCE;
        let edges = loop {
            let edges = conversation(watch, &mut Command::new(&program))?;
            if !edges.is_empty() || Instant::now() > patience {
                break edges;
            }
        };
        same("edges", &edges, &vec![vec![StoreId(3)]])?;
    }
    let other = directory.join("other");
    std::fs::copy(std::env::current_exe()?, &other)?;
    watch.rest()?;
    same(
        "edges of a program beside it",
        &conversation(watch, &mut Command::new(&other))?,
        &Vec::new(),
    )
}

/// What runs in a unit, whatever its program; the unit's group is another one after a restart.
pub(crate) fn unit(watch: &mut Watch) -> Result<(), Failed> {
    if is_blind(watch)? {
        return Ok(());
    }
    for below in [UNIT.to_owned(), format!("{UNIT}/part"), UNIT.to_owned()] {
        let group = Group::new(&below)?;
        let edges = conversation(watch, &mut group.command(&std::env::current_exe()?))?;
        same("edges", &edges, &vec![vec![StoreId(4)]])?;
    }
    let group = Group::new(&format!("not-{UNIT}"))?;
    let edges = conversation(watch, &mut group.command(&std::env::current_exe()?))?;
    same("edges of another unit", &edges, &Vec::new())
}

/// Services that run when the sensor starts.
pub(crate) fn before(watch: &mut Watch) -> Result<(), Failed> {
    if is_blind(watch)? {
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    std::fs::create_dir(home.path().join("store"))?;
    std::fs::create_dir_all(home.path().join("versions/9"))?;
    let program = home.path().join("versions/9/serve");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let group = Group::new(UNIT)?;
    let by_program = start(&mut Command::new(&program))?;
    let by_unit = start(&mut group.command(&std::env::current_exe()?))?;
    let mut own = Watch::with(&watch.backend, home, &["store", VERSIONS, UNIT], |_| {})?;
    let found = ask(&mut own, by_program)?;
    same("edges of the program", &found, &vec![vec![StoreId(2)]])?;
    let found = ask(&mut own, by_unit)?;
    same("edges of the unit", &found, &vec![vec![StoreId(3)]])
}

fn is_blind(watch: &Watch) -> Result<bool, Failed> {
    let is_blind = watch.is_blind_to(hooks::RECEIVED);
    if is_blind {
        skipped("what is received over sockets is not seen here")?;
    }
    Ok(is_blind)
}

/// The service: says where it listens, and gives whoever comes first what it has in memory.
pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout().lock(), "{}", listener.local_addr()?)?;
    let (mut client, _) = listener.accept()?;
    client.write_all(&vec![b's'; SERVED])
}

/// Its client.
pub(crate) fn receive(service: SocketAddr) -> io::Result<()> {
    let mut found = Vec::new();
    TcpStream::connect(service)?.read_to_end(&mut found)?;
    if found.len() == SERVED {
        Ok(())
    } else {
        Err(io::Error::other("the service gave too little"))
    }
}

/// Starts a server, has a client receive from it, and gives the stores of the edges that led to that. Bytes and ends are looked at here.
fn conversation(watch: &mut Watch, server: &mut Command) -> Result<Vec<Vec<StoreId>>, Failed> {
    let server = start(server)?;
    ask(watch, server)
}

/// Starts a server, and waits until it says where it listens.
fn start(command: &mut Command) -> Result<(Child, String), Failed> {
    let mut server = command
        .args(["--act", "serve-tcp"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    let out = server.stdout.take().ok_or("the service has no output")?;
    BufReader::new(out).read_line(&mut address)?;
    Ok((server, address.trim().to_owned()))
}

fn ask(watch: &mut Watch, server: (Child, String)) -> Result<Vec<Vec<StoreId>>, Failed> {
    let (server, address) = server;
    let from = server.id();
    let client = actor::command("receive-tcp", &[address.into()])?.spawn()?;
    let to = watch.finish(client)?;
    watch.finish(server)?;
    let edges: Vec<_> = watch.edges_to(to).collect();
    for edge in &edges {
        let from_service = matches!(edge.from, End::Process(process) if process.pid == from);
        same("from the service", &from_service, &true)?;
        same("what", &edge.kind, &EdgeKind::Loopback)?;
    }
    // One conversation may be told in several parts, each with what came since the last.
    let bytes: u64 = edges.iter().map(|edge| edge.bytes).sum();
    let expected = if edges.is_empty() { 0 } else { SERVED as u64 };
    same("bytes", &bytes, &expected)?;
    let mut stores: Vec<_> = edges.into_iter().map(|edge| edge.stores.clone()).collect();
    stores.dedup();
    Ok(stores)
}

/// A control group as systemd makes one for a unit; it goes when nothing runs in it any more.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Result<Self, Failed> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let root = table
            .lines()
            .filter(|line| line.contains(" - cgroup2 "))
            .find_map(|line| line.split(' ').nth(4))
            .ok_or("no cgroup2 file system is mounted")?;
        let path = Path::new(root).join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A program that is started in it.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$0/cgroup.procs\"; exec \"$@\""])
            .arg(&self.0)
            .arg(program);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group above is there only where it was made for this one.
        for path in [Some(self.0.as_path()), self.0.parent()]
            .into_iter()
            .flatten()
        {
            if path.to_string_lossy().contains(UNIT) {
                // What still runs in it after a failure keeps it; the test has said so.
                drop(std::fs::remove_dir(path));
            }
        }
    }
}
