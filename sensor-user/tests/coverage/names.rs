//! The same record under other names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, RenameFlags};

use crate::sys::{at, at_mut, call, text};
use crate::way::{self, Expect, LEN, Place, Way, content, way, whole};

const READ: &[Expect] = &[Expect::Read(LEN as u64)];
const CHANGED_AND_READ: &[Expect] = &[Expect::Changed, Expect::Read(LEN as u64)];

pub(crate) const WAYS: &[Way] = &[
    way("symlink", symlink, READ),
    way("hard-link-before-start", hard_link, READ).early(),
    way("hard-link-after-start", hard_link, READ),
    way("hard-link-alone", hard_link_alone, READ),
    way("relative-openat", openat, READ),
    way("open-by-handle", handle, READ),
    way("renamed-file", renamed_file, READ),
    way("renamed-directory", renamed_directory, READ),
    way("renamed-store-root", renamed_root, READ),
    way("moved-into-the-store", moved_in, READ),
    way("moved-out-of-the-store", moved_out, CHANGED_AND_READ),
    way("exchanged-out-of-the-store", exchanged, CHANGED_AND_READ),
    way("directory-moved-into-the-store", directory_moved_in, READ),
    way(
        "directory-moved-out-of-the-store",
        directory_moved_out,
        READ,
    ),
    way("unlinked-while-open", unlinked, READ),
];

fn symlink(place: &Place) -> io::Result<()> {
    let link = place.outside().join("link");
    std::os::unix::fs::symlink(place.record(), &link)?;
    whole(&fs::read(link)?)
}

fn hard_link(place: &Place) -> io::Result<()> {
    let link = place.outside().join("link");
    fs::hard_link(place.record(), &link)?;
    way::pause()?;
    whole(&fs::read(link)?)
}

/// The name in the store is gone before the other one is used.
fn hard_link_alone(place: &Place) -> io::Result<()> {
    let link = place.outside().join("link");
    fs::hard_link(place.record(), &link)?;
    fs::remove_file(place.record())?;
    whole(&fs::read(link)?)
}

fn openat(place: &Place) -> io::Result<()> {
    let directory = File::open(place.inside())?;
    let file = rustix::fs::openat(&directory, "record.dcm", OFlags::RDONLY, Mode::empty())?;
    read(file)
}

fn read(file: OwnedFd) -> io::Result<()> {
    let mut found = Vec::new();
    File::from(file).read_to_end(&mut found)?;
    whole(&found)
}

/// `struct file_handle` with room for the largest handle.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    value: [u8; 128],
}

fn handle(place: &Place) -> io::Result<()> {
    let path = text(place.record())?;
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        value: [0; 128],
    };
    let mut mount = 0_i32;
    let here = libc::AT_FDCWD as usize;
    call(
        libc::SYS_name_to_handle_at,
        &[
            here,
            at(path.as_bytes_with_nul()),
            at_mut(&mut handle),
            at_mut(&mut mount),
        ],
    )?;
    let directory = File::open(place.outside())?;
    let descriptor = call(
        libc::SYS_open_by_handle_at,
        &[
            directory.as_raw_fd() as usize,
            at(&handle),
            libc::O_RDONLY as usize,
        ],
    )?;
    // SAFETY: the kernel has just given it to us.
    read(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

fn renamed_file(place: &Place) -> io::Result<()> {
    let new = place.inside().join("renamed");
    fs::rename(place.record(), &new)?;
    whole(&fs::read(new)?)
}

fn renamed_directory(place: &Place) -> io::Result<()> {
    let new = place.store().join("renamed-directory.new");
    fs::rename(place.inside(), &new)?;
    whole(&fs::read(new.join("record.dcm"))?)
}

fn renamed_root(place: &Place) -> io::Result<()> {
    let record = place.second_store().join("record.dcm");
    way::watch_file(&record)?;
    let new = place.outside().join("renamed-store");
    fs::rename(place.second_store(), &new)?;
    whole(&fs::read(new.join("record.dcm"))?)
}

fn moved_in(place: &Place) -> io::Result<()> {
    let (old, new) = (place.outside().join("file"), place.inside().join("file"));
    fs::write(&old, content(LEN))?;
    fs::rename(&old, &new)?;
    way::watch_file(&new)?;
    whole(&fs::read(new)?)
}

fn moved_out(place: &Place) -> io::Result<()> {
    let new = place.outside().join("file");
    fs::rename(place.record(), &new)?;
    whole(&fs::read(new)?)
}

fn exchanged(place: &Place) -> io::Result<()> {
    let other = place.outside().join("other");
    fs::write(&other, "nothing")?;
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        &other,
        rustix::fs::CWD,
        place.record(),
        RenameFlags::EXCHANGE,
    )?;
    whole(&fs::read(other)?)
}

fn directory_moved_in(place: &Place) -> io::Result<()> {
    let (old, new) = (place.outside().join("dir"), place.inside().join("dir"));
    fs::create_dir(&old)?;
    fs::write(old.join("file"), content(LEN))?;
    fs::rename(&old, &new)?;
    way::watch_file(&new.join("file"))?;
    whole(&fs::read(new.join("file"))?)
}

fn directory_moved_out(place: &Place) -> io::Result<()> {
    let new = place.outside().join("dir");
    fs::rename(place.inside(), &new)?;
    whole(&fs::read(new.join("record.dcm"))?)
}

fn unlinked(place: &Place) -> io::Result<()> {
    let mut file = place.open()?;
    fs::remove_file(place.record())?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    whole(&found)
}
