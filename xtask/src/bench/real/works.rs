//! Real work: what it is done on, and what it takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The work, as a shell does it. What is short is done some times over.
pub(super) const SCRIPTS: [(&str, &str); 4] = [
    (
        "tar of 8,000 files, 3 times",
        "for time in 1 2 3; do tar -cf - tree | cat; done",
    ),
    (
        "find and cat of 8,000 files, 3 times",
        "for time in 1 2 3; do find tree -type f -exec cat {} +; done",
    ),
    (
        "git status of 8,000 files, 10 times",
        "for time in 1 2 3 4 5 6 7 8 9 10; do git --git-dir=repository --work-tree=tree status; done",
    ),
    (
        "compiling 60 files of C",
        "for file in source/*.c; do cc -O1 -c $file -o object.o; done",
    ),
];

const FILES: usize = 8_000;
const DIRECTORY: usize = 50;
const SOURCES: usize = 60;
const FUNCTIONS: usize = 25;
/// `USER_HZ`: ticks of the times in `/proc/PID/stat`, the same on every x86-64.
const TICKS: u32 = 100;
/// Where the CPU time of children that have ended is in `/proc/self/stat`, counted behind the name.
const CHILDREN: usize = 13;

/// CPU and time of some work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) cpu: Duration,
    pub(super) elapsed: Duration,
}

/// Where the work is done.
#[derive(Debug)]
pub(super) struct Works {
    directory: PathBuf,
}

impl Works {
    /// Makes what it is done on.
    pub(super) fn prepare(home: &Path) -> Result<Self> {
        let directory = home.join("work");
        for number in 0..FILES {
            let place = directory.join(format!("tree/{:03}", number / DIRECTORY));
            fs::create_dir_all(&place)?;
            let line = format!("line of file {number} with some words in it\n");
            // From 1 to 24 KiB.
            let lines = 1024 * (1 + number % 24) / line.len();
            let path = place.join(format!("{:02}.txt", number % DIRECTORY));
            fs::write(&path, line.repeat(lines))
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        fs::create_dir(directory.join("source"))?;
        for number in 0..SOURCES {
            fs::write(
                directory.join(format!("source/{number:02}.c")),
                source(number),
            )?;
        }
        let works = Self { directory };
        works.perform(
            "git init -q tree && mv tree/.git repository && cd tree && git --git-dir=../repository --work-tree=. add . \
             && git --git-dir=../repository -c user.name=a -c user.email=a@b commit -q -m first",
        )?;
        Ok(works)
    }

    /// Does some work.
    pub(super) fn perform(&self, script: &str) -> Result<Taken> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.directory);
        measured(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }
}

/// Runs a command to its end. Nothing else of this process may end meanwhile.
fn measured(command: &mut Command) -> Result<Taken> {
    let (before, begin) = (of_children()?, Instant::now());
    let status = command.status().context("failed to start some work")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(super::taken(begin, of_children()?.saturating_sub(before)))
}

fn source(number: usize) -> String {
    let function = |function| {
        format!(
            "int f{number}_{function}(int a, const char *b) {{ int s = {function}; for (int i = 0; i < a; i++) {{ \
             if (b[i] == {number}) s += b[i] * i; else s ^= i << {function}; }} return s; }}\n"
        )
    };
    let functions: String = (0..FUNCTIONS).map(function).collect();
    format!("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{functions}")
}

/// CPU of all children that have ended and were waited for, and of theirs.
pub(super) fn of_children() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat").context("failed to read /proc/self/stat")?;
    // The name is in brackets and may hold anything.
    let behind = text.rsplit(") ").next().unwrap_or_default();
    let ticks: Option<u32> = behind
        .split_whitespace()
        .skip(CHILDREN)
        .take(2)
        .map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    Ok(Duration::from_secs(1) / TICKS * ticks.context("/proc/self/stat lacks times")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_children_is_charged() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]);
        assert!(measured(&mut command).unwrap().cpu > Duration::ZERO);
        let mut command = Command::new("sh");
        assert!(measured(command.args(["-c", "exit 3"])).is_err());
    }
}
