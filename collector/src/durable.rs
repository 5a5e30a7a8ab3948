//! Directories and names that outlive a loss of power. Syncing a file makes what is in it durable, not that it is there: that is in
//! its directory, and of a new directory in the one above it (fsync(2)).

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Makes a directory and those above it that are missing, with this mode; all of them durable. Nothing is done to one that is there.
///
/// # Errors
///
/// What the system says.
pub fn make_directory(directory: &Path, mode: u32) -> Result<(), std::io::Error> {
    let mut missing = Vec::new();
    for above in directory.ancestors() {
        if above.as_os_str().is_empty() || above.try_exists()? {
            break;
        }
        missing.push(above);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)?;
    missing.into_iter().rev().try_for_each(sync_name)
}

/// Makes the names in a directory durable: which there are, and what has them.
///
/// # Errors
///
/// What the system says.
pub fn sync_directory(directory: &Path) -> Result<(), std::io::Error> {
    File::open(directory)?.sync_all()
}

/// A name for a file that is set aside with those beside it, whose names end with one of these: with `.aside` at its end, and a number
/// where one of them is there already.
pub(crate) fn aside(path: &Path, ends: &[&str]) -> PathBuf {
    let first = with_end(path, ".aside");
    let further = (1..).map(|number: u64| with_end(path, &format!(".aside.{number}")));
    let is_free = |name: &PathBuf| ends.iter().all(|end| !with_end(name, end).exists());
    let mut names = std::iter::once(first.clone()).chain(further);
    names.find(is_free).unwrap_or(first)
}

/// The path with something after its last letter.
pub(crate) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn sync_name(path: &Path) -> Result<(), std::io::Error> {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => sync_directory(above),
        Some(_) | None => sync_directory(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn directories_are_made_down_to_the_last_and_left_alone_when_they_are_there() {
        let place = tempfile::tempdir().unwrap();
        let last = place.path().join("a/b");
        let mode = || last.metadata().unwrap().permissions().mode() & 0o777;
        make_directory(&last, 0o700).unwrap();
        assert_eq!(mode(), 0o700);
        make_directory(&last, 0o750).unwrap();
        assert_eq!(mode(), 0o700);
        std::fs::write(place.path().join("file"), "").unwrap();
        assert!(make_directory(&place.path().join("file/c"), 0o700).is_err());
        sync_name(Path::new("nowhere")).unwrap();
    }
}
