//! `chartwatch show`: one alert in full depth, for somebody who was just woken up.
//!
//! What happened comes first, then what to do, then the evidence.

use std::io::Write;

use super::{ConsoleError, at_least, backend, endpoint, intel, paragraph, user};
use crate::alerts::form::{AlertForm, DestinationForm, PlaceForm, ProcessForm, StepForm};
use crate::fleet::Sensor;
use crate::text;

/// Width of the labels.
const LABEL: usize = 14;
/// Characters shown of an ancestor's command line; the sender's is shown whole.
const ANCESTOR_COMMAND: usize = 300;

/// The page. `sensor` is what its sensor last said about itself, if anything.
pub fn show(
    out: &mut impl Write,
    alert: &AlertForm,
    sensor: Option<&Sensor>,
) -> Result<(), ConsoleError> {
    let level = alert.severity.level.to_uppercase();
    writeln!(
        out,
        "{level} — {} {}",
        alert.headline(),
        text::clean(&alert.host)
    )?;
    writeln!(
        out,
        "alert {}  revision {}  pattern {}\n",
        alert.id,
        alert.revision,
        text::clean(&alert.pattern)
    )?;
    closed(out, alert)?;
    paragraph(out, &alert.story, "", "")?;
    section(out, "What to do next")?;
    for (index, step) in alert.next_steps.iter().enumerate() {
        paragraph(out, step, &format!("  {}. ", index + 1), "     ")?;
    }
    match &alert.destination {
        Some(to) => {
            figures(out, alert)?;
            destination(out, alert, to)?;
        }
        None if !alert.store.is_empty() => wiped(out, alert)?,
        None if alert.attempts.is_empty() => {}
        None => attempts(out, alert)?,
    }
    path(out, alert)?;
    chain(out, alert)?;
    others(out, alert)?;
    severity(out, alert)?;
    when(out, alert)?;
    missing(out, alert)?;
    watched_by(out, alert, sensor)?;
    Ok(())
}

/// What a person made of it.
fn closed(out: &mut impl Write, alert: &AlertForm) -> Result<(), ConsoleError> {
    let Some(closing) = &alert.closed else {
        return Ok(());
    };
    let told = format!(
        "Closed as {} on {} by {}: {}",
        closing.verdict.name(),
        text::time(closing.at_ns),
        closing.who,
        closing.why
    );
    paragraph(out, &told, "", "")?;
    if alert.closed().is_none() {
        let again = format!(
            "That was revision {}; it has grown since, and is open again.",
            closing.revision
        );
        paragraph(out, &again, "", "")?;
    }
    writeln!(out)?;
    Ok(())
}

fn figures(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    let least = at_least(alert);
    section(out, "Records")?;
    field(out, "store", &text::clean(&alert.store))?;
    field(
        out,
        "records",
        &format!("{least}{} distinct", text::number(alert.distinct_records)),
    )?;
    field(out, "read", &format!("{least}{}", exact(alert.bytes_read)))?;
    if alert.bytes_mapped > 0 {
        field(
            out,
            "mapped",
            &format!(
                "{} (how much of it was looked at cannot be seen)",
                exact(alert.bytes_mapped)
            ),
        )?;
    }
    names(out, alert)
}

/// Names of a few records, each on a line of its own, so that it can be copied.
fn names(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    if alert.names.is_empty() {
        return Ok(());
    }
    let tokens = alert.names.iter().any(|name| name.form == "token");
    let what = if tokens {
        "these tokens stand for names; the holder of the hospital's key can open them"
    } else {
        "of their names"
    };
    field(out, "for example", what)?;
    for name in &alert.names {
        writeln!(out, "    {}", text::clean(&name.text))?;
    }
    Ok(())
}

/// What was taken away of the store, or read of it.
fn wiped(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    section(out, "Records")?;
    field(out, "store", &text::clean(&alert.store))?;
    let records = text::number(alert.distinct_records);
    let told = format!("{}{records} distinct", at_least(alert));
    let what = if alert.pattern == "bulk" {
        "read"
    } else {
        "wiped"
    };
    field(out, what, &told)
}

/// What was tried on the sensor.
fn attempts(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    section(out, "Attempts")?;
    for attempt in &alert.attempts {
        let number = match attempt.signal {
            0 => String::new(),
            signal => format!(" {signal}"),
        };
        let times = text::count(attempt.times, "time");
        let told = format!("{number} {times}, {} refused", text::number(attempt.denied));
        field(out, &text::clean(&attempt.kind), told.trim_start())?;
    }
    Ok(())
}

