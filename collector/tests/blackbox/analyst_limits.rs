//! One analyst holds up neither the others nor the sensors, and carries away no more names than one may.

use collector::analyst::{Command as Asked, request};
use proto::analyst::v1::analyst_client::AnalystClient;
use tonic::Code;

use crate::analyst::{Analyst, place};
use crate::audit::entries;
use crate::daemon::Daemon;
use crate::enrol::said;
use crate::events::read;
use crate::identity::greet;
use crate::reveal::{bring_key, known_token};
use crate::tls::Client;

/// Events of one batch, and batches: far more text than connection and collector hold for a reader who does not read.
const EVENTS: u64 = 2_000;
const BATCHES: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_who_does_not_read_holds_up_neither_others_nor_sensors() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let client = Client::valid(&place.data(), "ws-12");
    let mut sensor = greet(&client, &daemon.address, "ws-12").await.unwrap();
    let batch = || (0..EVENTS).map(|n| read(1, 1_000, n, 1)).collect();
    for number in 0..BATCHES {
        sensor.send(number * EVENTS + 1, batch()).await;
        sensor.persisted((number + 1) * EVENTS).await;
    }
    let anna = Analyst::new(&place, &address, "anna", "read");
    let tom = Analyst::new(&place, &address, "tom", "read");
    let all = Asked::Events {
        from_ns: None,
        to_ns: None,
    };
    let mut idle = AnalystClient::new(anna.channel().await);
    let unread = idle.run(request(all)).await.unwrap();

    anna.refused(&["events"], "anna has a command running that works through");
    anna.refused(&["replay"], "another one only when it has ended");
    assert!(anna.run(&["alerts"]).status.success());
    let others = tom.run(&["events"]);
    assert!(others.status.success(), "{}", said(&others));
    let lines = others.stdout.split(|byte| *byte == b'\n').count() as u64;
    assert_eq!(lines, EVENTS * BATCHES + 1);
    // It did not fit: what is not read is still there to be sent.
    anna.refused(&["events"], "anna has a command running that works through");
    sensor.send(BATCHES * EVENTS + 1, batch()).await;
    sensor.persisted((BATCHES + 1) * EVENTS).await;

    // Who leaves makes room.
    drop((unread, idle));
    crate::daemon::until("the place to be free", || {
        anna.run(&["events"]).status.success()
    });
    assert!(daemon.stop().success());
    let refused = entries(&place, &["--what", "analyst-refused", "--who", "anna"]);
    assert_eq!(refused[0]["about"], "events");
    assert!(
        refused[0]["details"]["reason"]
            .as_str()
            .unwrap()
            .contains("works through the log")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_with_many_connections_leaves_some_to_others() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    let tom = Analyst::new(&place, &address, "tom", "read");
    let mut open = Vec::new();
    // One more than all connections there are; what is refused is noticed when it is used.
    for _ in 0..65 {
        let mut client = AnalystClient::new(anna.channel().await);
        let asked = client.run(request(Asked::Alerts { json: true })).await;
        open.push((asked.is_ok(), client));
    }
    assert_eq!(open.iter().filter(|(served, _)| *served).count(), 16);
    assert!(tom.run(&["alerts"]).status.success());
    drop(open);
    crate::daemon::until("a connection to be free", || {
        anna.run(&["alerts"]).status.success()
    });
    assert!(daemon.stop().success());
    let refused = entries(&place, &["--what", "identity-refused"]);
    let reason = refused[0]["details"]["reason"].as_str().unwrap();
    assert!(reason.contains("with the same certificate"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_who_asks_in_a_loop_has_to_wait_and_others_do_not() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let anna = Analyst::new(&place, &address, "anna", "read");
    let tom = Analyst::new(&place, &address, "tom", "read");
    let mut loops = AnalystClient::new(anna.channel().await);
    let mut refused = None;
    for _ in 0..1_000 {
        match loops.run(request(Asked::Alerts { json: true })).await {
            Ok(answer) => {
                let mut parts = answer.into_inner();
                while parts.message().await.unwrap().is_some() {}
            }
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("in a row"), "{refused:?}");
    assert!(tom.run(&["alerts"]).status.success());
    assert!(daemon.stop().success());
    let refused = entries(&place, &["--what", "analyst-refused", "--who", "anna"]);
    assert_eq!(refused.len(), 1, "{refused:#?}");
}

#[test]
fn analyst_turns_back_so_many_tokens_in_an_hour_and_no_more() {
    let (place, address) = place();
    bring_key(&place);
    let daemon = Daemon::start(&place);
    let eve = Analyst::new(&place, &address, "eve", "reveal");
    let rita = Analyst::new(&place, &address, "rita", "reveal");
    let ask = |analyst: &Analyst<'_>, tokens: usize| {
        let mut arguments = vec!["reveal", "--why", "ticket 1"];
        arguments.resize(3 + tokens, known_token());
        analyst.run(&arguments)
    };
    for _ in 0..4 {
        let revealed = ask(&eve, 1_000);
        assert!(revealed.status.success(), "{}", said(&revealed));
    }
    let refused = ask(&eve, 1_000);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    assert!(
        said(&refused).contains("eve may have 4096 tokens turned back in an hour"),
        "{}",
        said(&refused)
    );
    // Many tokens in one text count as many.
    let one = format!("/token:{} ", known_token());
    let many = one.repeat(2_100);
    let refused = rita.run(&["reveal", "--why", "ticket 1", &many, &many]);
    assert!(
        refused.stdout.is_empty() && said(&refused).contains("ask in parts"),
        "{}",
        said(&refused)
    );
    assert!(ask(&rita, 3).status.success());
    // On the collector's machine nobody counts.
    let mut here = vec!["reveal", "--why", "ticket 1"];
    here.resize(1_003, known_token());
    assert!(place.chartwatch(&here).status.success());
    assert!(daemon.stop().success());
    let refused = entries(&place, &["--what", "reveal-refused", "--who", "eve"]);
    assert_eq!(refused.len(), 1, "{refused:#?}");
    let revealed = entries(&place, &["--what", "revealed", "--who", "eve"]);
    assert_eq!(revealed.len(), 4);
}
