//! Puts files below a directory, with their permissions, and remembers what was done.
//!
//! **Invariant:** every path lies below the tree's own root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Written, or written over with a newer version.
    Installed,
    /// There already, and left alone.
    Kept,
    /// There already with another content: this is the new sample beside it.
    Beside,
}

impl std::fmt::Display for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Installed => "installed",
            Self::Kept => "kept",
            Self::Beside => "new sample beside yours:",
        })
    }
}

/// A directory that is filled as if it were `/`.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    placed: Vec<(PathBuf, Placed)>,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            placed: Vec::new(),
        }
    }

    pub(super) fn into_placed(self) -> Vec<(PathBuf, Placed)> {
        self.placed
    }

    /// Where a path relative to `/` lies in this tree.
    pub(super) fn path(&self, relative: &Path) -> PathBuf {
        self.root
            .join(relative.strip_prefix("/").unwrap_or(relative))
    }

    pub(super) fn note(&mut self, path: PathBuf, how: Placed) {
        self.placed.push((path, how));
    }

    /// Makes the directory a file will lie in.
    pub(super) fn directory_of(file: &Path) -> Result<()> {
        let Some(dir) = file.parent() else {
            return Ok(());
        };
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))
    }

    pub(super) fn copy(&mut self, from: &Path, to: &Path, mode: u32) -> Result<()> {
        let content =
            fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
        let path = self.path(to);
        Self::replace(&path, &content, mode)?;
        self.note(path, Placed::Installed);
        Ok(())
    }

    pub(super) fn write(&mut self, to: &Path, text: &str, mode: u32) -> Result<()> {
        let path = self.path(to);
        Self::replace(&path, text.as_bytes(), mode)?;
        self.note(path, Placed::Installed);
        Ok(())
    }

    /// Writes a configuration unless there is one; a different one gets the sample beside it.
    pub(super) fn write_config(&mut self, to: &Path, text: &str, mode: u32) -> Result<()> {
        let path = self.path(to);
        if !path.exists() {
            return self.write(to, text, mode);
        }
        let own = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        if own != text.as_bytes() {
            let beside = PathBuf::from(format!("{}.new", path.display()));
            Self::replace(&beside, text.as_bytes(), mode)?;
            self.note(beside, Placed::Beside);
        }
        self.note(path, Placed::Kept);
        Ok(())
    }

    /// Writes beside and renames, so that a program that runs keeps its old file and nobody sees half of the new one.
    fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
        Self::directory_of(path)?;
        let part = PathBuf::from(format!("{}.part", path.display()));
        let write = || -> std::io::Result<()> {
            fs::write(&part, content)?;
            fs::set_permissions(&part, fs::Permissions::from_mode(mode))?;
            fs::rename(&part, path)
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_mode_and_replace_older_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(dir.path());
        tree.write(Path::new("/usr/bin/a"), "one", 0o755).unwrap();
        tree.write(Path::new("usr/bin/a"), "two", 0o755).unwrap();
        let path = dir.path().join("usr/bin/a");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no part is left"
        );
    }

    #[test]
    fn a_configuration_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let place = |text: &str| {
            let mut tree = Tree::new(dir.path());
            tree.write_config(Path::new("etc/c.toml"), text, 0o640)
                .unwrap();
            tree.into_placed()
                .into_iter()
                .map(|(_, how)| how)
                .collect::<Vec<_>>()
        };
        assert_eq!(place("first"), [Placed::Installed]);
        assert_eq!(place("first"), [Placed::Kept]);
        assert_eq!(place("second"), [Placed::Beside, Placed::Kept]);
        let read = |name: &str| fs::read_to_string(dir.path().join("etc").join(name)).unwrap();
        assert_eq!(
            (read("c.toml").as_str(), read("c.toml.new").as_str()),
            ("first", "second")
        );
    }
}
