//! Threat intelligence from outside: feeds are read at start and on SIGHUP, pulled from a server, and `chartwatch intel` says what they say.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Place, until};
use crate::events::{process, read, sent, theft};
use crate::sensor::Sensor;
use crate::web::{Reply, Web};

/// Less than an alert needs unless the destination is listed.
fn little(pid: u32, first: u64) -> Vec<proto::sensor::v1::Event> {
    vec![
        process(first, pid, None, "/usr/bin/curl", 0),
        read(first + 1, pid, first, 3_000),
        sent(first + 2, pid, 2_000, true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_carried_in_counts_after_a_hangup() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "192.0.2.1\n").unwrap();
    let place = Place::new(&format!(
        "[[intel]]\nname = \"carried in\"\npath = \"{}\"\nlabel = \"c2\"\n",
        list.path().display()
    ));
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, little(1000, 1)).await;
    sensor.persisted(3).await;
    let alerts = || place.json(&["alerts", "--json"]).as_array().unwrap().len();
    assert_eq!(alerts(), 0);

    std::fs::write(list.path(), "192.0.2.1\n203.0.113.9\nnonsense\n").unwrap();
    let config = place.config();
    let asked = [
        "--config",
        config.to_str().unwrap(),
        "intel",
        "--json",
        "203.0.113.9",
    ];
    assert_eq!(place.json(&asked)["listed"], true);
    daemon.hang_up();
    until("what was logged before is found", || alerts() == 1);
    sensor.send(4, little(1_001, 10)).await;
    sensor.persisted(6).await;
    until("what comes after it is found", || alerts() == 2);
    let alerts = place.json(&["alerts", "--json"]);
    assert_eq!(alerts[0]["intelligence"][0]["feed"], "carried in");
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_nobody_brings_up_to_date_is_an_alert_about_the_collector() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "192.0.2.1\n").unwrap();
    let old = std::time::SystemTime::now() - Duration::from_hours(31 * 24);
    list.as_file().set_modified(old).unwrap();
    let place = Place::new(&format!(
        "[[intel]]\nname = \"carried in\"\npath = \"{0}\"\n[[intel]]\nname = \"seldom\"\npath = \"{0}\"\nstale_days = 60\n",
        list.path().display()
    ));
    for _ in 0..2 {
        let daemon = Daemon::start(&place);
        let alerts = place.alerts_until(|alerts| !alerts.is_empty());
        assert_eq!(alerts.len(), 1, "once, however often it is looked");
        assert_eq!(
            (&alerts[0]["pattern"], &alerts[0]["revision"]),
            (&"stale_feed".into(), &1.into())
        );
        assert!(daemon.stop().success());
    }
    let alerts = place.json(&["alerts", "--json"]);
    assert_eq!(alerts[0]["revision"], 1, "nothing new after a restart");
    let id = alerts[0]["id"].as_str().unwrap();
    let page = String::from_utf8(place.chartwatch(&["show", id]).stdout).unwrap();
    assert!(
        page.contains("\"carried in\" was not carried here anew since"),
        "{page}"
    );
    assert!(
        !page.contains("Processes") && !page.contains("Attempts"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_there_already_learns_that_its_destination_is_listed() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "192.0.2.1\n").unwrap();
    let place = Place::new(&format!(
        "[[intel]]\nname = \"late\"\npath = \"{}\"\n",
        list.path().display()
    ));
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, theft(0, 1000)).await;
    sensor.persisted(8).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    assert!(alerts[0]["intelligence"].is_null());

    std::fs::write(list.path(), "203.0.113.9\n").unwrap();
    daemon.hang_up();
    let listed = |alerts: &[serde_json::Value]| alerts[0]["intelligence"][0]["feed"] == "late";
    let again = place.alerts_until(listed);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["id"], alerts[0]["id"]);
    assert_eq!(again[0]["severity"]["level"], "critical");
    assert!(again[0]["revision"].as_u64() > alerts[0]["revision"].as_u64());
    let revision = again[0]["revision"].clone();
    assert!(daemon.stop().success());
    let daemon = Daemon::start(&place);
    let after = place.alerts_until(listed);
    assert_eq!(after[0]["revision"], revision, "known already");
    assert!(daemon.stop().success());
}

