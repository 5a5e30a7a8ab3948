//! What a build leaves behind does not belong into the repository: it is large, of one machine, and nobody can review it.
//!
//! **Invariant:** only tracked files are judged; a tree without git (an unpacked archive) has none, which is said.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::step::{capture, say};

/// Larger files are refused, but for recordings.
const BYTES_MAX: u64 = 1024 * 1024;
/// Where recordings lie, which may be larger: a folder below each scenario.
const RECORDINGS: (&str, &str) = ("collector/corpus/", "/recording/");
/// What an executable, an object or a library begins with (System V ABI, "ELF Header").
const ELF: &[u8] = b"\x7fELF";

/// Finds tracked files that a build has made.
///
/// # Errors
/// A tracked file cannot be read.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    if !root.join(".git").exists() {
        say("tidy: this is no git checkout, so files that a build has left are not looked for");
        return Ok(Vec::new());
    }
    let mut git = Command::new("git");
    git.args(["ls-files", "-z"]).current_dir(root);
    let tracked = capture(&mut git)?;
    let mut findings = Vec::new();
    for path in tracked.split('\0').filter(|path| !path.is_empty()) {
        if let Some(what) = judge(root, path)? {
            let path = path.to_owned();
            findings.push(Finding {
                path,
                line: 0,
                what,
            });
        }
    }
    Ok(findings)
}

fn judge(root: &Path, path: &str) -> Result<Option<String>> {
    if path.split('/').rev().skip(1).any(|part| part == "target") {
        return Ok(Some(
            "lies below a target directory; `git rm --cached` it".into(),
        ));
    }
    let file = root.join(path);
    let Ok(about) = file.symlink_metadata() else {
        return Ok(None); // Removed and not yet committed.
    };
    if !about.is_file() {
        return Ok(None);
    }
    let (below, folder) = RECORDINGS;
    let is_recording = path.starts_with(below) && path.contains(folder);
    if about.len() > BYTES_MAX && !is_recording {
        let bytes = about.len();
        return Ok(Some(format!(
            "has {bytes} bytes, and {BYTES_MAX} is the most of a file that is no recording"
        )));
    }
    let mut start = Vec::new();
    File::open(&file)
        .and_then(|file| file.take(ELF.len() as u64).read_to_end(&mut start))
        .with_context(|| format!("failed to read {path}"))?;
    Ok((start == ELF).then(|| "is an ELF object, which a build makes".into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_build_leaves_is_found_and_recordings_may_be_large() {
        let dir = tempfile::tempdir().unwrap();
        let large = vec![b'x'; 1024 * 1024 + 1];
        let files: [(&str, &[u8], bool); 7] = [
            ("src/a.rs", b"//! a\n", false),
            ("src/target.rs", b"//! a\n", false),
            ("fuzz/target/debug/a.d", b"a: b\n", true),
            ("program", b"\x7fELF\x02", true),
            ("three", b"\x7fEL", false),
            ("data.bin", &large, true),
            ("collector/corpus/a/recording/log.zst", &large, false),
        ];
        for (path, bytes, _) in files {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        for (path, _, refused) in files {
            let found = judge(dir.path(), path).unwrap();
            assert_eq!(found.is_some(), refused, "{path}: {found:?}");
        }
        assert_eq!(judge(dir.path(), "gone").unwrap(), None);
    }

    #[test]
    fn only_tracked_files_are_judged() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            check(dir.path()).unwrap().is_empty(),
            "no git, nothing tracked"
        );
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            capture(git.args(arguments).current_dir(dir.path())).unwrap();
        };
        git(&["init", "-q"]);
        for name in ["tracked", "not"] {
            fs::write(dir.path().join(name), ELF).unwrap();
        }
        git(&["add", "tracked"]);
        let found = check(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "tracked");
    }
}
