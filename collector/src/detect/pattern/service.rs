//! *Service* (R4): records come out of a program that serves them, a database or an archive, to a client that sends them.
//!
//! A way to read for *direct* and *chain*: what a store's `service` gives to others of the host counts as read by it, and so does what a holder gives that was never
//! seen to read. Its clients are senders like any other: how many bytes came to them over the socket bounds what they can have sent.
//!
//! False positives: the application server and the backup of the database, which are approved ways with the service as their reader.
//!
//! ATT&CK: T1213 (Data from Information Repositories), in the place of T1005 (Data from Local System).

use super::About;
use super::direct;
use crate::detect::alert::{Path, Place, Technique};
use crate::detect::host::{Host, Reading};
use crate::event::ProcessKey;

pub(super) const ABOUT: About = About {
    rule: "R4",
    name: "service",
    catches: "a client takes records out of a database or an archive and sends them; no file of the store need be opened",
    alert: "a step of `chain`, or `direct`",
    thresholds: |config| direct::thresholds_of(&config.direct),
    techniques: &[REPOSITORY],
    quiet: "clients that the hospital knows are approved ways with the service as `reader`",
};

pub(super) const LOCAL_DATA: Technique = Technique {
    id: "T1005",
    name: "Data from Local System",
    tactic_id: "TA0009",
    tactic: "Collection",
};
const REPOSITORY: Technique = Technique {
    id: "T1213",
    name: "Data from Information Repositories",
    tactic_id: "TA0009",
    tactic: "Collection",
};
/// Where the records came from: out of what a program serves, if any was, else from files.
pub(super) fn collection<'a>(
    mut readings: impl Iterator<Item = &'a Reading>,
    asked: bool,
) -> Technique {
    if asked || readings.any(Reading::is_served) {
        REPOSITORY
    } else {
        LOCAL_DATA
    }
}

/// True when a reader gave records over a connection within the host to a program that is none of its own: of another user, session or
/// service, and neither started the other.
pub(super) fn was_asked(host: &Host, path: &Path) -> bool {
    let reads = |reader: ProcessKey| {
        let to = Place::Process(reader);
        path.steps
            .iter()
            .any(|step| step.from == Place::Store && step.to == to)
    };
    let mut over = path
        .steps
        .iter()
        .filter(|step| matches!(step.way, "unix-socket" | "loopback"));
    over.any(|step| match (&step.from, &step.to) {
        (Place::Process(server), Place::Process(client)) => {
            reads(*server) && are_strangers(host, *server, *client)
        }
        _ => false,
    })
}

fn are_strangers(host: &Host, one: ProcessKey, other: ProcessKey) -> bool {
    let process = |key| host.actor(key)?.process.as_ref();
    let (Some(a), Some(b)) = (process(one), process(other)) else {
        return false;
    };
    let apart = (a.uid, a.session, &a.unit) != (b.uid, b.session, &b.unit);
    apart && !host.descends(one, other) && !host.descends(other, one)
}
