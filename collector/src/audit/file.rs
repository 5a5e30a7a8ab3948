//! The log on the disk: appending under a lock, with what a crash or a cut has left of it said in the log itself.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::chain::{self, Hash};
use super::{Action, AuditError, DIRECTORY, Entry, HEAD, LINE_MAX, LOG, Stored, Who};

/// How long to wait for somebody else who appends.
const LOCK_WITHIN: Duration = Duration::from_secs(5);
const LOCK_AGAIN: Duration = Duration::from_millis(5);

/// The log, open for one who appends.
#[derive(Debug)]
pub struct Audit {
    who: Who,
    directory: PathBuf,
    /// One at a time also within the process, so that waiting is not counted as another's fault.
    file: Mutex<File>,
}

/// What was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Number of the entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// The end of a log.
#[derive(Debug, Default)]
struct Tail {
    seq: u64,
    hash: Hash,
    /// Bytes behind the last entry that are none.
    torn: Vec<u8>,
    /// Where these begin.
    at: u64,
}

impl Audit {
    /// Opens the log of a data directory for `who`, or makes it. Made by root, it belongs to the directory's owner all the same.
    ///
    /// # Errors
    ///
    /// It cannot be made or written to.
    pub fn open(data_dir: &Path, who: Who) -> Result<Self, AuditError> {
        let directory = data_dir.join(DIRECTORY);
        let failed = |file: &Path, source| io(file, source);
        let made = DirBuilder::new().mode(0o750).create(&directory);
        match made {
            Ok(()) => {
                share(&directory, data_dir, 0o750)?;
                sync(data_dir)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&directory, source)),
        }
        let log = directory.join(LOG);
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o640);
        let file = match options.clone().create_new(true).open(&log) {
            Ok(file) => {
                share(&log, &directory, 0o640)?;
                sync(&directory)?;
                file
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                options.open(&log).map_err(|source| failed(&log, source))?
            }
            Err(source) => return Err(failed(&log, source)),
        };
        Ok(Self {
            who,
            directory,
            file: Mutex::new(file),
        })
    }

    /// Whether an entry could be appended now: for what must not be done without one.
    ///
    /// # Errors
    ///
    /// As [`Self::append`].
    pub fn ready(&self) -> Result<(), AuditError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (locked, log) = (lock(&file, &self.log(), true)?, self.log());
        tail(locked.0, &log).map(drop)
    }

    /// Appends an entry. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The log cannot be written to, or its end is not one of a log. The entry is not in it, or cannot be believed to be.
    pub fn append(&self, entry: &Entry) -> Result<Appended, AuditError> {
        let log = self.log();
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let locked = lock(&file, &log, true)?;
        let mut file = locked.0;
        let tail = tail(file, &log)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        let (mut seq, mut hash) = (tail.seq, tail.hash);
        let mut text = String::new();
        if tail.torn.last().is_some_and(|last| *last != b'\n') {
            text.push('\n');
        }
        let repairs = [torn(&tail), self.missing(&tail)?];
        for entry in repairs.iter().flatten().chain([entry]) {
            seq += 1;
            let canonical = entry.canonical(seq, now, &self.who);
            if canonical.len() as u64 > LINE_MAX / 2 {
                return Err(AuditError::Long(canonical.len()));
            }
            let (line, next) = chain::line(hash, &canonical);
            hash = next;
            text += &line;
            text.push('\n');
        }
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|source| io(&log, source))?;
        let appended = Appended { seq, hash };
        write_head(&self.directory, appended)?;
        tracing::info!(seq, what = entry.what.name(), %hash, "audit");
        Ok(appended)
    }

    /// The data directory it lies in.
    pub(super) fn data_dir(&self) -> &Path {
        self.directory.parent().unwrap_or(Path::new("."))
    }

    fn log(&self) -> PathBuf {
        self.directory.join(LOG)
    }

    /// What is said when the head is further than the log: its end was cut off.
    fn missing(&self, tail: &Tail) -> Result<Option<Entry>, AuditError> {
        let head = read_head(&self.directory)?.and_then(Result::ok);
        Ok(head.filter(|head| head.seq > tail.seq).map(|head| {
            Entry::new(Action::EntriesMissing)
                .counting("last_there", tail.seq)
                .counting("last_written", head.seq)
                .with("its_hash", &head.hash.to_string())
        }))
    }
}

/// What is said of bytes that a crash has left of a line.
fn torn(tail: &Tail) -> Option<Entry> {
    (!tail.torn.is_empty()).then(|| {
        Entry::new(Action::LineTorn)
            .counting("offset", tail.at)
            .counting("bytes", tail.torn.len() as u64)
            .with("sha256", &Hash::of_bytes(&tail.torn).to_string())
    })
}

/// Holds the lock of a file until it is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a>(pub(super) &'a File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked when it is closed.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the audit log cannot be unlocked");
        }
    }
}

