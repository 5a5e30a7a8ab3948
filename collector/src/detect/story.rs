//! An alert in plain words, for somebody who runs a ward, and what to do next.

use super::alert::{Alert, Destination, Link};
use crate::event::{Direction, FlowName, NameForm};
use crate::text;

/// One paragraph: who did what, with how much, to where, when, and whether it goes on.
pub(super) fn paragraph(alert: &Alert, to: &Destination) -> String {
    let figures = &alert.figures;
    let at_least = if alert.at_least.is_empty() {
        ""
    } else {
        "at least "
    };
    let mut sentences = vec![
        format!(
            "On the computer {}, {} read {at_least}{} ({}) from the store \"{}\" and sent {at_least}{} {}.",
            text::clean(&alert.origin.host),
            who(alert.chain.first()),
            text::count(figures.records, "patient record"),
            text::bytes(figures.bytes_taken()),
            text::clean(&alert.store),
            text::bytes(figures.bytes_sent),
            whereto(to, alert.destination_name.as_ref()),
        ),
        format!(
            "It began at {} and was last seen {} later.",
            text::time(alert.first_ns),
            text::duration(alert.last_ns.saturating_sub(alert.first_ns))
        ),
        "This is not one of the ways the hospital has approved for these records.".to_owned(),
        state(alert).to_owned(),
    ];
    if !alert.gaps.is_empty() {
        sentences.push(
            "Some of what happened in this time could not be recorded, so it may be more."
                .to_owned(),
        );
    }
    sentences.join(" ")
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

fn whereto(to: &Destination, name: Option<&FlowName>) -> String {
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
    steps.push(format!(
        "Find out who owns {}, and block it at the firewall if nobody can say.",
        to.address
    ));
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
        "If it was normal work, add an approved way with exactly this executable, user, store and destination.".to_owned(),
    );
    steps
}
