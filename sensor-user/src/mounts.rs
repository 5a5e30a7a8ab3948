//! What is mounted where, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`). Names in it are bytes, as all names are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The table.
pub const TABLE: &str = "/proc/self/mountinfo";

/// The mounts of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// Its number, which a later mount may have again.
    id: Vec<u8>,
    /// Its file system, by device number.
    device: Vec<u8>,
    /// The directory of the file system that is mounted.
    root: Vec<u8>,
    /// Where.
    point: PathBuf,
    /// Type of the file system.
    kind: Vec<u8>,
}

/// What is mounted at a place: another one when it is unmounted or mounted over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    mount: Option<Mount>,
}

impl Mounts {
    /// Reads this process's own; an unreadable table is an empty one, which whoever needs a mount then says.
    #[must_use]
    pub fn read() -> Self {
        Self::parse(&std::fs::read(TABLE).unwrap_or_default())
    }

    /// Reads a table; lines that are none are left out.
    #[must_use]
    pub fn parse(table: &[u8]) -> Self {
        let lines = table.split(|byte| *byte == b'\n');
        Self(lines.filter_map(parse_line).collect())
    }

    /// Where the whole unified control group hierarchy is mounted, not a part of it.
    #[must_use]
    pub fn cgroup2(&self) -> Option<&Path> {
        self.0
            .iter()
            .find(|mount| mount.kind == b"cgroup2" && mount.root == b"/")
            .map(|mount| mount.point.as_path())
    }

    /// Where the file system of a device (`major << 20 | minor`) is mounted as a whole, or else a part of it.
    #[must_use]
    pub fn point(&self, device: u32) -> Option<&Path> {
        let device = format!("{}:{}", device >> 20, device & 0xf_ffff).into_bytes();
        let of_device = || self.0.iter().filter(|mount| mount.device == device);
        of_device()
            .find(|mount| mount.root == b"/")
            .or_else(|| of_device().next())
            .map(|mount| mount.point.as_path())
    }

    /// Type of the file system of a device, by its name in the kernel.
    #[must_use]
    pub fn kind(&self, device: u32) -> Option<&[u8]> {
        let device = format!("{}:{}", device >> 20, device & 0xf_ffff).into_bytes();
        let mount = self.0.iter().find(|mount| mount.device == device)?;
        Some(&mount.kind)
    }

    /// A directory, and the mount points below it: other file systems, which walking up a file's directories does not
    /// leave.
    #[must_use]
    pub fn places(&self, directory: &Path) -> Vec<Place> {
        let below = self
            .0
            .iter()
            .filter(|mount| mount.point != *directory && mount.point.starts_with(directory));
        let mut places = vec![Place {
            path: directory.to_owned(),
            mount: self.over(directory).cloned(),
        }];
        places.extend(below.map(|mount| Place {
            path: mount.point.clone(),
            mount: Some(mount.clone()),
        }));
        places
    }

    /// The mount a directory lies in: the innermost, and of several at one point the last.
    fn over(&self, directory: &Path) -> Option<&Mount> {
        let holds = self.0.iter().filter(|m| directory.starts_with(&m.point));
        holds.max_by_key(|mount| mount.point.components().count())
    }
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let end = line.windows(3).position(|three| three == b" - ")?;
    let mut fields = line[..end].split(|byte| *byte == b' ');
    let (id, device) = (fields.next()?, fields.nth(1)?);
    let (root, point) = (fields.next()?, fields.next()?);
    let kind = line[end + 3..].split(|byte| *byte == b' ').next()?;
    Some(Mount {
        id: id.to_vec(),
        device: device.to_vec(),
        root: unescape(root),
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        kind: kind.to_vec(),
    })
}

/// Space, tab, newline, backslash and others are written as three octal digits (`mangle()`, `fs/proc_namespace.c`).
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match after.get(..3).and_then(octal) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &after[3..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TABLE: &str = "\
22 1 0:20 / / rw,relatime - ext4 /dev/vda rw
50 22 8:1 / /srv/pacs rw - ext4 /dev/sda1 rw
51 50 8:2 / /srv/pacs/old\\040images rw - xfs /dev/sdb1 rw
52 22 8:3 / /srv/pacs2 rw - xfs /dev/sdc1 rw
nonsense
";

    #[test]
    fn the_unified_hierarchy_is_found_wherever_it_is() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        for (table, expected) in [
            (
                "25 30 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
                Some("/sys/fs/cgroup"),
            ),
            (hybrid, Some("/sys/fs/cgroup/unified")),
            (
                "41 31 0:38 / /odd\\040place rw shared:3 - cgroup2 none rw\n",
                Some("/odd place"),
            ),
            (
                "41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                None,
            ),
            (TABLE, None),
            ("garbage - cgroup2 \n", None),
        ] {
            assert_eq!(
                Mounts::parse(table.as_bytes()).cgroup2(),
                expected.map(Path::new),
                "{table}"
            );
        }
    }

    #[test]
    fn only_mounts_below_count() {
        let mounts = Mounts::parse(TABLE.as_bytes());
        let paths: Vec<_> = mounts
            .places(Path::new("/srv/pacs"))
            .into_iter()
            .map(|p| p.path)
            .collect();
        assert_eq!(
            paths,
            [Path::new("/srv/pacs"), Path::new("/srv/pacs/old images")]
        );
    }

    #[test]
    fn a_place_is_another_when_what_is_mounted_there_changes() {
        let store = Path::new("/srv/pacs");
        let at = |table: &str| Mounts::parse(table.as_bytes()).places(store);
        let lines: Vec<&str> = TABLE
            .lines()
            .filter(|l| !l.contains(" /srv/pacs"))
            .collect();
        let gone = lines.join(
            "
",
        );
        let elsewhere = format!("{TABLE}60 22 0:9 / /mnt rw - tmpfs none rw\n");
        let over = format!("{TABLE}60 50 0:9 / /srv/pacs rw - tmpfs none rw\n");
        assert_eq!(at(TABLE), at(&elsewhere));
        assert_ne!(at(TABLE), at(&gone));
        assert_ne!(at(TABLE), at(&over));
        assert_eq!(at(&gone)[0].mount.as_ref().unwrap().point, Path::new("/"));
    }

    #[test]
    fn names_that_are_no_text_are_kept() {
        let mounts = Mounts::parse(b"60 22 0:9 / /srv/\xff\\134x rw - tmpfs none rw\n");
        let places = mounts.places(Path::new("/srv"));
        assert_eq!(
            places[1].path.as_os_str().as_encoded_bytes(),
            b"/srv/\xff\\x"
        );
    }
}
