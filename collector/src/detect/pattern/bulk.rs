//! *Bulk* (R5): far more records of a store are read on one day than this program and user ever read on one, whether or not anything leaves.
//!
//! It fires when, on one day (UTC), processes of one executable and user have read at least `records_min` records of a store, each record
//! once for every process and day, however long the process has run, and more than `times` what they read on the fullest of the days before (see `baseline`). What is usual counts
//! for at most [`CEILING`] times `records_min`, so that nobody becomes harmless by growing slowly. Where a program has read nothing on a host yet, the
//! middle of what it reads on at least three others, each on its fullest day, is usual. A host that has been heard of for
//! less than `learning_days` is silent. It is told again when the records have doubled, and when a process has ended that read half of them
//! or more.
//!
//! False positives: indexers, virus scanners, backups. Each is a `[[keeper]]` of the store, or what an approved way names as its
//! executable or reader; both by store and user too.
//!
//! ATT&CK: T1119 (Automated Collection).

use std::collections::BTreeMap;

use crate::config::{BulkConfig, DetectConfig};
use crate::detect::alert::{self, Alert, Confidence, Figures, Level, Severity, Technique};
use crate::detect::baseline::{Baseline, DAY_NS, DAYS, Habit, ReadDay, Told};
use crate::detect::evidence::{self, Plain};
use crate::detect::host::{Actor, Host};
use crate::detect::story;
use crate::event::ProcessKey;
use crate::text;

use super::{About, wipe};

/// Short name of the pattern.
const NAME: &str = "bulk";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 2;
/// What is usual counts for so many times `records_min` at most.
const CEILING: u64 = 20;

pub(super) const ABOUT: About = About {
    rule: "R5",
    name: NAME,
    catches: "a program and user read far more records of a store on a day than on any before, whether or not anything leaves",
    alert: "its own",
    thresholds: |config| {
        vec![
            ("bulk.records_min", config.bulk.records_min.to_string()),
            ("bulk.times", config.bulk.times.to_string()),
        ]
    },
    techniques: &[COLLECTION],
    quiet: "keepers of the store, and who reads for an approved way; nothing in the first `learning_days`",
};

const COLLECTION: Technique = Technique {
    id: "T1119",
    name: "Automated Collection",
    tactic_id: "TA0009",
    tactic: "Collection",
};

/// Who read on which day, and which process did last.
pub(in crate::detect) type Readers = BTreeMap<(Habit, u32), ProcessKey>;

/// The pattern, and what its alert about a day of a habit is about.
pub(in crate::detect) fn about(habit: &Habit, day: u32) -> (&'static str, [String; 4]) {
    let Habit {
        store,
        executable,
        user,
    } = habit.clone();
    (NAME, [store, executable, user, day.to_string()])
}

/// Looks at those who have read.
pub(in crate::detect) fn judge(
    config: &DetectConfig,
    host: &Host,
    baseline: &mut Baseline,
    (readers, learns): (&Readers, bool),
    alerts: &mut Vec<Alert>,
) {
    let bulk = &config.bulk;
    let sensor = host.origin().sensor.clone();
    let since = config.baseline.since(&sensor);
    for ((habit, day), key) in readers {
        let learned = baseline.knows(&sensor, *day, config.baseline.learning_days, since);
        let Some(actor) = host.actor(*key).filter(|_| learned && bulk.records_min > 0) else {
            continue;
        };
        let usual = baseline.usual(&sensor, habit, *day, since);
        let known = baseline.day_mut(&sensor, habit, *day);
        let (records, told) = known.map_or((0, None), |today| (today.records, today.told));
        let mut fires = is_over(bulk, records, usual) && !is_kept(config, actor, habit);
        let elsewhere = || baseline.usual_elsewhere(&sensor, habit, *day, since);
        // All hosts are looked through, so only where something would be told.
        let due = usual == 0 && Told::next(told, records, host.newest_ns()).is_some();
        let fleet = (fires && due).then(elsewhere).flatten();
        let usual = Usual { here: usual, fleet };
        fires &= is_over(bulk, records, usual.most());
        let Some(today) = baseline.day_mut(&sensor, habit, *day) else {
            continue;
        };
        if !fires && today.told.is_none() {
            continue;
        }
        let next = Told::next(today.told, today.records, host.newest_ns());
        // What was learned before knows the whole day already, and was told.
        let ends = learns && has_ended(actor, habit, today);
        let last = today.told.filter(|_| ends);
        let last = last.map(|told| told.again(today.records, host.newest_ns()));
        let Some(told) = next.or(last) else {
            continue;
        };
        today.told = Some(told);
        let found = Found {
            host,
            key: *key,
            actor,
            habit,
            usual,
            today,
            told,
        };
        alerts.push(found.alert(bulk));
    }
}

