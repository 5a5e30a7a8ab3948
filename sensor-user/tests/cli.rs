//! The binary as an administrator meets it: what it prints, and what it exits with.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

/// Exit code, standard output and standard error.
fn sensor(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chartwatch-sensor"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn path(place: &Path, name: &str) -> String {
    place.join(name).display().to_string()
}

#[test]
fn help_version_and_completions_are_no_errors() {
    let (code, out, _) = sensor(&["--help"]);
    assert_eq!(code, 0);
    for word in [
        "run",
        "check",
        "keygen",
        "enroll",
        "completions",
        "Examples:",
        "Exit codes:",
        "64",
        "69",
    ] {
        assert!(out.contains(word), "{word} is not in:\n{out}");
    }
    let (code, out, _) = sensor(&["--version"]);
    assert_eq!(
        (code, out),
        (
            0,
            format!("chartwatch-sensor {}\n", env!("CARGO_PKG_VERSION"))
        )
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = sensor(&["completions", shell]);
        assert!(code == 0 && out.contains("keygen"), "{shell}");
    }
}

#[test]
fn what_is_wrong_with_the_command_line_or_the_configuration_ends_with_64_and_is_named() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(
            place.path().join(name),
            text.replace("$R", &place.path().display().to_string()),
        )
        .unwrap();
        path(place.path(), name)
    };
    let unknown = write("unknown.toml", "sensor_id = \"a\"\n\ncolour = 1\n");
    let keyless = write(
        "keyless.toml",
        "[privacy]\nkey_file = \"$R/none.key\"\n[[store]]\nname = \"s\"\npath = \"$R\"\n",
    );
    let missing = path(place.path(), "missing.toml");
    for (arguments, words) in [
        (
            &["run", "--config", &missing][..],
            &["missing.toml", "No such file"][..],
        ),
        (
            &["run", "--config", &unknown],
            &["unknown.toml:3:", "colour"],
        ),
        (
            &["check", "--config", &unknown],
            &["unknown.toml:3:", "colour"],
        ),
        (
            &["run", "--config", &keyless],
            &["none.key", "keygen --out"],
        ),
        (&["run", "--colour"], &["--colour"]),
        (&[], &["Usage"]),
    ] {
        let (code, _, error) = sensor(arguments);
        assert_eq!(code, 64, "{arguments:?}: {error}");
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }
}

#[test]
fn a_key_is_made_once_and_check_takes_it() {
    let place = tempfile::tempdir().unwrap();
    let key = path(place.path(), "token.key");
    let (code, out, _) = sensor(&["keygen", "--out", &key]);
    assert!(code == 0 && out.contains(&key), "{out}");
    let (code, _, error) = sensor(&["keygen", "--out", &key]);
    assert!(code == 73 && error.contains("exists"), "{error}");

    let config = path(place.path(), "sensor.toml");
    let text = format!(
        "[collector]\naddress = \"http://127.0.0.1:7443\"\n[privacy]\nkey_file = \"{key}\"\n[[store]]\nname = \"pacs\"\npath = \"{}\"\n",
        place.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let (code, out, _) = sensor(&["check", "--config", &config]);
    // Whether this machine has what the sensor needs is its own business; the two must agree.
    let expect = if out.contains("FAIL") { 69 } else { 0 };
    assert_eq!(code, expect, "{out}");
    assert!(
        out.contains("store      pacs at") && !out.contains("FAIL  key"),
        "{out}"
    );
}

#[test]
fn a_sensor_without_identity_or_with_one_open_to_others_does_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let config = path(place.path(), "sensor.toml");
    let identity = place.path().join("identity.pem");
    let text = format!(
        "[collector]\nidentity = \"{}\"\n[privacy]\nnames = \"plain\"\n[[store]]\nname = \"pacs\"\npath = \"{}\"\n",
        identity.display(),
        place.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let (code, _, error) = sensor(&["run", "--config", &config]);
    assert!(
        code == 64 && error.contains("chartwatch-sensor enroll"),
        "{code} {error}"
    );
    std::fs::write(&identity, "").unwrap();
    std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, error) = sensor(&["run", "--config", &config]);
    assert!(
        code == 64 && error.contains("identity.pem: mode 0644"),
        "{code} {error}"
    );
    let (code, out, _) = sensor(&["check", "--config", &config]);
    assert!(
        code == 64 && out.contains("FAIL  identity: "),
        "{code} {out}"
    );
}
