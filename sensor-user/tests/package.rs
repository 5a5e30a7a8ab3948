//! The unit file, as systemd itself judges it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

const UNIT: &str = include_str!("../pkg/chartwatch-sensor.service");

fn main() -> ExitCode {
    let there = Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_ok();
    let verify = Trial::test("systemd-analyze finds nothing wrong with the unit", verify)
        .with_ignored_flag(!there)
        .with_kind(if there {
            ""
        } else {
            "skipped: no systemd-analyze here"
        });
    let reasons = Trial::test(
        "each capability of the unit has its reason beside it",
        reasons,
    );
    libtest_mimic::run(&Arguments::from_args(), vec![verify, reasons]).exit_code()
}

fn verify() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let unit = place.path().join("chartwatch-sensor.service");
    // systemd looks whether the program is there; here it is where it was built.
    let text = UNIT.replace(
        "/usr/bin/chartwatch-sensor",
        env!("CARGO_BIN_EXE_chartwatch-sensor"),
    );
    std::fs::write(&unit, text)?;
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("chartwatch-sensor"))
        .collect();
    if output.status.success() && ours.is_empty() {
        Ok(())
    } else {
        Err(said.into())
    }
}

fn reasons() -> Result<(), Failed> {
    let set = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .ok_or("no bounding set")?;
    for capability in set.split(' ') {
        if !UNIT
            .lines()
            .any(|line| line.starts_with(&format!("#   {capability} ")))
        {
            return Err(format!("{capability} has no reason").into());
        }
    }
    Ok(())
}
