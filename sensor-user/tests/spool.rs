//! The disk spool against what hosts do to it: killed between and within writes, a disk that is full or read-only.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use sensor_user::metrics::Metrics;
use sensor_user::spool::{About, Block, Class, Disk, Encoding, LossKind, Spool, Writer};

/// Set when this program is to play a part for itself: the part and the spool's directory.
const PART: &str = "CHARTWATCH_SPOOL_PART";
const PLACE: &str = "CHARTWATCH_SPOOL_PLACE";
/// Sensors that are killed one after the other.
const KILLS: u64 = 40;

fn main() -> ExitCode {
    let place = || PathBuf::from(std::env::var_os(PLACE).unwrap());
    match std::env::var(PART).as_deref() {
        Ok("writes") => writes(&place()),
        Ok("full") => full(&place()),
        Ok("crowded") => crowded(&place()),
        Ok("read-only") => read_only(&place()),
        Ok("turns") => turns_read_only(&place()),
        _ => return tests(),
    }
    ExitCode::SUCCESS
}

fn tests() -> ExitCode {
    let root = rustix::process::geteuid().is_root();
    let tmpfs = "mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\"";
    let mounted = |name, part: &'static str, script: &'static str, options: &'static str| {
        Trial::test(name, move || in_a_mount(part, script, options))
            .with_ignored_flag(!root)
            .with_kind(if root { "" } else { "skipped: needs root" })
    };
    let mut trials = vec![
        Trial::test(
            "what was on the disk outlives forty kills and the rest is told to be lost",
            kills,
        ),
        mounted(
            "a full disk costs what does not fit into memory, and works again when there is room",
            "full",
            tmpfs,
            "size=8m",
        ),
        mounted(
            "a disk that is full while the least has to go: all is delivered or told, and what is worth most is delivered",
            "crowded",
            tmpfs,
            "size=8m",
        ),
        mounted(
            "a read-only disk leaves memory, and works again when it can be written to",
            "read-only",
            tmpfs,
            "size=8m,ro",
        ),
    ];
    trials.extend(on_ext4(root));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A script that mounts an image of ext4 of this size on a loop device, made with these options; an error of the disk can turn it
