//! Pseudo terminals.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// A new one that changes nothing of what goes over it, and the path of its other end.
pub(crate) fn open() -> io::Result<(File, PathBuf)> {
    let terminal = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/ptmx")?;
    let fd = terminal.as_raw_fd();
    let (locked, mut number) = (0_i32, 0_u32);
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the descriptor is open, and each call reads or writes what it is given the address of; the settings are there once the
    // first call that gets them has succeeded.
    unsafe {
        done(libc::ioctl(fd, libc::TIOCSPTLCK, &raw const locked))?;
        done(libc::ioctl(fd, libc::TIOCGPTN, &raw mut number))?;
        done(libc::tcgetattr(fd, settings.as_mut_ptr()))?;
        libc::cfmakeraw(settings.as_mut_ptr());
        done(libc::tcsetattr(fd, libc::TCSANOW, settings.as_ptr()))?;
    }
    Ok((terminal, PathBuf::from(format!("/dev/pts/{number}"))))
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
