//! Attempts on a sensor itself.

use super::ProcessKey;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TamperKind {
    /// Not given, or one this version does not know.
    Unknown,
    /// A signal that ends or stops.
    Signal,
    /// To trace it or to read its memory.
    Trace,
    /// To get at a map of its kernel programs.
    Map,
    /// To get at one of its kernel programs.
    Program,
    /// To get at what attaches one of its kernel programs.
    Link,
    /// To write to one of its files, to change, replace or remove it.
    File(TamperFile),
}

/// A file of a sensor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TamperFile {
    /// Not given, or one this version does not know.
    Unknown,
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

impl TamperKind {
    /// Short name, stable, for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Signal => "signal",
            Self::Trace => "trace",
            Self::Map => "map",
            Self::Program => "program",
            Self::Link => "link",
            Self::File(TamperFile::Unknown) => "file",
            Self::File(TamperFile::Program) => "file-program",
            Self::File(TamperFile::Configuration) => "file-configuration",
            Self::File(TamperFile::Key) => "file-key",
            Self::File(TamperFile::Unit) => "file-unit",
            Self::File(TamperFile::Spool) => "file-spool",
            Self::File(TamperFile::Identity) => "file-identity",
            Self::File(TamperFile::Authority) => "file-authority",
        }
    }
}

/// Something was tried on the sensor since it last said so: amounts are to be added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tamper {
    /// Who tried.
    pub process: ProcessKey,
    /// What.
    pub kind: TamperKind,
    /// The signal, or the id of the map, program or link; 0 of a file.
    pub number: u32,
    /// How often.
    pub times: u64,
    /// How often it is known to have been refused.
    pub denied: u64,
    /// First time in this event, nanoseconds since the Unix epoch.
    pub first_ns: u64,
    /// Last time in this event, nanoseconds since the Unix epoch.
    pub last_ns: u64,
}
