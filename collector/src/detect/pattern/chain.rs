//! *Chain* (R2): processes read records of a store, and another one, to which they can have come, sends to a destination that
//! is no approved way.
//!
//! Senders of one lineage, that is of one login session or service, that send to the same destination are judged together,
//! so an archive that is sent in parts by one program each is one alert. It fires when, within one window that ends with the
//! latest of all, the readers took at least `read_bytes_min` bytes of a store's records, and both what can have come from
//! them to the senders and what the senders sent since are at least `max(sent_bytes_min, sent_share_min × those bytes)`.
//! What can have come is bounded by the narrowest step of the path (see `lineage`), so a line in a log, a checksum or a
//! count is none. A reader counts when at least `sent_share_min` of what it took can have come to the senders. What lay in a file on its
//! way counts for longer than the window, `staged_days`: a file that is written on Monday is sent on Thursday.
//!
//! What happens on the way is part of it, and told by its steps and techniques: `staging`, `service`, `tunnel`, `media`.
//!
//! The same lineages are looked at for names that DNS was asked for: see `dns`. Of the two, a lineage raises one for a store
//! and a destination.
//!
//! A process that read `read_bytes_min` itself is left to *direct*, and so is a destination for which one of the readers
//! has a *direct* alert. What an approved way with this reader covers does not count.
//!
//! False positives: backups and forwarding services in two programs: approve store, executable, reader, user and
//! destination. A service that handles records all day and sends what has nothing to do with them has an upper bound
//! that is too wide, since what it does inside cannot be seen: it needs an approved way too.
//!
//! ATT&CK: those of these patterns, T1029 (Scheduled Transfer) when cron or at started the sender, and how it left as for *direct*: T1005, T1041, T1048,
//! T1048.002, T1048.003.

mod techniques;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{ApprovedWay, DetectConfig, DirectConfig, DnsConfig};
use crate::detect::alert::{Alert, Figures};
use crate::detect::baseline::Leaked;
use crate::detect::host::{Actor, Case, GroupKey, Host, Kind, Marks, Reading, Sending};
use crate::event::{ProcessKey, RecordId};
use crate::intel::Known;

use super::approval::{ALMOST_MAX, Sent, almost, covers, sent_over};
use super::direct::{self, tell_again};
use super::leaving::SCHEDULED;
use super::media::leaves;
use super::{About, dns, first_seen, listed, many, raw, slow, tunnel};

/// Short name of the pattern.
const NAME: &str = "chain";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 1;

pub(super) const ABOUT: About = About {
    rule: "R2",
    name: NAME,
    catches: "processes read records and another, to which they can have come, sends them to a destination that is no approved way",
    alert: "its own",
    thresholds: direct::ABOUT.thresholds,
    techniques: &[SCHEDULED],
    quiet: "bounded by the narrowest step of the path; approved ways with the program that reads as `reader`",
};

/// Looks at the lineages that something has changed in.
pub(in crate::detect) fn judge(
    config: &DetectConfig,
    host: &mut Host,
    changed: &BTreeSet<ProcessKey>,
    alerts: &mut Vec<Alert>,
) {
    let mut groups = BTreeSet::new();
    for process in changed {
        groups.extend(host.groups_of_reader(*process).cloned());
        for key in sent_for_others(config, host, *process) {
            host.join(key.clone(), *process);
            groups.insert(key);
        }
    }
    for key in groups {
        let mut used = BTreeMap::new();
        let told = Joint::of(config, host, &key, &mut used)
            .and_then(|all| Weighed::of(config, host, &all));
        for (way, at_ns) in used {
            host.used(&way, at_ns);
        }
        let Some(told) = told else {
            continue;
        };
        host.watch(&key, told.readers.into_iter());
        alerts.extend(told.alert);
        if let Some(case) = told.case {
            host.told(&key, case);
        } else if let Some((all, news)) = told.leak {
            host.leak(&key, all, news);
        }
    }
}