fn destination(
    out: &mut impl Write,
    alert: &AlertForm,
    to: &DestinationForm,
) -> Result<(), std::io::Error> {
    section(out, "Destination")?;
    let how = if to.direction == "accepted" {
        format!(
            "{} connected to this host's port {}",
            text::clean(&to.address),
            to.port
        )
    } else {
        endpoint(&to.address, to.port)
    };
    field(
        out,
        "where",
        &format!("{how} over {}", text::clean(&to.protocol_name)),
    )?;
    if let Some(name) = &to.name {
        let source = to.name_source.as_deref().unwrap_or_default();
        let name = format!("{} ({})", text::clean(name), text::clean(source));
        field(out, "name", &name)?;
    }
    field(
        out,
        "sent",
        &format!("{}{}", at_least(alert), exact(alert.bytes_sent)),
    )?;
    field(out, "received", &exact(alert.bytes_received))?;
    field(out, "connections", &text::number(alert.flows))?;
    for hit in &alert.intelligence {
        let says = format!("{} as {}", text::clean(&hit.value), intel::says(hit));
        field(out, "listed", &says)?;
    }
    for list in &alert.known_as {
        field(out, "known as", &text::clean(list))?;
    }
    if alert.almost.is_empty() {
        let none = "no: it matches no approved way for this store";
        return field(out, "approved", none);
    }
    for almost in &alert.almost {
        field(out, "approved", &format!("no, {}", text::clean(almost)))?;
    }
    Ok(())
}

/// The oldest ancestor first, each child one step to the right, the sender last.
fn chain(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    if alert.chain.is_empty() {
        return Ok(());
    }
    let (did, mark) = match &alert.destination {
        Some(_) if alert.path.is_empty() => ("sent", "  ◄ read the records and sent"),
        Some(_) => ("sent", "  ◄ sent"),
        None if alert.pattern == "bulk" => ("read", "  ◄ read"),
        None if !alert.store.is_empty() => ("wiped", "  ◄ wiped"),
        None => ("tried", "  ◄ tried"),
    };
    section(
        out,
        &format!("Processes, from the first ancestor to the one that {did}"),
    )?;
    let last = alert.chain.len().saturating_sub(1);
    for (depth, link) in alert.chain.iter().rev().enumerate() {
        let indent = "   ".repeat(depth.min(16));
        let branch = if depth == 0 { "  " } else { "└─ " };
        let mark = if depth == last { mark } else { "" };
        let program = match (link.known, link.executable.as_str()) {
            (false, _) => "(details not known)".into(),
            (true, "") => "(executable not known)".into(),
            (true, path) => text::clean(path),
        };
        writeln!(out, "  {indent}{branch}{program}  pid {}{mark}", link.pid)?;
        for line in details(link, depth == last) {
            writeln!(out, "  {indent}     {line}")?;
        }
    }
    Ok(())
}

/// How the records went from who read them to who sent them, a line for each step.
fn path(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    if alert.path.is_empty() {
        return Ok(());
    }
    section(out, "How the records went")?;
    for step in &alert.path {
        let bytes = step
            .bytes
            .map_or("an unknown amount".to_owned(), text::bytes);
        writeln!(
            out,
            "  {} → {}  {}, {bytes}, {}",
            place(alert, &step.from),
            place(alert, &step.to),
            way(step),
            times(step),
        )?;
    }
    if alert.path_more > 0 {
        let more = text::count(alert.path_more, "further step");
        writeln!(out, "  … and {more} that are not listed")?;
    }
    Ok(())
}

fn place(alert: &AlertForm, place: &PlaceForm) -> String {
    let named = |what: &str| match place.path.as_deref() {
        Some(path) => match place.medium.as_deref() {
            Some(medium) => format!("{what} {} ({})", text::clean(path), text::clean(medium)),
            None => format!("{what} {}", text::clean(path)),
        },
        None => format!("{what} {}", place.inode.unwrap_or_default()),
    };
    match place.kind.as_str() {
        "store" => format!("store {}", text::clean(&alert.store)),
        "destination" => alert
            .destination
            .as_ref()
            .map_or_else(String::new, |to| endpoint(&to.address, to.port)),
        "process" => {
            let is_it = |link: &&ProcessForm| {
                (Some(link.pid), Some(link.start_cs)) == (place.pid, place.start_cs)
            };
            let program = alert
                .chain
                .iter()
                .chain(&alert.path_processes)
                .find(is_it)
                .and_then(|link| link.executable.rsplit('/').next())
                .filter(|name| !name.is_empty())
                .map_or_else(|| "(not known)".to_owned(), text::clean);
            format!("{program} pid {}", place.pid.unwrap_or_default())
        }
        kind => named(&text::clean(kind)),
    }
}