/// Takes the lock, alone or with other readers.
pub(super) fn lock<'a>(file: &'a File, log: &Path, alone: bool) -> Result<Locked<'a>, AuditError> {
    let began = Instant::now();
    loop {
        let tried = if alone {
            file.try_lock()
        } else {
            file.try_lock_shared()
        };
        match tried {
            Ok(()) => return Ok(Locked(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WITHIN => {
                std::thread::sleep(LOCK_AGAIN);
            }
            Err(TryLockError::WouldBlock) => return Err(AuditError::Busy(log.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(log, source)),
        }
    }
}

/// Reads the end of a log: its last entry, and what lies behind it.
fn tail(mut file: &File, log: &Path) -> Result<Tail, AuditError> {
    let failed = |source| io(log, source);
    let length = file.metadata().map_err(failed)?.len();
    let mut window = 8 * 1024;
    loop {
        let from = length.saturating_sub(window);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        file.take(length - from)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if let Some(tail) = last_entry(&bytes, from) {
            return Ok(tail);
        }
        if from == 0 {
            return match bytes.len() {
                0 => Ok(Tail::default()),
                // Not a single entry: the very first line was torn, or this is another file.
                _ if bytes.contains(&b'\n') => Err(AuditError::Damaged(log.to_owned())),
                _ => Ok(Tail {
                    torn: bytes,
                    ..Tail::default()
                }),
            };
        }
        if window > 2 * LINE_MAX {
            return Err(AuditError::Damaged(log.to_owned()));
        }
        window *= 4;
    }
}

/// The last whole entry among bytes that begin at an offset.
fn last_entry(bytes: &[u8], from: u64) -> Option<Tail> {
    let mut end = bytes.len();
    while let Some(newline) = bytes[..end].iter().rposition(|byte| *byte == b'\n') {
        let start = bytes[..newline]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|before| before + 1);
        // The first line of a window may be the end of one.
        let start = start.or((from == 0).then_some(0))?;
        let stored = chain::split(&bytes[start..newline])
            .and_then(|(hash, entry)| Some((hash, serde_json::from_str::<Stored>(entry).ok()?)));
        if let Some((hash, stored)) = stored {
            let behind = newline + 1;
            return Some(Tail {
                seq: stored.seq,
                hash,
                torn: bytes[behind..].to_vec(),
                at: from + behind as u64,
            });
        }
        end = newline;
    }
    None
}

/// What stands in a head file; `None` when there is none.
type HeadFile = Option<Result<Appended, String>>;

/// The head as it was written: number and hash, or the text that is neither. `None` when there is none.
pub(super) fn read_head(directory: &Path) -> Result<HeadFile, AuditError> {
    let path = directory.join(HEAD);
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => file
            .take(256)
            .read_to_string(&mut text)
            .map_err(|source| io(&path, source))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(&path, source)),
    };
    let parsed = text.trim_end().split_once(' ').and_then(|(seq, hash)| {
        let (seq, hash) = (seq.parse().ok()?, Hash::parse(hash)?);
        Some(Appended { seq, hash })
    });
    Ok(Some(parsed.ok_or(text)))
}

/// Replaces the head as one.
fn write_head(directory: &Path, head: Appended) -> Result<(), AuditError> {
    let (path, fresh) = (directory.join(HEAD), directory.join("head.new"));
    let write = || {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&fresh)?;
        writeln!(file, "{} {}", head.seq, head.hash)?;
        file.sync_data()
    };
    write().map_err(|source| io(&fresh, source))?;
    share(&fresh, directory, 0o640)?;
    std::fs::rename(&fresh, &path).map_err(|source| io(&path, source))
}

/// Gives what root makes to the owner of what lies around it, so that the daemon can go on with it; and lets the group read it, whatever the
/// mask of who made it: tokens are made with a narrow one.
fn share(made: &Path, around: &Path, mode: u32) -> Result<(), AuditError> {
    std::fs::set_permissions(made, Permissions::from_mode(mode))
        .map_err(|source| io(made, source))?;
    let owner = |path: &Path| {
        let metadata = std::fs::metadata(path).map_err(|source| io(path, source))?;
        Ok((metadata.uid(), metadata.gid()))
    };
    let (uid, gid) = owner(around)?;
    if rustix::process::geteuid().is_root() && owner(made)? != (uid, gid) {
        std::os::unix::fs::chown(made, Some(uid), Some(gid)).map_err(|source| io(made, source))?;
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), AuditError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io(directory, source))
}

pub(super) fn io(file: &Path, source: std::io::Error) -> AuditError {
    AuditError::Io {
        file: file.to_owned(),
        source,
    }
}

/// The log of a data directory, to be read, with the length it has now and what the head says; whoever appends meanwhile is waited for.
pub(super) fn open_to_read(data_dir: &Path) -> Result<(File, u64, HeadFile), AuditError> {
    let directory = data_dir.join(DIRECTORY);
    let log = directory.join(LOG);
    let file = File::open(&log).map_err(|source| match source.kind() {
        ErrorKind::NotFound => AuditError::Missing(log.clone()),
        _ => io(&log, source),
    })?;
    let locked = lock(&file, &log, false)?;
    let length = file.metadata().map_err(|source| io(&log, source))?.len();
    let head = read_head(&directory)?;
    drop(locked);
    Ok((file, length, head))
}

/// Hands on the entries of a log, in order, as they stand there; what is none is left to [`super::verify`].
///
/// # Errors
///
/// The log cannot be read, or whoever takes the entries says so.
pub fn read<E: From<AuditError>>(
    data_dir: &Path,
    mut each: impl FnMut(&str, Stored) -> Result<(), E>,
) -> Result<u64, E> {
    let log = data_dir.join(DIRECTORY).join(LOG);
    let (file, length, _) = open_to_read(data_dir)?;
    let mut reader = BufReader::new(file.take(length));
    let mut line = Vec::new();
    let mut strange = 0;
    while next_line(&mut reader, &mut line).map_err(|source| io(&log, source))? {
        let split = chain::split(line.strip_suffix(b"\n").unwrap_or(&line));
        let stored = split.and_then(|(_, entry)| Some((entry, serde_json::from_str(entry).ok()?)));
        match stored {
            Some((entry, stored)) => each(entry, stored)?,
            None => strange += 1,
        }
    }
    Ok(strange)
}

/// The next line with its end, or as much of it as a line may have. False at the end.
pub(super) fn next_line(
    reader: &mut impl std::io::BufRead,
    line: &mut Vec<u8>,
) -> Result<bool, std::io::Error> {
    line.clear();
    Ok(reader.take(LINE_MAX).read_until(b'\n', line)? > 0)
}
