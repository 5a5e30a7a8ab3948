//! The collector's authority is changed for another while sensors are connected; and who was not let in is shown.

use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::link_client::LinkClient;
use proto::sensor::v1::{RenewReply, RenewRequest};
use rcgen::KeyPair;
use tonic::Code;

use crate::daemon::{Daemon, Place, until};
use crate::enrol::{enrolled, request, said};
use crate::events::read;
use crate::identity::greet;
use crate::sensor::Sensor;
use crate::tls::Client;

fn rotate(place: &Place, more: &[&str]) -> (Option<i32>, String) {
    let output = place.collector(&[&["rotate-authority"], more].concat());
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    (output.status.code(), told)
}

/// Waits until the stream is told to renew; answers within how many seconds.
async fn renewal(sensor: &mut Sensor) -> u64 {
    loop {
        match sensor.answer().await.unwrap() {
            Some(Answer::Renewal(renewal)) => return renewal.in_s,
            Some(Answer::Persisted(_)) => {}
            other => panic!("{other:?} instead of Renewal"),
        }
    }
}

/// Has a certificate renewed as a sensor does that takes several authorities, or as an older one.
async fn renew(client: &Client, daemon: &Daemon, takes_authorities: bool) -> (RenewReply, KeyPair) {
    let channel = client.connect(&daemon.address).await.unwrap();
    let key = KeyPair::generate().unwrap();
    let asked = RenewRequest {
        request: request(&key),
        takes_authorities,
    };
    let reply = LinkClient::new(channel).renew(asked).await.unwrap();
    (reply.into_inner(), key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_authority_reaches_open_streams_and_ends_those_that_missed_it() {
    let place = Place::with_tls("");
    assert_eq!(
        rotate(&place, &[]).0,
        Some(64),
        "there is nothing to change yet"
    );
    let daemon = Daemon::start(&place);
    let (code, told) = rotate(&place, &["--finish"]);
    assert!(
        code == Some(64) && told.contains("rotate-authority"),
        "{told}"
    );
    let renewing = enrolled(&place, &daemon, "ws-1").await;
    let older = enrolled(&place, &daemon, "ws-2").await;
    let mut first = greet(&renewing, &daemon.address, "ws-1").await.unwrap();
    let mut second = greet(&older, &daemon.address, "ws-2").await.unwrap();

    until("both in the list of sensors", || {
        let listed = place.json(&["sensors", "--json"]);
        listed.as_array().is_some_and(|all| all.len() == 2)
    });
    let (code, told) = rotate(&place, &[]);
    assert!(
        code == Some(0) && told.contains("A new authority was made"),
        "{told}"
    );
    assert!(told.contains("0 of 2 sensors"), "{told}");
    assert!((3..10).contains(&renewal(&mut first).await));
    assert!((3..10).contains(&renewal(&mut second).await));

    // One learns of both, and is certified by the new one.
    let (reply, key) = renew(&renewing, &daemon, true).await;
    assert_eq!(reply.authorities.len(), 2);
    assert_eq!(
        reply.authorities[0], reply.authority,
        "the collector still shows the old one"
    );
    let new_root = reply.authorities[1].clone();
    let own = reply.chain[0].clone();
    let knows = Client::with(
        reply.authority.into(),
        own.clone().into(),
        KeyPair::from_pem(&key.serialize_pem()).unwrap(),
    );
    let mut after = greet(&knows, &daemon.address, "ws-1").await.unwrap();
    after.send(1, vec![read(1, 5, 1, 1)]).await;
    after.persisted(1).await;
    // The other, of an earlier version, believes one authority: it goes on with the old one and is not counted as renewed.
    let (reply, key) = renew(&older, &daemon, false).await;
    let believes_one = Client::with(reply.authority.into(), reply.chain[0].clone().into(), key);
    let mut second = greet(&believes_one, &daemon.address, "ws-2").await.unwrap();
    until("the list of sensors", || {
        rotate(&place, &["--status"]).1.contains("1 of 2 sensors")
    });
    let (code, told) = rotate(&place, &["--finish"]);
    assert!(
        code == Some(1) && told.contains("ws-2") && !told.contains("ws-1"),
        "{told}"
    );
    let (_, told) = rotate(&place, &["--status"]);
    assert!(
        told.contains("is being changed"),
        "nothing was finished: {told}"
    );

    let unused = place.collector(&["token", "--sensor", "ws-3", "--address", "localhost:7443"]);
    assert!(
        said(&unused).contains("before `rotate-authority --finish`"),
        "{}",
        said(&unused)
    );
    let (code, told) = rotate(&place, &["--finish", "--without-them"]);
    assert!(
        code == Some(0) && told.contains("enrolled again: ws-2"),
        "{told}"
    );
    assert!(told.contains("1 token has"), "{told}");
    let (code, reason) = second.refused().await;
    assert!(
        code == Code::Unauthenticated && reason.contains("enrol this sensor again"),
        "{reason}"
    );
    // Who knows both is asked to forget the old one, on the same stream.
    assert!((3..10).contains(&renewal(&mut after).await));
    after.send(2, vec![read(2, 5, 1, 1)]).await;
    after.persisted(2).await;
    let refused = greet(&knows, &daemon.address, "ws-1").await.err().unwrap();
    assert!(
        refused.1.contains("invalid peer certificate"),
        "it believes the old one only here: {refused:?}"
    );
    let knows = Client::with(new_root.clone().into(), own.into(), key_of(&knows));
    assert!(greet(&knows, &daemon.address, "ws-1").await.is_ok());
    let (reply, _) = renew(&knows, &daemon, true).await;
    assert_eq!(reply.authorities, [new_root]);
    assert!(daemon.stop().success());

    // What was decided outlasts a restart, and so does who tried.
    let daemon = Daemon::start(&place);
    assert!(greet(&knows, &daemon.address, "ws-1").await.is_ok());
    assert!(greet(&believes_one, &daemon.address, "ws-2").await.is_err());
    assert!(daemon.stop().success());
    let refused = place.json(&["sensors", "--refused", "--json"]);
    let old = refused.as_array().unwrap().iter().any(|line| {
        line["certificate_of"] == "ws-2"
            && line["reason"]
                .as_str()
                .unwrap()
                .contains("authority before")
    });
    assert!(old, "{refused}");
}

fn key_of(client: &Client) -> KeyPair {
    client.key().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_not_let_in_is_counted_and_shown() {
    let place = Place::with_tls("");
    let daemon = Daemon::start(&place);
    let client = enrolled(&place, &daemon, "ws-1").await;
    for _ in 0..3 {
        assert!(greet(&client, &daemon.address, "ws-9").await.is_err());
    }
    let stranger = Client::forged(&place.data(), "ws-1");
    assert!(greet(&stranger, &daemon.address, "ws-1").await.is_err());
    let nobody = Client::nameless(&place.data());
    assert!(greet(&nobody, &daemon.address, "ws-1").await.is_err());
    assert!(
        place
            .collector(&["revoke", "--sensor", "ws-1"])
            .status
            .success()
    );
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(greet(&client, &daemon.address, "ws-1").await.is_err());
    let wanted = [
        ("ws-1", "speaks for another sensor", 3),
        ("", "TLS: ", 1),
        ("", "shows no certificate", 1),
        ("ws-1", "its certificate was revoked", 1),
    ];
    let all = |lines: &serde_json::Value| {
        wanted.iter().all(|(sensor, reason, times)| {
            lines.as_array().unwrap().iter().any(|line| {
                line["certificate_of"] == **sensor
                    && line["reason"].as_str().unwrap().starts_with(reason)
                    && line["times"].as_u64() >= Some(*times)
                    && line["address"] == "127.0.0.1"
            })
        })
    };
    until("all of them", || {
        all(&place.json(&["sensors", "--refused", "--json"]))
    });
    let text = String::from_utf8(place.chartwatch(&["sensors"]).stdout).unwrap();
    assert!(
        text.contains("REFUSED FROM") && text.contains("speaks for another"),
        "{text}"
    );
    // Counted on over a restart.
    assert!(daemon.stop().success());
    let daemon = Daemon::start(&place);
    assert!(greet(&nobody, &daemon.address, "ws-1").await.is_err());
    until("one more", || {
        let lines = place.json(&["sensors", "--refused", "--json"]);
        let times = lines
            .as_array()
            .unwrap()
            .iter()
            .find(|line| line["reason"] == "shows no certificate");
        times.is_some_and(|line| line["times"] == 2)
    });
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_restored_from_an_older_backup_says_that_revocations_may_be_missing() {
    let place = Place::with_tls("");
    assert!(Daemon::start(&place).stop().success());
    // Its last time is of long ago, as in a backup; the sensor was certified yesterday.
    let book = rusqlite::Connection::open(place.data().join("pki/book.db")).unwrap();
    let changed = book.execute("UPDATE alive SET until_s = until_s - 7 * 86400", []);
    assert_eq!(
        changed.unwrap(),
        1,
        "the book knows until when the collector ran"
    );
    drop(book);
    let log = place.file("said");
    let daemon = Daemon::start_logging(&place, &log);
    let yesterday = time::OffsetDateTime::now_utc() - time::Duration::DAY;
    let client = Client::named(&place.data(), "ws-1", yesterday, time::Duration::DAY * 9);
    assert!(greet(&client, &daemon.address, "ws-1").await.is_ok());
    let said = || std::fs::read_to_string(&log).unwrap();
    until("a line about it", || {
        said().contains("were restored from a backup")
    });
    assert!(daemon.stop().success());
    // The list of sensors has it from now on, and the book has gone on: nothing is said without a reason.
    let daemon = Daemon::start_logging(&place, &log);
    assert!(daemon.stop().success());
    assert!(!said().contains("restored"), "{}", said());
}
