//! The workshop's front door: one enum, one file per command.
//!
//! **Invariant:** no room of the product is linked here, and nothing in the product links the workshop; commands build
//! and run the rooms as child processes, as a person at a shell would.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod bench;
mod codegen;
mod coverage;
mod eval;
mod fuzz;
mod hooks;
mod install;
mod lint;
mod patterns;
mod readme;
mod records;
mod restart;
mod setup;
mod step;
mod table;
mod test;
mod tidy;
mod up;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything one does with this repository.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measure what the sensor costs
    Bench(bench::Args),
    /// Generate the committed protocol code and the catalogue of hooks, or check that they are fresh
    Codegen(codegen::Args),
    /// Go every way to reach records and send them away, and say which of them the sensor sees
    Coverage(coverage::Args),
    /// Run scenarios of theft and of everyday work with real tools, and say what is found
    Eval(eval::Args),
    /// Feed made-up input to everything that reads what others write, and say what breaks
    Fuzz(fuzz::Args),
    /// Build the release programs and install them with units and configuration
    Install(install::Args),
    /// Check formatting, lints, house rules, generated code and dependencies
    Lint(lint::Args),
    /// Install what this machine lacks to build, test and demonstrate Chartwatch
    Setup(setup::Args),
    /// Run every test this machine can run
    Test(test::Args),
    /// Check the house rules that no compiler checks
    Tidy(tidy::Args),
    /// Run Chartwatch on this machine and show what it sees
    Up(up::Args),
    /// The listener of the demonstration; started by `up`
    #[command(hide = true)]
    DemoSink(up::sink::Args),
    /// Fill a directory with synthetic patient records in real formats
    Records(records::Args),
    /// Kill or restart a daemon under load and check that the log holds every access exactly once
    Restart(restart::Args),
    /// Run the kernel tests on a Debian kernel in a virtual machine
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Codegen(args) => codegen::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Up(args) => up::run(&args),
        Command::DemoSink(args) => up::sink::run(&args),
        Command::Records(args) => records::run(&args),
        Command::Restart(args) => restart::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<test::Reported>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
