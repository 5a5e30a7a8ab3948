//! Programs built by cargo, pinned, and the one special case among the packaged ones.
//!
//! **Invariant:** a tool is installed with `--locked` in exactly the version below, so its findings do not change
//! from one machine to the next.

use std::process::Command;

use anyhow::Result;

use super::{Missing, What};
use crate::step::{Step, capture, cargo, find_program};

/// A cargo subcommand that the gates use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    /// Crate and program.
    pub(super) name: &'static str,
    /// The exact version.
    pub(super) version: &'static str,
    why: &'static str,
}

/// Checks licences, bans and sources. About 100 s to build on two cores.
pub(super) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    why: "checks licences, bans and sources of dependencies",
};
/// Finds unused dependencies. About 60 s to build on two cores.
pub(super) const MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
    why: "finds unused dependencies",
};

impl Tool {
    /// Empty when the tool is there in its version.
    pub(super) fn missing(self) -> Vec<Missing> {
        if self.is_there() {
            return Vec::new();
        }
        vec![Missing {
            what: What::Crate(self),
            why: self.why,
        }]
    }

    fn is_there(self) -> bool {
        let Some(program) = find_program(self.name) else {
            return false;
        };
        // One that does not answer is installed anew.
        capture(Command::new(program).arg("--version"))
            .is_ok_and(|text| names_version(&text, self.version))
    }

    pub(super) fn install(self) -> Result<()> {
        let mut command = cargo();
        command.args([
            "install",
            "--locked",
            &format!("{}@{}", self.name, self.version),
        ]);
        // They run for seconds and are built once: less optimising saves minutes of a cold build.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        Step::new(format!("building {}", self.name), command)
            .run()
            .map(drop)
    }
}

/// Whether the answer to `--version` names this version as a word of its own.
fn names_version(answer: &str, version: &str) -> bool {
    answer.split_whitespace().any(|word| word == version)
}

/// Whether a busybox is there that needs no library: one that needs some names its loader.
pub(super) fn has_static_busybox() -> bool {
    let Some(program) = find_program("busybox") else {
        return false;
    };
    std::fs::read(program)
        .is_ok_and(|bytes| !bytes.windows(LOADER.len()).any(|window| window == LOADER))
}

const LOADER: &[u8] = b"/ld-linux";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_words() {
        let cases = [
            ("cargo-deny 0.20.2\n", "0.20.2", true),
            ("0.9.2\n", "0.9.2", true),
            ("cargo-deny 0.20.21\n", "0.20.2", false),
            ("", "0.20.2", false),
        ];
        for (answer, version, expect) in cases {
            assert_eq!(names_version(answer, version), expect, "{answer}");
        }
    }
}
