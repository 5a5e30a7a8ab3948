//! Attempts on the sensor itself.

use super::ProcessKey;

/// What was tried, and at which part of the sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A signal, by its number, that ends or stops.
    Signal(u32),
    /// To trace it or to read its memory.
    Trace,
    /// To get at a map of its programs, by id.
    Map(u32),
    /// To get at one of its programs, by id.
    Program(u32),
    /// To get at what attaches one of its programs, by id.
    Link(u32),
    /// To write to one of its files, to change, replace or remove it.
    File(Part),
}

/// A file of the sensor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its program.
    Program,
    /// Its configuration.
    Configuration,
    /// The key of its tokens.
    Key,
    /// Its systemd unit.
    Unit,
    /// What its disk spool is made of.
    Spool,
    /// Its key and certificate.
    Identity,
    /// The authority by which it knows the collector.
    Authority,
}

/// Something was tried on the sensor: amounts are to be added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tamper {
    /// Who tried.
    pub process: ProcessKey,
    /// What.
    pub target: Target,
    /// How often.
    pub times: u64,
    /// How often it is known to have been refused.
    pub denied: u64,
    /// First time since the last report, boot clock.
    pub first_boot_ns: u64,
    /// Last time, boot clock.
    pub last_boot_ns: u64,
}
