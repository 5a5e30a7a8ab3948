//! An alert in plain words, for somebody who runs a ward, and what to do next.

use super::alert::{Alert, Destination, Link, Place, Step};
use crate::event::{CarrierKind, Direction, FlowName, Medium, NameForm};
use crate::text;

/// One paragraph: who did what, with how much, to where, when, and whether it goes on.
pub(super) fn paragraph(alert: &Alert, to: &Destination) -> String {
    let read = took(alert, alert.chain.first());
    let sent = format!("{read} and sent {}.", gave(alert, to));
    told(alert, sent, state(alert))
}

/// The same where those who read are not those who sent: `way` is the widest path between them, then how many read and how
/// many sent.
pub(super) fn handed_on(
    alert: &Alert,
    to: &Destination,
    way: &[Step],
    (readers, senders): (usize, usize),
) -> String {
    let link = |key| {
        let links = alert.path.processes.iter().chain(&alert.chain);
        links.into_iter().find(|link| link.key == key)
    };
    // Where nothing was handed on, who sent has read.
    let reader = match way {
        [] => alert.chain.first(),
        way => way.iter().find_map(|step| match step.from {
            Place::Process(key) => link(key),
            Place::Store | Place::Carrier(_) | Place::Destination => None,
        }),
    };
    let mut parts = vec![took(alert, reader)];
    let mut who = "and";
    for step in way {
        match (&step.from, &step.to) {
            (Place::Process(_), Place::Carrier(carrier)) => {
                let through = match carrier.key.kind {
                    CarrierKind::Pipe => "handed them through a pipe".to_owned(),
                    CarrierKind::Memory => "put them into memory that it shares".to_owned(),
                    CarrierKind::File | CarrierKind::Unknown if carrier.path.is_empty() => {
                        "put them into a file whose place was not seen".to_owned()
                    }
                    CarrierKind::File | CarrierKind::Unknown => {
                        format!("put them into the file {}", text::clean(&carrier.path))
                    }
                };
                parts.push(format!(" {who} {through}"));
            }
            (Place::Carrier(carrier), Place::Process(key)) => {
                let got = match carrier.key.kind {
                    CarrierKind::Pipe => " to",
                    CarrierKind::Memory => " with",
                    CarrierKind::File | CarrierKind::Unknown => ", from where they came to",
                };
                parts.push(format!("{got} {},", program(link(*key))));
                who = "which";
            }
            (_, Place::Process(key)) => {
                let handed = match step.way {
                    "start" => "started, with them,",
                    "unix-socket" | "loopback" => {
                        "handed them over a connection within the computer to"
                    }
                    "terminal" => "showed them on a terminal to",
                    _ => "had them read from its memory by",
                };
                parts.push(format!(" {who} {handed} {},", program(link(*key))));
                who = "which";
            }
            _ => {}
        }
    }
    parts.push(format!(" {who} sent {}.", gave(alert, to)));
    let mut others = Vec::new();
    if readers > 1 {
        others.push(format!("{readers} programs read the records"));
    }
    if senders > 1 {
        others.push(format!("{senders} programs sent them"));
    }
    if !others.is_empty() {
        parts.push(format!(" In all, {}.", others.join(" and ")));
    }
    told(alert, parts.concat(), state(alert))
}

/// Who read what, as the beginning of a sentence.
fn took(alert: &Alert, reader: Option<&Link>) -> String {
    format!(
        "On the computer {}, {} read {}{} ({}) from the store \"{}\"",
        text::clean(&alert.origin.host),
        who(reader),
        at_least(alert),
        text::count(alert.figures.records, "patient record"),
        text::bytes(alert.figures.bytes_taken()),
        text::clean(&alert.store),
    )
}

/// How much went where.
fn gave(alert: &Alert, to: &Destination) -> String {
    format!(
        "{}{} {}",
        at_least(alert),
        text::bytes(alert.figures.bytes_sent),
        whereto(to, alert.destination_name.as_ref()),
    )
}

fn at_least(alert: &Alert) -> &'static str {
    if alert.at_least.is_empty() {
        ""
    } else {
        "at least "
    }
}

/// The paragraph that begins with what was done.
fn told(alert: &Alert, done: String, state: &str) -> String {
    let mut sentences = vec![
        done,
        format!(
            "It began at {} and was last seen {} later.",
            text::time(alert.first_ns),
            text::duration(alert.last_ns.saturating_sub(alert.first_ns))
        ),
        "This is not one of the ways the hospital has approved for these records.".to_owned(),
        state.to_owned(),
    ];
    if !alert.gaps.is_empty() {
        sentences.push(
            "Some of what happened in this time could not be recorded, so it may be more."
                .to_owned(),
        );
    }
    sentences.join(" ")
}

