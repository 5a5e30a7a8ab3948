//! *Wipe*: one process, or programs of one session or service one after the other, remove many records of a store, or write over many that were read.
//!
//! It fires when one process has, within the window, taken away `records_min` distinct records of one store: removed a name of them (by unlink, or by a rename onto it), or written to them after it
//! had read them. When it had read at least half of them it looks like encryption (T1486, Data Encrypted for Impact), else
//! like deletion (T1485, Data Destruction). It is told again when the records have doubled and when the process has exited.
//!
//! A loop that starts a program or two for each record (`for`, `find -exec`, `xargs`) is judged as a whole: what the programs of one session or service took away, each too little by
//! itself, is added up. A record counts as read when another of them had read it lately. It ends when what started them all has exited.
//!
//! ATT&CK: T1485 and T1486, as above.
//!
//! False positives: an archive's own housekeeping, and databases that rewrite their files. Each is named as a `[[keeper]]`,
//! by store, executable and user together: the program that does it, or of a loop the one that started all of them. Not seen: writing over records
//! that nobody of them had read, which looks like storing new ones.

use crate::config::{DetectConfig, Keeper, WipeConfig};
use crate::detect::alert::{
    self, Alert, AtLeast, Confidence, Figures, Level, Path, Severity, Technique,
};
use crate::detect::host::{Actor, Case, Host, Together, Wiping};
use crate::detect::{evidence, limits, story};
use std::collections::BTreeSet;

use crate::event::{Gap, ProcessKey};
use crate::intel::Known;
use crate::text;

use super::{About, direct};

/// Short name of the pattern.
const NAME: &str = "wipe";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 2;

pub(super) const ABOUT: About = About {
    rule: "",
    name: NAME,
    catches: "many records are removed, or written over after they were read, by one program or by a loop",
    alert: "its own",
    thresholds: |config| {
        vec![
            ("wipe.records_min", config.wipe.records_min.to_string()),
            (
                "wipe.window_seconds",
                config.wipe.window.as_secs().to_string(),
            ),
        ]
    },
    techniques: &[DESTRUCTION, ENCRYPTION],
    quiet: "keepers: store, executable and user; of a loop the program that starts it",
};

/// What takes the pattern's place in the id of an alert about several programs: their topmost process may have one of its own.
const TOGETHER: &str = "wipe together";

const DESTRUCTION: Technique = Technique {
    id: "T1485",
    name: "Data Destruction",
    tactic_id: "TA0040",
    tactic: "Impact",
};
const ENCRYPTION: Technique = Technique {
    id: "T1486",
    name: "Data Encrypted for Impact",
    tactic_id: "TA0040",
    tactic: "Impact",
};

/// Looks at each store the process took records away of.
pub(in crate::detect) fn judge(
    config: &DetectConfig,
    host: &Host,
    key: ProcessKey,
    actor: &mut Actor,
    alerts: &mut Vec<Alert>,
) {
    let records_min = config.wipe.records_min;
    if records_min == 0 {
        return;
    }
    let mut wipings = std::mem::take(&mut actor.wipings);
    for (store, wiping) in &mut wipings {
        let kept = is_kept(config, actor, store);
        let begin = wiping.last_ns.saturating_sub(config.wipe.window_ns());
        let fires = !kept && wiping.records_since(begin) >= records_min;
        let exited = actor.exited_ns().is_some();
        if let Some(case) = next(host, wiping, exited, fires) {
            alerts.push(alert(
                &config.wipe,
                host,
                (key, actor),
                (store, wiping),
                &case,
            ));
            wiping.told = Some(case);
        }
    }
    actor.wipings = wipings;
}

