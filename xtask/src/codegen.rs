//! Generates the committed protocol code from the `.proto` texts; `--check` only compares.

use anyhow::{Context as _, Result};

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Change nothing; fail when what is committed is not what would be generated
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    anyhow::ensure!(!args.check, "--check follows");
    let files = protox::compile(
        ["proto/sensor/v1/link.proto", "proto/sensor/v1/event.proto"],
        ["proto"],
    )
    .context("failed to compile the protocol")?;
    tonic_prost_build::configure()
        .out_dir("proto/src/gen")
        .compile_fds(files)?;
    Ok(())
}
