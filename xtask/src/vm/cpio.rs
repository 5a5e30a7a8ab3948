//! Writes a cpio archive in the "newc" form, the one the kernel unpacks an initramfs from
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! **Invariant:** the same entries give the same bytes: no times, no owners, inode numbers by position.

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// What stands at a path of the archive.
#[derive(Debug)]
pub(crate) enum Node {
    /// A directory, mode 0755.
    Directory,
    /// A file with its content, mode 0755.
    File(Vec<u8>),
    /// A symbolic link and what it points at.
    Link(String),
    /// A character device: major and minor number.
    Device(u32, u32),
}

/// Writes one archive; entries come in the order they are given, directories before what is in them.
#[derive(Debug)]
pub(crate) struct Writer<W: Write> {
    out: W,
    entries: u32,
}

impl<W: Write> Writer<W> {
    /// An archive that goes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// Adds an entry; `path` has no leading slash.
    ///
    /// # Errors
    /// What writing gave, and a file of 4 GiB or more, which the form cannot hold.
    pub(crate) fn add(&mut self, path: &str, node: &Node) -> io::Result<()> {
        match node {
            Node::Directory => self.entry(path, DIRECTORY | 0o755, (0, 0), &[]),
            Node::File(content) => self.entry(path, REGULAR | 0o755, (0, 0), content),
            Node::Link(target) => self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes()),
            Node::Device(major, minor) => {
                self.entry(path, CHARACTER | 0o600, (*major, *minor), &[])
            }
        }
    }

    /// Ends the archive and gives back what it was written to.
    ///
    /// # Errors
    /// What writing gave.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::other(format!("{path} is too large for a cpio archive")))?;
        self.entries += 1;
        let (links, none) = (1, 0);
        let name_size = path.len() as u32 + 1;
        // ino, mode, uid, gid, nlink, mtime, filesize, dev major and minor, rdev major and minor, namesize, check
        let fields = [
            self.entries,
            mode,
            none,
            none,
            links,
            none,
            size,
            none,
            none,
            device.0,
            device.1,
            name_size,
            none,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(b"\0")?;
        self.pad(110 + path.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    /// Headers and contents begin at multiples of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out
            .write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, Node)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (path, node) in entries {
            writer.add(path, node).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_file_is_laid_out_as_newc_says() {
        let bytes = archive(&[("ab", Node::File(b"hello".to_vec()))]);
        let header = "070701\
            00000001\
            000081ed\
            00000000\
            00000000\
            00000001\
            00000000\
            00000005\
            00000000\
            00000000\
            00000000\
            00000000\
            00000003\
            00000000";
        assert_eq!(&bytes[..110], header.as_bytes());
        assert_eq!(
            &bytes[110..124],
            b"ab\0\0\0\0hello\0\0\0".as_slice().split_at(14).0
        );
        assert!(bytes.windows(10).any(|w| w == b"TRAILER!!!"));
    }

    #[test]
    fn every_entry_begins_at_a_multiple_of_four() {
        let bytes = archive(&[
            ("d", Node::Directory),
            ("d/long name", Node::File(vec![7; 9])),
            ("l", Node::Link("d/long name".to_owned())),
            ("c", Node::Device(5, 1)),
        ]);
        let starts: Vec<usize> = (0..bytes.len() - 6)
            .filter(|at| &bytes[*at..*at + 6] == b"070701")
            .collect();
        assert_eq!(starts.len(), 5);
        assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        assert_eq!(bytes.len() % 4, 0);
    }
}
