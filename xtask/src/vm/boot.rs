//! Starts QEMU, follows its two serial lines, and ends it at the latest when its time is up.
//!
//! The first line is the kernel's console and goes to a file; the second carries the results and comes through the
//! emulator's standard output. Emulation is plain TCG: it works where nothing may use KVM.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::results::Results;
use super::share::Share;
use crate::step::ending_with_us;

const EMULATOR: &str = "qemu-system-x86_64";

/// How often the one who watches is told that time passes.
const TICK: Duration = Duration::from_secs(1);
/// A machine is up within seconds, and within a minute or two where much else runs.
const UP_WITHIN: Duration = Duration::from_mins(5);

/// One machine, about to be started.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The kernel's image.
    pub(crate) image: PathBuf,
    /// The archive it boots with.
    pub(crate) initramfs: PathBuf,
    /// A file that is its disk.
    pub(crate) disk: Option<PathBuf>,
    /// The host's files, given to it for reading.
    pub(crate) share: Option<Share>,
    /// The kernel's command line.
    pub(crate) append: String,
    /// Memory in MB.
    pub(crate) memory_mb: u32,
    /// Where the console goes.
    pub(crate) console: PathBuf,
    /// When the machine is ended at the latest.
    pub(crate) limit: Duration,
    /// Has the machine's clock count instructions; it then has one CPU.
    pub(crate) counted: bool,
}

/// An emulator as fast as it goes.
const FAST: &[&str] = &["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"];

/// One whose clock advances by one nanosecond for each instruction, and jumps over idle time. Each byte of a `rep movsb` is an
/// instruction to it, so the kernel is to believe that those are not worth using.
const COUNTED: &[&str] = &[
    "-accel",
    "tcg",
    "-icount",
    "shift=0,sleep=off",
    "-cpu",
    "max,-erms,-fsrm",
    "-smp",
    "1",
];

/// How a machine ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself: it was switched off, or panicked.
    Itself,
    /// By us, since its time was up.
    TimeUp,
    /// By us, since it did not come up.
    NotUp,
}

/// Runs the machine to its end. `watch` is called on every change and once a second.
///
/// # Errors
/// The emulator is not there, could not be started, or says itself that it failed.
pub(crate) fn run(
    machine: &Machine,
    results: &mut Results,
    watch: &mut dyn FnMut(&Results),
) -> Result<Ended> {
    let complaints = machine.console.with_extension("qemu");
    let mut emulator = start(machine, &complaints)?;
    let output = emulator
        .stdout
        .take()
        .context("the emulator has no standard output")?;
    let (sender, receiver) = channel();
    let reader = std::thread::spawn(move || forward(output, &sender));
    let ended = follow(&receiver, results, machine.limit, watch);
    if ended != Ended::Itself {
        emulator.kill().context("failed to end the emulator")?;
    }
    let status = emulator.wait().context("failed to wait for the emulator")?;
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader of the emulator's output panicked"))?;
    if ended == Ended::Itself && !status.success() {
        bail!(
            "{EMULATOR} failed with {status}: {}",
            tail(&complaints, 10)?
        );
    }
    Ok(ended)
}

/// The last lines of a file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> Result<String> {
    let bytes =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).replace('\r', "");
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

fn start(machine: &Machine, complaints: &Path) -> Result<Child> {
    let complaints = File::create(complaints).context("failed to create the emulator's log")?;
    let console = format!("file:{}", machine.console.display());
    let disk = machine.disk.iter().flat_map(|file| {
        let drive = format!("file={},if=virtio,format=raw,cache=unsafe", file.display());
        ["-drive".to_owned(), drive]
    });
    let share = machine.share.iter();
    let share = share.flat_map(|share| share.options(machine.memory_mb));
    ending_with_us(EMULATOR)
        .args(disk)
        .args(share)
        .args(if machine.counted { COUNTED } else { FAST })
        .arg("-m")
        .arg(format!("{}M", machine.memory_mb))
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nodefaults",
            "-net",
            "none",
        ])
        .args(["-serial", &console, "-serial", "stdio"])
        .arg("-kernel")
        .arg(&machine.image)
        .arg("-initrd")
        .arg(&machine.initramfs)
        .args(["-append", &machine.append])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(complaints)
        .spawn()
        .with_context(|| format!("failed to start setpriv for {EMULATOR} (Debian packages util-linux and qemu-system-x86)"))
}

fn forward(mut output: ChildStdout, sender: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        if sender.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}

fn follow(
    receiver: &Receiver<Vec<u8>>,
    results: &mut Results,
    limit: Duration,
    watch: &mut dyn FnMut(&Results),
) -> Ended {
    let begin = Instant::now();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(bytes) => results.push(&bytes, Instant::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ended::Itself,
        }
        watch(results);
        if begin.elapsed() >= limit {
            return Ended::TimeUp;
        }
        if begin.elapsed() >= UP_WITHIN && !results.is_ready() {
            return Ended::NotUp;
        }
    }
}
