//! Generates the committed protocol code from the `.proto` texts; `--check` only compares.
use anyhow::{Context as _, Result};
pub(crate) fn run() -> Result<()> {
    let files = protox::compile(["proto/sensor/v1/link.proto", "proto/sensor/v1/event.proto"], ["proto"]).context("failed to compile the protocol")?;
    tonic_prost_build::configure().out_dir("proto/src/gen").compile_fds(files)?;
    Ok(())
}
