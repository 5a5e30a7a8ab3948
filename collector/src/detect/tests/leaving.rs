//! By which techniques records left, by what is known of the connection.

use super::{SHELL, THIEF};
use super::{at, config, detect, event, family, flow, process, read};
use crate::event::{FlowName, NameSource, What};

fn techniques(executable: &str, to: &str, name: Option<NameSource>) -> Vec<&'static str> {
    let mut flow = flow(3, 99_000, true);
    flow.remote = to.parse().unwrap();
    flow.name = name.map(|source| FlowName {
        source,
        name: "sink.example".into(),
    });
    let mut events = family();
    events.push(process(THIEF, Some(SHELL), executable));
    events.push(read(2, 1, 99_000));
    events.push(event(at(3), What::Flow(flow)));
    let found = detect(config(), &[events]);
    let alert = found.first().unwrap();
    alert
        .techniques
        .iter()
        .map(|technique| technique.id)
        .collect()
}

#[test]
fn what_is_known_of_the_connection_names_the_technique() {
    let other = "203.0.113.9:8443";
    for (executable, to, name, expect) in [
        ("/usr/bin/curl", other, None, ["T1005", "T1048"].as_slice()),
        (
            "/usr/bin/curl",
            other,
            Some(NameSource::Answer),
            &["T1005", "T1048"],
        ),
        (
            "/usr/bin/curl",
            other,
            Some(NameSource::Server),
            &["T1005", "T1048.002"],
        ),
        (
            "/usr/bin/ssh",
            "203.0.113.9:22",
            None,
            &["T1005", "T1048.002"],
        ),
        (
            "/usr/bin/python3",
            "203.0.113.9:25",
            None,
            &["T1005", "T1048.003"],
        ),
        (
            "/usr/bin/python3",
            "203.0.113.9:53",
            None,
            &["T1005", "T1048.003", "T1071.004"],
        ),
    ] {
        assert_eq!(
            techniques(executable, to, name),
            expect,
            "{executable} {to}"
        );
    }
}

/// Little is enough over what hardly anything but a program that is there for it sends over.
#[test]
fn little_over_a_raw_socket_is_an_alert_but_of_a_program_that_probes() {
    let found = |executable: &str, protocol: u16| {
        let mut flow = flow(3, 5_000, true);
        flow.protocol = protocol;
        flow.remote = "203.0.113.9:0".parse().unwrap();
        let who = process(THIEF, Some(SHELL), executable);
        let events = vec![who, read(2, 1, 9_000), event(at(3), What::Flow(flow))];
        let found = detect(config(), &[[family(), events].concat()]);
        let named = |alert: &crate::detect::Alert| alert.techniques[1].id;
        found.first().map(named)
    };
    for (executable, protocol, expect) in [
        ("/usr/bin/python3", 1, Some("T1095")),
        ("/usr/bin/python3", 58, Some("T1095")),
        ("/usr/bin/python3", 253, Some("T1095")),
        ("/usr/bin/python3", 256 + 17, Some("T1095")),
        ("/usr/bin/python3", 6, None),
        ("/usr/bin/python3", 17, None),
        ("/usr/bin/ping", 1, None),
    ] {
        assert_eq!(
            found(executable, protocol),
            expect,
            "{executable} {protocol}"
        );
    }
}
