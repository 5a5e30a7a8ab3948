//! What a person sees while a step runs: a spinner on a terminal, plain lines elsewhere.
//!
//! **Invariant:** writes to standard error only.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::human;

/// What a person sees while a step runs.
#[derive(Debug)]
pub(super) struct Progress {
    title: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn start(title: &str) -> Self {
        let bar = (std::io::stderr().is_terminal()).then(|| spinner(title));
        if bar.is_none() {
            line(&format!("{title} ..."));
        }
        Self {
            title: title.into(),
            bar,
        }
    }

    pub(super) fn still(&self, elapsed: Duration) {
        if self.bar.is_none() {
            line(&format!(
                "{} ... still running after {}",
                self.title,
                human(elapsed)
            ));
        }
    }

    pub(super) fn end(&self, success: bool, elapsed: Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let word = if success { "done in" } else { "FAILED after" };
        line(&format!("{}: {word} {}", self.title, human(elapsed)));
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// One line on standard error, written whole so that lines of parallel writers do not mix.
fn line(text: &str) {
    // Progress that nobody can read is no reason to stop the work.
    drop(
        std::io::stderr()
            .lock()
            .write_all(format!("{text}\n").as_bytes()),
    );
}
