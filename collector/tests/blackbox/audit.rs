//! The audit log: what is done and tried lands in it, and what is done to it is found.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use rcgen::KeyPair;
use serde_json::Value;

use crate::daemon::{Daemon, Place, until};
use crate::enrol::{enroll, request, said, secret, token};
use crate::events::theft;
use crate::identity::greet;
use crate::sensor::Sensor;
use crate::tls::Client;

/// The entries that a filter takes.
pub(crate) fn entries(place: &Place, filter: &[&str]) -> Vec<Value> {
    let output = place.chartwatch(&[&["audit", "--json"], filter].concat());
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn whats(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["what"].as_str().unwrap())
        .collect()
}

fn verify(place: &Place, more: &[&str]) -> (Option<i32>, String) {
    let output = place.chartwatch(&[&["audit", "verify"], more].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_collector_certifies_and_whom_it_refuses_is_in_the_audit_log() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let made = token(&place, &["--sensor", "ws-12"]);
    let key = KeyPair::generate().unwrap();
    assert!(
        enroll(&place, &daemon, secret(&made), request(&key))
            .await
            .is_ok()
    );
    for _ in 0..20 {
        let refused = enroll(&place, &daemon, vec![7; 32], request(&key)).await;
        assert!(refused.is_err());
    }
    let client = Client::valid(&place.data(), "ws-13");
    for _ in 0..5 {
        assert!(greet(&client, &daemon.address, "ws-14").await.is_err());
    }
    assert!(
        place
            .collector(&["revoke", "--sensor", "ws-12"])
            .status
            .success()
    );
    daemon.hang_up();
    until("the reload", || {
        entries(&place, &["--what", "configuration-reloaded"]).len() == 1
    });
    assert!(daemon.stop().success());

    let all = entries(&place, &[]);
    for what in [
        "authority-made",
        "collector-started",
        "token-made",
        "certificate-issued",
        "token-refused",
        "identity-refused",
        "revoked",
        "configuration-reloaded",
        "collector-stopped",
    ] {
        assert!(whats(&all).contains(&what), "{what} is not in {all:#?}");
    }
    let refused = entries(&place, &["--what", "token-refused"]);
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert_eq!(refused[1]["details"]["more_times"], 19);
    assert_eq!(refused[0]["who"]["from"], "127.0.0.1");
    let identity = entries(&place, &["--what", "identity-refused", "--about", "ws-14"]);
    assert_eq!(identity[0]["who"]["name"], "ws-13");
    assert_eq!(identity[1]["details"]["more_times"], 4);
    let about = entries(&place, &["--about", "ws-12"]);
    assert_eq!(
        whats(&about),
        ["token-made", "certificate-issued", "revoked"]
    );
    // From being made to being spent.
    assert_eq!(about[0]["details"]["token"], about[1]["details"]["token"]);
    assert_eq!(about[0]["who"]["uid"], rustix::process::geteuid().as_raw());
    let (code, text) = verify(&place, &[]);
    assert!(
        code == Some(0) && text.contains("The chain is whole"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_an_alert_is_in_the_audit_log_and_not_done_without_it() {
    let place = Place::new("");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = alerts[0]["id"].as_str().unwrap();
    let close = ["close", id, "--as", "false-positive", "--why", "ticket 1"];
    // While another process sits on the log nothing is closed.
    let log = std::fs::File::open(place.data().join("audit/audit.log")).unwrap();
    log.lock().unwrap();
    let output = place.chartwatch(&close);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("another process"),
        "{}",
        said(&output)
    );
    drop(log);
    assert!(place.json(&["alerts", "--json"])[0]["closed"].is_null());
    assert!(place.chartwatch(&close).status.success());
    let closed = entries(&place, &["--what", "alert-closed"]);
    assert_eq!(closed[0]["about"], id);
    assert_eq!(closed[0]["details"]["why"], "ticket 1");
    assert!(daemon.stop().success());
}

#[test]
fn what_is_done_to_the_log_is_found() {
    let place = Place::with_tls("");
    assert!(Daemon::start(&place).stop().success());
    token(&place, &["--sensor", "ws-12"]);
    // A token is made with a narrow mask; the group may read the log all the same.
    let program = env!("CARGO_BIN_EXE_chartwatch-collector");
    let made = Command::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh", program, "token"])
        .args(["--sensor", "ws-12", "--address", "localhost:1", "--config"])
        .arg(place.config())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    for (file, mode) in [
        ("audit", 0o750),
        ("audit/audit.log", 0o640),
        ("audit/head", 0o640),
    ] {
        let found = place.data().join(file).metadata().unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{file}: {found:o}");
    }
    let log = place.data().join("audit/audit.log");
    let good = std::fs::read_to_string(&log).unwrap();
    let last: Value = serde_json::from_str(good.lines().last().unwrap()).unwrap();
    let noted = last["hash"].as_str().unwrap();
    let (code, text) = verify(&place, &["--head", noted]);
    assert!(
        code == Some(0) && text.contains("hash that was given"),
        "{text}"
    );

    std::fs::write(&log, good.replace("ws-12", "ws-13")).unwrap();
    let (code, text) = verify(&place, &[]);
    let line = format!("audit.log, line {}, offset ", good.lines().count() - 1);
    assert!(code == Some(1) && text.contains(&line), "{text}");
    assert!(text.contains("should have hash"), "{text}");

    let cut: Vec<_> = good.split_inclusive('\n').collect();
    std::fs::write(&log, cut[..cut.len() - 1].concat()).unwrap();
    let (code, text) = verify(&place, &[]);
    assert!(
        code == Some(1) && text.contains("the end was cut off"),
        "{text}"
    );
    // What was cut off is told even when the log goes on.
    token(&place, &["--sensor", "ws-14"]);
    let (code, text) = verify(&place, &[]);
    assert!(code == Some(1) && text.contains("were gone"), "{text}");
    let (code, text) = verify(&place, &["--head", "0f"]);
    assert!(code == Some(2) && text.contains("64 hexadecimal"), "{text}");
}