/// Adds up what was taken away in each session and service by programs that have no alert of their own, and looks at it.
pub(in crate::detect) fn judge_together(
    config: &DetectConfig,
    host: &mut Host,
    changed: &BTreeSet<ProcessKey>,
    alerts: &mut Vec<Alert>,
) {
    for key in changed {
        let Some((root, taken)) = host.taken(*key) else {
            continue;
        };
        for (store, mut taken) in taken {
            let alone = host.actor(*key).is_none_or(|actor| {
                let told = actor.wipings.get(&store).and_then(|own| own.told.as_ref());
                told.is_some() || is_kept(config, actor, &store)
            });
            taken.read_before |= host.read_before(root, &taken);
            if !alone && taken.is_certain() {
                host.take_together((root, store), *key, &taken);
            }
        }
    }
    let told: Vec<_> = host
        .together()
        .filter(|(_, one)| {
            [one.common, one.last]
                .iter()
                .flatten()
                .any(|key| changed.contains(key))
        })
        .filter_map(|(about, one)| {
            let case = next_together(config, host, &about.1, one)?;
            let alert = alert_together(config, host, about, one, &case)?;
            Some((about.clone(), case, alert))
        })
        .collect();
    for (about, case, alert) in told {
        host.told_together(&about, case);
        alerts.push(alert);
    }
}

/// What is to be told of them now, if anything.
fn next_together(
    config: &DetectConfig,
    host: &Host,
    store: &str,
    together: &Together,
) -> Option<Case> {
    let begin = (together.wiping.last_ns).saturating_sub(config.wipe.window_ns());
    let starter = together.common.and_then(|common| host.actor(common));
    let kept = starter.is_some_and(|starter| is_kept(config, starter, store));
    let many = config.wipe.records_min > 0
        && together.wiping.records_since(begin) >= config.wipe.records_min;
    let fires = many && !kept && together.programs > 1;
    let exited = starter.is_some_and(|starter| starter.exited_ns().is_some());
    next(host, &together.wiping, exited, fires)
}

fn alert_together(
    config: &DetectConfig,
    host: &Host,
    (root, store): &(ProcessKey, String),
    together: &Together,
    case: &Case,
) -> Option<Alert> {
    let last = together.last?;
    let of_last = (last, host.actor(last)?);
    let mut alert = alert(&config.wipe, host, of_last, (store, &together.wiping), case);
    alert.id = alert::id(TOGETHER, host.origin(), *root, store, None);
    let starter = together.common.unwrap_or(*root);
    let process = host.actor(starter).and_then(|actor| actor.process.as_ref());
    let name = process.map_or("a program that is not known", |process| {
        process.executable.rsplit('/').next().unwrap_or_default()
    });
    let whole = format!(
        " {} did it one after the other, each a little; \"{}\" (process {}) started them, and the last is named here.",
        text::count(together.programs, "program"),
        text::clean(name),
        starter.pid,
    );
    alert.story.push_str(&whole);
    alert.next_steps = next_steps(host, starter, store, case.exited);
    Some(alert)
}

fn is_kept(config: &DetectConfig, actor: &Actor, store: &str) -> bool {
    let mut keepers = config.keepers.iter();
    keepers.any(|keeper| covers(keeper, actor, store))
}

/// True when the process is the one that keeps the store, and was nothing else.
pub(super) fn covers(keeper: &Keeper, actor: &Actor, store: &str) -> bool {
    let Some(process) = actor.process.as_ref().filter(|_| actor.programs.is_one()) else {
        return false;
    };
    let number = process.uid.to_string();
    let user = if process.user.is_empty() {
        &number
    } else {
        &process.user
    };
    keeper.store == store && keeper.executable == process.executable && keeper.user == *user
}

/// What is to be told now, if anything.
fn next(host: &Host, wiping: &Wiping, exited: bool, fires: bool) -> Option<Case> {
    let told = Figures {
        records: wiping.records_known(),
        ..Figures::default()
    };
    let (revision, raised_ns) = match &wiping.told {
        Some(case) if direct::tell_again(case, &told, exited, exited) => {
            (case.revision + 1, case.raised_ns)
        }
        None if fires => (1, host.newest_ns()),
        _ => return None,
    };
    Some(Case {
        revision,
        raised_ns,
        told,
        settled: exited,
        exited,
    })
}

