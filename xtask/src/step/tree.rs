//! Ends a child and everything it started.
//!
//! **Invariant:** descends from a process we started, by parent links read from `/proc`; nothing is found by name.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long descendants are given to disappear after the signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills the child and its descendants and waits until they are gone.
///
/// # Errors
/// When the child cannot be waited for, or a descendant outlives the signal.
pub(super) fn end(child: &mut Child) -> Result<()> {
    let own = i32::try_from(child.id()).context("the child's id is no process id")?;
    let descendants = descendants_of(own);
    // The root goes first, so that it starts nothing new while its children end.
    child.kill().context("failed to end the child")?;
    child.wait().context("failed to wait for the ended child")?;
    for pid in &descendants {
        // One that has already gone by itself is what we want; one that will not go is found below.
        if let Some(pid) = Pid::from_raw(*pid) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
    let begin = Instant::now();
    while descendants.iter().any(|pid| is_running(*pid)) {
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "some descendants of process {own} outlive SIGKILL"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Has what our children leave behind become our own children, so that it can be found and ended.
///
/// # Errors
/// The kernel refused it.
pub(crate) fn adopt_orphans() -> Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).context("failed to become a subreaper")
}

/// Ends every descendant of ours but `spared` and theirs. Only with [`adopt_orphans`] none is missed.
///
/// # Errors
/// Something outlives `SIGKILL`.
pub(crate) fn end_all_but(spared: &[u32]) -> Result<()> {
    let own = i32::try_from(std::process::id()).context("the own id is no process id")?;
    let begin = Instant::now();
    loop {
        let kept: Vec<i32> = spared
            .iter()
            .filter_map(|pid| i32::try_from(*pid).ok())
            .flat_map(|pid| descendants_of(pid).into_iter().chain([pid]))
            .collect();
        let rest: Vec<i32> = descendants_of(own)
            .into_iter()
            .filter(|pid| !kept.contains(pid))
            .collect();
        if rest.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            begin.elapsed() < PATIENCE,
            "processes {rest:?} outlive SIGKILL"
        );
        for pid in rest.into_iter().filter_map(Pid::from_raw) {
            // Gone by itself, or a grandchild that will be ours to wait for: the next turn sees.
            kill_process(pid, Signal::KILL).ok();
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this process exists and is more than an entry waiting for its parent.
pub(super) fn is_running(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

fn descendants_of(root: i32) -> Vec<i32> {
    let all: Vec<(i32, i32)> = pids()
        .into_iter()
        .filter_map(|pid| stat(pid).map(|(_, parent)| (pid, parent)))
        .collect();
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(parent) = todo.pop() {
        let children = all
            .iter()
            .filter(|(_, of)| *of == parent)
            .map(|(pid, _)| *pid);
        for child in children {
            found.push(child);
            todo.push(child);
        }
    }
    found
}

fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// State and parent of a process, from `/proc/PID/stat` (the manual page `proc_pid_stat`): the name in brackets may hold anything, so
/// the fields are counted from its last bracket.
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_parent_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let (state, parent) = stat(own).unwrap();
        assert!(state == 'R' || state == 'S', "{state}");
        assert!(descendants_of(parent).contains(&own));
        assert!(is_running(own));
    }

    #[test]
    fn a_process_that_does_not_exist_does_not_run() {
        assert!(!is_running(i32::MAX));
    }
}