#[test]
fn feeds_are_listed_with_what_was_left_out() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "203.0.113.9\n\x1b[2Jbad\n").unwrap();
    let place = Place::new(&format!(
        "[[intel]]\nname = \"mine\"\npath = \"{}\"\n[[intel]]\nname = \"gone\"\npath = \"/nonexistent/feed\"\n",
        list.path().display()
    ));
    let config = place.config();
    let output = place.chartwatch(&["--config", config.to_str().unwrap(), "intel"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in [
        "tor-authorities",
        "built-in",
        "mine",
        "line 2:",
        "gone: /nonexistent/feed: cannot be read",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\x1b'));
    let output = place.chartwatch(&["--config", config.to_str().unwrap(), "intel", "no thing"]);
    assert_eq!(output.status.code(), Some(1));
}

/// What `chartwatch intel` says, with what the feed named `agency` is like.
fn told(place: &Place) -> (String, serde_json::Value) {
    let config = place.config();
    let config = config.to_str().unwrap();
    let output = place.chartwatch(&["--config", config, "intel"]);
    let states = place.json(&["--config", config, "intel", "--json"]);
    let is_it = |state: &&serde_json::Value| state["feed"] == "agency";
    let state = states.as_array().unwrap().iter().find(is_it).cloned();
    (String::from_utf8(output.stdout).unwrap(), state.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_pulled_counts_when_it_comes_and_stays_when_its_server_fails() {
    let reply = Arc::new(Mutex::new(Reply::new(503, "", "")));
    let answers = Arc::clone(&reply);
    let web = Web::start(move |_| answers.lock().unwrap().clone());
    let place = Place::new(&format!(
        "[[intel]]\nname = \"agency\"\nurl = \"{}\"\nlabel = \"c2\"\n",
        web.url("/list")
    ));
    assert!(told(&place).0.contains("agency: not pulled yet"));
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(1, little(1000, 1)).await;
    sensor.persisted(3).await;
    let problem = "answers 503";
    until("the first pull", || told(&place).0.contains(problem));
    let alerts = || place.json(&["alerts", "--json"]).as_array().unwrap().len();
    assert_eq!(alerts(), 0);
    let asked = web.asked();
    assert_eq!((asked.len(), asked[0].target.as_str()), (1, "/list"));
    assert!(asked[0].header("user-agent").starts_with("chartwatch/"));

    // What failed is tried again when somebody asks for it, and what came is looked for in the log.
    *reply.lock().unwrap() = Reply::ok("203.0.113.9\n");
    daemon.hang_up();
    until("what was logged before is found", || alerts() == 1);
    let (text, state) = told(&place);
    assert!(!text.contains(problem), "{text}");
    assert_eq!(state["indicators"], 1);
    assert!(state["pulled"]["succeeded_s"].is_u64());

    // The next run has it before it pulls again, which is not yet due.
    assert!(daemon.stop().success());
    drop(web);
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    sensor.send(4, little(1001, 10)).await;
    sensor.persisted(6).await;
    until("what comes after it is found", || alerts() == 2);
    assert!(daemon.stop().success());
}

#[test]
fn a_server_that_is_silent_holds_up_neither_the_start_nor_the_end() {
    // Connections are taken by the kernel, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&format!(
        "[[intel]]\nname = \"agency\"\nkind = \"taxii\"\nurl = \"http://{}/c/\"\n",
        silent.local_addr().unwrap()
    ));
    let began = Instant::now();
    let daemon = Daemon::start(&place);
    let (mut asked, _) = silent.accept().unwrap();
    let mut first = [0; 4];
    std::io::Read::read_exact(&mut asked, &mut first).unwrap();
    assert_eq!(&first, b"GET ");
    assert!(daemon.stop().success());
    assert!(began.elapsed() < Duration::from_secs(15));
}
