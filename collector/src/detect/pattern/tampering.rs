//! *Tampering*: a process tries to end, stop, trace or blind the sensor.
//!
//! It fires on the first attempt, refused or not. There is one alert for each process; it is told again when something
//! else was tried, when the attempts have doubled, and when the process has exited. What the service manager does is no
//! attempt (the sensor does not report it), and a sensor that is gone for good shows by its missing heartbeats.
//!
//! False positives: updates of the sensor by hand; those of the service manager are none.
//!
//! ATT&CK: T1562.001 (Impair Defenses: Disable or Modify Tools).

use super::About;
use crate::detect::alert::{
    self, Alert, AtLeast, Attempt, Confidence, Figures, Level, Link, Path, Severity, Technique,
};
use crate::detect::host::{Actor, Host, Tampering, Told};
use crate::detect::{evidence, limits, story};
use crate::event::{Gap, ProcessKey, TamperFile, TamperKind};
use crate::intel::Known;
use crate::text;

/// Short name of the pattern.
pub(in crate::detect) const NAME: &str = "tampering";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 1;

pub(super) const ABOUT: About = About {
    rule: "",
    name: NAME,
    catches: "a process tries to end, stop, trace or blind the sensor, or changes its files",
    alert: "its own",
    thresholds: |_| Vec::new(),
    techniques: &[DISABLE_TOOLS],
    quiet: "what the service manager does is no attempt",
};

const DISABLE_TOOLS: Technique = Technique {
    id: "T1562.001",
    name: "Impair Defenses: Disable or Modify Tools",
    tactic_id: "TA0005",
    tactic: "Defense Evasion",
};

/// Looks at what the process tried on the sensor.
pub(in crate::detect) fn judge(
    host: &Host,
    key: ProcessKey,
    actor: &mut Actor,
    alerts: &mut Vec<Alert>,
) {
    let Some(mut tampering) = actor.tampering.take() else {
        return;
    };
    if let Some(told) = next(host, actor, &tampering) {
        tampering.told = Some(told);
        alerts.push(alert(host, key, actor, &tampering, &told));
    }
    actor.tampering = Some(tampering);
}

/// What is to be told now, if anything.
fn next(host: &Host, actor: &Actor, tampering: &Tampering) -> Option<Told> {
    let (kinds, times) = (tampering.attempts.len(), tampering.times());
    let exited = actor.exited_ns().is_some();
    if times == 0 {
        return None;
    }
    let Some(before) = tampering.told else {
        return Some(Told {
            revision: 1,
            raised_ns: host.newest_ns(),
            kinds,
            times,
            exited,
        });
    };
    let more = kinds > before.kinds || times >= before.times.saturating_mul(2);
    (more || exited && !before.exited).then_some(Told {
        revision: before.revision + 1,
        raised_ns: before.raised_ns,
        kinds,
        times,
        exited,
    })
}

fn alert(host: &Host, key: ProcessKey, actor: &Actor, tampering: &Tampering, told: &Told) -> Alert {
    let chain = evidence::chain(host, key, actor);
    let gaps: Vec<Gap> = host
        .gaps_within(tampering.first_ns, tampering.last_ns)
        .cloned()
        .collect();
    let attempts = tampering.attempts.iter();
    let attempts: Vec<Attempt> = attempts
        .map(|((kind, signal), attempts)| Attempt {
            kind: *kind,
            signal: *signal,
            times: attempts.times,
            denied: attempts.denied,
        })
        .collect();
    Alert {
        id: alert::id(NAME, host.origin(), key, "", None),
        revision: told.revision,
        pattern: NAME,
        pattern_version: VERSION,
        settled: told.exited,
        raised_ns: told.raised_ns,
        revised_ns: host.newest_ns(),
        first_ns: tampering.first_ns,
        last_ns: tampering.last_ns,
        origin: host.origin().clone(),
        severity: severity(&attempts, &chain),
        store: String::new(),
        figures: Figures::default(),
        bytes_received: 0,
        flows: 0,
        at_least: if gaps.is_empty() {
            Vec::new()
        } else {
            vec![AtLeast::Gaps]
        },
        names: Vec::new(),
        story: paragraph(host, &attempts, &chain, tampering, told.exited),
        next_steps: next_steps(host, key, told.exited),
        chain,
        path: Path::default(),
        destination: None,
        destination_name: None,
        attempts,
        techniques: vec![DISABLE_TOOLS],
        gaps: gaps.into_iter().take(limits::GAPS_SHOWN).collect(),
        known: Known::default(),
        almost: Vec::new(),
        measured_by: "any attempt on the sensor that does not come from the service manager"
            .to_owned(),
    }
}

