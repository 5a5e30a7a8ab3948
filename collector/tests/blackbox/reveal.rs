//! The hospital's key and what it turns back: made once, given to who enrols, used only with a reason that is written down.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proto::sensor::v1::event::Body;
use rcgen::KeyPair;

use crate::audit::entries;
use crate::daemon::{Daemon, Place};
use crate::enrol::{enroll, request, said, secret, token};
use crate::events::theft;
use crate::sensor::Sensor;

/// Key and tokens that another implementation has made; `proto/TOKENS.md` describes them.
const VECTORS: &str = include_str!("../../../proto/vectors/tokens.txt");
/// One of these names.
const NAME: &str = "doe/scan-1.dcm";

fn lines() -> impl Iterator<Item = &'static str> {
    VECTORS.lines().filter(|line| !line.starts_with('#'))
}

pub(crate) fn known_token() -> &'static str {
    let name = NAME.bytes().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    lines()
        .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '))
        .unwrap()
}

/// Puts the hospital's own key where the collector looks for one.
pub(crate) fn bring_key(place: &Place) {
    let keys = place.data().join("keys");
    std::fs::create_dir_all(&keys).unwrap();
    let key = lines().next().unwrap().strip_prefix("key ").unwrap();
    std::fs::write(keys.join("token.key"), format!("{key}\n")).unwrap();
    set_mode(place, 0o600);
}

fn set_mode(place: &Place, mode: u32) {
    let key = place.data().join("keys/token.key");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_made_once_kept_private_and_given_to_who_enrols() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let file = place.data().join("keys/token.key");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let token = token(&place, &["--sensor", "ws-12"]);
    let key = KeyPair::generate().unwrap();
    let reply = enroll(&place, &daemon, secret(&token), request(&key)).await;
    let given = reply.unwrap().token_key;
    assert_eq!(given.len(), 64);
    assert!(text.starts_with(&format!("{:02x}{:02x}", given[0], given[1])));
    assert!(daemon.stop().success());
    assert!(Daemon::start(&place).stop().success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(entries(&place, &["--what", "key-made"]).len(), 1);

    // One that others can read is not used, and one that is gone not replaced.
    set_mode(&place, 0o640);
    let refused = place.collector(&["run"]);
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("token.key: mode 0640"));
    std::fs::remove_file(&file).unwrap();
    let refused = place.collector(&["run"]);
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("the key is gone"));
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_without_a_key_gives_none_and_turns_nothing_back() {
    let place = Place::with_tls("[privacy]\nhold_key = false\n");
    let daemon = Daemon::start(&place);
    assert!(!place.data().join("keys").exists());
    let token = token(&place, &["--sensor", "ws-12"]);
    let key = KeyPair::generate().unwrap();
    let reply = enroll(&place, &daemon, secret(&token), request(&key)).await;
    assert!(reply.unwrap().token_key.is_empty());
    let output = place.chartwatch(&["reveal", known_token(), "--why", "x"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("privacy.hold_key"),
        "{}",
        said(&output)
    );
    assert!(daemon.stop().success());
}

#[test]
fn tokens_are_turned_back_with_a_reason_that_is_written_down_first() {
    let place = Place::new("");
    bring_key(&place);
    assert!(Daemon::start(&place).stop().success());
    let token = known_token();
    let reveal = |arguments: &[&str]| {
        let output = place.chartwatch(&[&["reveal"], arguments].concat());
        let out = String::from_utf8(output.stdout.clone()).unwrap();
        (output.status.code(), out, said(&output))
    };
    let why = ["--why", "ticket 4711"];
    let (code, out, _) = reveal(&[&[token], &why[..]].concat());
    assert_eq!((code, &*out), (Some(0), "doe/scan-1.dcm\n"));
    let path = format!("/srv/pacs/token:{token}");
    let (_, out, _) = reveal(&[&[&*path, "--json"], &why[..]].concat());
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["name"], "/srv/pacs/doe/scan-1.dcm");

    let cut = &token[..24];
    let cases: &[(&[&str], i32, &str)] = &[
        (&[token], 2, "--why"),
        (&[token, "--why", " "], 2, "is empty"),
        (&["--why", "x"], 2, "TOKEN"),
        (&["/srv/pacs/doe.dcm", "--why", "x"], 1, "holds no token"),
        (&["abc", "--why", "x"], 1, "is no token"),
        (&[cut, "--why", "x"], 1, "no token of this key"),
        (&["--alert", "ffffffff", "--why", "x"], 1, "no alert"),
    ];
    for (arguments, status, part) in cases {
        let (code, out, said) = reveal(arguments);
        assert_eq!(code, Some(*status), "{arguments:?}: {said}");
        assert!(
            out.is_empty() && said.contains(part),
            "{arguments:?}: {said}"
        );
    }
    let revealed = entries(&place, &["--what", "revealed"]);
    assert_eq!(revealed.len(), 2);
    assert_eq!(revealed[0]["details"]["why"], "ticket 4711");
    assert_eq!(revealed[0]["details"]["tokens"][0], token);
    assert_eq!(entries(&place, &["--what", "reveal-refused"]).len(), 3);
    let log = std::fs::read_to_string(place.data().join("audit/audit.log")).unwrap();
    let named = log.contains("doe/") || log.contains("doe.dcm");
    assert!(!named, "names do not get into the audit log: {log}");

    set_mode(&place, 0o604);
    let (code, _, said) = reveal(&[&[token], &why[..]].concat());
    assert!(code == Some(64) && said.contains("mode 0604"), "{said}");
    set_mode(&place, 0o600);
    // Without the log nothing is shown.
    std::fs::write(place.data().join("audit/audit.log"), "not a log\n").unwrap();
    let (code, out, said) = reveal(&[&[token], &why[..]].concat());
    assert!(code == Some(1) && out.is_empty(), "{said}");
    assert!(said.contains("audit log"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_tokens_of_an_alert_are_turned_back() {
    let place = Place::new("");
    bring_key(&place);
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let mut events = theft(0, 1000);
    for event in &mut events {
        if let Some(Body::Access(access)) = &mut event.body {
            known_token().clone_into(&mut access.name);
            break;
        }
    }
    sensor.send(1, events).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = alerts[0]["id"].as_str().unwrap();
    let output = place.chartwatch(&["reveal", "--alert", &id[..8], "--why", "ticket 1"]);
    assert!(output.status.success(), "{}", said(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.contains(&format!("{}  doe/scan-1.dcm\n", known_token())),
        "{out}"
    );
    // What this test's sensor calls a token and is none is said, and keeps nothing back.
    assert!(out.contains("(not of this key)"), "{out}");
    assert_eq!(entries(&place, &["--what", "revealed"])[0]["about"], id);
    assert!(daemon.stop().success());
}
