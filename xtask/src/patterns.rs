//! The README's table of patterns, as the collector's own code tells it.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::step::{capture, cargo};

/// The table.
///
/// # Errors
/// The example of the collector that prints it cannot be built or fails.
pub(crate) fn section(root: &Path) -> Result<String> {
    let mut print = cargo();
    print.current_dir(root).args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "collector",
        "--example",
        "patterns",
    ]);
    capture(&mut print).context("failed to have the collector print its patterns")
}
