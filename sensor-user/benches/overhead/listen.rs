//! A small listener of fanotify, for comparison: told of each open, read, write and close on a mount, it finds out which
//! file it was, and forgets it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// First argument of the process that listens; the second is a path on the mount.
pub(crate) const LISTENER: &str = "listen";

const WATCHED: u64 = libc::FAN_OPEN | libc::FAN_ACCESS | libc::FAN_MODIFY | libc::FAN_CLOSE;
/// Bytes of `struct fanotify_event_metadata`, and where in it the file's descriptor is.
const EVENT: usize = 24;
const FD: usize = 16;

/// Listens until it is ended.
pub(crate) fn listen(path: &Path) -> Result<()> {
    let mut events = mark(path).context("fanotify")?;
    let mut out = io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut buffer = [0; 4096];
    loop {
        let length = events.read(&mut buffer)?;
        for event in buffer[..length].chunks_exact(EVENT) {
            let number: [u8; 4] = event[FD..FD + 4].try_into()?;
            look(RawFd::from_ne_bytes(number));
        }
    }
}

fn mark(path: &Path) -> Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the descriptor that the first call gives is nobody else's, and the path ends with a zero.
    unsafe {
        let group = libc::fanotify_init(
            libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC,
            (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE) as u32,
        );
        if group < 0 {
            return Err(io::Error::last_os_error().into());
        }
        let events = File::from_raw_fd(group);
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_MOUNT;
        if libc::fanotify_mark(group, flags, WATCHED, libc::AT_FDCWD, path.as_ptr()) < 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(events)
    }
}

/// Which file it is; the queue's own overflow has none.
fn look(number: RawFd) {
    if number < 0 {
        return;
    }
    // SAFETY: the kernel opened the file for this process with the event, and nobody else knows of it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // A file that is gone has no name; what is measured is the looking.
    std::hint::black_box(name.ok());
}