/// What is to be told of a group now.
struct Weighed {
    readers: Vec<ProcessKey>,
    case: Option<Case>,
    alert: Option<Alert>,
    leak: Option<(Marks, slow::News)>,
}

impl Weighed {
    /// First as it stands within the window, then with what lay in files for longer: what was read long ago would hide in one sum what is
    /// sent of today's. `None` when nobody's records count.
    fn of(config: &DetectConfig, host: &Host, all: &Joint<'_>) -> Option<Self> {
        let recent = all.within(config, host, Reach::Window);
        let staged = || {
            let older = all.told.is_none() && all.has_older();
            let joint = older.then(|| all.within(config, host, Reach::Staged))??;
            joint.is_staged().then_some(joint)
        };
        let case = |joint: &Option<Joint<'_>>| joint.as_ref()?.next(config, host);
        let (mut joint, mut told) = (recent, None);
        if let Some(case) = case(&joint) {
            told = Some(case);
        } else if let Some(staged) = staged() {
            joint = Some(staged);
            told = case(&joint);
        }
        let joint = joint?;
        let leak = told.is_none().then(|| joint.leak(config, host)).flatten();
        Some(Self {
            readers: joint.handed.keys().copied().collect(),
            alert: told.as_ref().map(|case| joint.alert(config, host, case)),
            case: told,
            leak,
        })
    }
}

/// How far back it counts what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// As long as the window is.
    Window,
    /// What lay in a file on its way as long as `staged` is, all else as long as the window.
    Staged,
}

/// What the process is a sender of: stores of which it can have what others read and places outside the host, or stores
/// of which it can have anything and places where it asked DNS.
fn sent_for_others(config: &DetectConfig, host: &Host, process: ProcessKey) -> Vec<GroupKey> {
    let Some(actor) = host
        .actor(process)
        .filter(|actor| !actor.sendings.is_empty())
    else {
        return Vec::new();
    };
    let stores = host.lineage().stores(process);
    if stores.is_empty() {
        return Vec::new();
    }
    let root = host.root(process);
    let mut keys = Vec::new();
    for (to, sending) in &actor.sendings {
        let outside = leaves(config, to, sending);
        let asked = sending.asked_since(0).next().is_some();
        for (store, from_others) in &stores {
            let chain = (outside && *from_others).then_some(Kind::Chain);
            let kinds = chain.into_iter().chain(asked.then_some(Kind::Dns));
            keys.extend(kinds.map(|kind| GroupKey {
                kind,
                root,
                store: (*store).to_owned(),
                destination: to.clone(),
            }));
        }
    }
    keys
}

/// A process that sent, and what it sent.
#[derive(Clone, Copy)]
struct Sender<'a> {
    key: ProcessKey,
    actor: &'a Actor,
    sending: &'a Sending,
}

/// What one reader handed to the senders.
#[derive(Clone, Copy)]
struct Handed<'a> {
    reading: &'a Reading,
    /// Bytes at most.
    bytes: u64,
    /// When the first of it can have been with a sender, nanoseconds since the Unix epoch.
    first_ns: u64,
    /// The sender that most of it can have come to, and how much.
    widest: (u64, ProcessKey),
    /// What was read from then on counts, nanoseconds since the Unix epoch.
    since_ns: u64,
}

/// A group, weighed.
#[derive(Clone)]
struct Joint<'a> {
    key: &'a GroupKey,
    told: Option<&'a Case>,
    senders: Vec<Sender<'a>>,
    /// Readers that count.
    handed: BTreeMap<ProcessKey, Handed<'a>>,
    begin_ns: u64,
    /// What is known of the destination.
    known: Known,
    /// It is a place where no such program had sent to.
    new_place: bool,
}

