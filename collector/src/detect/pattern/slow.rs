//! *Slow* (R7): records leave little by little, each time too little for another pattern: in small parts, by many programs one after the
//! other, or over days.
//!
//! What processes and lineages send after they have, or can have, read records is added up by host, store, user and network, as far as
//! no other pattern has an alert about it, no approved way covers it, and more was sent than received (but for 8 KiB of every connection, which
//! is what a server says of itself and that it is done). Of each counts what was sent, at
//! most as much as was read, once that, or what one process sent to all places together, is `sent_share_min` of *direct* of what was read: so
//! a report about all records is none. It fires
//! when, within `days` days, the sum reaches `sent_bytes_min` by more than one of them or on more than one day, and is told again when it
//! has doubled.
//!
//! False positives: programs that handle records and send reports about themselves; what they receive is more, as a rule. Approve the way.
//!
//! ATT&CK: T1030 (Data Transfer Size Limits), and T1029 (Scheduled Transfer) when it went on over several days.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::config::{DetectConfig, SlowConfig};
use crate::detect::alert::{self, Alert, Confidence, Destination, Figures, Level, Severity};
use crate::detect::baseline::{self, Baseline, LeakDay, Leaked, Road, Told};
use crate::detect::evidence::Plain;
use crate::detect::host::{Actor, Host, Sending};
use crate::detect::story;
use crate::event::ProcessKey;
use crate::text;

use super::About;
use super::direct;
use super::leaving::{SCHEDULED, SIZE_LIMITS};
use super::media::leaves;

/// Short name of the pattern.
const NAME: &str = "slow";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 1;

pub(super) const ABOUT: About = About {
    rule: "R7",
    name: NAME,
    catches: "records leave in parts too small for another pattern, by many programs or over days",
    alert: "its own",
    thresholds: |config| {
        vec![
            (
                "slow.sent_bytes_min",
                config.slow.sent_bytes_min.to_string(),
            ),
            ("slow.days", config.slow.days.to_string()),
        ]
    },
    techniques: &[SIZE_LIMITS, SCHEDULED],
    quiet: "more must be sent than received, and a share of what was read; approved ways are not added up",
};

/// The pattern, and what its alert about a road is about.
pub(in crate::detect) fn about(road: &Road) -> (&'static str, [&str; 3]) {
    (NAME, [&road.store, &road.user, &road.network])
}

/// More that went to a destination.
#[derive(Debug)]
pub(in crate::detect) struct News {
    /// Who sent it.
    pub(in crate::detect) sender: ProcessKey,
    pub(in crate::detect) store: String,
    pub(in crate::detect) to: Destination,
    /// First and last time, nanoseconds since the Unix epoch.
    pub(in crate::detect) span_ns: (u64, u64),
    pub(in crate::detect) leaked: Leaked,
}

/// What was sent since the last time that no alert tells of.
#[derive(Debug, Default)]
pub(in crate::detect) struct Sent {
    /// What leaks little by little.
    pub(in crate::detect) leaks: Vec<News>,
    /// Approved ways that were used, and when last, nanoseconds since the Unix epoch.
    pub(in crate::detect) used: Vec<(String, u64)>,
}

