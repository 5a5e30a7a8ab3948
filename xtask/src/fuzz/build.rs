//! Builds the targets with the stable compiler: instrumented for libFuzzer and, where its runtime comes with the toolchain, with the
//! address sanitizer.
//!
//! The counters of libFuzzer are a pass of LLVM and need nothing but flags. The sanitizer's flag is unstable, so the compiler is told to take
//! it all the same (`RUSTC_BOOTSTRAP`), for these programs only.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::step::{Step, capture, cargo, root, say, target_dir};

/// The platform must be named, or build scripts would be instrumented too and not link.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// What libFuzzer wants to be told by the code it runs: which edges were taken, where they lie, what was compared.
const COUNTERS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Branches that are folded into one cannot be told apart.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];
const SANITIZER: &str = "-Zsanitizer=address";

/// Targets that have been built.
#[derive(Debug)]
pub(super) struct Built {
    programs: PathBuf,
}

impl Built {
    /// The program of a target.
    pub(super) fn program(&self, target: &str) -> PathBuf {
        self.programs.join(target)
    }
}

/// Builds all targets, or this one.
pub(super) fn build(target: Option<&str>) -> Result<Built> {
    let mut flags = COUNTERS.to_vec();
    let is_sanitized = has_runtime()?;
    if is_sanitized {
        flags.push(SANITIZER);
    } else {
        say(
            "this toolchain has no address sanitizer: panics, time and memory are watched, bad accesses are not",
        );
    }
    // One directory for each, since other flags build everything anew.
    let kind = if is_sanitized { "address" } else { "plain" };
    let place = target_dir().join("fuzz/build").join(kind);
    let mut command = cargo();
    command.current_dir(root().join("fuzz"));
    command.args(["build", "--locked", "--release", "--target", PLATFORM]);
    command.arg("--target-dir").arg(&place);
    match target {
        Some(name) => command.args(["--bin", name]),
        None => command.arg("--bins"),
    };
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("RUSTC_BOOTSTRAP", "1");
    Step::new("building the fuzz targets", command).run()?;
    let programs = place.join(PLATFORM).join("release");
    Ok(Built { programs })
}

/// Whether the sanitizer's runtime comes with the compiler; Debian's has none.
fn has_runtime() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = capture(std::process::Command::new(rustc).args(["--print", "sysroot"]))?;
    let libraries = PathBuf::from(sysroot.trim())
        .join("lib/rustlib")
        .join(PLATFORM)
        .join("lib");
    let entries = std::fs::read_dir(&libraries)
        .with_context(|| format!("failed to read {}", libraries.display()))?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    Ok(names.any(|name| name.to_string_lossy().ends_with("_rt.asan.a")))
}
