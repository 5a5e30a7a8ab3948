//! Who is let in: sensors with a certificate, each for itself; and what keys and settings the collector takes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use time::{Duration, OffsetDateTime};
use tonic::Code;

use crate::daemon::{Daemon, Place};
use crate::events::read;
use crate::sensor::Sensor;
use crate::tls::{Client, Hospital};

/// Connects and says Hello; the refusal of who was refused.
pub(crate) async fn greet(
    client: &Client,
    address: &str,
    id: &str,
) -> Result<Sensor, (Code, String)> {
    let channel = match client.connect(address).await {
        Ok(channel) => channel,
        Err(reason) => return Err((Code::Unavailable, reason)),
    };
    let sensor = match Sensor::over(channel).await {
        Ok(sensor) => sensor,
        Err(status) => return Err((status.code(), format!("{status:?}"))),
    };
    sensor.hello(id, 1).await;
    let mut sensor = sensor;
    match sensor.answer().await {
        Ok(_) => Ok(sensor),
        Err(status) => Err((status.code(), format!("{status:?}"))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_with_a_certificate_delivers_for_itself_and_for_nobody_else() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let client = Client::valid(&place.data(), "ws-12.ward");
    let mut sensor = greet(&client, &daemon.address, "ws-12.ward").await.unwrap();
    sensor.send(1, vec![read(1, 5, 1, 1)]).await;
    sensor.persisted(1).await;

    let refused = greet(&client, &daemon.address, "ws-13.ward").await;
    let (code, reason) = refused.err().unwrap();
    assert_eq!(code, Code::PermissionDenied, "{reason}");
    assert!(
        reason.contains("speak for itself") && reason.contains("ws-13.ward"),
        "{reason}"
    );
    sensor.send(2, vec![read(2, 5, 1, 1)]).await;
    sensor.persisted(2).await;
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_good_certificate_is_not_let_in() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let data = place.data();
    let yesterday = OffsetDateTime::now_utc() - Duration::days(2);
    let tomorrow = OffsetDateTime::now_utc() + Duration::DAY;
    let cases = [
        (
            Client::nameless(&data),
            Code::Unauthenticated,
            "a client certificate is needed",
        ),
        (Client::forged(&data, "ws-12"), Code::Unknown, ""),
        (
            Client::named(&data, "ws-12", yesterday, Duration::DAY),
            Code::Unknown,
            "",
        ),
        (
            Client::named(&data, "ws-12", tomorrow, Duration::DAY),
            Code::Unknown,
            "",
        ),
        (Client::valid(&data, "ws-12").outdated(), Code::Unknown, ""),
    ];
    for (index, (client, code, part)) in cases.iter().enumerate() {
        let refused = greet(client, &daemon.address, "ws-12").await;
        let (told, reason) = refused.err().unwrap();
        // Who fails the handshake is told by TLS, and gRPC makes of that what it can.
        let as_wanted = told == *code || *code == Code::Unknown;
        assert!(
            as_wanted && reason.contains(part),
            "{index}: {told} {reason}"
        );
    }
    let good = Client::valid(&data, "ws-12");
    assert!(greet(&good, &daemon.address, "ws-12").await.is_ok());
    // Without TLS there is nobody to talk to.
    let plain = tonic::transport::Channel::from_shared(format!("http://{}", daemon.address));
    let opened = match plain.unwrap().connect().await {
        Ok(channel) => Sensor::over(channel).await.is_ok(),
        Err(_) => false,
    };
    assert!(!opened, "the collector answers in plain HTTP/2");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expires_ends_the_stream_and_what_was_acknowledged_stays() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let now = OffsetDateTime::now_utc();
    let client = Client::named(&place.data(), "ws-12", now, Duration::seconds(3));
    let mut sensor = greet(&client, &daemon.address, "ws-12").await.unwrap();
    sensor.send(1, vec![read(1, 5, 1, 1)]).await;
    sensor.persisted(1).await;
    let (code, reason) = sensor.refused().await;
    assert_eq!(code, Code::Unauthenticated);
    assert!(reason.contains("has expired"), "{reason}");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_outlasts_a_restart() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let client = Client::valid(&place.data(), "ws-12");
    assert!(daemon.stop().success());
    let daemon = Daemon::start(&place);
    assert!(greet(&client, &daemon.address, "ws-12").await.is_ok());
    assert!(daemon.stop().success());
}

/// Starts a collector that must not start; its exit status and what it said.
fn refused(place: &Place) -> (Option<i32>, String) {
    let output = place.collector(&["run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keys_and_settings_that_let_others_in_are_refused_with_64() {
    let place = Place::with_tls("");
    assert!(Daemon::start(&place).stop().success());
    let key = place.data().join("pki/ca.key");
    let before = std::fs::read(&key).unwrap();
    set_mode(&key, 0o644);
    let (code, said) = refused(&place);
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("pki/ca.key: mode 0644") && said.contains("chmod 600"),
        "{said}"
    );
    assert_eq!(std::fs::read(&key).unwrap(), before);
    set_mode(&key, 0o600);
    std::fs::rename(place.data().join("pki/ca.pem"), place.file("ca.pem")).unwrap();
    let (code, said) = refused(&place);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("pki/ca.pem: is not there"), "{said}");

    let cases = [
        (
            "tls = \"off\"\nlisten = \"0.0.0.0:0\"\n",
            "tls: \"off\" is for a loopback address only",
        ),
        ("tls = \"on\"\n", "neither \"off\" nor a table"),
        ("[tls]\nname = \"x\"\n", "unknown field `name`"),
        (
            "[tls]\nnames = [\"a b\"]\n",
            "tls.names: \"a b\" is no host name",
        ),
        ("[tls]\nkey = \"/k\"\n", "belong together"),
        (
            "[tls]\ncertificate = \"/nowhere/c\"\nkey = \"/nowhere/k\"\nclient_ca = \"/nowhere/ca\"\n",
            "/nowhere/c: entity not found",
        ),
    ];
    for (text, part) in cases {
        let place = Place::with_tls("");
        let data = format!("data_dir = \"{}\"\n", place.data().display());
        std::fs::write(place.config(), data + text).unwrap();
        let (code, said) = refused(&place);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hospitals_own_authority_can_be_configured() {
    let hospital = Hospital::found();
    let (own, own_key) = hospital.certify("localhost");
    let place = Place::with_tls("");
    let [certificate, key, ca] = ["c.pem", "k.pem", "ca.pem"].map(|name| place.file(name));
    std::fs::write(&certificate, own.pem()).unwrap();
    std::fs::write(&key, own_key.serialize_pem()).unwrap();
    std::fs::write(&ca, &hospital.root_pem).unwrap();
    let before = std::fs::read_to_string(place.config()).unwrap();
    let text = format!(
        "{before}[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {ca:?}\n"
    );
    std::fs::write(place.config(), text).unwrap();
    set_mode(&key, 0o640);
    let (code, said) = refused(&place);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("k.pem: mode 0640"), "{said}");
    set_mode(&key, 0o600);

    let daemon = Daemon::start(&place);
    assert!(
        !place.data().join("pki/ca.key").exists(),
        "no authority of its own is made"
    );
    let (certificate, key) = hospital.certify("ws-12");
    let client = Client::with(hospital.root.clone(), certificate.der().clone(), key);
    assert!(greet(&client, &daemon.address, "ws-12").await.is_ok());
    let (code, _) = greet(&client, &daemon.address, "ws-13")
        .await
        .err()
        .unwrap();
    assert_eq!(code, Code::PermissionDenied);
    let stranger = Hospital::found();
    let (certificate, key) = stranger.certify("ws-12");
    let forged = Client::with(hospital.root.clone(), certificate.der().clone(), key);
    assert!(greet(&forged, &daemon.address, "ws-12").await.is_err());
    assert!(daemon.stop().success());
}

#[test]
fn check_says_who_is_let_in() {
    let place = Place::with_tls("[tls]\nnames = [\"chartwatch.hospital.example\"]\n");
    let output = Command::new(env!("CARGO_BIN_EXE_chartwatch-collector"))
        .args(["check", "--config"])
        .arg(place.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("own authority") && said.contains("chartwatch.hospital.example"),
        "{said}"
    );
}
