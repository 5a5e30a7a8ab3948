//! What the alert of a chain says: the path, who is on it, and by which techniques.

use std::collections::BTreeSet;

use super::techniques::techniques;
use super::{Handed, Joint, NAME, Sender, VERSION};
use crate::config::{ChainConfig, DetectConfig, DirectConfig};
use crate::detect::alert::{self, Alert, AtLeast, Link, Path, Place, Step};
use crate::detect::host::{Case, Host, Kind};
use crate::detect::lineage::{Hop, Node, Way};
use crate::detect::pattern::leaving::exfiltration;
use crate::detect::pattern::{dns, first_seen, listed, service};
use crate::detect::{evidence, limits, severity, story};
use crate::event::{FlowName, Gap, NameSource, ProcessKey, RecordName};
use crate::intel::Known;
use crate::text;

impl Joint<'_> {
    pub(super) fn alert(&self, config: &DetectConfig, host: &Host, case: &Case) -> Alert {
        let (reader, sender) = self.main();
        let to = &self.key.destination;
        let first_ns = self
            .handed
            .values()
            .filter_map(|handed| handed.reading.first_ns)
            .min()
            .unwrap_or_default();
        let last_ns = self
            .handed
            .values()
            .map(|handed| handed.reading.last_ns)
            .chain(self.senders.iter().map(|sender| sender.sending.last_ns))
            .max()
            .unwrap_or(first_ns);
        let gaps: Vec<Gap> = host.gaps_within(first_ns, last_ns).cloned().collect();
        let at_least = self.at_least(host, &gaps);
        let chain = evidence::chain(host, sender.key, sender.actor);
        let path = self.path(host, &chain);
        let opened = self.senders.iter().min_by_key(|s| s.sending.opened_ns);
        let leaving = exfiltration(
            to,
            opened.unwrap_or(&sender).sending,
            first_ns,
            sender.actor.process.as_ref(),
        );
        let readings = self.handed.values().map(|handed| handed.reading);
        let collected = service::collection(readings, service::was_asked(host, &path));
        let asked = self
            .names_asked(&config.dns)
            .filter(|_| self.key.kind == Kind::Dns);
        let (name, measured_by) = match self.key.kind {
            Kind::Chain => {
                let thresholds = self.thresholds(config, case.told.records);
                (NAME, measured_by(&thresholds, &config.chain))
            }
            Kind::Dns => (dns::NAME, dns::measured_by(config)),
        };
        let called = asked.as_ref().map(|asked| FlowName {
            source: NameSource::Question,
            name: asked.domain.clone(),
        });
        let leaving = match self.key.kind {
            Kind::Chain => leaving,
            Kind::Dns => dns::TECHNIQUES.to_vec(),
        };
        let techniques = techniques(&path, &chain, collected, leaving);
        let mut alert = Alert {
            id: alert::id(
                name,
                host.origin(),
                self.key.root,
                &self.key.store,
                Some(to),
            ),
            revision: case.revision,
            pattern: name,
            pattern_version: VERSION,
            settled: case.settled,
            raised_ns: case.raised_ns,
            revised_ns: host.newest_ns(),
            first_ns,
            last_ns,
            origin: host.origin().clone(),
            severity: severity::judge(&how(&path), &case.told, to, &at_least, &chain),
            store: self.key.store.clone(),
            figures: case.told,
            bytes_received: self.senders.iter().fold(0, |sum, sender| {
                sum.saturating_add(sender.sending.received())
            }),
            flows: self.senders.iter().map(|s| s.sending.flows_seen).sum(),
            at_least,
            names: self.names(),
            techniques,
            chain,
            path,
            destination: Some(to.clone()),
            destination_name: called.or_else(|| sender.sending.name.clone()),
            attempts: Vec::new(),
            gaps: gaps.into_iter().take(limits::GAPS_SHOWN).collect(),
            measured_by,
            known: Known::default(),
            almost: self.almost(config, host),
            story: String::new(),
            next_steps: Vec::new(),
        };
        let hops = host.lineage().path(&self.key.store, reader, sender.key);
        let way: Vec<Step> = hops.iter().map(|hop| step(host, hop)).collect();
        alert.story = story::handed_on(&alert, to, &way, (self.handed.len(), self.senders.len()));
        if let Some(asked) = asked {
            alert.story.push(' ');
            alert.story.push_str(&asked.told());
        }
        alert.next_steps = story::next_steps(&alert, to);
        listed::tell(&mut alert, self.known.clone());
        first_seen::tell(&mut alert, self.new_place);
        alert
    }

    fn names(&self) -> Vec<RecordName> {
        let names = self.handed.values().flat_map(|h| h.reading.names.iter());
        names.take(limits::NAMES_SHOWN).cloned().collect()
    }

    fn at_least(&self, host: &Host, gaps: &[Gap]) -> Vec<AtLeast> {
        let forgotten = host.forgotten();
        let several = self.handed.len() > 1;
        let not_told_apart = self.handed.values().map(|handed| {
            let let_go = if several { handed.reading.let_go } else { 0 };
            handed.reading.not_told_apart.saturating_add(let_go)
        });
        let not_told_apart = not_told_apart.fold(0, u64::saturating_add);
        let destinations = self
            .senders
            .iter()
            .map(|sender| sender.actor.destinations_forgotten)
            .sum::<u64>()
            .saturating_add(forgotten.groups);
        evidence::lower_bounds(
            gaps,
            &[
                (not_told_apart, AtLeast::Records as fn(u64) -> AtLeast),
                (forgotten.processes, AtLeast::Processes),
                (destinations, AtLeast::Destinations),
                (host.lineage().forgotten(), AtLeast::Steps),
                (forgotten.gaps, AtLeast::GapsForgotten),
            ],
        )
    }

    /// From the store through all readers and senders to the destination. A step that several paths share is there once.
    fn path(&self, host: &Host, chain: &[Link]) -> Path {
        let mut steps: Vec<Step> = Vec::new();
        let mut add = |step: Step| {
            let known = |other: &Step| {
                (&other.from, &other.to, other.way) == (&step.from, &step.to, step.way)
            };
            if !steps.iter().any(known) {
                steps.push(step);
            }
        };
        let (main_reader, main_sender) = self.main();
        let mut readers: Vec<(&ProcessKey, &Handed<'_>)> = self.handed.iter().collect();
        readers.sort_by_key(|(key, handed)| {
            (**key != main_reader, std::cmp::Reverse(handed.bytes), **key)
        });
        let mut senders: Vec<&Sender<'_>> = self.senders.iter().collect();
        senders.sort_by_key(|sender| (sender.key != main_sender.key, sender.key));
        let mut processes = BTreeSet::new();
        let mut left_out = 0;
        for (reader, handed) in readers.iter().take(limits::STEPS_SHOWN) {
            processes.insert(**reader);
            add(Step {
                from: Place::Store,
                to: Place::Process(**reader),
                way: "read",
                bytes: Some(handed.reading.taken_since(0)),
                first_ns: handed.reading.first_ns.unwrap_or_default(),
                last_ns: handed.reading.last_ns,
            });
            for sender in senders.iter().take(limits::STEPS_SHOWN) {
                for hop in host.lineage().path(&self.key.store, **reader, sender.key) {
                    add(step(host, &hop));
                }
            }
        }
        for sender in senders.iter().take(limits::STEPS_SHOWN) {
            add(Step {
                from: Place::Process(sender.key),
                to: Place::Destination,
                way: "sent",
                bytes: Some(sender.sending.sent_since(self.arrived_ns())),
                first_ns: sender.sending.opened_ns,
                last_ns: sender.sending.last_ns,
            });
        }
        left_out += readers.len().saturating_sub(limits::STEPS_SHOWN);
        left_out += senders.len().saturating_sub(limits::STEPS_SHOWN);
        left_out += steps.len().saturating_sub(limits::STEPS_SHOWN);
        steps.truncate(limits::STEPS_SHOWN);
        for step in &steps {
            for place in [&step.from, &step.to] {
                if let Place::Process(key) = place {
                    processes.insert(*key);
                }
            }
        }
        Path {
            processes: with_ancestors(host, &processes, chain),
            steps,
            more: left_out as u64,
        }
    }
}

