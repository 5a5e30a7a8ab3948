//! Runs child commands as steps: progress while they run, the elapsed time, and a failure that shows what went wrong.
//!
//! A step's output goes to a log below `target/xtask/logs`; when it fails, the error carries the end of that log. On a terminal a spinner turns; elsewhere there is one plain line at the beginning, one a minute, and
//! one at the end. Progress goes to standard error, so standard output stays free for results.
//!
//! **Invariant:** only processes that a step itself started are ever ended.

mod progress;
pub(crate) mod tree;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context as _, Result, bail};

use self::progress::Progress;

/// How many lines of a log a failure shows.
const TAIL_LINES: usize = 40;
/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How often a long step says that it still runs, where there is no terminal.
const STILL: Duration = Duration::from_mins(1);

/// A child command with a title.
#[derive(Debug)]
pub(crate) struct Step {
    title: String,
    command: Command,
    log: Option<PathBuf>,
    limit: Option<Duration>,
}

/// What a finished step leaves.
#[derive(Debug)]
pub(crate) struct Done {
    /// How the child ended.
    pub(crate) status: ExitStatus,
    /// From start to end.
    pub(crate) elapsed: Duration,
    /// Where its output lies.
    pub(crate) log: PathBuf,
}

impl Step {
    /// A step called `title`, shown while it runs; its log is named after it.
    pub(crate) fn new(title: impl Into<String>, command: Command) -> Self {
        Self {
            title: title.into(),
            command,
            log: None,
            limit: None,
        }
    }

    /// Writes the output to this file instead (its directory is created, an older file replaced).
    pub(crate) fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Ends the child and its descendants, and fails, when it runs longer than this.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the command and fails unless it exits with 0; the error shows the command and the end of its output.
    pub(crate) fn run(self) -> Result<Done> {
        let shown = show(&self.command);
        let done = self.run_any()?;
        if done.status.success() {
            return Ok(done);
        }
        let tail = tail_of(&done.log);
        bail!(
            "`{shown}` failed with {} after {}{tail}",
            done.status,
            human(done.elapsed)
        )
    }

    /// Runs the command and leaves it to the caller to judge how it ended; fails when it cannot be started or is ended
    /// at its limit.
    pub(crate) fn run_any(mut self) -> Result<Done> {
        let shown = show(&self.command);
        let log = self.open_log()?;
        let progress = Progress::start(&self.title);
        let begin = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start `{shown}`"))?;
        let ended = wait(&mut child, begin, self.limit, &progress);
        let elapsed = begin.elapsed();
        let success = matches!(&ended, Ok(status) if status.success());
        progress.end(success, elapsed);
        match ended {
            Ok(status) => Ok(Done {
                status,
                elapsed,
                log,
            }),
            Err(error) => {
                let tail = tail_of(&log);
                Err(error.context(format!("failed to run `{shown}`{tail}")))
            }
        }
    }

    fn open_log(&mut self) -> Result<PathBuf> {
        let path = self.log.take().unwrap_or_else(|| log_path(&self.title));
        let create = || -> std::io::Result<(File, File)> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let file = File::create(&path)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) =
            create().with_context(|| format!("failed to create {}", path.display()))?;
        self.command.stdout(out).stderr(err);
        Ok(path)
    }
}

