//! Generates what is committed but not written by hand: the protocol code, the catalogue of hooks, and the README's
//! tables (from their committed results).
//!
//! **Invariant:** the result depends on the sources alone (`protox` stands in for protoc), so `--check` can compare bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{capture, root, say};
use crate::{hooks, readme};

/// Where the protocol's texts lie, relative to the root.
const PROTO: &str = "proto";
const PROTO_TEXTS: [&str; 2] = ["proto/analyst/v1", "proto/sensor/v1"];
const GENERATED: &str = "proto/src/gen";
const CATALOGUE: &str = "sensor-ebpf/HOOKS.md";

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Change nothing; fail when what is committed is not what would be generated
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root();
    let mut files = protocol(&root)?;
    if !args.check {
        write_changed(&root, &files)?;
    }
    files.push((PathBuf::from(CATALOGUE), hooks::catalogue(&root)?));
    files.push((PathBuf::from(readme::README), readme::fresh(&root)?));
    if args.check {
        check(&root, &files)
    } else {
        write_changed(&root, &files)
    }
}

/// Compares the generated files with the committed ones, which must be exactly these.
fn check(root: &Path, files: &[(PathBuf, String)]) -> Result<()> {
    let mut stale: Vec<String> = Vec::new();
    for (path, text) in files {
        // One that is not there is as stale as one that differs.
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(text) {
            stale.push(path.display().to_string());
        }
    }
    for path in listed(&root.join(GENERATED), "rs")? {
        let relative = path.strip_prefix(root).unwrap_or(&path);
        if !files.iter().any(|(generated, _)| generated == relative) {
            stale.push(format!("{} (no source generates it)", relative.display()));
        }
    }
    if stale.is_empty() {
        say(format!("codegen: {} files are fresh", files.len()));
        return Ok(());
    }
    bail!(
        "not what the sources generate: {}; run `cargo xtask codegen` and commit the result",
        stale.join(", ")
    )
}

/// The protocol code of every text, formatted like the rest of the workspace.
fn protocol(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for place in PROTO_TEXTS {
        let found = listed(&root.join(place), "proto")?;
        ensure!(!found.is_empty(), "{place} holds no protocol text");
        texts.extend(found);
    }
    let set =
        protox::compile(&texts, [root.join(PROTO)]).context("failed to compile the protocol")?;
    let dir = tempfile::tempdir().context("failed to make a temporary directory")?;
    tonic_prost_build::configure()
        .out_dir(dir.path())
        .compile_fds(set)
        .context("failed to generate the protocol code")?;
    let mut files = Vec::new();
    for path in listed(dir.path(), "rs")? {
        let mut rustfmt = Command::new("rustfmt");
        rustfmt
            .args(["--edition", "2024", "--config-path"])
            .arg(root)
            .arg(&path);
        capture(&mut rustfmt).context("failed to format the generated code")?;
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let name = path.file_name().context("a generated file has no name")?;
        files.push((Path::new(GENERATED).join(name), text));
    }
    Ok(files)
}

/// The files with this extension in a directory, sorted.
fn listed(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("failed to read {}", dir.display()))?
            .path();
        if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Leaves fresh files alone, so that cargo does not build again what depends on them.
fn write_changed(root: &Path, files: &[(PathBuf, String)]) -> Result<()> {
    for (path, text) in files {
        let path = root.join(path);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        say(format!("wrote {}", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_missing_and_surplus_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let generated = dir.path().join(GENERATED);
        fs::create_dir_all(&generated).unwrap();
        let fresh = vec![(Path::new(GENERATED).join("a.rs"), "a".to_owned())];
        let told =
            |files: &[(PathBuf, String)]| format!("{:#}", check(dir.path(), files).unwrap_err());
        assert!(told(&fresh).contains("a.rs"), "missing");
        fs::write(generated.join("a.rs"), "old").unwrap();
        assert!(told(&fresh).contains("a.rs"), "stale");
        fs::write(generated.join("a.rs"), "a").unwrap();
        check(dir.path(), &fresh).unwrap();
        fs::write(generated.join("b.rs"), "b").unwrap();
        assert!(
            told(&fresh).contains("b.rs (no source generates it)"),
            "surplus"
        );
    }

    #[test]
    fn generating_twice_gives_the_same() {
        assert_eq!(protocol(&root()).unwrap(), protocol(&root()).unwrap());
    }
}