/// What a process that read itself has sent since it was last asked, as far as nobody else tells of it.
pub(in crate::detect) fn of_process(
    config: &DetectConfig,
    host: &Host,
    sender: ProcessKey,
    actor: &mut Actor,
    news: &mut Sent,
) {
    let mut leaked = std::mem::take(&mut actor.leaked);
    for (store, reading) in &actor.readings {
        let Some(first_ns) = reading.first_ns else {
            continue;
        };
        let everywhere = OnceCell::new();
        let of_store = leaked.iter().filter(|((of, _), _)| of == store);
        let mut told = of_store.fold(0, |sum: u64, (_, one)| sum.saturating_add(one.bytes));
        for (to, sending) in &actor.sendings {
            let pair = (store.clone(), to.clone());
            let sent = sending.sent_since(first_ns);
            if sent == 0 || !leaves(config, to, sending) || actor.cases.contains_key(&pair) {
                continue;
            }
            let taken = reading.taken_since(0);
            let before = leaked.get(&pair).copied().unwrap_or_default();
            // To all places together no more than was read.
            let elsewhere = told.saturating_sub(before.bytes);
            let now = Leaked {
                bytes: sent.min(taken.saturating_sub(elsewhere)),
                taken,
                records: reading.records_known(),
                times: 1,
            };
            let in_all = || Leaked {
                bytes: *everywhere.get_or_init(|| given(config, host, actor, store, first_ns)),
                ..now
            };
            if now.bytes <= before.bytes {
                continue;
            }
            if let Some(way) = direct::approved(config, host, actor, store, to) {
                news.used.push((way.name.clone(), sending.last_ns));
            } else if sending.gives() && (is_enough(config, now) || is_enough(config, in_all())) {
                news.leaks.push(News {
                    sender,
                    store: store.clone(),
                    to: to.clone(),
                    span_ns: (first_ns, sending.last_ns),
                    leaked: Leaked {
                        bytes: now.bytes.saturating_sub(before.bytes),
                        times: now.times.saturating_sub(before.times),
                        ..now.since(known(&leaked, &pair))
                    },
                });
            } else {
                continue;
            }
            told = elsewhere.saturating_add(now.bytes);
            leaked.insert(pair, now);
        }
    }
    actor.leaked = leaked;
}

/// What was read of the store for what was told to go to the same network: each record counts once there.
fn known(leaked: &BTreeMap<(String, Destination), Leaked>, pair: &(String, Destination)) -> Leaked {
    let (store, to) = pair;
    let place = |to: &Destination| {
        (
            to.disk.map(|disk| disk.medium),
            baseline::network(to.address),
        )
    };
    let same = |((of, other), _): &(&(String, Destination), &Leaked)| {
        of == store && place(other) == place(to)
    };
    let mut most = Leaked::default();
    for (_, one) in leaked.iter().filter(same) {
        most.taken = most.taken.max(one.taken);
        most.records = most.records.max(one.records);
    }
    most
}

/// What the process gave away to all places together, as far as no other pattern tells of it and no approved way covers it: who sends each
/// record to another place sends little to each.
fn given(config: &DetectConfig, host: &Host, actor: &Actor, store: &str, since_ns: u64) -> u64 {
    let told = |to: &Destination| actor.cases.contains_key(&(store.to_owned(), to.clone()));
    let counts = |(to, sending): &(&Destination, &Sending)| {
        sending.gives()
            && leaves(config, to, sending)
            && !told(to)
            && direct::approved(config, host, actor, store, to).is_none()
    };
    let sendings = actor.sendings.iter().filter(counts);
    sendings.fold(0, |sum: u64, (_, sending)| {
        sum.saturating_add(sending.sent_since(since_ns))
    })
}

/// True when it is enough against what was read.
pub(super) fn is_enough(config: &DetectConfig, now: Leaked) -> bool {
    now.bytes as f64 >= config.direct.sent_share_min * now.taken as f64
}

/// Adds up what is new, unless it was added before, and looks at where it went.
pub(in crate::detect) fn judge(
    config: &DetectConfig,
    host: &Host,
    baseline: &mut Baseline,
    (news, learns): (&[News], bool),
    alerts: &mut Vec<Alert>,
) {
    let slow = &config.slow;
    let sensor = host.origin().sensor.clone();
    for one in news {
        let Some(actor) = host.actor(one.sender).filter(|_| slow.sent_bytes_min > 0) else {
            continue;
        };
        let road = Road {
            store: one.store.clone(),
            user: actor.user().unwrap_or_default().into_owned(),
            network: match one.to.disk {
                Some(disk) => disk.medium.name().to_owned(),
                None => baseline::network(one.to.address).to_string(),
            },
        };
        if learns {
            baseline.leak(&sensor, &road, one.span_ns, one.leaked);
        }
        let last_day = baseline::day(one.span_ns.1);
        let Some(sum) = baseline.leaked(&sensor, &road, last_day, slow.days) else {
            continue;
        };
        let Some(told) = baseline.leak_told(&sensor, &road) else {
            continue;
        };
        // What was told is forgotten with the days it was about: what goes on is told again.
        let lives = |told: &Told| told.day.saturating_add(slow.days) > last_day;
        let known = told.filter(lives);
        if known.is_none() && !is_over(slow, &sum) {
            continue;
        }
        let (bytes, now_ns) = (sum.leaked.bytes, host.newest_ns());
        let next = match *told {
            Some(old) if known.is_none() => Some(old.again(bytes, now_ns)),
            _ => Told::next(known, bytes, now_ns),
        };
        let Some(next) = next else {
            continue;
        };
        *told = Some(next);
        let found = Found {
            host,
            actor,
            news: one,
            road: &road,
            sum,
            told: next,
        };
        alerts.push(found.alert(slow));
    }
}