/// A program that the kernel ends when the thread that starts it has ended, whatever ended us: for what would else run on for hours. By way of
/// setpriv(1), which asks for the signal (`PR_SET_PDEATHSIG`, prctl(2)) and becomes the program.
pub(crate) fn ending_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Runs a short command in silence and returns its standard output; fails unless it exits with 0.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{shown}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed with {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{shown}` printed something that is not UTF-8"))
}

/// Tells the person at the terminal something, on standard error.
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// The checkout this workshop was built from.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Cargo's target directory for this workspace.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where a step with this title writes its log by default.
pub(crate) fn log_path(title: &str) -> PathBuf {
    let slug: String = title
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    target_dir()
        .join("xtask/logs")
        .join(format!("{}.log", words.join("-")))
}

/// The cargo that runs us, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // `cargo run` describes our own package in the environment; its children would take that for theirs.
    for (name, _) in env::vars_os().filter(|(name, _)| describes_package(name)) {
        command.env_remove(name);
    }
    command
}

fn describes_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// This very program, for a child that runs another of its commands. By way of /proc, so that a build which replaces the
/// file meanwhile does no harm.
pub(crate) fn own_program() -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", std::process::id()))
}

/// The file of this very program, for a machine that has the host's files.
///
/// # Errors
/// The file was replaced since, or cannot be named.
pub(crate) fn own_file() -> Result<PathBuf> {
    let file = env::current_exe().context("failed to find this program's file")?;
    anyhow::ensure!(
        file.is_file(),
        "{} was replaced by another build; run the command again",
        file.display()
    );
    Ok(file)
}

/// Whether a program of this name is on the search path, and where.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps some programs (rsyslogd, ip) where an ordinary user's path does not look.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 5 s`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn wait(
    child: &mut Child,
    begin: Instant,
    limit: Option<Duration>,
    progress: &Progress,
) -> Result<ExitStatus> {
    let mut next_word = STILL;
    loop {
        if let Some(status) = child.try_wait().context("failed to wait for the child")? {
            return Ok(status);
        }
        let elapsed = begin.elapsed();
        if let Some(limit) = limit.filter(|limit| elapsed > *limit) {
            tree::end(child)?;
            bail!(
                "it ran longer than its limit of {} and was ended",
                human(limit)
            );
        }
        if elapsed >= next_word {
            progress.still(elapsed);
            next_word += STILL;
        }
        thread::sleep(POLL);
    }
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The end of a log, ready to be appended to an error.
pub(crate) fn tail_of(log: &Path) -> String {
    let text = match fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("; its log {} cannot be read: {error}", log.display()),
    };
    let lines: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    let end = lines.get(from..).unwrap_or_default().join("\n    ");
    format!("; the end of {}:\n    {end}", log.display())
}

/// Cargo's own progress, and that of the nested build, which a build script passes on as warnings.
fn is_progress(line: &str) -> bool {
    let line = line
        .strip_prefix("warning: sensor-user@")
        .map_or(line, |rest| {
            rest.split_once(": ").map_or("", |(_, own)| own)
        });
    let word = line.split_whitespace().next().unwrap_or_default();
    line.starts_with("   ")
        && matches!(
            word,
            "Compiling" | "Checking" | "Downloaded" | "Downloading" | "Fresh" | "Finished"
        )
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_must_not_outlive_us_ends_with_the_thread_that_started_it() {
        // To the kernel a thread that ends is as good as a process that is killed.
        let starter = thread::spawn(|| {
            let mut child = ending_with_us("sleep").arg("1000").spawn().unwrap();
            let name = format!("/proc/{}/comm", child.id());
            while fs::read_to_string(&name).unwrap().trim() != "sleep" {
                assert_eq!(child.try_wait().unwrap(), None);
                thread::sleep(Duration::from_millis(5));
            }
            child
        });
        let mut child = starter.join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_command_and_the_end_of_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("deep/step.log");
        let step = Step::new("fails", sh("seq 1 100; echo the reason >&2; exit 3")).log(&log);
        let error = format!("{:#}", step.run().unwrap_err());
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("the reason"), "{error}");
        assert!(error.contains("\n    100\n"), "{error}");
        assert!(
            !error.contains("\n    60\n"),
            "only the end is shown: {error}"
        );
    }

    #[test]
    fn progress_is_no_part_of_a_failure() {
        for line in [
            "   Compiling syn v2.0.119",
            "    Checking a v1",
            "warning: sensor-user@0.1.0:    Compiling core v0.0.0",
        ] {
            assert!(is_progress(line), "{line}");
        }
        for line in [
            "error: no",
            "warning: sensor-user@0.1.0: error: no",
            "   the reason",
            "Compiling",
        ] {
            assert!(!is_progress(line), "{line}");
        }
    }

    #[test]
    fn success_keeps_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("step.log");
        let done = Step::new("works", sh("echo out; echo err >&2"))
            .log(&log)
            .run()
            .unwrap();
        assert!(done.status.success());
        assert_eq!(fs::read_to_string(log).unwrap(), "out\nerr\n");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Step::new("missing", Command::new("/nonexistent/program"))
            .log(dir.path().join("log"))
            .run()
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("failed to start `/nonexistent/program`"),
            "{error:#}"
        );
    }

    #[test]
    fn a_step_over_its_limit_is_ended_with_its_descendants() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("step.log");
        let script = "sleep 600 & echo $!; wait";
        let error = Step::new("hangs", sh(script))
            .log(&log)
            .limit(Duration::from_millis(300))
            .run()
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("longer than its limit"),
            "{error:#}"
        );
        let pid: i32 = fs::read_to_string(log).unwrap().trim().parse().unwrap();
        assert!(!tree::is_running(pid), "the sleep is gone too");
    }

    #[test]
    fn capture_returns_standard_output_or_says_why_not() {
        assert_eq!(capture(&mut sh("echo hello")).unwrap(), "hello\n");
        let error = capture(&mut sh("echo no >&2; exit 1")).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 1: no"), "{error}");
    }

    #[test]
    fn commands_are_shown_as_one_types_them() {
        assert_eq!(show(&sh("it's")), r"sh -c 'it'\''s'");
    }

    #[test]
    fn durations_and_log_names_are_readable() {
        assert_eq!(human(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(human(Duration::from_secs(75)), "75 s");
        assert_eq!(human(Duration::from_secs(185)), "3 min 5 s");
        assert!(log_path("VM 6.1, lsm").ends_with("xtask/logs/vm-6.1-lsm.log"));
    }
}
