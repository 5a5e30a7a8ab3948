//! Ways to change, replace or lose a record.

use std::fs::{self, File, Permissions};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use rustix::fs::{FallocateFlags, XattrFlags};
use rustix::io::ReadWriteFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::sys::{at, call, text};
use crate::way::{Expect, LEN, Place, Way, content, unsupported, way};

const WRITTEN: &[Expect] = &[Expect::Written(LEN as u64)];
const CHANGED: &[Expect] = &[Expect::Changed];
const DELETED: &[Expect] = &[Expect::Deleted];

pub(crate) const WAYS: &[Way] = &[
    way("write", write, WRITTEN),
    way("pwrite", pwrite, WRITTEN),
    way("writev", writev, WRITTEN),
    way("pwritev2", pwritev2, WRITTEN),
    way("mmap-shared-write", mapped, &[Expect::Mapped(LEN as u64)]),
    way("truncate-by-path", truncate, CHANGED),
    way("truncate", ftruncate, CHANGED),
    way("punch-hole", punch_hole, CHANGED),
    way("rename", rename, CHANGED),
    way("rename-over", rename_over, DELETED),
    way("unlink", unlink, DELETED),
    way("unlink-many", unlink_many, &[Expect::DeletedMany(MANY)]),
    way("link", link, CHANGED),
    way("chmod", chmod, CHANGED),
    way("fchmod", fchmod, CHANGED),
    way("chown", chown, CHANGED),
    way("fchown", fchown, CHANGED),
    way("setxattr", setxattr, CHANGED),
    way("fsetxattr", fsetxattr, CHANGED),
];

/// Records that are removed at once.
const MANY: u64 = 200;

fn open(place: &Place) -> io::Result<File> {
    File::options().read(true).write(true).open(place.record())
}

fn write(place: &Place) -> io::Result<()> {
    open(place)?.write_all(&content(LEN))
}

fn pwrite(place: &Place) -> io::Result<()> {
    open(place)?.write_all_at(&content(LEN), 0)
}

/// The content in two parts.
fn in_parts(write: impl FnOnce(&[IoSlice<'_>]) -> rustix::io::Result<usize>) -> io::Result<()> {
    let content = content(LEN);
    let (first, second) = content.split_at(LEN / 3);
    if write(&[IoSlice::new(first), IoSlice::new(second)])? == LEN {
        Ok(())
    } else {
        Err(io::Error::other("short write"))
    }
}

fn writev(place: &Place) -> io::Result<()> {
    let file = open(place)?;
    in_parts(|parts| rustix::io::writev(&file, parts))
}

fn pwritev2(place: &Place) -> io::Result<()> {
    let file = open(place)?;
    in_parts(|parts| rustix::io::pwritev2(&file, parts, 0, ReadWriteFlags::empty()))
}

fn mapped(place: &Place) -> io::Result<()> {
    let file = open(place)?;
    let both = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address the kernel chooses, as long as the file, never unmapped, and ours alone.
    let bytes = unsafe {
        let start = mmap(std::ptr::null_mut(), LEN, both, MapFlags::SHARED, &file, 0)?;
        std::slice::from_raw_parts_mut(start.cast::<u8>(), LEN)
    };
    bytes.fill(b'w');
    Ok(())
}

fn truncate(place: &Place) -> io::Result<()> {
    let path = text(place.record())?;
    call(libc::SYS_truncate, &[at(path.as_bytes_with_nul()), 1]).map(drop)
}

fn ftruncate(place: &Place) -> io::Result<()> {
    open(place)?.set_len(1)
}

fn punch_hole(place: &Place) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(open(place)?, flags, 0, 4096) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            Err(unsupported("no holes can be made in this file system"))
        }
        other => Ok(other?),
    }
}

fn rename(place: &Place) -> io::Result<()> {
    fs::rename(place.record(), place.inside().join("renamed"))
}

fn rename_over(place: &Place) -> io::Result<()> {
    let other = place.outside().join("other");
    fs::write(&other, "nothing")?;
    fs::rename(other, place.record())
}

fn unlink(place: &Place) -> io::Result<()> {
    fs::remove_file(place.record())
}

/// As one does who leaves nothing behind.
fn unlink_many(place: &Place) -> io::Result<()> {
    let name = |number| place.inside().join(format!("scan-{number}.dcm"));
    (0..MANY).try_for_each(|number| fs::write(name(number), "scan"))?;
    (0..MANY).try_for_each(|number| fs::remove_file(name(number)))
}

fn link(place: &Place) -> io::Result<()> {
    fs::hard_link(place.record(), place.outside().join("link"))
}

fn chmod(place: &Place) -> io::Result<()> {
    fs::set_permissions(place.record(), Permissions::from_mode(0o666))
}

fn fchmod(place: &Place) -> io::Result<()> {
    open(place)?.set_permissions(Permissions::from_mode(0o666))
}

fn chown(place: &Place) -> io::Result<()> {
    std::os::unix::fs::chown(place.record(), Some(65_534), None)
}

fn fchown(place: &Place) -> io::Result<()> {
    std::os::unix::fs::fchown(open(place)?, Some(65_534), None)
}

/// An attribute that every file system with attributes takes.
const ATTRIBUTE: &str = "trusted.chartwatch";

fn setxattr(place: &Place) -> io::Result<()> {
    let flags = XattrFlags::empty();
    attribute(rustix::fs::setxattr(place.record(), ATTRIBUTE, b"x", flags))
}

fn fsetxattr(place: &Place) -> io::Result<()> {
    let flags = XattrFlags::empty();
    attribute(rustix::fs::fsetxattr(open(place)?, ATTRIBUTE, b"x", flags))
}

fn attribute(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            Err(unsupported("this file system has no such attributes"))
        }
        other => Ok(other?),
    }
}
