//! Analysts' certificates renew themselves when they are used, and know a changed authority.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use collector::identity::Authority;
use rcgen::KeyPair;
use time::{Duration, OffsetDateTime};

use crate::analyst::{Analyst, place};
use crate::audit::entries;
use crate::daemon::{Daemon, Place, until};
use crate::enrol::said;

/// Puts a certificate that began so long ago and is valid for so long in the place of an analyst's.
fn age(place: &Place, analyst: &Analyst<'_>, name: &str, ago: Duration, valid: Duration) {
    let authority = Authority::open(&place.data()).unwrap().unwrap();
    let key = KeyPair::generate().unwrap();
    let from = OffsetDateTime::now_utc() - ago;
    let certificate = authority.analyst(name, &key, from, valid).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(&*certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    // Written over, so that it stays closed to others.
    std::fs::write(identity(analyst), key.serialize_pem() + &pem).unwrap();
}

fn identity(analyst: &Analyst<'_>) -> std::path::PathBuf {
    analyst.identity.join("identity.pem")
}

fn certificates(file: &Path) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    text.matches("BEGIN CERTIFICATE").count()
}

fn works(analyst: &Analyst<'_>) {
    let output = analyst.run(&["alerts"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn analyst_is_renewed_at_two_thirds_once_also_by_many_commands_at_a_time() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    let text = || std::fs::read(identity(&anna)).unwrap();
    let days = Duration::days;
    age(&place, &anna, "anna", days(19), days(30));
    let young = text();
    works(&anna);
    assert_eq!(text(), young, "not yet");

    age(&place, &anna, "anna", days(21), days(30));
    let old = text();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| works(&anna));
        }
    });
    let new = text();
    assert_ne!(new, old);
    let mode = identity(&anna).metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    works(&anna);
    assert_eq!(text(), new, "it is young again");
    let mut left: Vec<_> = std::fs::read_dir(&anna.identity)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["ca.pem", "identity.pem", "lock"]);

    // Who may do nothing, or was revoked, is not renewed.
    age(&place, &anna, "anna", days(21), days(30));
    let old = text();
    let none = place.collector(&["roles", "--analyst", "anna", "--none"]);
    assert!(none.status.success(), "{}", said(&none));
    anna.refused(&["alerts"], "anna has none");
    assert_eq!(text(), old);
    let given = place.collector(&["roles", "--analyst", "anna", "--role", "read"]);
    assert!(given.status.success(), "{}", said(&given));

    // A directory that cannot be written to fails no command, and is said.
    std::fs::remove_file(anna.identity.join("lock")).unwrap();
    std::fs::create_dir(anna.identity.join("lock")).unwrap();
    let output = anna.run(&["alerts"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("could not be renewed") && said(&output).contains("lock"),
        "{}",
        said(&output)
    );
    assert_eq!(text(), old);
    assert!(daemon.stop().success());
    let renewed = entries(&place, &["--what", "certificate-renewed"]);
    assert_eq!(renewed.len(), 1, "{renewed:#?}");
    assert_eq!(renewed[0]["about"], "analyst:anna");
    assert_eq!(renewed[0]["who"]["name"], "anna");
}

#[test]
fn analyst_who_was_away_for_too_long_is_told_what_to_do() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    age(
        &place,
        &anna,
        "anna",
        Duration::days(40),
        Duration::days(30),
    );
    anna.refused(&["alerts"], "the certificate has expired, on 20");
    anna.refused(&["alerts"], "token --analyst anna");
    anna.refused(&["alerts"], "chartwatch enroll --replace");
    assert!(daemon.stop().success());
}

#[test]
fn analyst_who_works_while_the_authority_is_changed_notices_nothing() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    let otto = Analyst::new(&place, &address, "otto", "administer");
    let away = Analyst::new(&place, &address, "away", "read");
    let ca = anna.identity.join("ca.pem");
    assert_eq!(certificates(&ca), 1);
    let begun = place.collector(&["rotate-authority"]);
    assert!(begun.status.success(), "{}", said(&begun));
    until("anna to know both", || {
        works(&anna);
        certificates(&ca) == 2
    });
    // What is shown next is of the new one, and is seen; who is not seen is named.
    works(&anna);
    let state = otto.run(&["rotate-authority", "--status"]);
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(
        state.contains("the analyst away") && !state.contains("the analyst anna"),
        "{state}"
    );
    works(&otto);
    let finished = place.collector(&["rotate-authority", "--finish"]);
    assert!(finished.status.success(), "{}", said(&finished));
    let told = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(told.contains("works from elsewhere: away\n"), "{told}");
    until("the new authority to be shown", || {
        works(&anna);
        certificates(&ca) == 1
    });
    works(&anna);
    works(&otto);
    away.refused(&["alerts"], "its authority was changed while you were away");
    away.refused(&["alerts"], "token --analyst away");
    assert!(daemon.stop().success());
}
