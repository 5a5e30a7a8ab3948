//! Administrators over the network: what only the collector's user could do before, with the role and a line in the audit log for each.

use std::process::Command;

use collector::admin::{Task, Whom};
use collector::analyst::{Command as Asked, request};
use proto::analyst::v1::RunReply;
use proto::analyst::v1::analyst_client::AnalystClient;
use proto::analyst::v1::run_reply::Part;
use rcgen::KeyPair;

use crate::analyst::{Analyst, place};
use crate::audit::entries;
use crate::daemon::{Daemon, lines};
use crate::enrol::{enroll, request as key_request, said, secret};
use crate::events::theft;
use crate::identity::greet;
use crate::tls::Client;

/// What a command prints, which must not fail.
fn printed(analyst: &Analyst<'_>, arguments: &[&str]) -> String {
    let output = analyst.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The first part of an answer that is more than a word on when to renew.
async fn first(answer: &mut tonic::Streaming<RunReply>) -> Option<Part> {
    loop {
        match answer.message().await.unwrap()?.part {
            Some(Part::RenewInS(_)) => {}
            part => return part,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_with_the_role_makes_tokens_revokes_and_gives_roles_and_the_audit_log_has_each() {
    let (place, address) = place();
    let log = place.file("log");
    let daemon = Daemon::start_logging(&place, &log);
    let otto = Analyst::new(&place, &address, "otto", "administer");

    // A sensor is enrolled with a token from afar, and is out when it is revoked.
    let token = printed(
        &otto,
        &[
            "token",
            "--sensor",
            "ws-12",
            "--address",
            "localhost:7443",
            "--valid",
            "1h",
        ],
    );
    assert!(token.starts_with("chartwatch-token-1 ws-12 localhost:7443 "));
    let key = KeyPair::generate().unwrap();
    let reply = enroll(&place, &daemon, secret(token.trim()), key_request(&key));
    let reply = reply.await.unwrap();
    let client = Client::with(reply.authority.into(), reply.chain[0].clone().into(), key);
    let mut stream = greet(&client, &daemon.address, "ws-12").await.unwrap();
    let revoked = printed(&otto, &["revoke", "--sensor", "ws-12"]);
    assert!(revoked.starts_with("revoked: "), "{revoked}");
    let (code, reason) = stream.refused().await;
    assert!(
        code == tonic::Code::Unauthenticated && reason.contains("was revoked"),
        "{reason}"
    );

    // So is an analyst, who is given other roles and then let in no longer.
    let token = printed(
        &otto,
        &[
            "token",
            "--analyst",
            "anna",
            "--role",
            "read",
            "--address",
            &address,
        ],
    );
    let anna = Analyst::with_token(&place, &address, "anna", token.as_bytes());
    anna.refused(
        &["revoke", "--sensor", "ws-12"],
        "needs the role administer",
    );
    assert_eq!(printed(&otto, &["roles"]), "anna  read\notto  administer\n");
    printed(
        &otto,
        &["roles", "--analyst", "anna", "--role", "triage,reveal"],
    );
    assert_eq!(
        printed(&otto, &["roles"]),
        "anna  triage,reveal\notto  administer\n"
    );
    printed(&otto, &["roles", "--analyst", "anna", "--none"]);
    anna.refused(&["alerts"], "anna has none");
    printed(&otto, &["revoke", "--analyst", "anna"]);
    anna.refused(&["alerts"], "was revoked");
    let state = printed(&otto, &["rotate-authority", "--status"]);
    assert!(state.contains("is not being changed"), "{state}");

    assert!(daemon.stop().success());
    let of_otto = |what: &str| entries(&place, &["--what", what, "--who", "otto"]);
    let made = of_otto("token-made");
    assert_eq!(made.len(), 2, "{made:#?}");
    assert_eq!(made[0]["about"], "ws-12");
    assert_eq!(made[1]["about"], "analyst:anna");
    assert_eq!(made[1]["details"]["roles"], "read");
    let given = of_otto("roles-given");
    assert_eq!(given.len(), 2, "{given:#?}");
    assert_eq!(given[0]["details"]["roles_before"], "read");
    assert_eq!(given[1]["details"]["roles"], "none");
    assert_eq!(of_otto("revoked").len(), 2);
    assert_eq!(
        entries(&place, &["--what", "analyst-refused", "--who", "anna"]).len(),
        3
    );
    // No token stands where others read.
    let told = lines(&log).join("\n");
    let audited = std::fs::read_to_string(place.data().join("audit/audit.log")).unwrap();
    let hex = token.trim().rsplit(' ').next().unwrap();
    assert!(!told.contains(hex) && !audited.contains(hex));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_who_administers_can_neither_raise_nor_remove_oneself() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let otto = Analyst::new(&place, &address, "otto", "administer");
    let own = "otto cannot change what otto may";
    otto.refused(
        &["roles", "--analyst", "otto", "--role", "administer,reveal"],
        own,
    );
    otto.refused(&["roles", "--analyst", "otto", "--none"], own);
    otto.refused(&["revoke", "--analyst", "otto"], own);
    let token = [
        "token",
        "--analyst",
        "otto",
        "--role",
        "reveal",
        "--address",
        &address,
    ];
    otto.refused(&token, own);
    // What cannot be is refused as it is on the collector's machine.
    otto.refused(
        &["token", "--sensor", "a b", "--address", "localhost:1"],
        "must be a DNS name",
    );
    otto.refused(&["roles", "--analyst", "a b", "--none"], "as a host name");
    for wrong in [
        &["token", "--analyst", "anna"][..],
        &["token", "--sensor", "ws-1", "--valid", "31d"],
        &["roles", "--analyst", "anna"],
        &["rotate-authority"],
        &["rotate-authority", "--finish"],
    ] {
        assert_eq!(otto.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let tom = Analyst::new(&place, &address, "tom", "triage");
    tom.refused(
        &["revoke", "--analyst", "otto"],
        "needs the role administer",
    );
    tom.refused(&["roles"], "needs the role administer, and tom has triage");
    assert_eq!(
        printed(&otto, &["roles"]),
        "otto  administer\ntom  triage\n"
    );
    // The collector's machine can.
    let given = place.collector(&["roles", "--analyst", "otto", "--role", "administer,read"]);
    assert!(given.status.success(), "{}", said(&given));
    // With the configuration the same command says the same here.
    let here = place.chartwatch(&["roles"]);
    assert_eq!(
        String::from_utf8_lossy(&here.stdout),
        printed(&otto, &["roles"])
    );
    assert!(daemon.stop().success());
    let refused = entries(&place, &["--what", "analyst-refused"]);
    let about: Vec<_> = refused.iter().map(|entry| &entry["about"]).collect();
    // What was refused for its argument was looked at, not refused; the first two are one line and a count.
    let expected = [
        "roles --analyst otto",
        "revoke --analyst otto",
        "token --analyst otto",
        "revoke --analyst otto",
        "roles",
        "roles --analyst otto",
    ];
    assert_eq!(about, expected, "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_who_administers_approves_a_way_which_counts_without_a_hand_on_the_machine() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let client = Client::valid(&place.data(), "ws-12");
    let mut sensor = greet(&client, &daemon.address, "ws-12").await.unwrap();
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    let id = &alerts[0]["id"].as_str().unwrap()[..8];
    let otto = Analyst::new(&place, &address, "otto", "administer");
    let approve = ["approve", id, "--why", "ticket \u{1b}[2J4712"];
    let directory = place.data().join("approved.d");

    // Proposed and asked about as on the machine; without an answer nothing is written.
    let asked = otto.run(&approve);
    assert_eq!(asked.status.code(), Some(1), "there is nobody to ask");
    let proposed = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(
        proposed.contains("bytes_max = 300600") && proposed.contains("this alert and no other"),
        "{proposed}"
    );
    assert!(said(&asked).contains("--yes"), "{}", said(&asked));
    assert!(!directory.exists());
    let tom = Analyst::new(&place, &address, "tom", "triage,reveal");
    tom.refused(&approve, "needs the role administer");
    // Who agrees to something else than what would be written agrees to nothing.
    let wrong = collector::analyst::Approval {
        id: id.to_owned(),
        name: None,
        why: "x".into(),
        agreed: Some(collector::audit::Hash::default()),
    };
    let mut interface = AnalystClient::new(otto.channel().await);
    let mut answer = interface
        .run(request(Asked::Approve(wrong)))
        .await
        .unwrap()
        .into_inner();
    let Some(Part::Told(told)) = first(&mut answer).await else {
        panic!("something was done");
    };
    assert!(String::from_utf8_lossy(&told).contains("has grown since"));
    assert!(!directory.exists());

    let written = printed(&otto, &[&approve[..], &["--yes"]].concat());
    assert!(written.contains("within seconds"), "{written}");
    let file = directory.join(format!("{id}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("# Approved by otto on ") && text.contains("4712"));
    assert!(!text.contains('\u{1b}'));
    assert!(!place.config().with_file_name("approved.d").exists());
    daemon.told("READY=1");
    crate::daemon::until("the way to count", || {
        printed(&otto, &["replay", "--json"]).is_empty()
    });
    otto.refused(&[&approve[..], &["--yes"]].concat(), "\"as in alert");
    // The same way by hand, as it may come to be while nobody has reloaded: the collector starts, and there is one.
    let by_hand = place.config().with_file_name("approved.d");
    std::fs::create_dir(&by_hand).unwrap();
    std::fs::copy(&file, by_hand.join("mine.toml")).unwrap();
    let checked = place.collector(&["check"]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.matches("as in alert").count(), 1, "{checked}");
    assert!(daemon.stop().success());
    assert!(Daemon::start(&place).stop().success());
    let approved = entries(&place, &["--what", "way-approved", "--who", "otto"]);
    assert_eq!(approved.len(), 1, "{approved:#?}");
    let way = approved[0]["details"]["way"].as_str().unwrap();
    assert!(way.contains("executable = \"/usr/bin/curl\""), "{way}");
    assert_eq!(
        entries(&place, &["--what", "configuration-reloaded"]).len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyst_who_is_revoked_does_nothing_more_on_a_connection_that_is_open() {
    let (place, address) = place();
    let daemon = Daemon::start(&place);
    let otto = Analyst::new(&place, &address, "otto", "administer");
    let mut analyst = AnalystClient::new(otto.channel().await);
    let task = |task| request(Asked::Administer(task));
    let mut listed = analyst.run(task(Task::List)).await.unwrap().into_inner();
    let listing = Part::Out(b"otto  administer\n".to_vec());
    assert_eq!(first(&mut listed).await, Some(listing));

    let revoked = place.collector(&["revoke", "--analyst", "otto"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    let token = Task::Token {
        whom: Whom::Sensor("ws-1".into()),
        roles: collector::identity::Roles::default(),
        valid: std::time::Duration::from_mins(1),
        address: Some("localhost:7443".into()),
    };
    let refused = analyst.run(task(token)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
    assert!(daemon.stop().success());
    // Only the one for otto himself was ever made.
    assert_eq!(entries(&place, &["--what", "token-made"]).len(), 1);
}

#[test]
fn analyst_is_told_by_help_and_completion_what_an_administrator_can_do() {
    let shown = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartwatch"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for command in ["token", "revoke", "roles", "rotate-authority"] {
        let help = shown(&[command, "--help"]);
        assert!(help.contains("role administer"), "{help}");
        let completion = shown(&["completions", "bash"]);
        assert!(completion.contains(command), "{command}");
    }
    for command in ["token", "revoke", "roles"] {
        let help = shown(&[command, "--help"]);
        assert!(
            help.contains("nobody") && help.contains("Examples:"),
            "{help}"
        );
    }
}
