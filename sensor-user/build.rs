//! Builds the kernel programs with aya-build; `load/` includes the object from `OUT_DIR`.
//!
//! The compiler is, in this order: the rustup toolchain that `CHARTWATCH_BPF_TOOLCHAIN` names; the one linked as
//! `chartwatch-bpf` (`cargo xtask setup` does that where the distribution's compiler is used); the active one, which
//! then needs the `rust-src` component.

use std::{env, process::Command};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};

const LINKED: &str = "chartwatch-bpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=CHARTWATCH_BPF_TOOLCHAIN");
    let toolchain = toolchain()?;
    // SAFETY: a build script has one thread. aya-ebpf needs unstable features on this target, and aya-build builds
    // `core` from source when it sees this.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../sensor-ebpf");
    let package = Package {
        name: "sensor-ebpf",
        root_dir: root,
        ..Package::default()
    };
    aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)).context(
        "failed to build the kernel programs; `cargo xtask setup` installs what that needs",
    )
}

fn toolchain() -> Result<String> {
    if let Ok(name) = env::var("CHARTWATCH_BPF_TOOLCHAIN") {
        return Ok(name);
    }
    let list = rustup(&["toolchain", "list"])?;
    if list
        .lines()
        .any(|line| line.split_whitespace().next() == Some(LINKED))
    {
        return Ok(LINKED.to_owned());
    }
    let active = rustup(&["show", "active-toolchain"])?;
    active
        .split_whitespace()
        .next()
        .map(str::to_owned)
        .context("rustup names no active toolchain")
}

fn rustup(arguments: &[&str]) -> Result<String> {
    let output = Command::new("rustup")
        .args(arguments)
        .output()
        .context("failed to run rustup")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