impl<'a> Joint<'a> {
    /// A group with all readers whose records can have come to a sender, whenever that was; `None` when there are none. Adds the approved
    /// ways on which some of it went, and when last.
    fn of(
        config: &DetectConfig,
        host: &'a Host,
        key: &'a GroupKey,
        used: &mut BTreeMap<String, u64>,
    ) -> Option<Self> {
        let group = host.group(key)?;
        let told = group.told.as_ref();
        let mut senders: Vec<Sender<'_>> = group
            .senders
            .iter()
            .filter_map(|sender| {
                let actor = host.actor(*sender)?;
                let sending = actor.sendings.get(&key.destination)?;
                Some(Sender {
                    key: *sender,
                    actor,
                    sending,
                })
            })
            .collect();
        let last_sent = senders.iter().map(|sender| sender.sending.last_ns).max()?;
        let window_ns = u64::try_from(config.direct.window.as_nanos()).unwrap_or(u64::MAX);
        let chain = key.kind == Kind::Chain;
        if chain && told.is_none() {
            let begin_ns = last_sent.saturating_sub(window_ns);
            senders.retain(|sender| {
                let own = sender.actor.readings.get(&key.store);
                own.is_none_or(|own| own.taken_since(begin_ns) < config.direct.read_bytes_min)
            });
        }
        let mut all = BTreeMap::new();
        let mut got = BTreeSet::new();
        for sender in &senders {
            for (reader, share) in host.lineage().shares(sender.key, &key.store) {
                let own = reader == sender.key;
                let Some(actor) = host.actor(reader).filter(|_| !(chain && own)) else {
                    continue;
                };
                let Some(reading) = actor.readings.get(&key.store) else {
                    continue;
                };
                if told.is_none() && is_direct(host, key, reader, sender.key) {
                    continue;
                }
                let of_other = (!own).then_some((reader, actor));
                if let Some(way) = approved(config, host, key, of_other, *sender) {
                    used.insert(way.name.clone(), sender.sending.last_ns);
                    continue;
                }
                got.insert(sender.key);
                let handed = all.entry(reader).or_insert(Handed {
                    reading,
                    bytes: 0,
                    first_ns: share.first_ns,
                    widest: (0, sender.key),
                    since_ns: 0,
                });
                handed.bytes = handed.bytes.saturating_add(share.bytes);
                handed.first_ns = handed.first_ns.min(share.first_ns);
                handed.widest = handed.widest.max((share.bytes, sender.key));
            }
        }
        senders.retain(|sender| got.contains(&sender.key));
        let last_read = all.values().map(|handed| handed.reading.last_ns).max()?;
        let begin_ns = last_sent.max(last_read).saturating_sub(window_ns);
        let known = senders
            .iter()
            .map(|sender| listed::look_up(config, &key.destination, sender.sending));
        let known = known.max_by_key(Known::is_listed).unwrap_or_default();
        let new_place = senders
            .iter()
            .any(|sender| first_seen::is_new(sender.sending));
        Some(Self {
            key,
            told,
            senders,
            handed: all,
            begin_ns,
            known,
            new_place,
        })
    }

