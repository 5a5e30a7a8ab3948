//! Findings as lines of a file, each exactly once.
//!
//! The cursor names the file and its length. A line is appended and synced, then the cursor is moved. After a crash
//! between the two, what is behind the cursor says what was written: lines that are the next findings count as
//! delivered, a torn last line is cut off and written anew. A new file is known to the cursor before its first line is
//! written. The file may be rotated by renaming it: the next line goes to a new file at the path. Whatever somebody
//! else appended is left alone, and said.
//!
//! One case cannot be told apart: a crash between append and cursor, and the file is renamed before the next start.
//! Then the last few lines come again in the new file.
//!
//! **Invariant:** nothing is cut off the file but the torn beginning of a line this sink was about to write.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{PAGE, SinkError};
use crate::alerts::{AlertStore, Cursor, Entry};

/// Name of the sink, and key of its cursor.
const NAME: &str = "file";
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the sink's thread. It ends when `newest` is closed and everything is written, or cannot be.
pub fn spawn(
    store: AlertStore,
    path: PathBuf,
    newest: watch::Receiver<i64>,
    runtime: Handle,
) -> Result<JoinHandle<()>, std::io::Error> {
    std::thread::Builder::new()
        .name("sink-file".into())
        .spawn(move || run(&store, &path, newest, &runtime))
}

fn run(store: &AlertStore, path: &Path, mut newest: watch::Receiver<i64>, runtime: &Handle) {
    let mut open = None;
    loop {
        newest.mark_unchanged();
        let done = deliver(store, path, &mut open);
        if let Err(error) = &done {
            tracing::error!(%error, "findings cannot be written to the file; they are kept");
            open = None;
        }
        let wait = async {
            match done {
                Ok(()) => newest.changed().await,
                Err(_) => tokio::time::timeout(RETRY, newest.changed())
                    .await
                    .unwrap_or(Ok(())),
            }
        };
        if runtime.block_on(wait).is_err() {
            // Closed: what was raised before the end is still to be written.
            if let Err(error) = deliver(store, path, &mut open) {
                tracing::error!(%error, "findings were not written before the end; they are at the next start");
            }
            return;
        }
    }
}

/// Writes everything that is not written yet.
pub fn deliver(store: &AlertStore, path: &Path, open: &mut Option<File>) -> Result<(), SinkError> {
    let failed = |source| SinkError::File {
        path: path.to_owned(),
        source,
    };
    let mut cursor = store.cursor(NAME)?;
    loop {
        let entries = store.entries_after(cursor.position, PAGE)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut file = reopen(path, open.take()).map_err(failed)?;
        if catch_up(&mut file, path, &mut cursor, &entries).map_err(failed)? {
            store.set_cursor(NAME, &cursor)?;
        } else {
            append(&mut file, &mut cursor, &entries).map_err(failed)?;
            store.set_cursor(NAME, &cursor)?;
        }
        *open = Some(file);
    }
}

/// The file at the path: the one that is open if it is still that one, else opened or made.
fn reopen(path: &Path, open: Option<File>) -> Result<File, std::io::Error> {
    match open {
        Some(file) if file_id(&file)? == path_id(path) => Ok(file),
        // Findings are about staff and patients: the group may read them, nobody else.
        _ => OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path),
    }
}

/// Brings the cursor to the end of the file before anything is written behind it. True when it has moved and is to be
/// kept first: only then can the next start tell what was written from what was there.
fn catch_up(
    file: &mut File,
    path: &Path,
    cursor: &mut Cursor,
    entries: &[Entry],
) -> Result<bool, std::io::Error> {
    let id = file_id(file)?;
    let same_file = id == cursor.file_id;
    if same_file {
        let written = take_back(file, cursor.file_length, entries)?;
        if let Some(last) = written.checked_sub(1).and_then(|last| entries.get(last)) {
            cursor.position = last.position;
        } else if file.metadata()?.len() == cursor.file_length {
            return Ok(false);
        }
    }
    if !ends_with_newline(file)? {
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    if !same_file {
        sync_directory(path)?;
    }
    cursor.file_id = id;
    cursor.file_length = file.metadata()?.len();
    Ok(true)
}

/// Appends entries at the end, where the cursor is, and moves it along.
fn append(file: &mut File, cursor: &mut Cursor, entries: &[Entry]) -> Result<(), std::io::Error> {
    let mut lines = Vec::new();
    for entry in entries {
        lines.extend_from_slice(entry.finding.as_bytes());
        lines.push(b'\n');
    }
    file.write_all(&lines)?;
    file.sync_all()?;
    if let Some(last) = entries.last() {
        cursor.position = last.position;
    }
    cursor.file_length += lines.len() as u64;
    Ok(())
}

/// Finds how many of the entries are behind the cursor's place already; cuts off a torn one.
fn take_back(file: &mut File, length: u64, entries: &[Entry]) -> Result<usize, std::io::Error> {
    if file.metadata()?.len() <= length {
        return Ok(0);
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length))?;
    file.read_to_end(&mut tail)?;
    let mut rest = tail.as_slice();
    for (index, entry) in entries.iter().enumerate() {
        if rest.is_empty() {
            return Ok(index);
        }
        let line = [entry.finding.as_bytes(), b"\n"].concat();
        if let Some(after) = rest.strip_prefix(line.as_slice()) {
            rest = after;
        } else if line.starts_with(rest) {
            file.set_len(length + (tail.len() - rest.len()) as u64)?;
            return Ok(index);
        } else {
            tracing::warn!(
                bytes = rest.len(),
                "somebody else wrote to the file of findings; their bytes are left alone"
            );
            return Ok(index);
        }
    }
    Ok(entries.len())
}

/// True for an empty file too: a line can begin.
fn ends_with_newline(file: &mut File) -> Result<bool, std::io::Error> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn file_id(file: &File) -> Result<String, std::io::Error> {
    let metadata = file.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// The file at the path now; empty when there is none.
fn path_id(path: &Path) -> String {
    std::fs::metadata(path).map_or(String::new(), |metadata| {
        format!("{}:{}", metadata.dev(), metadata.ino())
    })
}

/// Makes the name of a new file durable.
fn sync_directory(path: &Path) -> Result<(), std::io::Error> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
