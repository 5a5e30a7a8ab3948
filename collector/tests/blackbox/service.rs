//! The daemon under a service manager: readiness, watchdog, signals, exit status, and its unit file.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::daemon::{Daemon, Place};

fn collector(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn it_says_when_it_is_ready_alive_and_stopping() {
    let place = Place::new("");
    // The watchdog is this process's business only if WATCHDOG_PID is not somebody else's.
    let daemon = Daemon::start_with(&place, &[("WATCHDOG_USEC", "300000")]);
    daemon.told("WATCHDOG=1");
    daemon.told("WATCHDOG=1");
    assert!(daemon.signal("INT").success());
    let again = Daemon::start(&place);
    assert!(again.stop().success());
}

#[test]
fn a_configuration_that_cannot_be_used_ends_with_64() {
    let place = Place::new("");
    let file = place.config();
    let path = file.to_str().unwrap();
    let good = collector(&["check", "--config", path]);
    assert!(good.status.success());
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        said.contains("listen on 127.0.0.1:0") && said.contains("approve no way"),
        "{said}"
    );
    std::fs::write(&file, "listen = 1").unwrap();
    for command in ["check", "run"] {
        for path in [path, "/nowhere/collector.toml"] {
            let output = collector(&[command, "--config", path]);
            assert_eq!(output.status.code(), Some(64));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(path), "{said}");
        }
    }
    assert_eq!(collector(&["walk"]).status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&collector(&["completions", "bash"]).stdout).contains("complete")
    );
}

#[test]
fn an_address_in_use_is_a_failure_with_a_reason() {
    let place = Place::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = std::fs::read_to_string(place.config())
        .unwrap()
        .replace("127.0.0.1:0", &address);
    std::fs::write(place.config(), text).unwrap();
    let output = collector(&["run", "--config", place.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("cannot listen on") && said.contains(&address),
        "{said}"
    );
}

#[test]
fn two_collectors_do_not_share_a_directory() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let output = collector(&["run", "--config", place.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("another collector") && said.contains(place.data().to_str().unwrap()),
        "{said}"
    );
    daemon.kill();
    assert!(
        Daemon::start(&place).stop().success(),
        "a lock dies with its holder"
    );
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkg/chartwatch-collector.service");
    let text = std::fs::read_to_string(unit).unwrap();
    // systemd wants the program to be there, so the copy it looks at names the one just built.
    let dir = tempfile::tempdir().unwrap();
    let copy: PathBuf = dir.path().join("chartwatch-collector.service");
    let built = text.replace(
        "/usr/bin/chartwatch-collector",
        env!("CARGO_BIN_EXE_chartwatch-collector"),
    );
    assert_ne!(text, built);
    std::fs::write(&copy, built).unwrap();
    let output = match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            return crate::skip(&format!(
                "the unit was not verified: systemd-analyze: {error}"
            ));
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
