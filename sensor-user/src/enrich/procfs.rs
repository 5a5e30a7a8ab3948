//! What /proc says of a process.
//!
//! A directory is opened once and everything read through it: when the process ends the reads fail, and a later process
//! with the same number is never mistaken for it.
//!
//! **Invariant:** what cannot be read is not known; nothing here waits, and no read is longer than its limit.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::{Errno, read};

use super::{ARGUMENTS_BYTES_MAX, cgroup};
use crate::event::ProcessKey;
use crate::report::{Owner, Scope};

/// Most bytes read of any file but the arguments; they are all shorter unless somebody nests control groups for fun.
const FILE_BYTES_MAX: usize = 8 * 1024;
/// What the kernel writes for a login user or session that is not set.
const UNSET: u32 = u32::MAX;

/// A process file system.
#[derive(Debug)]
pub(super) struct ProcFs {
    root: PathBuf,
}

/// A process that runs, or has only just ended.
#[derive(Debug)]
pub(super) struct Pid {
    directory: OwnedFd,
    /// Number of its parent; 0 for the first process and for kernel threads.
    pub(super) parent: u32,
}

impl ProcFs {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The processes there are, in the order of their numbers, so that most parents come before their children.
    pub(super) fn keys(&self) -> Vec<ProcessKey> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(directory = %self.root.display(), %error, "processes cannot be listed");
                return Vec::new();
            }
        };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut keys: Vec<ProcessKey> = numbers.filter_map(|pid| self.key(pid)).collect();
        keys.sort_unstable();
        keys
    }

    /// The process that has this number now.
    pub(super) fn key(&self, pid: u32) -> Option<ProcessKey> {
        let (_, stat) = self.directory(pid)?;
        Some(ProcessKey {
            pid,
            start_cs: stat.start_cs,
        })
    }

    /// The process itself, if it still runs.
    pub(super) fn open(&self, key: ProcessKey) -> Option<Pid> {
        let (directory, stat) = self.directory(key.pid)?;
        (stat.start_cs == key.start_cs).then_some(Pid {
            directory,
            parent: stat.parent,
        })
    }

    fn directory(&self, pid: u32) -> Option<(OwnedFd, Stat)> {
        if pid == 0 {
            return None;
        }
        let path = self.root.join(pid.to_string());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).ok()?;
        let stat = Stat::parse(&contents(&directory, "stat", FILE_BYTES_MAX).ok()?)?;
        Some((directory, stat))
    }
}

impl Pid {
    /// The executable, as the process's own mount namespace shows it. A kernel thread has none.
    pub(super) fn executable(&self) -> Option<Vec<u8>> {
        readlinkat(&self.directory, "exe", Vec::new())
            .ok()
            .map(std::ffi::CString::into_bytes)
    }

    /// The working directory.
    pub(super) fn cwd(&self) -> Option<PathBuf> {
        let path = readlinkat(&self.directory, "cwd", Vec::new()).ok()?;
        Some(OsString::from_vec(path.into_bytes()).into())
    }

    /// The arguments, each ended by NUL, and whether there are more.
    pub(super) fn arguments(&self) -> (Vec<u8>, bool) {
        let mut bytes =
            contents(&self.directory, "cmdline", ARGUMENTS_BYTES_MAX + 1).unwrap_or_default();
        let more = bytes.len() > ARGUMENTS_BYTES_MAX;
        bytes.truncate(ARGUMENTS_BYTES_MAX);
        (bytes, more)
    }

    /// Unit and container.
    pub(super) fn scope(&self) -> Option<Scope> {
        let text = contents(&self.directory, "cgroup", FILE_BYTES_MAX).ok()?;
        Some(cgroup::scope(&String::from_utf8_lossy(&text)))
    }

    /// Real user id.
    pub(super) fn user(&self, owner: &mut Owner) {
        let Ok(text) = contents(&self.directory, "status", FILE_BYTES_MAX) else {
            return;
        };
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find_map(|line| line.strip_prefix("Uid:"));
        if let Some(uid) = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        {
            owner.uid = uid;
        }
    }

    /// Login user and session. The kernel sets a new session whenever it sets a login user, so an old session spares
    /// asking for the user.
    pub(super) fn login(&self, owner: &mut Owner) {
        let Some(session) = self.number("sessionid") else {
            return;
        };
        let session = (session != UNSET).then_some(session);
        if session.is_some() && session == owner.session {
            return;
        }
        if let Some(user) = self.number("loginuid") {
            owner.session = session;
            owner.login_uid = (user != UNSET).then_some(user);
        }
    }

    fn number(&self, file: &str) -> Option<u32> {
        let text = contents(&self.directory, file, FILE_BYTES_MAX).ok()?;
        std::str::from_utf8(&text).ok()?.trim_ascii().parse().ok()
    }
}

/// What is taken of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    start_cs: u64,
}

impl Stat {
    /// `proc_pid_stat(5)`: the second field is a name in brackets that may hold brackets and blanks itself, so counting
    /// begins after the last closing one.
    fn parse(untrusted: &[u8]) -> Option<Self> {
        let name_end = untrusted.iter().rposition(|b| *b == b')')?;
        let rest = std::str::from_utf8(untrusted.get(name_end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let start_cs = fields.nth(17)?.parse().ok()?;
        Some(Self { parent, start_cs })
    }
}

/// The first `max` bytes of a file.
fn contents(directory: &OwnedFd, file: &str, max: usize) -> Result<Vec<u8>, Errno> {
    let fd = openat(
        directory,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // Not written to before it is read into: most files fill little of it, and they are many.
    let mut bytes = Vec::with_capacity(max);
    while bytes.len() < max {
        match read(&fd, spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    // Memory may have come with more room than was asked for.
    bytes.truncate(max);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn stat_with_any_name() {
        let tail = " S 7 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        for name in ["cat", "a b", "x) S 9 (", "(", ""] {
            let text = format!("42 ({name}){tail}");
            assert_eq!(
                Stat::parse(text.as_bytes()),
                Some(Stat {
                    parent: 7,
                    start_cs: 98_765
                }),
                "{name}"
            );
        }
        for bad in ["", "42 cat S 7", "42 (cat) S 7 1", "42 (cat) S x 1"] {
            assert_eq!(Stat::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn this_very_process() {
        let proc = ProcFs::new("/proc".into());
        let key = proc.key(std::process::id()).unwrap();
        let pid = proc.open(key).unwrap();
        assert_eq!(
            pid.executable().unwrap(),
            std::env::current_exe().unwrap().into_os_string().into_vec()
        );
        assert_eq!(pid.cwd().unwrap(), std::env::current_dir().unwrap());
        assert_eq!(pid.parent, std::os::unix::process::parent_id());
        assert!(!pid.arguments().0.is_empty() && pid.scope().is_some());
        assert!(proc.keys().contains(&key));
        assert!(
            proc.open(ProcessKey {
                start_cs: key.start_cs + 1,
                ..key
            })
            .is_none()
        );
    }
}
