//! `cargo xtask bench`: what the sensor costs.

pub(crate) mod collector;
mod daemons;
pub(crate) mod fleet;
pub(crate) mod idle;
pub(crate) mod overhead;
mod page;
pub(crate) mod real;
mod rows;
mod targets;
pub(crate) mod workloads;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Count the guest instructions that the sensor adds to operations, in virtual machines
    Overhead(overhead::Args),
    /// Count the guest instructions that the sensor adds to work as a whole, in virtual machines
    Workloads(workloads::Args),
    /// Measure what the sensor takes of this machine while nothing happens
    Idle(idle::Args),
    /// Measure what an edge of a host's graph costs the collector, in time and memory
    Graph(collector::Args),
    /// Measure what a million indicators of threat intelligence cost the collector, in time and memory
    Intel(collector::Args),
    /// Measure what a hospital's sensors ask of one collector: events made durable, the time that takes, memory, a restart, a flood
    Fleet(fleet::Args),
    /// Measure what real work on this machine takes with the sensor, and with empty programs in its place
    Real(real::Args),
}

/// Runs the command.
///
/// # Errors
/// A machine could not be prepared or started, the measurement failed in it, or with `--check` a target does not hold.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Overhead(args) => overhead::run(args),
        What::Workloads(args) => workloads::run(args),
        What::Idle(args) => idle::run(args),
        What::Graph(args) => collector::run(&collector::GRAPH, args),
        What::Intel(args) => collector::run(&collector::INTEL, args),
        What::Fleet(args) => fleet::run(args),
        What::Real(args) => real::run(args),
    }
}

/// What was given, else what is measured unless something is.
fn or(given: &[String], default: &[&str]) -> Vec<String> {
    if given.is_empty() {
        default.iter().map(|text| (*text).to_owned()).collect()
    } else {
        given.to_vec()
    }
}

/// Committed results.
fn kept<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("failed to understand {}", path.display()))
}
