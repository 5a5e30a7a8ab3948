//! The run directory: configurations, keys, data, logs and the demonstration's store of one `up`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::step::capture;

/// A store to watch: its name and its directory.
pub(crate) type Store = (String, PathBuf);

/// Makes a directory of its own for this run, readable by its owner only. It is kept: logs and alerts are in it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn run_directory() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_STATE_HOME") {
        Some(state) if !state.is_empty() => PathBuf::from(state).join("chartwatch"),
        _ => std::env::temp_dir(),
    };
    fs::create_dir_all(&base).with_context(|| format!("failed to create {}", base.display()))?;
    let directory = tempfile::Builder::new()
        .prefix("chartwatch-up-")
        .tempdir_in(&base);
    Ok(directory
        .with_context(|| format!("failed to make a directory in {}", base.display()))?
        .keep())
}

/// Writes the collector's configuration, to listen there (port 0: the kernel's choice); gives the file.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn collector(directory: &Path, listen: SocketAddr) -> Result<PathBuf> {
    let lines = [
        format!("listen = {}", quoted(&listen.to_string())),
        // Both ends are on this machine; what goes over TLS is tested elsewhere.
        "tls = \"off\"".to_owned(),
        format!("data_dir = {}", path(&data(directory))?),
        format!(
            "\n[sink.file]\npath = {}\n",
            path(&directory.join("findings.jsonl"))?
        ),
    ];
    fs::create_dir_all(data(directory)).context("failed to make the data directory")?;
    write(directory, "collector.toml", &lines.join("\n"))
}

/// Where the collector keeps its log and alerts.
pub(crate) fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// Makes a token key and writes the sensor's configuration; gives the file.
///
/// # Errors
/// The sensor cannot make a key, or the file cannot be written.
pub(crate) fn sensor(
    directory: &Path,
    program: &Path,
    collector: SocketAddr,
    backend: &str,
    stores: &[Store],
) -> Result<PathBuf> {
    let key = directory.join("token.key");
    capture(Command::new(program).arg("keygen").arg("--out").arg(&key))
        .context("failed to make a token key")?;
    let mut lines = vec![
        format!("backend = {}", quoted(backend)),
        format!(
            "[collector]
address = {}",
            quoted(&format!("http://{collector}"))
        ),
        format!(
            "[privacy]
key_file = {}",
            path(&key)?
        ),
    ];
    let spool = path(&directory.join("spool"))?;
    lines.push(format!("[spool]\ndirectory = {spool}"));
    let holders = path(&directory.join("holders"))?;
    lines.push(format!("[kernel]\nholders_file = {holders}"));
    for (name, root) in stores {
        lines.push(format!(
            "[[store]]
name = {}
path = {}",
            quoted(name),
            path(root)?
        ));
    }
    write(
        directory,
        "sensor.toml",
        &(lines.join(
            "

",
        ) + "
"),
    )
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = directory.join(name);
    fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    Ok(file)
}

fn path(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8, which TOML asks for", path.display()))?;
    Ok(quoted(text))
}

/// A TOML basic string; what JSON escapes, TOML reads alike.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