/// read-only.
fn ext4(size: &str, made: &str) -> String {
    format!(
        "
truncate -s {size} \"$2.image\" && mkfs.ext4 -q -F {made} \"$2.image\" || exit 1
device=$(losetup --find --show \"$2.image\") || exit 1
mount -o \"$1\" \"$device\" \"$2\" && CHARTWATCH_SPOOL_ERROR=/sys/fs/ext4/${{device##*/}}/trigger_fs_error \"$3\"
code=$?
umount \"$2\"
losetup --detach \"$device\"
rm \"$2.image\"
exit $code"
    )
}

/// Tests on such an image.
fn on_ext4(root: bool) -> [Trial; 2] {
    let lacks = ["/dev/loop-control", "/sys/fs/ext4", "/usr/sbin/mkfs.ext4"]
        .into_iter()
        .find(|path| !Path::new(path).exists());
    let kind = match lacks {
        _ if !root => "skipped: needs root".to_owned(),
        Some(path) => format!("skipped: no {path} here"),
        None => String::new(),
    };
    let trial = |name, part: &'static str, script: String, options: &'static str| {
        Trial::test(name, move || in_a_mount(part, &script, options))
            .with_ignored_flag(!kind.is_empty())
            .with_kind(kind.clone())
    };
    [
        trial(
            "a disk that turns read-only under the sensor is read on, and memory takes the rest",
            "turns",
            ext4("32M", ""),
            "errors=remount-ro",
        ),
        trial(
            "a small disk of ext4 that is full costs what does not fit into memory",
            "full",
            ext4("10M", "-O ^has_journal -m 0"),
            "rw",
        ),
    ]
}

/// A spool with 2 MiB of memory.
struct Bench {
    spool: Arc<Spool>,
    writer: Writer,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn open(place: &Path) -> Self {
        Self::of(place, 1 << 30)
    }

    fn of(place: &Path, bytes_max: u64) -> Self {
        let disk = Disk {
            directory: place.join("spool"),
            bytes_max,
            age_max: Duration::from_hours(1),
            keep: Duration::from_hours(1),
            commit_every: Duration::from_millis(1),
            retry_every: Duration::from_millis(20),
        };
        let metrics = Arc::new(Metrics::default());
        let (spool, writer) =
            Spool::on_disk(1_000_000, 2 << 20, disk, Arc::clone(&metrics)).unwrap();
        Self {
            spool,
            writer,
            metrics,
        }
    }

    /// Offers a batch with a mark; false when it does not fit.
    fn offer(&self, mark: u64, bytes: usize) -> bool {
        let mut payload = mark.to_le_bytes().to_vec();
        payload.resize(bytes, 7);
        let class = match mark % 10 {
            0 => Class::Evidence,
            _ => Class::Reads,
        };
        let block = Block {
            events: 1,
            stands_for: 0,
            about: About {
                class,
                ..About::default()
            },
            encoding: Encoding::Plain,
            payload,
        };
        self.spool.offer(block).is_ok()
    }

    /// Delivers all there is, as the link does: the marks of each epoch by number.
    async fn deliver(&self) -> BTreeMap<u128, Vec<(u64, u64)>> {
        let mut delivered: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut turns = 0;
        while self.spool.depth().events > 0 {
            let (epoch, first) = self.spool.turn();
            turns += 1;
            // Ordered by their turn, whatever their names.
            let place = (turns << 64) | (epoch.as_u128() >> 64);
            let mut sent = first - 1;
            while let Some(batch) = self.spool.after(epoch, sent).await {
                assert!(batch.follows <= sent, "no hole but what was given up");
                sent = batch.last_seq;
                let mark = u64::from_le_bytes(batch.payload[..8].try_into().unwrap());
                let of = delivered.entry(place).or_default();
                of.push((batch.first_seq, mark));
                self.spool.persisted(epoch, sent).unwrap();
            }
        }
        delivered
    }
}

fn deliver(bench: &Bench) -> Vec<Vec<(u64, u64)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench.deliver()).into_values().collect()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Part: offers batches for ever, and says how many are on the disk whenever that is more.
fn writes(place: &Path) {
    let bench = Bench::open(place);
    let mut out = std::io::stdout();
    let mut said = 0;
    for mark in 1.. {
        // Sizes that put the ends of batches everywhere in a page.
        while !bench.offer(mark, 8 + (mark as usize * 397) % 6_000) {
            std::thread::yield_now();
        }
        // Kills should find all kinds of moments, not megabytes.
        std::thread::sleep(Duration::from_micros(100));
        let committed = bench.spool.committed();
        if committed > said {
            said = committed;
            writeln!(out, "{said}").unwrap();
            out.flush().unwrap();
        }
    }
}

fn part(name: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PART, name).env(PLACE, place);
    command
}

fn kills() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let mut on_disk = Vec::new();
    for round in 0..KILLS {
        let mut child = part("writes", place.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first few commits, in which the tables are made, and later ones.
        let last = (said.nth(round as usize * 3 % 17)).ok_or("it ended by itself")??;
        child.kill()?;
        child.wait()?;
        // What it said after that was on the disk as well.
        let last = said.last().transpose()?.unwrap_or(last);
        on_disk.push(last.parse::<u64>()?);
    }
    let bench = Bench::open(place.path());
    let losses = bench.spool.take_losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!((losses[0].kind, losses[0].count), (LossKind::Killed, 0));
    assert!(losses[0].from_unix_ns < losses[0].to_unix_ns);
    let epochs = deliver(&bench);
    assert_eq!(epochs.len(), on_disk.len());
    for (round, (batches, committed)) in epochs.iter().zip(on_disk).enumerate() {
        let dense: Vec<_> = (1..=batches.len() as u64).map(|n| (n, n)).collect();
        assert_eq!(*batches, dense, "round {round}");
        assert!(dense.len() as u64 >= committed, "round {round}");
    }
    assert_eq!(bench.metrics.spool_damaged.get(), 0);
    bench.spool.close();
    bench.writer.finish();
    Ok(())
}

/// Plays a part in a mount namespace of its own, where the spool's directory is in a small file system.
fn in_a_mount(name: &str, script: &str, options: &str) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", options])
        .arg(place.path())
        .arg(std::env::current_exe()?)
        .env(PART, name)
        .env(PLACE, place.path())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Part: the disk is filled, and gets room again.