fn alert(
    config: &WipeConfig,
    host: &Host,
    (key, actor): (ProcessKey, &Actor),
    (store, wiping): (&str, &Wiping),
    case: &Case,
) -> Alert {
    let chain = evidence::chain(host, key, actor);
    let gaps: Vec<Gap> = host
        .gaps_within(wiping.first_ns, wiping.last_ns)
        .cloned()
        .collect();
    let forgotten = host.forgotten();
    let at_least = evidence::lower_bounds(
        &gaps,
        &[
            (wiping.not_told_apart, AtLeast::Records),
            (forgotten.processes, AtLeast::Processes),
            (forgotten.gaps, AtLeast::GapsForgotten),
        ],
    );
    let technique = technique(wiping);
    let what = what(host, store, wiping, &technique, &story::who(chain.first()));
    Alert {
        id: alert::id(NAME, host.origin(), key, store, None),
        revision: case.revision,
        pattern: NAME,
        pattern_version: VERSION,
        settled: case.settled,
        raised_ns: case.raised_ns,
        revised_ns: host.newest_ns(),
        first_ns: wiping.first_ns,
        last_ns: wiping.last_ns,
        origin: host.origin().clone(),
        severity: severity(&technique, at_least.is_empty() && actor.process.is_some()),
        store: store.to_owned(),
        figures: case.told,
        bytes_received: 0,
        flows: 0,
        at_least,
        names: Vec::new(),
        chain,
        path: Path::default(),
        destination: None,
        destination_name: None,
        attempts: Vec::new(),
        techniques: vec![technique],
        gaps: gaps.into_iter().take(limits::GAPS_SHOWN).collect(),
        known: Known::default(),
        almost: Vec::new(),
        measured_by: measured_by(config),
        story: what,
        next_steps: next_steps(host, key, store, case.exited),
    }
}

fn technique(wiping: &Wiping) -> Technique {
    let read = wiping.records_read_before().saturating_mul(2) >= wiping.records_known();
    if read { ENCRYPTION } else { DESTRUCTION }
}

fn severity(technique: &Technique, complete: bool) -> Severity {
    let how = if *technique == ENCRYPTION {
        "Many records were read and then replaced, as a program does that encrypts them."
    } else {
        "Many records were removed without having been read."
    };
    let mut reasons = vec![how.to_owned()];
    reasons.push("The program is not one that keeps this store.".to_owned());
    if !complete {
        reasons.push("Some of the evidence is missing.".to_owned());
    }
    Severity {
        level: Level::Critical,
        confidence: if complete {
            Confidence::High
        } else {
            Confidence::Medium
        },
        reasons,
    }
}

fn what(host: &Host, store: &str, wiping: &Wiping, technique: &Technique, who: &str) -> String {
    let looks = if *technique == ENCRYPTION {
        "It had read most of them before, as a program does that encrypts them."
    } else {
        "It had not read most of them before: this looks like deletion."
    };
    format!(
        "On the computer {}, {who} removed or wrote over {} of the store \"{}\". {looks} It began at {} and was last seen {} \
         later.",
        text::clean(&host.origin().host),
        text::count(wiping.records_known(), "patient record"),
        text::clean(store),
        text::time(wiping.first_ns),
        text::duration(wiping.last_ns.saturating_sub(wiping.first_ns)),
    )
}

fn next_steps(host: &Host, key: ProcessKey, store: &str, exited: bool) -> Vec<String> {
    let name = text::clean(&host.origin().host);
    let mut steps = Vec::new();
    if !exited {
        steps.push(format!(
            "It may still be going on: isolate {name} from the network and stop process {} there.",
            key.pid
        ));
    }
    steps.push(format!(
        "Make sure that the latest backup of the store \"{}\" is safe and out of reach of {name}.",
        text::clean(store)
    ));
    steps.push(
        "If it was normal work, add a keeper with exactly this executable, user and store."
            .to_owned(),
    );
    steps
}

fn measured_by(config: &WipeConfig) -> String {
    format!(
        "within {}: at least {} of one store removed, or written over after they were read, by a program, or programs of one \
         session or service, that do not keep the store",
        text::duration(config.window_ns()),
        text::count(config.records_min, "distinct record"),
    )
}
