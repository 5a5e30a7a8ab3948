//! Where carriers lie: paths within a file system made absolute, and whether it is one that leads out of the host.
//!
//! **Invariant:** the table of mounts is read again only for a device that is not in it, and when the host is looked over.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::event::Medium;
use crate::mounts::Mounts;

/// Number of loop devices (`LOOP_MAJOR` of include/uapi/linux/major.h), and of optical drives (`SCSI_CDROM_MAJOR`).
const LOOP_MAJOR: u32 = 7;
const OPTICAL_MAJOR: u32 = 11;
/// File systems whose files are on other machines.
const NETWORK: [&[u8]; 9] = [
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"9p",
    b"ceph",
    b"afs",
    b"ncpfs",
    b"virtiofs",
];

/// The file systems that carriers were found on.
#[derive(Debug)]
pub(super) struct Media {
    mounts: Mounts,
    known: HashMap<u32, Medium>,
}

impl Media {
    pub(super) fn new() -> Self {
        Self {
            mounts: Mounts::read(),
            known: HashMap::new(),
        }
    }

    /// What was mounted since may have the device number of another that is gone.
    pub(super) fn look_again(&mut self) {
        self.mounts = Mounts::read();
        self.known.clear();
    }

    /// A path within the file system of a device, as it is where that is mounted. What is mounted nowhere (memory that is
    /// shared) keeps its name.
    pub(super) fn absolute(&mut self, device: u32, untrusted_below: Vec<u8>) -> Vec<u8> {
        if self.mounts.point(device).is_none() {
            self.look_again();
        }
        let Some(point) = self.mounts.point(device) else {
            return untrusted_below;
        };
        point
            .join(OsStr::from_bytes(&untrusted_below))
            .into_os_string()
            .into_vec()
    }

    /// On what a device's files lie.
    pub(super) fn medium(&mut self, device: u32) -> Medium {
        if let Some(known) = self.known.get(&device) {
            return *known;
        }
        let medium = self.look(device);
        self.known.insert(device, medium);
        medium
    }

    fn look(&self, device: u32) -> Medium {
        let kind = self.mounts.kind(device).unwrap_or_default();
        if NETWORK.contains(&kind) || kind == b"fuse" || kind.starts_with(b"fuse.") {
            return Medium::Network;
        }
        match device >> 20 {
            LOOP_MAJOR => Medium::Image,
            OPTICAL_MAJOR => Medium::Removable,
            major => removable(Path::new(&format!(
                "/sys/dev/block/{major}:{}",
                device & 0xf_ffff
            ))),
        }
    }
}

/// A disk says itself whether its medium can be taken out; one behind USB can be taken out whole.
fn removable(device: &Path) -> Medium {
    // What has no block device is no disk.
    let Ok(place) = device.canonicalize() else {
        return Medium::Fixed;
    };
    let says = |directory: &Path| {
        std::fs::read(directory.join("removable")).is_ok_and(|text| text.starts_with(b"1"))
    };
    // A partition lies in the directory of its disk.
    let by_itself = says(&place) || place.parent().is_some_and(says);
    let by_usb = place
        .components()
        .any(|part| part.as_os_str().as_bytes().starts_with(b"usb"));
    if by_itself || by_usb {
        Medium::Removable
    } else {
        Medium::Fixed
    }
}
