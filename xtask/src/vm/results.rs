//! Reads what a test machine writes on its second serial line: `ready`, the harness's own lines, `exit=N`.
//!
//! **Invariant:** a test counts only when the machine gave its result; a machine that goes silent leaves its running
//! test as failed.

use std::time::{Duration, Instant};

/// What a test says that could not be run on this machine.
const SKIPPED: &str = "SKIPPED: ";

/// One test in one machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TestResult {
    /// Name of the test.
    pub(crate) test: String,
    /// Kernel as it was named on the command line.
    pub(crate) kernel: String,
    /// Hook backend the test ran with.
    pub(crate) backend: String,
    /// `ok`, `failed` or `skipped`.
    pub(crate) result: &'static str,
    /// Wall-clock seconds of the host between the end of the test before and the end of this one.
    pub(crate) seconds: f64,
    /// Why it was skipped or failed; empty when it is ok.
    pub(crate) detail: String,
}

/// The lines of one run, as they arrive.
#[derive(Debug)]
pub(crate) struct Results {
    kernel: String,
    backend: String,
    partial: Vec<u8>,
    lines: Vec<String>,
    tests: Vec<TestResult>,
    /// Test that has begun and not ended.
    running: Option<String>,
    /// Why it says that it could not be run.
    skipped: Option<String>,
    /// When the test before ended, or the machine came up.
    since: Instant,
    ready: bool,
    exit: Option<i32>,
    /// Test whose failure message the lines belong to.
    failure: Option<usize>,
}

impl Results {
    /// No line yet.
    pub(crate) fn new(kernel: &str, backend: &str, now: Instant) -> Self {
        Self {
            kernel: kernel.to_owned(),
            backend: backend.to_owned(),
            partial: Vec::new(),
            lines: Vec::new(),
            tests: Vec::new(),
            running: None,
            skipped: None,
            since: now,
            ready: false,
            exit: None,
            failure: None,
        }
    }

    /// Takes bytes as they came from the line.
    pub(crate) fn push(&mut self, bytes: &[u8], now: Instant) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line =
                        String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned();
                    self.line(&line, now);
                    self.lines.push(line);
                }
                b'\r' => {}
                other => self.partial.push(*other),
            }
        }
        if let Some((name, "")) = announced(&String::from_utf8_lossy(&self.partial)) {
            self.running = Some(name.to_owned());
        }
    }

    /// True once init has mounted everything and starts the tests.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The test that runs now.
    pub(crate) fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// Exit code of the test binary, once it is known.
    pub(crate) fn exit(&self) -> Option<i32> {
        self.exit
    }

    /// Tests that have ended.
    pub(crate) fn tests(&self) -> &[TestResult] {
        &self.tests
    }

    /// The lines that have ended.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Every line as it came.
    pub(crate) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&self.partial));
        text
    }

    /// Ends the reading: a test that never ended has failed, for the reason given.
    pub(crate) fn finish(mut self, reason: &str, now: Instant) -> (Vec<TestResult>, Option<i32>) {
        if let Some(name) = self.running.take() {
            self.ended(name, "failed", reason, now);
        }
        for test in &mut self.tests {
            test.detail = test.detail.trim().to_owned();
        }
        (self.tests, self.exit)
    }

    fn line(&mut self, line: &str, now: Instant) {
        if let Some((_, reason)) = line.split_once(SKIPPED) {
            self.skipped = Some(reason.trim().to_owned());
        }
        if let Some((name, outcome)) = announced(line) {
            if let Some((result, detail)) = outcome_of(outcome) {
                self.running = None;
                self.ended(name.to_owned(), result, detail, now);
            } else {
                self.running = Some(name.to_owned());
            }
        } else if let Some(name) = self.running.clone() {
            // A program under test wrote on the line; the result stands alone after it.
            if let Some((result, detail)) = outcome_of(line.trim()) {
                self.running = None;
                self.ended(name, result, detail, now);
            }
        } else if line == "ready" {
            (self.ready, self.since) = (true, now);
        } else if let Some(code) = line.strip_prefix("exit=") {
            self.exit = code.parse().ok();
        } else {
            self.message(line);
        }
    }

    /// After the tests, libtest prints `---- NAME ----` and then the message, up to the list of names.
    fn message(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" ----"))
        {
            // The harness of rustc says `NAME stdout`.
            let name = name.trim_end_matches(" stdout");
            self.failure = self.tests.iter().position(|test| test.test == name);
        } else if line == "failures:" || line.starts_with("test result:") {
            self.failure = None;
        } else if let Some(index) = self.failure {
            let detail = &mut self.tests[index].detail;
            detail.push_str(line);
            detail.push('\n');
        }
    }

    fn ended(&mut self, test: String, result: &'static str, detail: &str, now: Instant) {
        let seconds = (now.saturating_duration_since(self.since))
            .max(Duration::ZERO)
            .as_secs_f64();
        self.since = now;
        // It ended well, but did nothing.
        let skipped = self.skipped.take().filter(|_| result == "ok");
        let (result, detail) = skipped
            .as_deref()
            .map_or((result, detail), |reason| ("skipped", reason));
        self.tests.push(TestResult {
            test,
            kernel: self.kernel.clone(),
            backend: self.backend.clone(),
            result,
            seconds,
            detail: detail.to_owned(),
        });
    }
}