fn way(step: &StepForm) -> &str {
    match step.way.as_str() {
        "start" => "started with arguments, or as a copy",
        "write" => "written",
        "map" => "mapped",
        "unix-socket" => "over a unix socket",
        "loopback" => "over a connection within the host",
        "terminal" => "shown on a terminal",
        "memory-call" | "ptrace" | "proc-mem" => "memory read",
        other => other,
    }
}

fn times(step: &StepForm) -> String {
    if step.last_ns == 0 {
        return "when is not known".to_owned();
    }
    text::time(step.last_ns)
}

/// The processes on the way and their ancestors, but those that are the sender's too.
fn others(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    if alert.path_processes.is_empty() {
        return Ok(());
    }
    section(out, "Other processes on the way, and their ancestors")?;
    for link in &alert.path_processes {
        let program = if link.known {
            text::clean(&link.executable)
        } else {
            "(details not known)".into()
        };
        writeln!(out, "  {program}  pid {}", link.pid)?;
        for line in details(link, false) {
            writeln!(out, "     {line}")?;
        }
    }
    Ok(())
}

fn details(link: &ProcessForm, sender: bool) -> Vec<String> {
    if !link.known {
        return Vec::new();
    }
    let mut lines = vec![format!("$ {}", command(link, sender))];
    let mut who = vec![format!("user {}", user(&link.user, link.uid))];
    if link.login_uid.is_some() {
        who.push(format!(
            "logged in as {}",
            user(&link.login_user, link.login_uid)
        ));
    }
    who.extend(link.session.map(|session| format!("session {session}")));
    let places = [("unit", &link.unit), ("container", &link.container)];
    who.extend(
        places
            .iter()
            .filter(|(_, name)| !name.is_empty())
            .map(|(what, name)| format!("{what} {}", text::clean(name))),
    );
    lines.push(who.join(", "));
    let ended = link
        .exited_ns
        .map_or(String::new(), |at| format!(", ended {}", text::time(at)));
    lines.push(format!("started {}{ended}", text::time(link.started_ns)));
    if !link.earlier_executables.is_empty() {
        let earlier: Vec<String> = link
            .earlier_executables
            .iter()
            .map(|path| text::clean(path))
            .collect();
        lines.push(format!(
            "had records while it was {}",
            earlier.join(", then ")
        ));
    }
    lines
}

/// The command line; of an ancestor only the beginning when it is long.
fn command(link: &ProcessForm, sender: bool) -> String {
    let mut line = text::command_line(&link.arguments);
    let length = line.chars().count();
    if !sender && length > ANCESTOR_COMMAND {
        let more = text::count((length - ANCESTOR_COMMAND) as u64, "more character");
        let shown: String = line.chars().take(ANCESTOR_COMMAND).collect();
        line = format!("{shown} … ({more}; --json has them)");
    }
    if link.arguments_truncated {
        line.push_str(" … (cut by the sensor)");
    }
    line
}

fn severity(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    section(out, "Why this severity")?;
    field(out, "severity", &alert.severity.level)?;
    field(out, "confidence", &alert.severity.confidence)?;
    for reason in &alert.severity.reasons {
        paragraph(out, reason, "  - ", "    ")?;
    }
    paragraph(
        out,
        &format!("Measured by: {}.", alert.measured_by),
        "  - ",
        "    ",
    )?;
    for technique in &alert.techniques {
        field(
            out,
            "ATT&CK",
            &format!("{} {} ({})", technique.id, technique.name, technique.tactic),
        )?;
    }
    Ok(())
}

fn when(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    section(out, "When")?;
    field(out, "first", &text::time(alert.first_ns))?;
    field(out, "last", &text::time(alert.last_ns))?;
    field(out, "raised", &text::time(alert.raised_ns))?;
    field(out, "revised", &text::time(alert.revised_ns))?;
    field(
        out,
        "state",
        if alert.settled {
            "settled: nothing more is expected"
        } else {
            "going on, as far as is known"
        },
    )
}