fn full(place: &Path) {
    let ballast = place.join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let bench = Bench::open(place);
    let (mut taken, mut refused) = (0, 0);
    let began = Instant::now();
    while refused < 20 {
        assert!(began.elapsed() < Duration::from_secs(20), "never full");
        if bench.offer(taken + 1, 50_000) {
            taken += 1;
        } else if bench.metrics.spool_failures.get() > 0 {
            refused += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(bench.spool.committed() > 20, "{}", bench.spool.committed());
    assert!(bench.spool.volatile_events() > 20);
    assert_eq!(
        bench.spool.depth().events,
        taken,
        "nothing that was taken is lost"
    );
    std::fs::remove_file(ballast).unwrap();
    until("everything on the disk", || {
        bench.spool.committed() == taken
    });
    assert!(bench.offer(taken + 1, 50_000));
    let epochs = deliver(&bench);
    let dense: Vec<_> = (1..=taken + 1).map(|n| (n, n)).collect();
    assert_eq!(epochs, [dense]);
    assert_eq!(bench.spool.take_losses(), []);
    bench.spool.close();
    bench.writer.finish();
}

/// Part: the disk is filled by others while the spool gives up what is worth least.
fn crowded(place: &Path) {
    let bench = Bench::of(place, 2 << 20);
    let (mut last, mut lost) = (0, 0);
    let offer = |last: &mut u64| {
        if bench.offer(*last + 1, 30_000) {
            *last += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    while bench.metrics.spool_evicted.get() == 0 {
        assert!(last < 1_000, "nothing goes");
        offer(&mut last);
    }
    let ballast = place.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    // Until there is not a byte more.
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    // The log of the database has room of its own, which may do for many rounds.
    for _ in 0..400 {
        offer(&mut last);
    }
    std::fs::remove_file(ballast).unwrap();
    until("all on the disk", || bench.spool.committed() == last);
    for loss in bench.spool.take_losses() {
        assert_eq!(loss.kind, LossKind::Full);
        assert_eq!(loss.what.unwrap().class, Class::Reads);
        lost += loss.count;
    }
    let delivered = deliver(&bench).concat();
    assert_eq!(delivered.len() as u64 + lost, last);
    let came: Vec<u64> = delivered.iter().map(|(_, mark)| *mark).collect();
    for mark in (10..=last).step_by(10) {
        assert!(came.contains(&mark), "{mark} is worth most and went");
    }
    assert_eq!(bench.spool.take_losses(), []);
    bench.spool.close();
    bench.writer.finish();
}

/// Part: the file system is read-only at the start, and later no longer.
fn read_only(place: &Path) {
    let bench = Bench::open(place);
    for mark in 1..=10 {
        assert!(bench.offer(mark, 100));
    }
    until("two attempts", || bench.metrics.spool_failures.get() > 1);
    assert_eq!(
        (bench.spool.committed(), bench.spool.volatile_events()),
        (0, 10)
    );
    let writable = Command::new("mount")
        .args(["-o", "remount,rw"])
        .arg(place)
        .status();
    assert!(writable.unwrap().success());
    until("everything on the disk", || bench.spool.committed() == 10);
    let dense: Vec<_> = (1..=10).map(|n| (n, n)).collect();
    assert_eq!(deliver(&bench), [dense]);
    bench.spool.close();
    bench.writer.finish();
}

/// Part: the file system finds an error and turns read-only.
fn turns_read_only(place: &Path) {
    let bench = Bench::open(place);
    for mark in 1..=60 {
        assert!(bench.offer(mark, 100_000));
        until("on the disk", || bench.spool.committed() == mark);
    }
    std::fs::write(std::env::var_os("CHARTWATCH_SPOOL_ERROR").unwrap(), "test").unwrap();
    for mark in 61..=70 {
        assert!(bench.offer(mark, 100_000));
    }
    until("said", || bench.metrics.spool_failures.get() > 1);
    assert_eq!(
        (bench.spool.committed(), bench.spool.volatile_events()),
        (60, 10)
    );
    let dense: Vec<_> = (1..=70).map(|n| (n, n)).collect();
    assert_eq!(deliver(&bench), [dense]);
    assert!(bench.offer(71, 100_000));
    assert_eq!(deliver(&bench).concat(), [(71, 71)]);
    bench.spool.close();
    bench.writer.finish();
}
