//! A loader that has not read the kernel's types.
//!
//! aya reads them as soon as there is a loader, and makes an object of each of some hundred thousand, although the programs
//! need none of them moved: for a moment that is more memory than the sensor has at any other time. Where it cannot read
//! them it does without, so the loader is made by a thread that can open no file.

#![allow(
    unsafe_code,
    reason = "a system call that no library wraps is made here and nowhere else"
)]

use std::{io, thread};

use aya::EbpfLoader;

/// A new loader.
pub(super) fn new<'a>() -> EbpfLoader<'a> {
    let made = thread::spawn(|| {
        if let Err(error) = open_nothing() {
            tracing::debug!(%error, "the kernel's types are read once more than they need be");
        }
        EbpfLoader::new()
    });
    let mut loader = made.join().unwrap_or_else(|_| EbpfLoader::new());
    loader.btf(None);
    loader
}

/// From now on this thread can open no file, and gain no privilege, as the kernel wants it of who refuses itself something.
fn open_nothing() -> io::Result<()> {
    const fn step(code: u32, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf,
            k,
        }
    }
    // The number of the call stands first in `struct seccomp_data`.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            libc::SYS_openat as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EACCES as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: both calls concern this thread alone; the filter is as long as said, and read before the call returns.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
    };
    if refused {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asked_for_it_opens_nothing() {
        let opened = thread::spawn(|| {
            open_nothing().unwrap();
            std::fs::File::open("/proc/self/status").is_ok()
        });
        assert!(!opened.join().unwrap());
        assert!(std::fs::File::open("/proc/self/status").is_ok());
    }
}
