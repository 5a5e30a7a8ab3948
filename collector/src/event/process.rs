//! Processes: who they are.

/// Names a process within one boot: a pid can come again, a pid with its start time does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Thread group id in the initial pid namespace.
    pub pid: u32,
    /// Start since boot in hundredths of a second, as field 22 of `/proc/PID/stat` has it.
    pub start_cs: u64,
}

/// Who a process is, as the sensor last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process.
    pub key: ProcessKey,
    /// The process that started it; `None` for the first one and where it is not known.
    pub parent: Option<ProcessKey>,
    /// Absolute path of the executable; empty when not known.
    pub executable: String,
    /// Arguments, the first being the program's own name. What names a record in them is a token.
    pub arguments: Vec<String>,
    /// True when the arguments were longer than the sensor keeps.
    pub arguments_truncated: bool,
    /// Real user id.
    pub uid: u32,
    /// Name of that user, empty when the host has none for it.
    pub user: String,
    /// User who logged in at the root of the session; `None` when nobody did.
    pub login_uid: Option<u32>,
    /// Name of the login user, empty when unknown.
    pub login_user: String,
    /// Audit session id; `None` when there is none.
    pub session: Option<u32>,
    /// systemd unit, empty outside systemd.
    pub unit: String,
    /// Container id, empty outside containers.
    pub container: String,
    /// Bytes of arguments and environment that it was given when it became this program; 0 when it goes on as a copy of the
    /// process that started it, and when it is not known.
    pub given_bytes: u64,
    /// When it started, nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// When it exited, nanoseconds since the Unix epoch; `None` while it runs.
    pub exited_ns: Option<u64>,
}

impl Process {
    /// The last part of the executable's path.
    pub fn program(&self) -> &str {
        self.executable.rsplit('/').next().unwrap_or_default()
    }
}
