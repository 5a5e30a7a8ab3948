//! Processes: how they begin, what they become, how they end.

/// Names a process within one boot: a pid can come again, a pid with its start time does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// Start since boot in hundredths of a second, as field 22 of `/proc/PID/stat` has it.
    pub start_cs: u64,
}

/// A process started another (threads are not reported).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The new process.
    pub child: ProcessKey,
    /// The one that started it.
    pub parent: ProcessKey,
    /// Whether it holds records, because the other one does.
    pub holds: bool,
}

/// A process became another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The process; exec keeps it.
    pub process: ProcessKey,
    /// Its parent at this moment.
    pub parent: ProcessKey,
    /// Real user id.
    pub uid: u32,
    /// The file name exec was called with; may be relative.
    pub untrusted_filename: Vec<u8>,
    /// Arguments as they lie in memory, each ended by NUL, the first being the program's own name.
    pub untrusted_arguments: Vec<u8>,
    /// True when the arguments were longer than what was taken.
    pub arguments_truncated: bool,
    /// Bytes of arguments and environment.
    pub given_bytes: u64,
}

/// A process ended (its last thread).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The process.
    pub process: ProcessKey,
}