fn is_over(config: &SlowConfig, sum: &LeakDay) -> bool {
    let several = sum.leaked.times > 1 || days(sum) > 1;
    several && sum.leaked.bytes >= config.sent_bytes_min
}

/// Days it went on.
fn days(sum: &LeakDay) -> u32 {
    let (first, last) = sum.span_ns;
    baseline::day(last) - baseline::day(first) + 1
}

struct Found<'a> {
    host: &'a Host,
    actor: &'a Actor,
    news: &'a News,
    road: &'a Road,
    sum: LeakDay,
    told: Told,
}

impl Found<'_> {
    fn alert(&self, config: &SlowConfig) -> Alert {
        let plain = Plain {
            host: self.host,
            process: (self.news.sender, self.actor),
            store: &self.road.store,
            span_ns: self.sum.span_ns,
        };
        let leaked = self.sum.leaked;
        let mut techniques = vec![SIZE_LIMITS];
        techniques.extend((days(&self.sum) > 1).then_some(SCHEDULED));
        let (_, parts) = about(self.road);
        let figures = Figures {
            records: leaked.records,
            bytes_read: leaked.taken,
            bytes_mapped: 0,
            bytes_sent: leaked.bytes,
        };
        let sending = self.actor.sendings.get(&self.news.to);
        let mut alert = Alert {
            id: alert::id_of(NAME, &self.host.origin().sensor, &parts),
            revision: self.told.revision,
            raised_ns: self.told.raised_ns,
            severity: self.severity(config),
            figures,
            flows: leaked.times,
            techniques,
            destination: Some(self.news.to.clone()),
            destination_name: sending.and_then(|sending| sending.name.clone()),
            measured_by: measured_by(config),
            ..plain.alert((NAME, VERSION), String::new())
        };
        alert.story = self.what(&alert);
        alert.next_steps = story::next_steps(&alert, &self.news.to);
        alert
    }

    fn severity(&self, config: &SlowConfig) -> Severity {
        let mut reasons = vec![format!(
            "It left in {}, by program and place, each too small for an alert of its own; together it is {} within {} days.",
            text::count(self.sum.leaked.times, "part"),
            text::bytes(self.sum.leaked.bytes),
            config.days
        )];
        if days(&self.sum) > 1 {
            reasons.push("It went on over several days.".to_owned());
        }
        reasons.push(
            "Between reading and sending other things can have been sent; the sum is an upper bound."
                .to_owned(),
        );
        Severity {
            level: Level::High,
            confidence: Confidence::Medium,
            reasons,
        }
    }

    fn what(&self, alert: &Alert) -> String {
        let leaked = self.sum.leaked;
        format!(
            "On the computer {}, programs of user {} read {} ({}) from the store \"{}\" and sent {} in small parts {}. The last was {}. It began at {} \
             and was last seen {} later. This is not one of the ways the hospital has approved for these records.",
            text::clean(&self.host.origin().host),
            text::clean(&self.road.user),
            text::count(leaked.records, "patient record"),
            text::bytes(leaked.taken),
            text::clean(&self.road.store),
            text::bytes(leaked.bytes),
            story::whereto(&self.news.to, alert.destination_name.as_ref()),
            story::who(alert.chain.first()).trim_end_matches(','),
            text::time(self.sum.span_ns.0),
            text::duration(self.sum.span_ns.1.saturating_sub(self.sum.span_ns.0)),
        )
    }
}

fn measured_by(config: &SlowConfig) -> String {
    format!(
        "within {} days, by the programs of one user: at least {} sent after records of one store were read, to one network to which no approved \
         way leads, and of which no other pattern tells",
        config.days,
        text::bytes(config.sent_bytes_min),
    )
}
