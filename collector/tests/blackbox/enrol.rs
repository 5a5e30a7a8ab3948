//! A new sensor gets its certificate: once for a token, before it expires, and for the name the token was made for.

use std::process::Output;

use proto::sensor::v1::enrollment_client::EnrollmentClient;
use proto::sensor::v1::link_client::LinkClient;
use proto::sensor::v1::{EnrollReply, EnrollRequest, RenewRequest};
use rcgen::{CertificateParams, KeyPair};
use time::{Duration, OffsetDateTime};
use tonic::{Code, Status};

use crate::daemon::{Daemon, Place};
use crate::identity::greet;
use crate::sensor::Sensor;
use crate::tls::Client;

/// The token that the command prints for a sensor.
pub(crate) fn token(place: &Place, more: &[&str]) -> String {
    let output = place.collector(&[&["token", "--address", "localhost:7443"], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.lines().count(), 1, "{token}");
    token.trim_end().to_owned()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn secret(token: &str) -> Vec<u8> {
    let hex = token.rsplit(' ').next().unwrap();
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn request(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(["any-name".to_owned()]).unwrap();
    params.serialize_request(key).unwrap().der().to_vec()
}

pub(crate) async fn enroll(
    place: &Place,
    daemon: &Daemon,
    secret: Vec<u8>,
    request: Vec<u8>,
) -> Result<EnrollReply, Status> {
    let stranger = Client::nameless(&place.data());
    let channel = stranger.connect(&daemon.address).await.unwrap();
    let request = EnrollRequest {
        secret,
        request,
        takes_authorities: true,
    };
    let reply = EnrollmentClient::new(channel).enroll(request).await?;
    Ok(reply.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_makes_one_certificate_for_the_sensor_it_names() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let token = token(&place, &["--sensor", "ws-12.ward"]);
    assert!(
        token.starts_with("chartwatch-token-1 ws-12.ward localhost:7443 "),
        "{token}"
    );
    let key = KeyPair::generate().unwrap();
    // What cannot be certified costs no token.
    let refused = enroll(&place, &daemon, secret(&token), vec![0x30; 99]).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);

    let reply = enroll(&place, &daemon, secret(&token), request(&key));
    let reply = reply.await.unwrap();
    let client = Client::with(
        reply.authority.into(),
        reply.chain[0].clone().into(),
        KeyPair::from_pem(&key.serialize_pem()).unwrap(),
    );
    assert!(greet(&client, &daemon.address, "ws-12.ward").await.is_ok());
    let other = greet(&client, &daemon.address, "any-name").await;
    assert_eq!(other.err().unwrap().0, Code::PermissionDenied);

    let again = enroll(&place, &daemon, secret(&token), request(&key)).await;
    let again = again.unwrap_err();
    assert_eq!(again.code(), Code::PermissionDenied, "{again:?}");
    assert!(again.message().contains("was used"), "{again:?}");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_spend_a_token_at_a_time_one_does() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let token = token(&place, &["--sensor", "ws-12"]);
    let keys: Vec<KeyPair> = (0..8).map(|_| KeyPair::generate().unwrap()).collect();
    let mut running = tokio::task::JoinSet::new();
    for key in &keys {
        let stranger = Client::nameless(&place.data());
        let address = daemon.address.clone();
        let request = EnrollRequest {
            secret: secret(&token),
            request: request(key),
            takes_authorities: true,
        };
        running.spawn(async move {
            let channel = stranger.connect(&address).await.unwrap();
            EnrollmentClient::new(channel).enroll(request).await.is_ok()
        });
    }
    let certified = running
        .join_all()
        .await
        .into_iter()
        .filter(|ok| *ok)
        .count();
    assert_eq!(certified, 1);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_expires_outlasts_a_restart_and_is_not_guessed() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let short = token(&place, &["--sensor", "ws-12", "--valid", "1s"]);
    let long = token(&place, &["--sensor", "ws-13"]);
    daemon.kill();
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let daemon = Daemon::start(&place);
    let key = KeyPair::generate().unwrap();
    for wrong in [secret(&short), vec![7; 32], Vec::new()] {
        let refused = enroll(&place, &daemon, wrong, request(&key)).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    assert!(
        enroll(&place, &daemon, secret(&long), request(&key))
            .await
            .is_ok()
    );
    assert!(daemon.stop().success());
}

#[test]
fn a_token_that_could_not_be_used_is_not_made() {
    let place = Place::with_tls("");
    let refused = |place: &Place, arguments: &[&str]| {
        let output = place.collector(&[&["token"], arguments].concat());
        assert!(output.stdout.is_empty());
        (output.status.code(), said(&output))
    };
    let address = ["--address", "localhost:7443"];
    let (code, text) = refused(&place, &[&["--sensor", "a"], &address[..]].concat());
    assert!(code == Some(64) && text.contains("first start"), "{text}");
    assert!(Daemon::start(&place).stop().success());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--sensor", "a b"], 1, "must be a DNS name"),
        (&["--sensor", "a"], 1, "give --address"),
        (&["--sensor", "a", "--valid", "31d"], 2, "at most 30d"),
        (&[], 2, "--sensor"),
    ];
    for (arguments, status, part) in cases {
        let (code, text) = refused(&place, arguments);
        assert!(
            code == Some(*status) && text.contains(part),
            "{arguments:?}: {code:?} {text}"
        );
    }
    let off = Place::new("");
    let (code, text) = refused(&off, &[&["--sensor", "a"], &address[..]].concat());
    assert!(code == Some(64) && text.contains("tls"), "{text}");
    let output = place.collector(&["token", "--sensor", "a", "--address", "c.example:7443"]);
    assert!(output.status.success());
    assert!(
        said(&output).contains("add it to names"),
        "{}",
        said(&output)
    );
}

/// A sensor that is enrolled now.
pub(crate) async fn enrolled(place: &Place, daemon: &Daemon, name: &str) -> Client {
    let token = token(place, &["--sensor", name]);
    let key = KeyPair::generate().unwrap();
    let reply = enroll(place, daemon, secret(&token), request(&key)).await;
    let reply = reply.unwrap();
    Client::with(reply.authority.into(), reply.chain[0].clone().into(), key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_ends_open_streams_and_lets_in_no_new_ones_until_the_sensor_is_enrolled_again()
{
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let client = enrolled(&place, &daemon, "ws-12").await;
    let other = enrolled(&place, &daemon, "ws-13").await;
    let unused = token(&place, &["--sensor", "ws-12"]);
    let mut sensor = greet(&client, &daemon.address, "ws-12").await.unwrap();
    let mut neighbour = greet(&other, &daemon.address, "ws-13").await.unwrap();

    let output = place.collector(&["revoke", "--sensor", "ws-12"]);
    assert!(output.status.success(), "{}", said(&output));
    let began = std::time::Instant::now();
    let (code, reason) = sensor.refused().await;
    assert!(
        code == Code::Unauthenticated && reason.contains("was revoked"),
        "{reason}"
    );
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let refused = greet(&client, &daemon.address, "ws-12").await;
    assert_eq!(refused.err().unwrap().0, Code::Unauthenticated);
    let key = KeyPair::generate().unwrap();
    let refused = enroll(&place, &daemon, secret(&unused), request(&key)).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    neighbour
        .send(1, vec![crate::events::read(1, 5, 1, 1)])
        .await;
    neighbour.persisted(1).await;

    assert!(daemon.stop().success());
    let daemon = Daemon::start(&place);
    let refused = greet(&client, &daemon.address, "ws-12").await;
    assert_eq!(
        refused.err().unwrap().0,
        Code::Unauthenticated,
        "after a restart"
    );
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let again = enrolled(&place, &daemon, "ws-12").await;
    assert!(greet(&again, &daemon.address, "ws-12").await.is_ok());
    let unknown = place.collector(&["revoke", "--sensor", "ws-99"]);
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("look at the name again"));
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_renews_itself_under_its_own_name_unless_it_was_revoked() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let began = OffsetDateTime::now_utc() - Duration::seconds(60);
    let client = Client::named(&place.data(), "ws-12", began, Duration::seconds(80));
    let channel = client.connect(&daemon.address).await.unwrap();
    let sensor = Sensor::over(channel.clone()).await.unwrap();
    sensor.hello("ws-12", 1).await;
    let (_sensor, welcome) = sensor.welcomed().await;
    assert_eq!(welcome.renew_in_s, Some(0), "two thirds are over");

    let key = KeyPair::generate().unwrap();
    let ask = |request: Vec<u8>| {
        let channel = channel.clone();
        async move {
            LinkClient::new(channel)
                .renew(RenewRequest {
                    request,
                    takes_authorities: true,
                })
                .await
        }
    };
    let refused = ask(vec![0x30; 9]).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let reply = ask(request(&key)).await.unwrap().into_inner();
    let renewed = Client::with(reply.authority.into(), reply.chain[0].clone().into(), key);
    let channel = renewed.connect(&daemon.address).await.unwrap();
    let sensor = Sensor::over(channel).await.unwrap();
    sensor.hello("ws-12", 1).await;
    let (_sensor, welcome) = sensor.welcomed().await;
    let days = welcome.renew_in_s.unwrap() / 86_400;
    assert!((19..=20).contains(&days), "{days}");

    assert!(
        place
            .collector(&["revoke", "--sensor", "ws-12"])
            .status
            .success()
    );
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let refused = ask(request(&KeyPair::generate().unwrap())).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let stranger = Client::nameless(&place.data());
    let channel = stranger.connect(&daemon.address).await.unwrap();
    let request = RenewRequest::default();
    let refused = LinkClient::new(channel).renew(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert!(daemon.stop().success());
}
