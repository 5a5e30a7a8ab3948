//! The process that performs the operations: a child that is told their names, one to a line, and answers with figures.
//!
//! **Invariant:** it has one thread and loads nothing, so it is the same in all settings.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::operations::{self, Workplace};
use crate::workloads;

/// First argument of the process that performs; the second is the directory it works in.
pub(crate) const ACTOR: &str = "act";
/// What it is told to read a file by, before its path.
const TOUCH: &str = "touch ";

/// What it is told to do some work by, before its name.
const WORK: &str = "work ";

/// What performing an operation gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Instructions of one operation, the median of the batches.
    pub(crate) median: u64,
    /// How often it was performed, warming up included.
    pub(crate) times: u64,
}

/// The child.
#[derive(Debug)]
pub(crate) struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ACTOR)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the process that performs")?;
        let orders = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    /// Has it read a file.
    pub(crate) fn touch(&mut self, path: &Path) -> Result<()> {
        self.order(&format!("{TOUCH}{}", path.display())).map(drop)
    }

    /// Has it do some work.
    pub(crate) fn work(&mut self, name: &str) -> Result<()> {
        self.order(&format!("{WORK}{name}")).map(drop)
    }

    /// Has it perform an operation.
    pub(crate) fn perform(&mut self, operation: &str) -> Result<Figures> {
        let answer = self.order(operation)?;
        let (median, times) = answer
            .split_once(' ')
            .with_context(|| format!("{operation}: no figures but `{answer}`"))?;
        Ok(Figures {
            median: median.parse()?,
            times: times.parse()?,
        })
    }

    fn order(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim_end().split_once(' ') {
            Some(("ok", rest)) => Ok(rest.to_owned()),
            Some(("error", reason)) => bail!("{order}: {reason}"),
            _ => bail!("{order}: the process that performs has ended"),
        }
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.orders);
        let status = self.child.wait()?;
        ensure!(status.success(), "the process that performs: {status}");
        Ok(())
    }
}

/// The child's side: takes orders to their end.
pub(crate) fn serve(directory: &Path) -> Result<()> {
    let mut workplace = Workplace::new(directory)?;
    let mut out = io::stdout();
    for order in io::stdin().lines() {
        match follow(&mut workplace, &order?) {
            Ok(answer) => writeln!(out, "ok {answer}")?,
            Err(error) => writeln!(out, "error {error:#}")?,
        }
    }
    Ok(())
}

fn follow(workplace: &mut Workplace, order: &str) -> Result<String> {
    if let Some(path) = order.strip_prefix(TOUCH) {
        return Ok(fs::read(path)?.len().to_string());
    }
    if let Some(name) = order.strip_prefix(WORK) {
        workloads::perform(workplace.directory(), name)?;
        return Ok(name.to_owned());
    }
    let figures = operations::perform(workplace, order)?;
    Ok(format!("{} {}", figures.median, figures.times))
}