    /// The group with the readers that count, each with what it has read within reach; `None` when there are none. Once it is told, all count.
    fn within(&self, config: &DetectConfig, host: &Host, reach: Reach) -> Option<Self> {
        let share_min = listed::thresholds(config, &self.known).sent_share_min;
        let window_ns = u64::try_from(config.direct.window.as_nanos()).unwrap_or(u64::MAX);
        let staged_ns = u64::try_from(config.chain.staged.as_nanos()).unwrap_or(u64::MAX);
        let staged_ns = (self.begin_ns.saturating_add(window_ns)).saturating_sub(staged_ns);
        let lay_in_file = |reader, handed: &Handed<'_>| {
            let (_, sender) = handed.widest;
            host.lineage().lay_in_file(&self.key.store, reader, sender)
        };
        let mut group = self.clone();
        group.handed.retain(|reader, handed| {
            let older = handed.reading.first_ns < Some(self.begin_ns);
            handed.since_ns = match (self.told, reach) {
                (Some(_), _) => 0,
                (None, Reach::Staged) if older && lay_in_file(*reader, handed) => {
                    staged_ns.min(self.begin_ns)
                }
                (None, _) => self.begin_ns,
            };
            let taken = handed.reading.taken_since(handed.since_ns);
            let once = handed.reading.once_since(handed.since_ns);
            handed.bytes = handed.bytes.min(taken);
            taken > 0 && handed.bytes as f64 >= share_min * once as f64
        });
        (!group.handed.is_empty()).then_some(group)
    }

    /// True when a reader has read something before the window.
    fn has_older(&self) -> bool {
        let mut readings = self.handed.values().map(|handed| handed.reading);
        readings.any(|reading| reading.first_ns < Some(self.begin_ns))
    }

    /// True when what a reader read before the window counts.
    fn is_staged(&self) -> bool {
        let earlier = |handed: &Handed<'_>| handed.since_ns < self.begin_ns;
        self.told.is_none() && self.handed.values().any(earlier)
    }

    /// What is to be told now, if anything.
    fn next(&self, config: &DetectConfig, host: &Host) -> Option<Case> {
        let figures = self.figures();
        let exited = self
            .senders
            .iter()
            .all(|sender| sender.actor.exited_ns().is_some());
        let settled = exited || self.senders.iter().all(|s| s.sending.all_closed());
        let case = |revision, raised_ns| Case {
            revision,
            raised_ns,
            told: figures,
            settled,
            exited,
        };
        if let Some(told) = self.told {
            let again = tell_again(told, &figures, settled, exited);
            return again.then(|| case(told.revision + 1, told.raised_ns));
        }
        if self.is_told_otherwise(host) {
            return None;
        }
        let over = match self.key.kind {
            Kind::Chain => self.over_thresholds(&self.thresholds(config, figures.records), host),
            Kind::Dns => {
                self.handed_bytes() >= config.dns.bytes && self.names_asked(&config.dns).is_some()
            }
        };
        over.then(|| case(1, host.newest_ns()))
    }

    /// The same lineage has an alert of the other kind.
    fn is_told_otherwise(&self, host: &Host) -> bool {
        let other = GroupKey {
            kind: match self.key.kind {
                Kind::Chain => Kind::Dns,
                Kind::Dns => Kind::Chain,
            },
            ..self.key.clone()
        };
        host.group(&other).is_some_and(|group| group.told.is_some())
    }

    /// Those that hold for what is known of the destination, and for so many records.
    fn thresholds(&self, config: &DetectConfig, records: u64) -> DirectConfig {
        let listed = listed::thresholds(config, &self.known);
        let seen = first_seen::thresholds(config, self.new_place, listed);
        let mut senders = self
            .senders
            .iter()
            .filter_map(|one| one.actor.process.as_ref());
        let forwards = senders.clone().any(tunnel::forwards);
        let through = tunnel::thresholds(config, forwards, seen);
        let gives = self.senders.iter().any(|sender| sender.sending.gives());
        let through = many::thresholds(config, records, gives, through);
        raw::thresholds(config, &self.key.destination, senders.next(), through)
    }

    fn over_thresholds(&self, config: &DirectConfig, host: &Host) -> bool {
        let sum = |of: fn(&Reading, u64) -> u64| {
            let each = self.handed.values();
            each.fold(0, |sum: u64, one| {
                sum.saturating_add(of(one.reading, one.since_ns))
            })
        };
        let (taken, once) = (sum(Reading::taken_since), sum(Reading::once_since));
        let handed = self.handed_bytes().min(self.incoming(host));
        let sent = self.sent_since(self.begin_ns);
        let enough = |bytes: u64| {
            bytes >= config.sent_bytes_min && bytes as f64 >= config.sent_share_min * once as f64
        };
        taken >= config.read_bytes_min && enough(handed) && enough(sent)
    }

    /// What has leaked that no alert tells of, and what of that is new. Readers and senders come and go within the window, so each has a mark
    /// of its own.
    fn leak(&self, config: &DetectConfig, host: &Host) -> Option<(Marks, slow::News)> {
        let before = &host.group(self.key)?.leaked;
        let gives = self.senders.iter().any(|sender| sender.sending.gives());
        let quiet = self.told.is_none() && self.key.kind == Kind::Chain;
        if !quiet || !gives || self.is_told_otherwise(host) {
            return None;
        }
        let (marks, handed, sent) = self.marks(before);
        let figures = self.figures();
        let whole = Leaked {
            bytes: (figures.bytes_sent)
                .min(self.handed_bytes())
                .min(self.incoming(host)),
            taken: figures.bytes_taken(),
            ..Leaked::default()
        };
        let leaked = Leaked {
            bytes: handed.bytes.min(sent),
            times: 1,
            ..handed
        };
        if leaked.bytes == 0 || !slow::is_enough(config, whole) {
            return None;
        }
        let last_ns = (self.senders.iter())
            .map(|sender| sender.sending.last_ns)
            .max()?;
        let news = slow::News {
            sender: self.main().1.key,
            store: self.key.store.clone(),
            to: self.key.destination.clone(),
            span_ns: (self.arrived_ns(), last_ns),
            leaked,
        };
        Some((marks, news))
    }

    /// How far readers and senders are now, and what of that is new: handed on, and sent.
    fn marks(&self, before: &Marks) -> (Marks, Leaked, u64) {
        let mut marks = Marks::default();
        let mut handed = Leaked::default();
        for (reader, one) in &self.handed {
            let now = Leaked {
                bytes: one.bytes,
                taken: one.reading.taken_since(0),
                records: one.reading.records_known(),
                times: 1,
            };
            let known = before.handed.get(reader).copied().unwrap_or_default();
            handed.add(now.since(known));
            marks.handed.insert(*reader, now);
        }
        let mut sent = 0_u64;
        for sender in &self.senders {
            let now = sender.sending.sent_since(0);
            let since = sender.sending.sent_since(self.arrived_ns());
            let known = before.sent.get(&sender.key);
            sent = sent.saturating_add(known.map_or(since, |known| now.saturating_sub(*known)));
            marks.sent.insert(sender.key, now);
        }
        (marks, handed, sent)
    }

    /// Bytes that can have come from the readers.
    fn handed_bytes(&self) -> u64 {
        let handed = self.handed.values().map(|handed| handed.bytes);
        handed.fold(0, u64::saturating_add)
    }

    /// Bytes that have come to the senders, whatever they were.
    fn incoming(&self, host: &Host) -> u64 {
        let senders = self.senders.iter();
        senders.fold(0, |sum, sender| {
            sum.saturating_add(host.lineage().incoming(sender.key))
        })
    }

    /// The domain that was asked for most of what looks like data, if that is enough to tell.
    fn names_asked(&self, config: &DnsConfig) -> Option<dns::Asked> {
        let since = self.arrived_ns().max(self.begin_ns);
        dns::most_asked(
            config,
            self.senders
                .iter()
                .flat_map(|sender| sender.sending.asked_since(since)),
        )
    }

    /// Bytes sent since records can have been there.
    fn sent_since(&self, begin_ns: u64) -> u64 {
        let begin = self.arrived_ns().max(begin_ns);
        self.senders.iter().fold(0, |sum, sender| {
            sum.saturating_add(sender.sending.sent_since(begin))
        })
    }

    /// First moment at which a record can have been with a sender.
    fn arrived_ns(&self) -> u64 {
        let moments = self.handed.values().map(|handed| handed.first_ns);
        moments.min().unwrap_or(0)
    }

    fn figures(&self) -> Figures {
        let readings = || self.handed.values().map(|handed| handed.reading);
        // Of those that are no longer told apart some may be the others'.
        let most = readings().map(Reading::records_known).max().unwrap_or(0);
        let records = if self.handed.len() == 1 {
            most
        } else {
            let records = readings().flat_map(Reading::records);
            most.max(records.collect::<BTreeSet<&RecordId>>().len() as u64)
        };
        let sum = |of: fn(&Reading) -> u64| readings().map(of).fold(0, u64::saturating_add);
        Figures {
            records,
            bytes_read: sum(|reading| reading.bytes_read),
            bytes_mapped: sum(|reading| reading.bytes_mapped),
            bytes_sent: self.sent_since(0),
        }
    }

    /// The approved ways that the main reader and sender have missed by one thing.
    fn almost(&self, config: &DetectConfig, host: &Host) -> Vec<String> {
        let (reader, sender) = self.main();
        let other = host.actor(reader).filter(|_| reader != sender.key);
        let other = other.map(|actor| (reader, actor));
        let told = |way| {
            let actor = named_by(way, host, other, sender)?;
            let sent = sent(self.key, actor, sender);
            let bytes = |way: &_, since| sent_for(host, way, (self.key, actor, sender), since);
            almost(std::iter::once(way), sent, bytes).pop()
        };
        config
            .approved
            .iter()
            .filter_map(told)
            .take(ALMOST_MAX)
            .collect()
    }

    /// The sender to whom most can have come, and the reader it came from.
    fn main(&self) -> (ProcessKey, Sender<'a>) {
        let widest = self
            .handed
            .iter()
            .max_by_key(|(reader, handed)| (handed.bytes, std::cmp::Reverse(**reader)));
        let reader = widest.map_or(self.key.root, |(reader, _)| *reader);
        let of = widest.map(|(_, handed)| handed.widest.1);
        let sender = self.senders.iter().find(|sender| Some(sender.key) == of);
        (reader, *sender.unwrap_or(&self.senders[0]))
    }
}

