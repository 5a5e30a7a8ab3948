//! Reads what a Rust test harness (libtest, libtest-mimic) prints: how many ran, failed, were left out, and why.
//!
//! **Invariant:** only the harness's own result lines count; a program under test that prints something like them within
//! a line changes nothing.

/// What the results in some output add up to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// `NAME: reason` of each that was left out.
    pub(super) why: Vec<String>,
    /// How many result lines there were: one per test binary that came to its end.
    pub(super) binaries: u64,
}

/// What a test writes to standard error, with its reason, when it finds that it cannot run here.
const SKIPPED: &str = "SKIPPED: ";

/// Adds up all result lines of the output.
pub(super) fn count(output: &str) -> Counts {
    let mut counts = Counts::default();
    let mut without_need = 0;
    for line in output.lines() {
        if let Some(summary) = line.strip_prefix("test result: ") {
            counts.binaries += 1;
            counts.passed += number_before(summary, "passed");
            counts.failed += number_before(summary, "failed");
            counts.skipped += number_before(summary, "ignored");
        } else if let Some(reason) = left_out(line) {
            counts.why.push(reason);
        } else if let Some((_, reason)) = line.split_once(SKIPPED) {
            counts.why.push(reason.trim().into());
            without_need += 1;
        }
    }
    // The harness knows no skip at run time, so it counted these as passed.
    counts.passed = counts.passed.saturating_sub(without_need);
    counts.skipped += without_need;
    counts
}

/// The failed tests by name, each with what its harness tells of it, without the backtrace's frames.
pub(super) fn failures(output: &str) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in output.lines() {
        if let Some(name) = headed(line) {
            inside = true;
            told.push((name.to_owned(), String::new()));
        } else if line == "failures:" || line.starts_with("test result: ") {
            inside = false;
        } else if let Some((_, said)) = told.last_mut().filter(|_| inside && !is_frame(line)) {
            said.push_str(line);
            said.push('\n');
        }
    }
    for (_, said) in &mut told {
        said.truncate(said.trim_end().len());
    }
    told
}

/// The test that `---- NAME ----` or `---- NAME stdout ----` begins to tell of.
fn headed(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").unwrap_or(name))
}

/// `   12: function` or `             at file:line`.
fn is_frame(line: &str) -> bool {
    let own = line.trim_start();
    let numbered = own
        .split_once(": ")
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    line.starts_with("  ") && (numbered || own.starts_with("at "))
}

/// `20` in `ok. 20 passed; 0 failed; ...`; 0 when the word is not there.
fn number_before(summary: &str, word: &str) -> u64 {
    let mut before = "";
    for part in summary.split([' ', ';']).filter(|part| !part.is_empty()) {
        if part == word {
            return before.parse().unwrap_or(0);
        }
        before = part;
    }
    0
}

/// `NAME: reason` of `test NAME ... ignored, reason`.
fn left_out(line: &str) -> Option<String> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let reason = outcome.trim().strip_prefix("ignored")?;
    let reason = reason.trim_start_matches(", ");
    Some(format!(
        "{name}: {}",
        if reason.is_empty() {
            "no reason given"
        } else {
            reason
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up() {
        let output = "\
running 3 tests
test a ... ok
test b ... ignored, needs a fast machine
test c ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: ok. 20 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.37s
";
        let counts = count(output);
        assert_eq!(
            (
                counts.passed,
                counts.failed,
                counts.skipped,
                counts.binaries
            ),
            (21, 1, 1, 2)
        );
        assert_eq!(counts.why, ["b: needs a fast machine"]);
    }

    #[test]
    fn a_test_that_says_it_was_skipped_has_not_passed() {
        let output = "test a ... SKIPPED: no rsyslogd here\nok\ntest b ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        let counts = count(output);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (1, 0, 1));
        assert_eq!(counts.why, ["no rsyslogd here"]);
    }

    #[test]
    fn failures_are_told_without_frames() {
        let output = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nassertion failed\n   0: f\n             at g.rs:1\n\
                      test result: FAILED. 0 passed; 1 failed\nrunning 1 test\n";
        let a = ("a".to_owned(), "assertion failed".to_owned());
        assert_eq!(failures(output), [a]);
        assert_eq!(failures("test a ... ok\n"), []);
    }

    #[test]
    fn other_lines_do_not_count() {
        let counts = count(
            "it said: test result: ok. 5 passed; 0 failed\ntest x ... ok\ntest result nothing\n",
        );
        assert_eq!(counts, Counts::default());
    }
}