/// A step of the lineage as evidence.
fn step(host: &Host, hop: &Hop) -> Step {
    let place = |node| match node {
        Node::Process(key) => Place::Process(key),
        Node::Carrier(key) => Place::Carrier(host.lineage().carrier(key)),
    };
    Step {
        from: place(hop.from),
        to: place(hop.to),
        way: match hop.way {
            Way::Start => "start",
            Way::Edge(kind) => kind.name(),
        },
        bytes: hop.bytes,
        first_ns: hop.first_ns,
        last_ns: hop.last_ns,
    }
}

/// The processes and their ancestors, each once, without those of the alert's own chain.
fn with_ancestors(host: &Host, processes: &BTreeSet<ProcessKey>, chain: &[Link]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for key in processes {
        let Some(actor) = host.actor(*key) else {
            continue;
        };
        for link in evidence::chain(host, *key, actor) {
            let known = |other: &Link| other.key == link.key;
            if !chain.iter().any(known) && !links.iter().any(known) {
                links.push(link);
            }
        }
    }
    links
}

/// Why it is thought that what was sent is what was read.
fn how(path: &Path) -> String {
    let between = path
        .steps
        .iter()
        .filter(|step| step.from != Place::Store && step.to != Place::Destination);
    if between.clone().next().is_none() {
        return evidence::ONE_PROCESS.to_owned();
    }
    let narrowest = between
        .clone()
        .filter_map(|step| step.bytes)
        .min()
        .map_or(String::new(), |bytes| {
            format!(", the narrowest of which {} went over", text::bytes(bytes))
        });
    format!(
        "What was read went through {} from process to process to what was sent{narrowest}.",
        text::count(between.count() as u64, "step"),
    )
}

fn measured_by(config: &DirectConfig, chain: &ChainConfig) -> String {
    format!(
        "within {} ({} for what lay in a file in between): at least {} of one store read, and at least {} and {} % of what was read both handed on, by the narrowest \
         step, and sent by one lineage to one destination that is no approved way",
        text::duration(u64::try_from(config.window.as_nanos()).unwrap_or(u64::MAX)),
        text::duration(u64::try_from(chain.staged.as_nanos()).unwrap_or(u64::MAX)),
        text::bytes(config.read_bytes_min),
        text::bytes(config.sent_bytes_min),
        config.sent_share_min * 100.0,
    )
}