/// True when *direct* answers for what this reader took and this destination.
fn is_direct(host: &Host, key: &GroupKey, reader: ProcessKey, sender: ProcessKey) -> bool {
    let case = (key.store.clone(), key.destination.clone());
    [reader, sender].iter().any(|process| {
        host.actor(*process)
            .is_some_and(|actor| actor.cases.contains_key(&case))
    })
}

/// The way by which the hospital lets this sender send there what this reader reads; `None`: what it reads itself.
fn approved<'a>(
    config: &'a DetectConfig,
    host: &Host,
    key: &GroupKey,
    reader: Option<(ProcessKey, &Actor)>,
    sender: Sender<'_>,
) -> Option<&'a ApprovedWay> {
    config.approved.iter().find(|way| {
        let Some(actor) = named_by(way, host, reader, sender) else {
            return false;
        };
        let sent = sent(key, actor, sender);
        covers(way, sent, |since| {
            sent_for(host, way, (key, actor, sender), since)
        })
    })
}

/// The process that has to be the way's executable, if the way is about such a reader. A program that has another send for it,
/// as `rsync` has `ssh`, is approved by its own name: the other is started by it.
fn named_by<'a>(
    way: &ApprovedWay,
    host: &Host,
    reader: Option<(ProcessKey, &'a Actor)>,
    sender: Sender<'a>,
) -> Option<&'a Actor> {
    match (reader, &way.reader) {
        (None, None) => Some(sender.actor),
        (None, Some(_)) => None,
        (Some((reader, actor)), None) => host.descends(sender.key, reader).then_some(actor),
        (Some((_, actor)), Some(wanted)) => {
            let process = actor.process.as_ref().filter(|_| actor.programs.is_one())?;
            (process.executable == *wanted).then_some(sender.actor)
        }
    }
}

fn sent<'a>(key: &'a GroupKey, actor: &'a Actor, sender: Sender<'a>) -> Sent<'a> {
    Sent {
        actor,
        store: &key.store,
        to: &key.destination,
        last_ns: sender.sending.last_ns,
    }
}

/// Bytes that went over a way since a moment: what its executable sent, or else what those sent that it has send, as far as they
/// are of this lineage.
fn sent_for(
    host: &Host,
    way: &ApprovedWay,
    (key, named, sender): (&GroupKey, &Actor, Sender<'_>),
    since: u64,
) -> u64 {
    let own = sent_over(host, way, since);
    if std::ptr::eq(named, sender.actor) {
        return own;
    }
    let senders = host.group(key).into_iter().flat_map(|group| &group.senders);
    senders
        .filter_map(|sender| host.actor(*sender)?.sendings.get(&key.destination))
        .fold(own, |sum, sending| {
            sum.saturating_add(sending.sent_since(since))
        })
}