/// To end it or to take its programs off is high; to look into it, or to change a file it is started from, which an update
/// does too, is worth a look today.
fn severity(attempts: &[Attempt], chain: &[Link]) -> Severity {
    let disabling = attempts
        .iter()
        .any(|attempt| matches!(attempt.kind, TamperKind::Signal | TamperKind::Link));
    let file = attempts
        .iter()
        .any(|attempt| matches!(attempt.kind, TamperKind::File(_)));
    let mut reasons = vec![if disabling {
        "It was tried to stop the sensor or to take its programs out of the kernel.".to_owned()
    } else if file {
        "A file that the sensor is started from was changed: after its next start it may see less, or nothing.".to_owned()
    } else {
        "It was tried to look into the sensor, which is a step towards blinding it.".to_owned()
    }];
    if attempts
        .iter()
        .all(|attempt| attempt.denied >= attempt.times)
    {
        reasons.push("Every attempt was refused.".to_owned());
    }
    let known = chain.first().is_some_and(|link| link.process.is_some());
    if !known {
        reasons.push("Who the process is was lost.".to_owned());
    }
    Severity {
        level: if disabling {
            Level::High
        } else {
            Level::Medium
        },
        confidence: if known {
            Confidence::High
        } else {
            Confidence::Medium
        },
        reasons,
    }
}

fn paragraph(
    host: &Host,
    attempts: &[Attempt],
    chain: &[Link],
    tampering: &Tampering,
    exited: bool,
) -> String {
    let tried: Vec<String> = attempts.iter().map(spelled).collect();
    let state = if exited {
        "The program has ended."
    } else {
        "The program is still running."
    };
    format!(
        "On the computer {}, {} tried to disturb the sensor that watches over patient records: {}. It began at {} and was \
         last seen {} later. {state}",
        text::clean(&host.origin().host),
        story::who(chain.first()),
        tried.join("; "),
        text::time(tampering.first_ns),
        text::duration(tampering.last_ns.saturating_sub(tampering.first_ns)),
    )
}

fn spelled(attempt: &Attempt) -> String {
    let what = match attempt.kind {
        TamperKind::Signal => format!("signal {} was sent to it", attempt.signal),
        TamperKind::Trace => "its memory was asked for".to_owned(),
        TamperKind::Map => "tables of its kernel programs were asked for".to_owned(),
        TamperKind::Program => "its kernel programs were asked for".to_owned(),
        TamperKind::Link => "what holds its kernel programs in place was asked for".to_owned(),
        TamperKind::File(file) => format!("{} was changed", part(file)),
        TamperKind::Unknown => "something this version has no word for was tried".to_owned(),
    };
    let refused = match attempt.denied {
        0 => String::new(),
        denied => format!(", {denied} refused"),
    };
    format!("{what} ({}{refused})", text::count(attempt.times, "time"))
}

const fn part(file: TamperFile) -> &'static str {
    match file {
        TamperFile::Program => "its program",
        TamperFile::Configuration => "its configuration",
        TamperFile::Key => "the key of its tokens",
        TamperFile::Unit => "its systemd unit",
        TamperFile::Spool => "what it keeps until the collector has it",
        TamperFile::Identity => "its key and certificate",
        TamperFile::Authority => "the authority by which it knows the collector",
        TamperFile::Unknown => "one of its files",
    }
}

fn next_steps(host: &Host, key: ProcessKey, exited: bool) -> Vec<String> {
    let name = text::clean(&host.origin().host);
    let mut steps = vec![format!(
        "See with `chartwatch sensors` whether the sensor of {name} still reports; if not, go there."
    )];
    if !exited {
        steps.push(format!(
            "It may still be going on: isolate {name} from the network, or stop process {} there.",
            key.pid
        ));
    }
    steps.push("Ask whoever administers this computer whether it was meant, by a way other than this computer.".to_owned());
    steps.push(
        "Look at what else this process and its parents did, and at accesses to records from then on.".to_owned(),
    );
    steps
}
