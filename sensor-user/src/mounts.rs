//! What is mounted where, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::path::{Path, PathBuf};

/// The mounts of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The directory of the file system that is mounted.
    root: String,
    /// Where.
    point: PathBuf,
    /// Type of the file system.
    kind: String,
}

impl Mounts {
    /// Reads this process's own; an unreadable table is an empty one, which whoever needs a mount then says.
    #[must_use]
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// Reads a table; lines that are none are left out.
    #[must_use]
    pub fn parse(table: &str) -> Self {
        Self(table.lines().filter_map(parse_line).collect())
    }

    /// Where the whole unified control group hierarchy is mounted, not a part of it.
    #[must_use]
    pub fn cgroup2(&self) -> Option<&Path> {
        self.0
            .iter()
            .find(|mount| mount.kind == "cgroup2" && mount.root == "/")
            .map(|mount| mount.point.as_path())
    }

    /// Mount points strictly below a directory: other file systems, which walking up a file's directories does not leave.
    pub fn below<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.0
            .iter()
            .map(|mount| mount.point.as_path())
            .filter(move |point| *point != directory && point.starts_with(directory))
    }
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw`
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    Some(Mount {
        root: unescape(root),
        point: PathBuf::from(unescape(point)),
        kind: after.split(' ').next()?.to_owned(),
    })
}

/// Space, tab, newline and backslash are written as three octal digits (`mangle()`, `fs/proc_namespace.c`).
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
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
                Mounts::parse(table).cgroup2(),
                expected.map(Path::new),
                "{table}"
            );
        }
    }

    #[test]
    fn only_mounts_below_count() {
        let mounts = Mounts::parse(TABLE);
        let below: Vec<_> = mounts.below(Path::new("/srv/pacs")).collect();
        assert_eq!(below, [Path::new("/srv/pacs/old images")]);
    }
}