/// True when there is something to be added that a process with most of it, which has ended, has read.
fn has_ended(actor: &Actor, habit: &Habit, today: &ReadDay) -> bool {
    let own = actor.readings.get(&habit.store);
    let own = own.map_or(0, |reading| reading.records_on(today.day) as u64);
    let more = today.told.is_some_and(|told| today.records > told.amount);
    more && actor.exited_ns().is_some() && own.saturating_mul(2) >= today.records
}

fn is_over(config: &BulkConfig, records: u64, usual: u64) -> bool {
    let usual = usual.min(config.records_min.saturating_mul(CEILING));
    records >= config.records_min && records as f64 > config.times * usual as f64
}

/// True when the hospital says that this program reads the store.
fn is_kept(config: &DetectConfig, actor: &Actor, habit: &Habit) -> bool {
    let keeps = |keeper| wipe::covers(keeper, actor, &habit.store);
    let sends = config.approved.iter().any(|way| {
        let program = way.reader.as_ref().unwrap_or(&way.executable);
        way.store == habit.store && way.user == habit.user && *program == habit.executable
    });
    sends || config.keepers.iter().any(keeps)
}

/// What is usual.
#[derive(Debug, Clone, Copy)]
struct Usual {
    /// On this host, of this program and user, or of other users.
    here: u64,
    /// Of the program on other hosts, where it has read nothing on this one.
    fleet: Option<u64>,
}

impl Usual {
    fn most(self) -> u64 {
        self.here.max(self.fleet.unwrap_or(0))
    }
}

struct Found<'a> {
    host: &'a Host,
    key: ProcessKey,
    actor: &'a Actor,
    habit: &'a Habit,
    usual: Usual,
    today: &'a ReadDay,
    told: Told,
}

impl Found<'_> {
    fn alert(&self, config: &BulkConfig) -> Alert {
        let day_ns = u64::from(self.today.day) * DAY_NS;
        let plain = Plain {
            host: self.host,
            process: (self.key, self.actor),
            store: &self.habit.store,
            span_ns: (day_ns, self.host.newest_ns().max(day_ns)),
        };
        let habit = self.habit;
        let (_, parts) = about(habit, self.today.day);
        let figures = Figures {
            records: self.told.amount,
            bytes_read: self.today.bytes,
            ..Figures::default()
        };
        Alert {
            id: alert::id_of(
                NAME,
                &self.host.origin().sensor,
                &parts.each_ref().map(String::as_str),
            ),
            revision: self.told.revision,
            raised_ns: self.told.raised_ns,
            severity: self.severity(),
            figures,
            techniques: vec![COLLECTION],
            measured_by: measured_by(config),
            next_steps: self.next_steps(),
            ..plain.alert((NAME, VERSION), self.what())
        }
    }

    fn severity(&self) -> Severity {
        let mut before = match self.usual.here {
            0 => "This program and user had read none of this store before.".to_owned(),
            usual => format!(
                "This program and user had read {} of this store on the fullest of the last {DAYS} days.",
                text::count(usual, "record")
            ),
        };
        if let Some(fleet) = self.usual.fleet {
            let there = text::count(fleet, "record");
            let there = format!(
                " On other computers the program reads {there} on its fullest day, as the middle of them."
            );
            before.push_str(&there);
        }
        Severity {
            level: Level::Medium,
            confidence: Confidence::Medium,
            reasons: vec![
                before,
                "Nothing says that any of them left the computer.".to_owned(),
            ],
        }
    }

    fn what(&self) -> String {
        let chain = evidence::chain(self.host, self.key, self.actor);
        format!(
            "On the computer {}, {} and others like it read {} ({}) from the store \"{}\" on the day that began at {}, far more than on any day \
             before.",
            text::clean(&self.host.origin().host),
            story::who(chain.first()),
            text::count(self.told.amount, "patient record"),
            text::bytes(self.today.bytes),
            text::clean(&self.habit.store),
            text::time(u64::from(self.today.day) * DAY_NS),
        )
    }

    fn next_steps(&self) -> Vec<String> {
        vec![
            format!(
                "Ask user {} whether this was meant, by a way other than this computer.",
                text::clean(&self.habit.user)
            ),
            "Look for other alerts of the same computer: collecting comes before sending."
                .to_owned(),
            "If it was normal work, add a keeper with exactly this executable, user and store."
                .to_owned(),
        ]
    }
}

fn measured_by(config: &BulkConfig) -> String {
    format!(
        "on one day, by one program and user: at least {} of one store, and more than {} times as many as on the fullest of the {DAYS} days before",
        text::count(config.records_min, "record"),
        config.times,
    )
}
