//! The disks below a directory: what its file system lies on, and what that is made of.
//!
//! A file system names one device. That may be part of a disk, or made of others (`dm`, `md`), and reading any of them
//! reads the files. `/sys/dev/block` knows both. A file system that has a number of its own, as btrfs, names none.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where the kernel shows its block devices, by number.
const DEVICES: &str = "/sys/dev/block";

/// How many devices are looked at for one directory.
const DISKS_MAX: usize = 64;

/// Numbers of the disks, as the kernel keeps them; none when the file system lies on none that is known.
pub(super) fn below(directory: &Path) -> Vec<u32> {
    let Ok(device) = fs::metadata(directory).map(|about| about.dev()) else {
        return Vec::new();
    };
    let name = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    made_of(Path::new(DEVICES), &name)
}

/// The device of this name (`8:1`), the disk it is part of, and what it is made of.
fn made_of(devices: &Path, name: &str) -> Vec<u32> {
    let (mut found, mut names) = (Vec::new(), vec![name.to_owned()]);
    while let Some(name) = names.pop() {
        let (Some(number), Ok(place)) = (number(&name), fs::canonicalize(devices.join(&name)))
        else {
            continue;
        };
        if found.contains(&number) || found.len() == DISKS_MAX {
            continue;
        }
        found.push(number);
        let whole = place.join("partition").exists().then(|| place.join(".."));
        let parts = fs::read_dir(place.join("slaves")).into_iter().flatten();
        let parts = parts.flatten().map(|part| part.path());
        names.extend(whole.into_iter().chain(parts).filter_map(|p| named(&p)));
    }
    found
}

/// The name of a device by its directory.
fn named(place: &Path) -> Option<String> {
    let text = fs::read_to_string(place.join("dev")).ok()?;
    Some(text.trim().to_owned())
}

fn number(name: &str) -> Option<u32> {
    let (major, minor) = name.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_volume_is_made_of_a_part_of_a_disk() {
        let home = tempfile::tempdir().unwrap();
        let (all, numbers) = (home.path().join("devices"), home.path().join("block"));
        fs::create_dir_all(all.join("sda/sda1")).unwrap();
        fs::create_dir_all(all.join("sda/sda2")).unwrap();
        fs::create_dir_all(all.join("dm-0/slaves")).unwrap();
        fs::create_dir(&numbers).unwrap();
        for (device, name) in [
            ("sda", "8:0"),
            ("sda/sda1", "8:1"),
            ("sda/sda2", "8:2"),
            ("dm-0", "253:0"),
        ] {
            fs::write(all.join(device).join("dev"), format!("{name}\n")).unwrap();
            symlink(all.join(device), numbers.join(name)).unwrap();
        }
        fs::write(all.join("sda/sda1/partition"), "1\n").unwrap();
        symlink(all.join("sda/sda1"), all.join("dm-0/slaves/sda1")).unwrap();
        let found = made_of(&numbers, "253:0");
        assert_eq!(found, [253 << 20, 8 << 20 | 1, 8 << 20]);
        assert_eq!(made_of(&numbers, "0:44"), []);
        assert_eq!(made_of(&numbers, "no number"), []);
    }
}
