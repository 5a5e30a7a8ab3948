//! System calls that have no safe wrapper in the libraries at hand, and second processes for acts that need them.

use std::ffi::CString;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout};

use crate::actor;
use crate::way::Place;

/// A raw system call with up to six arguments. An address among them is that of memory which lives, unmoved, until the
/// call returns (with asynchronous calls: until their result was taken), and is as large as the call is told.
pub(crate) fn call(number: libc::c_long, arguments: &[usize]) -> io::Result<usize> {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: see above; what the kernel is given it checks itself.
    let result = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as usize)
    }
}

/// The address of a value, for [`call`].
pub(crate) fn at<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

/// The same of one the kernel writes to.
pub(crate) fn at_mut<T: ?Sized>(value: &mut T) -> usize {
    std::ptr::from_mut(value).cast::<u8>() as usize
}

/// A path as the kernel takes it.
pub(crate) fn text(path: impl AsRef<Path>) -> io::Result<CString> {
    Ok(CString::new(path.as_ref().as_os_str().as_bytes())?)
}

/// Mounts something; empty texts stand for none.
pub(crate) fn mount(
    source: impl AsRef<Path>,
    target: &Path,
    kind: &str,
    flags: u64,
    options: &str,
) -> io::Result<()> {
    let (source, target) = (text(source)?, text(target)?);
    let (kind, options) = (text(kind)?, text(options)?);
    let arguments = [
        at(source.as_bytes_with_nul()),
        at(target.as_bytes_with_nul()),
        at(kind.as_bytes_with_nul()),
        flags as usize,
        at(options.as_bytes_with_nul()),
    ];
    call(libc::SYS_mount, &arguments).map(drop)
}

/// A mount namespace of this process's own, from which nothing comes back to the host.
pub(crate) fn own_mounts() -> io::Result<()> {
    call(libc::SYS_unshare, &[libc::CLONE_NEWNS as usize])?;
    mount(
        "none",
        Path::new("/"),
        "",
        libc::MS_REC | libc::MS_PRIVATE,
        "",
    )
}

/// A second process that runs a helper's act.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it; it is ready when it has said its first line, of which the words are given.
    pub(crate) fn start(name: &str, place: &Place) -> io::Result<(Self, Vec<String>)> {
        let mut child = actor::command(name, &place.arguments())?.spawn()?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no output"))?;
        let mut out = BufReader::new(out);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let words = line.split_whitespace().map(str::to_owned).collect();
        Ok((Self { child, out }, words))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on to its end, which must be a good one.
    pub(crate) fn end(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        io::copy(&mut self.out, &mut io::sink())?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the helper failed: {status}")))
        }
    }
}
