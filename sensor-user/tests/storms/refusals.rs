//! Machines on which the sensor cannot work: it ends with the exit code for that, and says what is wrong with what.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;

use crate::watch::same;

/// The sensor as it was built beside these tests.
const SENSOR: &str = env!("CARGO_BIN_EXE_chartwatch-sensor");
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: i32 = 69;

type Test = fn() -> Result<(), Failed>;

/// All of them; each in a mount namespace of its own, where the kernel's description of its types is another.
pub(crate) const TESTS: &[(&str, Test)] = &[
    ("kernel_without_btf", without),
    ("kernel_with_empty_btf", || {
        described(b"", &[BTF, "CONFIG_DEBUG_INFO_BTF"])
    }),
    ("kernel_with_garbled_btf", || {
        described(&[0x5a; 4096], &[BTF, "not BTF", "0x5a5a"])
    }),
    ("kernel_with_btf_cut_short", cut),
];

/// False in a machine that has the tests alone.
pub(crate) fn is_sensor_here() -> bool {
    Path::new(SENSOR).exists()
}

fn without() -> Result<(), Failed> {
    refused(
        "mount -t tmpfs none /sys/kernel/btf",
        &["CONFIG_DEBUG_INFO_BTF"],
    )
}

fn cut() -> Result<(), Failed> {
    let whole = fs::read(BTF)?;
    described(&whole[..whole.len() / 2], &[BTF, "cut short"])
}

/// The kernel describes itself by these bytes.
fn described(btf: &[u8], words: &[&str]) -> Result<(), Failed> {
    let other = tempfile::NamedTempFile::new()?;
    fs::write(other.path(), btf)?;
    let hide = format!("mount --bind {} {BTF}", other.path().display());
    refused(&hide, words)
}

/// The sensor does not start after this was done, and says so in these words.
fn refused(before: &str, words: &[&str]) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let config = place.path().join("sensor.toml");
    let store = place.path().display();
    // A sensor that would go over the network asks for its certificate first.
    let text = format!(
        "[collector]\naddress = \"http://127.0.0.1:7443\"\n[privacy]\nnames = \"plain\"\n[spool]\ndirectory = \"\"\n[[store]]\nname = \"s\"\npath = \"{store}\"\n"
    );
    fs::write(&config, text)?;
    let script = format!(
        "{before} && exec {SENSOR} run --config {}",
        config.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        same(
            &format!("{word:?} is said in {said:?}"),
            &said.contains(word),
            &true,
        )?;
    }
    same(
        &format!("exit code, after {said:?}"),
        &output.status.code(),
        &Some(UNAVAILABLE),
    )
}
