//! Puts an alert together from what is known of the host at this moment.

use super::alert::{self, Alert, AtLeast, Destination, Figures, Link, Technique};
use super::host::{Actor, Case, Host, Reading, Sending};
use super::{limits, severity, story};
use crate::event::{Gap, ProcessKey};
use crate::intel::Known;

/// Why it is certain that what was sent is what was read.
pub(super) const ONE_PROCESS: &str =
    "One process both read the records and sent the data: no carrier in between has to be assumed.";

/// What an alert is made from.
pub(super) struct Evidence<'a> {
    pub(super) host: &'a Host,
    pub(super) key: ProcessKey,
    /// The process, which is not among the host's while it is judged.
    pub(super) actor: &'a Actor,
    pub(super) store: &'a str,
    pub(super) reading: &'a Reading,
    pub(super) destination: &'a Destination,
    pub(super) sending: &'a Sending,
    pub(super) case: &'a Case,
    /// First touch of a record.
    pub(super) first_ns: u64,
}

/// The alert as it stands now.
pub(super) fn alert(
    (pattern, pattern_version): (&'static str, u32),
    evidence: &Evidence<'_>,
    techniques: Vec<Technique>,
    measured_by: String,
) -> Alert {
    let Evidence {
        host,
        case,
        reading,
        sending,
        ..
    } = evidence;
    let last_ns = reading.last_ns.max(sending.last_ns);
    let gaps: Vec<Gap> = host
        .gaps_within(evidence.first_ns, last_ns)
        .cloned()
        .collect();
    let at_least = at_least(evidence, &gaps);
    let chain = chain(host, evidence.key, evidence.actor);
    let figures: Figures = case.told;
    let severity = severity::judge(
        ONE_PROCESS,
        &figures,
        evidence.destination,
        &at_least,
        &chain,
    );
    let mut alert = Alert {
        id: alert::id(
            pattern,
            host.origin(),
            evidence.key,
            evidence.store,
            Some(evidence.destination),
        ),
        revision: case.revision,
        pattern,
        pattern_version,
        settled: case.settled,
        raised_ns: case.raised_ns,
        revised_ns: host.newest_ns(),
        first_ns: evidence.first_ns,
        last_ns,
        origin: host.origin().clone(),
        severity,
        store: evidence.store.to_owned(),
        figures,
        bytes_received: sending.received(),
        flows: sending.flows_seen,
        at_least,
        names: reading.names.clone(),
        chain,
        path: alert::Path::default(),
        destination: Some(evidence.destination.clone()),
        destination_name: sending.name.clone(),
        attempts: Vec::new(),
        techniques,
        gaps: gaps.into_iter().take(limits::GAPS_SHOWN).collect(),
        measured_by,
        known: Known::default(),
        almost: Vec::new(),
        story: String::new(),
        next_steps: Vec::new(),
    };
    alert.story = story::paragraph(&alert, evidence.destination);
    alert.next_steps = story::next_steps(&alert, evidence.destination);
    alert
}

/// What an alert is made from that is about more than one process and destination.
pub(super) struct Plain<'a> {
    pub(super) host: &'a Host,
    /// Who was last at it.
    pub(super) process: (ProcessKey, &'a Actor),
    pub(super) store: &'a str,
    /// First and last time, nanoseconds since the Unix epoch.
    pub(super) span_ns: (u64, u64),
}

impl Plain<'_> {
    /// The alert with its evidence; whoever makes it says how bad it is, how much, and where to.
    pub(super) fn alert(
        &self,
        (pattern, pattern_version): (&'static str, u32),
        story: String,
    ) -> Alert {
        let (first_ns, last_ns) = self.span_ns;
        let gaps: Vec<Gap> = (self.host.gaps_within(first_ns, last_ns))
            .cloned()
            .collect();
        let forgotten = self.host.forgotten();
        let counted: [Counted; 2] = [
            (forgotten.processes, AtLeast::Processes),
            (forgotten.gaps, AtLeast::GapsForgotten),
        ];
        let (key, actor) = self.process;
        Alert {
            id: uuid::Uuid::nil(),
            revision: 0,
            pattern,
            pattern_version,
            settled: false,
            raised_ns: 0,
            revised_ns: self.host.newest_ns(),
            first_ns,
            last_ns,
            origin: self.host.origin().clone(),
            severity: alert::Severity {
                level: alert::Level::Low,
                confidence: alert::Confidence::Medium,
                reasons: Vec::new(),
            },
            store: self.store.to_owned(),
            figures: Figures::default(),
            bytes_received: 0,
            flows: 0,
            at_least: lower_bounds(&gaps, &counted),
            names: Vec::new(),
            chain: chain(self.host, key, actor),
            path: alert::Path::default(),
            destination: None,
            destination_name: None,
            attempts: Vec::new(),
            techniques: Vec::new(),
            gaps: gaps.into_iter().take(limits::GAPS_SHOWN).collect(),
            measured_by: String::new(),
            known: Known::default(),
            almost: Vec::new(),
            story,
            next_steps: Vec::new(),
        }
    }
}

fn at_least(evidence: &Evidence<'_>, gaps: &[Gap]) -> Vec<AtLeast> {
    let forgotten = evidence.host.forgotten();
    lower_bounds(
        gaps,
        &[
            (
                evidence.reading.not_told_apart,
                AtLeast::Records as fn(u64) -> AtLeast,
            ),
            (forgotten.processes, AtLeast::Processes),
            (evidence.actor.destinations_forgotten, AtLeast::Destinations),
            (forgotten.gaps, AtLeast::GapsForgotten),
        ],
    )
}

/// How many were forgotten, and the reason that is.
pub(super) type Counted = (u64, fn(u64) -> AtLeast);

/// Why figures are lower bounds: losses, and what was forgotten.
pub(super) fn lower_bounds(gaps: &[Gap], counted: &[Counted]) -> Vec<AtLeast> {
    let lost = (!gaps.is_empty()).then_some(AtLeast::Gaps);
    let forgotten = counted.iter().filter(|(count, _)| *count > 0);
    lost.into_iter()
        .chain(forgotten.map(|(count, reason)| reason(*count)))
        .collect()
}

/// The process and its ancestors, as far as the sensor told of them. A parent that cannot be followed further is still
/// named.
pub(super) fn chain(host: &Host, key: ProcessKey, actor: &Actor) -> Vec<Link> {
    let mut links = vec![Link {
        key,
        process: actor.process.clone(),
        earlier: actor.programs.earlier(),
    }];
    let mut next = actor.process.as_ref().and_then(|process| process.parent);
    while let Some(key) =
        next.filter(|key| links.len() < limits::CHAIN && links.iter().all(|link| link.key != *key))
    {
        let process = host.actor(key).and_then(|actor| actor.process.clone());
        next = process.as_ref().and_then(|process| process.parent);
        links.push(Link {
            key,
            process,
            earlier: Vec::new(),
        });
    }
    links
}
