//! Whether what a process sends is an approved way; and if it is one but for a single thing, which.
//!
//! A way is a full tuple, so its executable under another path, another user, another store or destination, another hour, or more
//! bytes than were foreseen are none. That it was almost one is worth saying: either the tuple is wrong, or somebody hides behind it.

use crate::config::ApprovedWay;
use crate::detect::alert::Destination;
use crate::detect::host::{Actor, Host};
use crate::text;

/// How long what was sent counts against the most that may be sent, nanoseconds.
const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// Most ways that are told of.
pub(super) const ALMOST_MAX: usize = 3;

/// What is held against the ways.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    /// The process that has to be the way's executable.
    pub(super) actor: &'a Actor,
    pub(super) store: &'a str,
    pub(super) to: &'a Destination,
    /// When something was last sent, nanoseconds since the Unix epoch.
    pub(super) last_ns: u64,
}

/// A part of the tuple that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Store,
    Executable,
    User,
    Destination,
    Hours,
    Bytes,
}

/// True when the whole tuple is the way's. `bytes` is asked for what was sent since a moment.
pub(super) fn covers(way: &ApprovedWay, sent: Sent<'_>, bytes: impl Fn(u64) -> u64) -> bool {
    others(way, sent).is_some_and(|mut parts| parts.next().is_none()) && !is_over(way, sent, &bytes)
}

/// The ways that would cover it but for one thing, each in a sentence.
pub(super) fn almost<'a>(
    ways: impl Iterator<Item = &'a ApprovedWay>,
    sent: Sent<'_>,
    bytes: impl Fn(&ApprovedWay, u64) -> u64,
) -> Vec<String> {
    let missed = |way: &'a ApprovedWay| {
        let bytes = |since| bytes(way, since);
        let mut parts = others(way, sent)?;
        match (parts.next(), parts.next()) {
            (Some(part), None) => Some(told(way, sent, part, bytes)),
            (None, _) if is_over(way, sent, bytes) => Some(told(way, sent, Part::Bytes, bytes)),
            _ => None,
        }
    };
    ways.filter_map(missed).take(ALMOST_MAX).collect()
}

/// What does not match, but for the bytes; `None` when the process is not known, or was another program while it had records.
fn others(way: &ApprovedWay, sent: Sent<'_>) -> Option<impl Iterator<Item = Part>> {
    let process = sent
        .actor
        .process
        .as_ref()
        .filter(|_| sent.actor.programs.is_one())?;
    let in_time = |schedule: &crate::config::Schedule| schedule.holds(sent.last_ns);
    let parts = [
        (way.store == sent.store, Part::Store),
        (way.executable == process.executable, Part::Executable),
        (way.user == sent.actor.user()?, Part::User),
        (leads(way, sent.to, sent.actor), Part::Destination),
        (way.schedule.as_ref().is_none_or(in_time), Part::Hours),
    ];
    Some(
        parts
            .into_iter()
            .filter(|(matches, _)| !matches)
            .map(|(_, part)| part),
    )
}

fn is_over(way: &ApprovedWay, sent: Sent<'_>, bytes: impl Fn(u64) -> u64) -> bool {
    let since = sent.last_ns.saturating_sub(DAY_NS);
    way.bytes_max.is_some_and(|most| bytes(since) > most)
}

fn told(way: &ApprovedWay, sent: Sent<'_>, part: Part, bytes: impl Fn(u64) -> u64) -> String {
    let process = sent.actor.process.as_ref();
    let but = match part {
        Part::Store => format!("it is for store {}, not {}", way.store, sent.store),
        Part::Executable => {
            let executable = process.map_or("", |process| &process.executable);
            format!("it is for {}, not {executable}", way.executable)
        }
        Part::User => {
            let user = sent.actor.user().unwrap_or_default();
            format!("it is for user {}, not {user}", way.user)
        }
        Part::Destination => format!("it leads to {}", way.destination),
        Part::Hours => match &way.schedule {
            Some(schedule) => format!("it is for {schedule}, not {}", schedule.shown(sent.last_ns)),
            None => String::new(),
        },
        Part::Bytes => format!(
            "it is for {} within 24 h at most, and {} were sent",
            text::bytes(way.bytes_max.unwrap_or_default()),
            text::bytes(bytes(sent.last_ns.saturating_sub(DAY_NS)))
        ),
    };
    format!("almost the approved way \"{}\": {but}", way.name)
}

/// True when the way leads to a destination; of a file system, by where the files lie that a process wrote.
fn leads(way: &ApprovedWay, to: &Destination, actor: &Actor) -> bool {
    match to.disk {
        None => way.destination.contains(to.address, to.port),
        Some(disk) => {
            let sending = actor.sendings.get(to);
            let directory = sending.and_then(|sending| sending.directory.as_deref());
            way.destination.holds(disk.medium, directory)
        }
    }
}

/// Bytes that all processes of the way sent over it since a moment.
pub(super) fn sent_over(host: &Host, way: &ApprovedWay, since_ns: u64) -> u64 {
    let of_way = |actor: &&Actor| {
        let process = actor.process.as_ref();
        process.is_some_and(|process| process.executable == way.executable)
            && actor.user().is_some_and(|user| user == way.user)
    };
    let actors = host.actors().filter(of_way);
    actors.fold(0, |sum, actor| {
        sum.saturating_add(sent_by(actor, way, since_ns))
    })
}

/// The same of one process.
pub(super) fn sent_by(actor: &Actor, way: &ApprovedWay, since_ns: u64) -> u64 {
    let sendings = actor
        .sendings
        .iter()
        .filter(|(to, _)| leads(way, to, actor));
    sendings.fold(0, |sum: u64, (_, sending)| {
        sum.saturating_add(sending.sent_since(since_ns))
    })
}
