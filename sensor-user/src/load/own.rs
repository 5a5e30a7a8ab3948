//! The sensor's own maps, programs and links, as the kernel says of this process's descriptors: their ids, and how often a
//! program was left out.
//!
//! Asking the kernel for all there are would need a capability more than the sensor has.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use sensor_ebpf::layout::tamper::{LINK, MAP, Own, PROGRAM};

/// An account of a program is a dozen short lines.
const ACCOUNT_MAX: usize = 1024;

/// Everything of it that this process has open.
pub(super) fn all() -> io::Result<Vec<Own>> {
    let mut own = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        match fs::read_to_string(entry?.path()) {
            Ok(text) => own.extend(of(&text)),
            // The directory's own descriptor, or one that another thread has closed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(own)
}

/// How often the kernel has left out a program because it was running on that CPU already (`recursion_misses`), by the
/// program's account; 0 where it does not say (before 5.12).
pub(super) fn skips(account: &File) -> io::Result<u64> {
    let mut bytes = [0; ACCOUNT_MAX];
    let read = account.read_at(&mut bytes, 0)?;
    Ok(skips_in(&String::from_utf8_lossy(&bytes[..read])))
}

/// A descriptor's account; to read it again is far less work than to open it again.
pub(super) fn account(of: BorrowedFd<'_>) -> io::Result<File> {
    File::open(format!("/proc/self/fdinfo/{}", of.as_raw_fd()))
}

fn skips_in(text: &str) -> u64 {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
        .unwrap_or(0)
}

/// What one descriptor's account names: a link names its program, too.
fn of(text: &str) -> impl Iterator<Item = Own> {
    text.lines().filter_map(|line| {
        let (name, id) = line.split_once(':')?;
        let what = match name {
            "map_id" => MAP,
            "prog_id" => PROGRAM,
            "link_id" => LINK,
            _ => return None,
        };
        Some(Own {
            what,
            id: id.trim().parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_read_where_the_kernel_says_them() {
        let text = "prog_id:\t9\nrun_cnt:\t0\nrecursion_misses:\t1234\nverified_insns:\t5\n";
        assert_eq!(skips_in(text), 1234);
        assert_eq!(skips_in("prog_id:\t9\n"), 0);
    }

    #[test]
    fn a_link_names_itself_and_its_program() {
        let text =
            "pos:\t0\nflags:\t02\nlink_type:\ttracing\nlink_id:\t7\nprog_tag:\tab\nprog_id:\t9\n";
        let found: Vec<Own> = of(text).collect();
        let own = |what, id| Own { what, id };
        assert_eq!(found, [own(LINK, 7), own(PROGRAM, 9)]);
        assert_eq!(of("map_type:\t1\nmap_id:\t12\n").count(), 1);
        assert_eq!(of("map_id:\tmany\npos:\t0\n").count(), 0);
    }
}