/// Name of a process's program.
fn program(link: Option<&Link>) -> String {
    link.and_then(|link| link.process.as_ref())
        .and_then(|process| process.executable.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .map_or_else(|| "another program".to_owned(), text::clean)
}

pub(super) fn who(link: Option<&Link>) -> String {
    let Some(process) = link.and_then(|link| link.process.as_ref()) else {
        let pid = link.map_or(0, |link| link.key.pid);
        return format!("a program whose details were lost (process {pid})");
    };
    let program = process
        .executable
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or("unnamed");
    let user = name_or_number(&process.user, process.uid);
    let login = process.login_uid.filter(|login| *login != process.uid);
    let login = login.map_or(String::new(), |uid| {
        format!(
            ", logged in as {}",
            name_or_number(&process.login_user, uid)
        )
    });
    format!(
        "the program \"{}\", run by user {user}{login},",
        text::clean(program)
    )
}

fn name_or_number(name: &str, uid: u32) -> String {
    if name.is_empty() {
        uid.to_string()
    } else {
        text::clean(name)
    }
}

pub(super) fn whereto(to: &Destination, name: Option<&FlowName>) -> String {
    if let Some(disk) = to.disk {
        let (major, minor) = (disk.device >> 20, disk.device & 0xf_ffff);
        let what = match disk.medium {
            Medium::Removable => "a disk that can be taken out",
            Medium::Image => "a file that is mounted as a disk",
            Medium::Network => "another machine, or wherever the program behind it puts them",
            Medium::Fixed => "a disk",
        };
        return format!("into files on {what} (device {major}:{minor})");
    }
    let protocol = to.protocol_name();
    let called = match name {
        Some(name) => format!(" (\"{}\")", text::clean(&name.name)),
        None => String::new(),
    };
    match to.direction {
        Direction::Accepted => {
            format!(
                "to {}, which had connected to this computer's port {} ({protocol})",
                to.address, to.port
            )
        }
        Direction::Connected | Direction::Unknown => {
            format!(
                "over the network to {}{called}, port {} ({protocol})",
                to.address, to.port
            )
        }
    }
}

fn state(alert: &Alert) -> &'static str {
    let exited = alert
        .chain
        .first()
        .and_then(|link| link.process.as_ref())
        .is_some_and(|p| p.exited_ns.is_some());
    match (exited, alert.settled) {
        (true, _) => "The program has ended.",
        (false, true) => "The connection has been closed; the program is still running.",
        (false, false) => "As far as is known it is still going on.",
    }
}

/// What to do, most urgent first.
pub(super) fn next_steps(alert: &Alert, to: &Destination) -> Vec<String> {
    let mut steps = Vec::new();
    let host = text::clean(&alert.origin.host);
    let process = alert.chain.first().and_then(|link| link.process.as_ref());
    if process.is_none_or(|process| process.exited_ns.is_none()) {
        let pid = alert.chain.first().map_or(0, |link| link.key.pid);
        steps.push(format!("It may still be going on: isolate {host} from the network, or stop process {pid} there."));
    }
    let user = process.map(|process| {
        process.login_uid.map_or_else(
            || name_or_number(&process.user, process.uid),
            |login| name_or_number(&process.login_user, login),
        )
    });
    steps.push(format!(
        "Ask {} whether this was meant, by a way other than this computer.",
        user.map_or_else(
            || format!("who works at {host}"),
            |user| format!("user {user}")
        )
    ));
    steps.push(match to.disk {
        None => format!(
            "Find out who owns {}, and block it at the firewall if nobody can say.",
            to.address
        ),
        Some(disk) => format!(
            "Find out what is mounted as device {}:{} on {host} and where it is now, and keep it.",
            disk.device >> 20,
            disk.device & 0xf_ffff
        ),
    });
    if alert.names.iter().any(|name| name.form == NameForm::Token) {
        steps.push(
            "Have the record tokens opened by the holder of the hospital's key, if it must be known whose records they are."
                .to_owned(),
        );
    }
    steps.push(format!(
        "Tell the privacy officer: {}{} of the store \"{}\" may have been disclosed; legal time limits for notice may be running.",
        if alert.at_least.is_empty() { "" } else { "at least " },
        text::count(alert.figures.records, "record"),
        text::clean(&alert.store)
    ));
    steps.push(
        if alert.path.steps.is_empty() {
            "If it was normal work, add an approved way with exactly this executable, user, store and destination."
        } else {
            "If it was normal work, add an approved way with exactly this executable, reader, user, store and destination."
        }
        .to_owned(),
    );
    steps
}