/// Name and what follows it in `test NAME ... OUTCOME`.
fn announced(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ...")?;
    let name = name.trim();
    // `test [kind] name`
    let name = name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .map_or(name, |(_, name)| name);
    Some((name, outcome.trim()))
}

fn outcome_of(text: &str) -> Option<(&'static str, &str)> {
    if text == "ok" {
        Some(("ok", ""))
    } else if text == "FAILED" {
        Some(("failed", ""))
    } else if let Some(reason) = text.strip_prefix("ignored") {
        Some((
            "skipped",
            reason
                .trim()
                .trim_start_matches([',', '('])
                .trim_end_matches(')')
                .trim(),
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (Vec<TestResult>, Option<i32>) {
        let now = Instant::now();
        let mut results = Results::new("6.1", "lsm", now);
        results.push(text.as_bytes(), now);
        results.finish("no answer", now)
    }

    fn short(tests: &[TestResult]) -> Vec<(&str, &str, &str)> {
        tests
            .iter()
            .map(|test| (test.test.as_str(), test.result, test.detail.as_str()))
            .collect()
    }

    #[test]
    fn a_whole_run_is_read() {
        let (tests, exit) = run("ready\r\n\nrunning 3 tests\n\
            test access::cat   ... ok\n\
            test flow::udp     ... FAILED\n\
            test [vm] mmap     ... ignored (no io_uring here)\n\
            \nfailures:\n\n---- flow::udp ----\nexpected 3 bytes,\ngot 4\n\n\nfailures:\n    flow::udp\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored\nexit=101\n");
        let expected = [
            ("access::cat", "ok", ""),
            ("flow::udp", "failed", "expected 3 bytes,\ngot 4"),
            ("mmap", "skipped", "no io_uring here"),
        ];
        assert_eq!(short(&tests), expected);
        assert_eq!(exit, Some(101));
    }

    #[test]
    fn a_machine_that_dies_fails_its_running_test() {
        let (tests, exit) = run("ready\ntest a ... ok\ntest b ... ");
        assert_eq!(
            short(&tests),
            [("a", "ok", ""), ("b", "failed", "no answer")]
        );
        assert_eq!(exit, None);
    }

    #[test]
    fn a_test_that_says_so_was_skipped() {
        let (tests, _) = run("ready\ntest a ... SKIPPED: no such thing here\nok\ntest b ... ok\n");
        let expected = [("a", "skipped", "no such thing here"), ("b", "ok", "")];
        assert_eq!(short(&tests), expected);
    }

    #[test]
    fn output_of_a_tool_does_not_hide_a_result() {
        let (tests, _) = run("ready\ntest a ... tar: warning\nok\ntest b ... ok\n");
        assert_eq!(short(&tests), [("a", "ok", ""), ("b", "ok", "")]);
    }
}
