//! The collector from outside: the real binaries, a real gRPC connection, real files, a real syslog daemon.
//!
//! Every server listens on loopback on a port the kernel chose; every child process is ended by the test that began
//! it, by its process id.

#![allow(clippy::unwrap_used, reason = "tests")]

mod administer;
mod analyst;
mod analyst_limits;
mod analyst_renewal;
mod audit;
mod commands;
mod conflict;
mod daemon;
mod delivery;
mod enrol;
mod events;
mod export;
mod identity;
mod intel;
mod lanes;
mod packed;
mod reveal;
mod rotation;
mod sensor;
mod service;
mod sinks;
mod syslogd;
mod tls;
mod usual;
mod web;

/// Says that something was not tested, and why, in a line that `cargo xtask test` can find.
#[expect(
    clippy::explicit_write,
    reason = "eprintln! is captured by the test harness"
)]
fn skip(reason: &str) {
    use std::io::Write as _;
    // Past the test harness's capture, so that it is seen when the test passes.
    writeln!(std::io::stderr(), "SKIPPED: {reason}").unwrap();
}
