//! The operations that are measured, and how: batches of some, each between two looks at the clock, the median of the
//! batches after some that warm up.
//!
//! The clock is the time stamp counter, which a machine under `-icount shift=0` advances by one for each instruction.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::ptr;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::act::Figures;

/// In the order they are measured.
pub(crate) const NAMES: &[&str] = &[
    "getppid",
    "stat",
    "open+close",
    "pread 4 KiB",
    "pread 1 B",
    "write 4 KiB",
    "mmap+munmap",
    "pipe write+read",
    "fork+exec+exit",
    "tcp connect+accept+close",
    "tcp send 16 KiB+receive",
    "udp send 512 B",
    "udp send+receive 512 B",
    "create+write+close+unlink",
    "first read of a file",
];

/// The file that is worked on.
pub(crate) const WORK_FILE: &str = "work";
/// Files that are read once.
pub(crate) const FRESH_FILES: usize = (WARM_UP + BATCHES) * FRESH_BATCH;

const WARM_UP: usize = 3;
/// So many that what the sensor's own process does differently from one minute to the next is a few instructions of each.
const BATCHES: usize = 201;
/// Operations between two looks at the clock; few enough that most batches see no timer.
const BATCH: usize = 16;
/// The same of dearer operations.
const FRESH_BATCH: usize = 8;
const FLOW_BATCH: usize = 4;

const TCP_BYTES: usize = 16 << 10;
const UDP_BYTES: usize = 512;

/// Name of a file that is read once.
pub(crate) fn fresh_file(number: usize) -> String {
    format!("fresh-{number:04}")
}

/// What the operations work with, opened once.
pub(crate) struct Workplace {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl Workplace {
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let path = directory.join(WORK_FILE);
        let file = File::options().read(true).write(true).open(&path)?;
        Ok(Self {
            directory: directory.to_owned(),
            file,
            path,
            buffer: vec![b'.'; 4096],
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Performs an operation and gives what one took.
pub(crate) fn perform(place: &mut Workplace, name: &str) -> Result<Figures> {
    let Workplace {
        file, buffer, path, ..
    } = place;
    match name {
        "getppid" => timed(BATCH, || {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        }),
        "stat" => timed(BATCH, || Ok(rustix::fs::stat(&*path).map(drop)?)),
        "open+close" => timed(BATCH, || {
            drop(open(path)?);
            Ok(())
        }),
        "pread 4 KiB" => timed(BATCH, || {
            exactly(4096, rustix::io::pread(&*file, &mut **buffer, 0)?)
        }),
        "pread 1 B" => timed(BATCH, || {
            exactly(1, rustix::io::pread(&*file, &mut buffer[..1], 0)?)
        }),
        "write 4 KiB" => timed(BATCH, || {
            exactly(4096, rustix::io::pwrite(&*file, buffer, 0)?)
        }),
        "mmap+munmap" => timed(BATCH, || map(file)),
        "pipe write+read" => pipe(),
        "fork+exec+exit" => median(BATCHES, 1, process, || Ok(())),
        "tcp connect+accept+close" => connections(),
        "tcp send 16 KiB+receive" => stream(),
        "udp send 512 B" => datagrams(false),
        "udp send+receive 512 B" => datagrams(true),
        "create+write+close+unlink" => create(&place.directory, buffer),
        "first read of a file" => first_reads(&place.directory, buffer),
        _ => bail!("no operation of this name"),
    }
}

fn timed(batch: usize, act: impl FnMut() -> Result<()>) -> Result<Figures> {
    median(BATCHES, batch, act, || Ok(()))
}

/// `after` comes after each batch and is not measured.
fn median(
    batches: usize,
    batch: usize,
    mut act: impl FnMut() -> Result<()>,
    mut after: impl FnMut() -> Result<()>,
) -> Result<Figures> {
    let mut taken = Vec::with_capacity(batches);
    for number in 0..WARM_UP + batches {
        let before = instructions();
        for _ in 0..batch {
            act()?;
        }
        let instructions = instructions() - before;
        after()?;
        if number >= WARM_UP {
            taken.push(instructions / batch as u64);
        }
    }
    taken.sort_unstable();
    Ok(Figures {
        median: taken[batches / 2],
        times: ((WARM_UP + batches) * batch) as u64,
    })
}

pub(crate) fn instructions() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// As the C library's `open` does it.
fn open(path: &Path) -> Result<rustix::fd::OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn exactly(expected: usize, found: usize) -> Result<()> {
    ensure!(found == expected, "{found} bytes instead of {expected}");
    Ok(())
}

fn map(file: &File) -> Result<()> {
    // SAFETY: the kernel chooses a free place, nothing refers to it, and it is unmapped at once.
    unsafe {
        let place = rustix::mm::mmap(
            ptr::null_mut(),
            4096,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file,
            0,
        )?;
        rustix::mm::munmap(place, 4096)?;
    }
    Ok(())
}

fn pipe() -> Result<Figures> {
    let (output, input) = rustix::pipe::pipe()?;
    let mut byte = [0];
    timed(BATCH, || {
        exactly(1, rustix::io::write(&input, b".")?)?;
        exactly(1, rustix::io::read(&output, &mut byte)?)
    })
}

/// A child that becomes a small static program, ends at once, and is waited for.
fn process() -> Result<()> {
    let arguments = [c"busybox".as_ptr(), c"true".as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    // SAFETY: this process has one thread; the child only calls what may be called between fork and exec, with lists that
    // end with a null pointer.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::execve(
                c"/usr/bin/busybox".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            );
            libc::_exit(127);
        }
        child
    };
    let child = rustix::process::Pid::from_raw(child).context("failed to fork")?;
    let (_, status) = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?
        .context("the child cannot be waited for")?;
    ensure!(status.exit_status() == Some(0), "the child: {status:?}");
    Ok(())
}

fn connections() -> Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    timed(FLOW_BATCH, || {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        drop((client, server));
        Ok(())
    })
}

fn stream() -> Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let sent = vec![b'.'; TCP_BYTES];
    let mut received = vec![0; TCP_BYTES];
    timed(FLOW_BATCH, || {
        client.write_all(&sent)?;
        Ok(server.read_exact(&mut received)?)
    })
}

/// Receiving counts, or comes after each batch.
fn datagrams(received: bool) -> Result<Figures> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to: SocketAddr = receiver.local_addr()?;
    let sent = [b'.'; UDP_BYTES];
    let send = || exactly(UDP_BYTES, sender.send_to(&sent, to)?);
    let receive = || exactly(UDP_BYTES, receiver.recv(&mut [0; UDP_BYTES])?);
    if received {
        return timed(BATCH, || send().and_then(|()| receive()));
    }
    median(BATCHES, BATCH, send, || {
        (0..BATCH).try_for_each(|_| receive())
    })
}

/// A file that is there for a moment.
fn create(directory: &Path, content: &[u8]) -> Result<Figures> {
    let path = directory.join("made");
    timed(FRESH_BATCH, || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)?;
        exactly(content.len(), rustix::io::write(&file, content)?)?;
        drop(file);
        Ok(rustix::fs::unlink(&path)?)
    })
}

/// Opens, reads and closes files that nobody has read since the programs run.
fn first_reads(directory: &Path, buffer: &mut [u8]) -> Result<Figures> {
    let paths: Vec<PathBuf> = (0..FRESH_FILES)
        .map(|number| directory.join(fresh_file(number)))
        .collect();
    let mut next = paths.iter();
    timed(FRESH_BATCH, || {
        let path = next.next().context("all files have been read")?;
        let file = open(path)?;
        exactly(4096, rustix::io::read(&file, &mut *buffer)?)
    })
}
