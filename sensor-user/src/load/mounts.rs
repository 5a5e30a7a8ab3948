//! What is mounted where, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// The mounts of this process's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts(Vec<(PathBuf, String)>);

impl Mounts {
    /// Reads them; an unreadable table is an empty one, which whoever needs a mount then says.
    #[must_use]
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(table: &str) -> Self {
        Self(table.lines().filter_map(parse_line).collect())
    }

    /// Where the cgroup2 hierarchy is mounted.
    #[must_use]
    pub fn cgroup2(&self) -> Option<PathBuf> {
        self.0
            .iter()
            .find(|(_, kind)| kind == "cgroup2")
            .map(|(path, _)| path.clone())
    }

    /// Mount points strictly below a directory: other file systems, which walking up a file's directories does not leave.
    pub fn below<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.0
            .iter()
            .map(|(path, _)| path.as_path())
            .filter(move |p| *p != directory && p.starts_with(directory))
    }
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw`: mount point and file system type.
fn parse_line(line: &str) -> Option<(PathBuf, String)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    let kind = after.split(' ').next()?;
    Some((PathBuf::from(unescape(point)), kind.to_owned()))
}

/// Space, tab, newline and backslash are written as three octal digits (fs/proc_namespace.c, mangle()).
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
30 22 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
41 30 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
50 22 8:1 / /srv/pacs rw - ext4 /dev/sda1 rw
51 50 8:2 / /srv/pacs/old\\040images rw - xfs /dev/sdb1 rw
52 22 8:3 / /srv/pacs2 rw - xfs /dev/sdc1 rw
nonsense
";

    #[test]
    fn cgroup2_is_found() {
        assert_eq!(
            Mounts::parse(TABLE).cgroup2(),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(Mounts::parse("").cgroup2(), None);
    }

    #[test]
    fn only_mounts_below_count() {
        let mounts = Mounts::parse(TABLE);
        let below: Vec<_> = mounts.below(Path::new("/srv/pacs")).collect();
        assert_eq!(below, [Path::new("/srv/pacs/old images")]);
    }
}
