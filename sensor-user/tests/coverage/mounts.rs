//! The same record in other views of the file system, and below it.
//!
//! Every mount is made in a mount namespace of the act's own, so nothing stays.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::sys::{call, mount, own_mounts};
use crate::way::{self, Expect, LEN, Peer, Place, Way, content, unsupported, way, whole};

const READ: &[Expect] = &[Expect::Read(LEN as u64)];

pub(crate) const WAYS: &[Way] = &[
    way("bind-mount", bind, READ),
    way("own-mount-namespace", namespace, READ),
    way("chroot", chroot, READ),
    way("pivot-root", pivot, READ),
    way("overlay-lower", overlay_lower, READ),
    way(
        "overlay-lower-mmap",
        overlay_mmap,
        &[Expect::Mapped(LEN as u64)],
    ),
    way(
        "overlay-lower-then-itself",
        overlay_then_itself,
        &[Expect::Read(2 * LEN as u64)],
    ),
    way("overlay-copy-up", overlay_copy_up, READ),
    way("overlay-upper", overlay_upper, READ),
    way("loop-device", loop_device, &[Expect::Whole]),
    way(
        "raw-block-device",
        block_device,
        &[Expect::Read(LEN as u64), Expect::Holder],
    )
    .with(Peer::Tcp("127.0.0.1:0")),
];

/// Requests of include/uapi/linux/loop.h.
const LOOP_SET_FD: usize = 0x4c00;
const LOOP_CLR_FD: usize = 0x4c01;
const LOOP_CTL_GET_FREE: usize = 0x4c82;

/// An empty directory for a mount.
fn point(place: &Place, name: &str) -> io::Result<PathBuf> {
    let point = place.outside().join(name);
    fs::create_dir(&point)?;
    Ok(point)
}

fn bind(place: &Place) -> io::Result<()> {
    own_mounts()?;
    let view = point(place, "view")?;
    mount(place.inside(), &view, "", libc::MS_BIND, "")?;
    whole(&fs::read(view.join("record.dcm"))?)
}

fn namespace(place: &Place) -> io::Result<()> {
    own_mounts()?;
    whole(&fs::read(place.record())?)
}

fn chroot(place: &Place) -> io::Result<()> {
    std::os::unix::fs::chroot(place.inside())?;
    whole(&fs::read("/record.dcm")?)
}

/// As a container does it: a root of its own, the rest unmounted.
fn pivot(place: &Place) -> io::Result<()> {
    own_mounts()?;
    let root = point(place, "root")?;
    mount("tmpfs", &root, "tmpfs", 0, "")?;
    fs::create_dir(root.join("data"))?;
    fs::create_dir(root.join("old"))?;
    mount(place.inside(), &root.join("data"), "", libc::MS_BIND, "")?;
    let (new, old) = (
        crate::sys::text(&root)?,
        crate::sys::text(root.join("old"))?,
    );
    let arguments = [
        crate::sys::at(new.as_bytes_with_nul()),
        crate::sys::at(old.as_bytes_with_nul()),
    ];
    match call(libc::SYS_pivot_root, &arguments) {
        // The first root file system, which virtual machines of the tests run on, cannot be left.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return Err(unsupported("the root file system cannot be left here"));
        }
        other => other?,
    };
    std::env::set_current_dir("/")?;
    let old = crate::sys::text("/old")?;
    let arguments = [
        crate::sys::at(old.as_bytes_with_nul()),
        libc::MNT_DETACH as usize,
    ];
    call(libc::SYS_umount2, &arguments)?;
    whole(&fs::read("/data/record.dcm")?)
}

/// An overlay of which the store's directory is the lower or the upper layer; gives where it is mounted.
fn overlay(place: &Place, store_is_upper: bool) -> io::Result<PathBuf> {
    own_mounts()?;
    let (merged, layers) = (point(place, "merged")?, point(place, "layers")?);
    let (other, work) = if store_is_upper {
        // Upper layer and work directory lie in one file system.
        (layers.join("other"), place.inside().join("work"))
    } else {
        mount("tmpfs", &layers, "tmpfs", 0, "")?;
        (layers.join("other"), layers.join("work"))
    };
    fs::create_dir(&other)?;
    fs::create_dir(&work)?;
    let (lower, upper) = if store_is_upper {
        let upper = place.inside().join("upper");
        fs::create_dir(&upper)?;
        fs::rename(place.record(), upper.join("record.dcm"))?;
        (other, upper)
    } else {
        (place.inside(), other)
    };
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mount("overlay", &merged, "overlay", 0, &options)?;
    Ok(merged)
}

fn overlay_lower(place: &Place) -> io::Result<()> {
    whole(&fs::read(overlay(place, false)?.join("record.dcm"))?)
}

/// What the overlay's name for it was taken for does not hide the record under its own.
fn overlay_then_itself(place: &Place) -> io::Result<()> {
    overlay_lower(place)?;
    whole(&fs::read(place.record())?)
}

fn overlay_upper(place: &Place) -> io::Result<()> {
    whole(&fs::read(overlay(place, true)?.join("record.dcm"))?)
}

fn overlay_mmap(place: &Place) -> io::Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let file = File::open(overlay(place, false)?.join("record.dcm"))?;
    let start = std::ptr::null_mut();
    // SAFETY: a new mapping at an address the kernel chooses, as long as the file, never unmapped and not written to.
    let found = unsafe {
        let start = mmap(start, LEN, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)?;
        std::slice::from_raw_parts(start.cast::<u8>(), LEN)
    };
    whole(found)
}

/// Opened for writing, the record is copied to the upper layer by the kernel, and read there.
fn overlay_copy_up(place: &Place) -> io::Result<()> {
    let path = overlay(place, false)?.join("record.dcm");
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    whole(&found)
}

/// The record is the backing file of a loop device, which is read.
fn loop_device(place: &Place) -> io::Result<()> {
    let control = match File::open("/dev/loop-control") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unsupported("there are no loop devices"));
        }
        other => other?,
    };
    let number = call(
        libc::SYS_ioctl,
        &[control.as_raw_fd() as usize, LOOP_CTL_GET_FREE],
    )?;
    let device = File::open(format!("/dev/loop{number}"))?;
    let record = place.open()?;
    let (device_fd, record_fd) = (device.as_raw_fd() as usize, record.as_raw_fd() as usize);
    call(libc::SYS_ioctl, &[device_fd, LOOP_SET_FD, record_fd])?;
    drop(record);
    let mut found = vec![0; LEN];
    let read = (&device).read_exact(&mut found);
    call(libc::SYS_ioctl, &[device_fd, LOOP_CLR_FD])?;
    read?;
    if found == content(LEN) {
        Ok(())
    } else {
        Err(io::Error::other("the device gave something else"))
    }
}

/// The disk that the store's file system lies on is read past it.
fn block_device(place: &Place) -> io::Result<()> {
    let device = fs::metadata(place.inside())?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = match fs::read_link(format!("/sys/dev/block/{major}:{minor}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unsupported("the store lies on no block device"));
        }
        other => other?,
    };
    let name = link.file_name().ok_or_else(|| unsupported("no name"))?;
    let path = PathBuf::from("/dev").join(name);
    let mut disk = match File::open(&path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Err(unsupported("the store's disk may not be opened here"));
        }
        other => other?,
    };
    way::watch_file(&path)?;
    disk.read_exact(&mut vec![0; LEN])?;
    place.upload(LEN)
}
