//! *Direct* (R1): one process reads records of a store and sends to a destination that is no approved way.
//!
//! It fires when, within one window that ends with the latest of the two, the process took at least `read_bytes_min`
//! bytes of a store's records and sent at least `max(sent_bytes_min, sent_share_min × those bytes)` to one destination.
//! Sensors report sums, so which of the two is heard of first means nothing; but what was sent before the first record
//! was read cannot have been a record and does not count. Loopback and the host's own addresses are not "leaving". Files on what can
//! be taken out, on an image that is mounted and on other machines (`detect.media`) are destinations as connections are: each such
//! file system is one.
//!
//! An alert is told again when records, bytes read or bytes sent have doubled, when its last flow is closed, and when
//! the process has exited; after that, whenever late events still change it.
//!
//! False positives: transfers between archives and viewers, backups in one program: approve store, executable, user and destination.
//!
//! ATT&CK: T1005 (Data from Local System) or T1213 (Data from Information Repositories, see `service`), and how it left (see `leaving`): T1041 over
//! a flow that stood for something else before, T1048.002 encrypted, T1048.003 in the clear, else T1048.

use crate::config::{ApprovedWay, DetectConfig, DirectConfig};
use crate::detect::alert::{Alert, Destination, Figures};
use crate::detect::evidence::{self, Evidence};
use crate::detect::host::{Actor, Case, Host, Reading, Sending};
use crate::event::ProcessKey;
use crate::intel::Known;
use crate::text;

use super::approval::{Sent, almost, covers, sent_by, sent_over};
use super::leaving::{ENCRYPTED, OVER_C2, OVER_OTHER, exfiltration};
use super::media::leaves;
use super::service::{LOCAL_DATA, collection};
use super::{About, dns, first_seen, listed, many, raw};

/// Short name of the pattern.
pub(in crate::detect) const NAME: &str = "direct";
/// Moves when the meaning of the pattern changes.
pub(in crate::detect) const VERSION: u32 = 1;

pub(super) const ABOUT: About = About {
    rule: "R1",
    name: NAME,
    catches: "one process reads records and sends them to a destination that is no approved way",
    alert: "its own",
    thresholds: |config| {
        let window = (
            "direct.window_seconds",
            config.direct.window.as_secs().to_string(),
        );
        thresholds_of(&config.direct)
            .into_iter()
            .chain([window])
            .collect()
    },
    techniques: &[
        LOCAL_DATA,
        OVER_C2,
        ENCRYPTED,
        dns::TECHNIQUES[0],
        OVER_OTHER,
    ],
    quiet: "approved ways: store, executable, user, destination, and hours and bytes where they are foreseen",
};

/// Thresholds of bytes, as they are told.
pub(super) fn thresholds_of(config: &DirectConfig) -> Vec<(&'static str, String)> {
    vec![
        ("direct.read_bytes_min", config.read_bytes_min.to_string()),
        ("direct.sent_bytes_min", config.sent_bytes_min.to_string()),
        ("direct.sent_share_min", config.sent_share_min.to_string()),
    ]
}

/// Looks at each store the process read and each destination it sent to.
pub(in crate::detect) fn judge(
    config: &DetectConfig,
    host: &Host,
    key: ProcessKey,
    actor: &mut Actor,
    alerts: &mut Vec<Alert>,
) {
    let mut cases = std::mem::take(&mut actor.cases);
    for (store, reading) in &actor.readings {
        let Some(first_ns) = reading.first_ns else {
            continue;
        };
        for (destination, sending) in &actor.sendings {
            let pair = Pair {
                store,
                reading,
                destination,
                sending,
                first_ns,
            };
            let case_key = (store.clone(), destination.clone());
            let Some(case) = pair.next(config, host, actor, cases.get(&case_key)) else {
                continue;
            };
            alerts.push(pair.alert(config, host, key, actor, &case));
            cases.insert(case_key, case);
        }
    }
    actor.cases = cases;
}

/// A store a process read and a destination it sent to.
struct Pair<'a> {
    store: &'a str,
    reading: &'a Reading,
    destination: &'a Destination,
    sending: &'a Sending,
    /// First touch of a record.
    first_ns: u64,
}

