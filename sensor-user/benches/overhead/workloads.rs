//! Work as people have it done, as a whole: what it takes from its beginning until everybody is quiet again, so that the
//! work of the watcher is in the figure, whenever it is done.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::act::Actor;
use crate::operations::instructions;
use crate::setting::Watched;

/// The work, as a shell does it in the directory it is done in.
pub(crate) const WORKLOADS: &[(&str, &str)] = &[
    ("tar of 1,000 files", "tar -cf - tree | wc -c"),
    (
        "find and cat of 1,000 files",
        "find tree -type f -exec cat {} +",
    ),
    ("grep through 1,000 files", "grep -r -c needle tree"),
    (
        "git status of 1,000 files",
        "git --git-dir=repository --work-tree=tree status",
    ),
    (
        "a script of 100 processes",
        "for file in tree/0?/0?; do wc -c <$file; done",
    ),
    (
        "compiling 60 files",
        "for file in source/*.c; do tcc -nostdinc -c $file -o object.o; done",
    ),
    (
        "a database of 20,000 rows",
        "rm -f database; sqlite3 database <queries",
    ),
];

/// Runs of which the median counts, after one that warms up.
const RUNS: usize = 3;
const FILES: usize = 1_000;
const DIRECTORY: usize = 50;
const SOURCES: usize = 60;
const FUNCTIONS: usize = 60;

/// Makes what the work is done on.
pub(crate) fn prepare(directory: &Path) -> Result<()> {
    for number in 0..FILES {
        let place = directory.join(format!("tree/{:02}", number / DIRECTORY));
        fs::create_dir_all(&place)?;
        // From 1 to 16 KiB, in lines.
        let line = format!("line of file {number} with some words in it\n");
        let lines = 1024 * (1 + number % 16) / line.len();
        fs::write(
            place.join(format!("{:02}", number % DIRECTORY)),
            line.repeat(lines),
        )?;
    }
    fs::create_dir(directory.join("source"))?;
    for number in 0..SOURCES {
        let path = directory.join(format!("source/{number:02}.c"));
        fs::write(path, source(number)?)?;
    }
    fs::write(
        directory.join("queries"),
        "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER); BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
INSERT INTO t SELECT i, hex(i*7919), i%97 FROM n; COMMIT;
CREATE INDEX u ON t(c); SELECT c, count(*), max(b) FROM t GROUP BY c ORDER BY 2 DESC LIMIT 5;
UPDATE t SET b=b||'x' WHERE c<10; SELECT count(*) FROM t WHERE b LIKE '%5x';",
    )?;
    let git = "git init -q tree && mv tree/.git repository && git() { command git --git-dir=repository \
        --work-tree=tree -c user.name=a -c user.email=a@b \"$@\"; } && git add . && git commit -q -m first";
    work(directory, git)
}

fn source(number: usize) -> Result<String> {
    let mut text = String::new();
    for function in 0..FUNCTIONS {
        writeln!(
            text,
            "int f{number}_{function}(int a, const char *b) {{ int s = {function}; for (int i = 0; i < a; i++) \
             {{ if (b[i] == {number}) s += b[i] * i; else s ^= i; }} return s; }}"
        )?;
    }
    Ok(text)
}

/// Does some work; the process that performs calls it.
pub(crate) fn perform(directory: &Path, name: &str) -> Result<()> {
    let found = WORKLOADS.iter().find(|(known, _)| *known == name);
    let (_, script) = found.with_context(|| format!("no work is called {name}"))?;
    work(directory, script)
}

fn work(directory: &Path, script: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(directory);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    // grep says so when it has found nothing.
    ensure!(matches!(status.code(), Some(0 | 1)), "{script}: {status}");
    Ok(())
}

/// What some work takes, from its beginning until the watcher is quiet, without what the watcher does anyway.
pub(crate) fn measure(
    actor: &mut Actor,
    name: &str,
    watched: &Watched,
    idle: std::time::Duration,
) -> Result<u64> {
    let mut taken = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        let begin = watched.spent()?;
        let before = instructions();
        actor.work(name)?;
        let meanwhile = instructions() - before;
        let done = watched.spent_now()?;
        let after = watched.spent_at_end(&begin)?.since(&done);
        if run > 0 {
            let all = meanwhile + after.as_nanos() as u64;
            taken.push(all.saturating_sub(idle.as_nanos() as u64));
        }
    }
    taken.sort_unstable();
    Ok(taken[RUNS / 2])
}