fn missing(out: &mut impl Write, alert: &AlertForm) -> Result<(), std::io::Error> {
    section(out, "What could not be seen")?;
    if alert.at_least.is_empty() {
        return writeln!(
            out,
            "  No losses are known for this time; the figures are exact as far as the sensor can see."
        );
    }
    for reason in &alert.at_least {
        paragraph(out, reason, "  - ", "    ")?;
    }
    for gap in &alert.gaps {
        let count = if gap.count == 0 {
            "an unknown number of".into()
        } else {
            text::number(gap.count)
        };
        let line = format!(
            "{count} events between {} and {}: {} ({})",
            text::time(gap.from_ns),
            text::time(gap.to_ns),
            text::clean(&gap.meaning),
            text::clean(&gap.detail)
        );
        paragraph(out, &line, "  - ", "    ")?;
    }
    Ok(())
}

fn watched_by(
    out: &mut impl Write,
    alert: &AlertForm,
    sensor: Option<&Sensor>,
) -> Result<(), std::io::Error> {
    section(out, "Seen by")?;
    field(out, "sensor", &text::clean(&alert.sensor))?;
    field(out, "boot", &text::clean(&alert.boot_id))?;
    let Some(beat) = sensor.and_then(|sensor| sensor.heartbeat.as_ref()) else {
        return field(
            out,
            "backend",
            "not known: no heartbeat of this sensor has been heard",
        );
    };
    field(
        out,
        "backend",
        &format!("{} when last heard", text::clean(&beat.backend)),
    )?;
    backend::reasons(out, &beat.backend_reason)?;
    field(out, "kernel", &text::clean(&beat.kernel))
}

fn section(out: &mut impl Write, title: &str) -> Result<(), std::io::Error> {
    writeln!(out, "\n{title}\n{}", "─".repeat(title.chars().count()))
}

fn field(out: &mut impl Write, label: &str, value: &str) -> Result<(), std::io::Error> {
    writeln!(out, "  {label:<LABEL$}{value}")
}

fn exact(bytes: u64) -> String {
    if bytes < 1000 {
        text::count(bytes, "byte")
    } else {
        format!("{} ({} bytes)", text::bytes(bytes), text::number(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::detect::{Path, Place, Step};
    use crate::event::{Carrier, CarrierKey, CarrierKind, Medium, ProcessKey};
    use crate::sink::ocsf;

    #[test]
    fn a_path_is_shown_step_by_step() {
        let mut alert = ocsf::tests::alert();
        let sender = alert.chain[0].key;
        let mut reader = alert.chain[0].clone();
        reader.key = ProcessKey {
            pid: 4_711,
            start_cs: 1,
        };
        reader.process.as_mut().unwrap().executable = "/usr/bin/zip".into();
        let file = Place::Carrier(Carrier {
            key: CarrierKey {
                kind: CarrierKind::File,
                device: 1,
                inode: 2,
                generation: 0,
            },
            path: "/tmp/x\x1b.zip".into(),
            medium: Medium::Removable,
        });
        let step = |from: &Place, to: &Place, way, bytes| Step {
            from: from.clone(),
            to: to.clone(),
            way,
            bytes,
            first_ns: alert.first_ns,
            last_ns: alert.last_ns,
        };
        let (zip, curl) = (Place::Process(reader.key), Place::Process(sender));
        alert.path = Path {
            steps: vec![
                step(&Place::Store, &zip, "read", Some(4_000)),
                step(&zip, &file, "write", Some(2_000)),
                step(&file, &curl, "map", None),
                step(&curl, &Place::Destination, "sent", Some(2_100)),
            ],
            more: 3,
            processes: vec![reader],
        };
        let mut page = Vec::new();
        show(&mut page, &AlertForm::from(&alert), None).unwrap();
        let page = String::from_utf8(page).unwrap();
        let parts = [
            "How the records went",
            "store pacs → zip pid 4711  read, 4.00 kB",
            "zip pid 4711 → file /tmp/x\\u{1b}.zip (removable)  written, 2.00 kB",
            "mapped, an unknown amount",
            "→ 203.0.113.9:443  sent, 2.10 kB",
            "and 3 further steps",
            "◄ sent",
            "Other processes on the way",
            "/usr/bin/zip  pid 4711",
        ];
        let places: Vec<usize> = parts
            .map(|part| {
                page.find(part)
                    .unwrap_or_else(|| panic!("{part:?} is not in\n{page}"))
            })
            .into();
        assert!(places.is_sorted(), "{page}");
    }
}