impl Pair<'_> {
    /// What is to be told now, if anything.
    fn next(
        &self,
        config: &DetectConfig,
        host: &Host,
        actor: &Actor,
        told: Option<&Case>,
    ) -> Option<Case> {
        let figures = self.figures();
        let exited = actor.exited_ns().is_some();
        let settled = exited || self.sending.all_closed();
        if let Some(case) = told {
            let again = tell_again(case, &figures, settled, exited);
            let revision = case.revision + 1;
            return again.then_some(Case {
                revision,
                raised_ns: case.raised_ns,
                told: figures,
                settled,
                exited,
            });
        }
        let fires = leaves(config, self.destination, self.sending)
            && self.over_thresholds(&self.thresholds(config, actor))
            && approved(config, host, actor, self.store, self.destination).is_none();
        fires.then_some(Case {
            revision: 1,
            raised_ns: host.newest_ns(),
            told: figures,
            settled,
            exited,
        })
    }

    fn known(&self, config: &DetectConfig) -> Known {
        listed::look_up(config, self.destination, self.sending)
    }

    /// Those that hold for what is known of the destination.
    fn thresholds(&self, config: &DetectConfig, actor: &Actor) -> DirectConfig {
        let listed = listed::thresholds(config, &self.known(config));
        let seen = first_seen::thresholds(config, first_seen::is_new(self.sending), listed);
        let (records, gives) = (self.reading.records_known(), self.sending.gives());
        let many = many::thresholds(config, records, gives, seen);
        raw::thresholds(config, self.destination, actor.process.as_ref(), many)
    }

    /// Everything since the first record was read.
    fn figures(&self) -> Figures {
        Figures {
            records: self.reading.records_known(),
            bytes_read: self.reading.bytes_read,
            bytes_mapped: self.reading.bytes_mapped,
            bytes_sent: self.sending.sent_since(self.first_ns),
        }
    }

    /// True when enough was read and enough was sent in the window that ends now.
    fn over_thresholds(&self, config: &DirectConfig) -> bool {
        let now = self.reading.last_ns.max(self.sending.last_ns);
        let window_ns = u64::try_from(config.window.as_nanos()).unwrap_or(u64::MAX);
        let begin = now.saturating_sub(window_ns);
        let taken = self.reading.taken_since(begin);
        let sent = self.sending.sent_since(begin.max(self.first_ns));
        taken >= config.read_bytes_min
            && sent >= config.sent_bytes_min
            && sent as f64 >= config.sent_share_min * self.reading.once_since(begin) as f64
    }

    fn alert(
        &self,
        config: &DetectConfig,
        host: &Host,
        key: ProcessKey,
        actor: &Actor,
        case: &Case,
    ) -> Alert {
        let Self {
            store,
            reading,
            destination,
            sending,
            first_ns,
        } = *self;
        let evidence = Evidence {
            host,
            key,
            actor,
            store,
            reading,
            destination,
            sending,
            case,
            first_ns,
        };
        let mut techniques = vec![collection(std::iter::once(reading), false)];
        let process = actor.process.as_ref();
        techniques.extend(exfiltration(destination, sending, first_ns, process));
        let mut alert = evidence::alert(
            (NAME, VERSION),
            &evidence,
            techniques,
            measured_by(&self.thresholds(config, actor)),
        );
        listed::tell(&mut alert, self.known(config));
        first_seen::tell(&mut alert, first_seen::is_new(sending));
        alert.severity.reasons.extend(self.over_other_ports(actor));
        if let Some(sent) = sent(actor, store, destination) {
            alert.almost = almost(ways(config), sent, |way, since| {
                sent_of(host, actor, way, since)
            });
        }
        alert
    }

    /// A word about what went to the same address by other connections, if that is more: FTP tells over one what it sends over others.
    fn over_other_ports(&self, actor: &Actor) -> Option<String> {
        let to = self.destination;
        let others = actor.sendings.iter().filter(|(other, _)| {
            *other != to && to.disk.is_none() && other.disk.is_none() && other.address == to.address
        });
        let sent = others.fold(0, |sum: u64, (_, sending)| {
            sum.saturating_add(sending.sent_since(self.first_ns))
        });
        (sent > self.figures().bytes_sent).then(|| {
            format!(
                "To the same address went another {} over other ports: what is counted here may only have been the talk about it.",
                text::bytes(sent)
            )
        })
    }
}

/// The way by which the hospital lets this process send there what it reads of a store.
pub(super) fn approved<'a>(
    config: &'a DetectConfig,
    host: &Host,
    actor: &Actor,
    store: &str,
    to: &Destination,
) -> Option<&'a ApprovedWay> {
    let sent = sent(actor, store, to)?;
    ways(config).find(|way| covers(way, sent, |since| sent_of(host, actor, way, since)))
}

fn sent<'a>(actor: &'a Actor, store: &'a str, to: &'a Destination) -> Option<Sent<'a>> {
    Some(Sent {
        actor,
        store,
        to,
        last_ns: actor.sendings.get(to)?.last_ns,
    })
}

/// The ways by which a program sends what it reads itself.
fn ways(config: &DetectConfig) -> impl Iterator<Item = &ApprovedWay> {
    config.approved.iter().filter(|way| way.reader.is_none())
}

/// Bytes that went over a way since a moment; the process itself is not among the host's while it is judged.
fn sent_of(host: &Host, actor: &Actor, way: &ApprovedWay, since_ns: u64) -> u64 {
    sent_over(host, way, since_ns).saturating_add(sent_by(actor, way, since_ns))
}

/// True when there is enough news for another revision.
pub(super) fn tell_again(case: &Case, figures: &Figures, settled: bool, exited: bool) -> bool {
    let first_settled = settled && !case.settled;
    let first_exited = exited && !case.exited;
    let late_news = exited && *figures != case.told;
    first_settled || first_exited || late_news || figures.doubled(&case.told)
}

fn measured_by(config: &DirectConfig) -> String {
    format!(
        "within {}: at least {} of one store read, and at least {} and {} % of what was read sent to one destination \
         that is no approved way",
        text::duration(u64::try_from(config.window.as_nanos()).unwrap_or(u64::MAX)),
        text::bytes(config.read_bytes_min),
        text::bytes(config.sent_bytes_min),
        config.sent_share_min * 100.0,
    )
}
