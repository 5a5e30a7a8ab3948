//! Builds the kernel programs with aya-build; `load/` includes the object from `OUT_DIR`, without what only debuggers read.
//!
//! The compiler is, in this order: the rustup toolchain that `CHARTWATCH_BPF_TOOLCHAIN` names; the one linked as
//! `chartwatch-bpf` (`cargo xtask setup` does that where the distribution's compiler is used); the active one, which
//! then needs the `rust-src` component.

use std::path::Path;
use std::{env, fs, process::Command};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain};
use object::build::elf::{Builder, SectionData};
use object::elf;

const LINKED: &str = "chartwatch-bpf";
const PROGRAMS: &str = "sensor-ebpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=CHARTWATCH_BPF_TOOLCHAIN");
    let toolchain = toolchain()?;
    // SAFETY: a build script has one thread. aya-ebpf needs unstable features on this target, and aya-build builds
    // `core` from source when it sees this.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../sensor-ebpf");
    let package = Package {
        name: PROGRAMS,
        root_dir: root,
        ..Package::default()
    };
    aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)).context(
        "failed to build the kernel programs; `cargo xtask setup` installs what that needs",
    )?;
    let out = env::var_os("OUT_DIR").context("OUT_DIR is not set")?;
    let object = Path::new(&out).join(PROGRAMS);
    strip(&object).with_context(|| format!("failed to strip {}", object.display()))
}

/// Takes out the DWARF, from which the linker has made BTF, and the relocations of both, which no loader uses: four fifths of the object.
fn strip(object: &Path) -> Result<()> {
    let bytes = fs::read(object)?;
    let mut builder = Builder::read(bytes.as_slice())?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = [".debug_", ".rel.debug_", ".rel.BTF"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and of symbols in one table, the writer in two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = elf::SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    fs::write(object, stripped)?;
    Ok(())
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
