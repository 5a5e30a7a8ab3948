//! What is usual, from outside: it is learned, shown, kept over a restart for longer than the log is read back, and learned anew on demand.

use crate::daemon::{Daemon, Place};
use crate::events::{process, read};
use crate::sensor::Sensor;

const DAY: u64 = 86_400;

fn reads(second: u64, first: u64, count: u64) -> Vec<proto::sensor::v1::Event> {
    (first..first + count)
        .map(|record| read(second, 1_000, record, 10))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_habit_is_known_after_a_restart_and_what_is_far_above_it_is_an_alert() {
    let place = Place::new("[detect]\nhorizon_days = 1\n");
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 1).await;
    let mut habit = vec![process(0, 1_000, None, "/usr/bin/viewer", 0)];
    habit.extend(reads(0, 1, 300));
    sensor.send(1, habit).await;
    let mut today = vec![process(9 * DAY, 1_000, None, "/usr/bin/viewer", 0)];
    today.extend(reads(9 * DAY, 1_000, 20));
    sensor.send(302, today).await;
    sensor.persisted(322).await;
    assert!(daemon.stop().success());

    let said = String::from_utf8(place.chartwatch(&["usual"]).stdout).unwrap();
    for part in [
        "ws-12, heard of since 2026-03-16",
        "/usr/bin/viewer",
        "anna",
        "300 records",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let daemon = Daemon::start(&place);
    let (mut sensor, _) = Sensor::connect(&daemon.address, "ws-12", 323).await;
    // 901 with those from before the restart: more than three times 300.
    sensor.send(323, reads(9 * DAY + 5, 10_000, 880)).await;
    sensor.persisted(1_202).await;
    assert_eq!(place.alerts_until(|_| true).len(), 0, "900 are usual");
    sensor.send(1_203, reads(9 * DAY + 9, 20_000, 1)).await;
    let alerts = place.alerts_until(|alerts| alerts.len() == 1);
    assert_eq!(alerts[0]["pattern"], "bulk");
    assert_eq!(alerts[0]["distinct_records"], 901);
    daemon.kill();

    let daemon = Daemon::start(&place);
    assert_eq!(place.alerts_until(|_| true).len(), 1, "the same one");
    assert!(daemon.stop().success());
    // Without what was stored of the alerts, as after a backup was put back, it is raised again; with it, it is not.
    for file in ["alerts.db", "alerts.db-wal", "alerts.db-shm"] {
        std::fs::remove_file(place.data().join(file)).unwrap();
    }
    let daemon = Daemon::start(&place);
    let told = place.alerts_until(|alerts| alerts.len() == 1);
    assert_eq!(
        (&told[0]["id"], &told[0]["distinct_records"]),
        (&alerts[0]["id"], &alerts[0]["distinct_records"])
    );
    assert!(daemon.stop().success());
    let daemon = Daemon::start(&place);
    let told = place.alerts_until(|_| true);
    assert_eq!(
        (told.len(), &told[0]["revision"]),
        (1, &serde_json::json!(1))
    );
    assert!(daemon.stop().success());
    // Only the log is asked now: the same, as long as the log goes back as far.
    let replayed = place.chartwatch(&["replay", "--json"]);
    let line = String::from_utf8(replayed.stdout).unwrap();
    assert!(line.contains(alerts[0]["id"].as_str().unwrap()), "{line}");

    let config = std::fs::read_to_string(place.config()).unwrap();
    let anew = "[[detect.relearn]]\nsensor = \"ws-12\"\nsince = \"2026-03-20\"\n";
    std::fs::write(place.config(), format!("{config}\n{anew}")).unwrap();
    let file = place.config();
    let anew = place.chartwatch(&["--config", file.to_str().unwrap(), "replay", "--json"]);
    assert_eq!(String::from_utf8(anew.stdout).unwrap(), "");
    std::fs::write(place.data().join("baseline.json"), "{").unwrap();
    assert_eq!(place.chartwatch(&["usual"]).status.code(), Some(1));
}
