//! Open flows of processes that hold records, and their totals at each tick.
//!
//! TCP flows begin and end by what the programs say; between the two the sensor has their counters looked at. UDP flows
//! stand in a map and end when they have been still for long.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use sensor_ebpf::layout::flow::DatagramKey;
use sensor_ebpf::layout::news::News;

use super::names::Names;
use crate::decode;
use crate::event::{Event, Flow, FlowName, NameSource, Naming, ProcessKey, What};
use crate::load::{AttemptError, Kernel};

/// TCP flows whose counters are looked at in one tick; with more, each gets its turn.
const LOOKS_MAX: usize = 100;
/// A UDP flow this long without a datagram is over, nanoseconds.
const STILL_NS: u64 = 30_000_000_000;

/// What is known of open flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    tcp: BTreeMap<u64, Flow>,
    udp: HashMap<u64, Flow>,
    /// The cookie after which the next tick goes on.
    turn: u64,
    /// Datagrams that the programs had added up when UDP flows were last looked through, and when that was.
    datagrams: u64,
    /// UDP flows that the programs had told to have begun then.
    news: u64,
    /// When the first of them is over unless more of its datagrams come.
    over_ns: u64,
    /// Flows whose socket is gone without the programs having said so yet.
    missing: HashSet<u64>,
    names: Names,
    /// Names that flows said which were not known then, and when. As many as one tick's ring holds.
    unplaced: Vec<(u64, u64, FlowName)>,
}

impl Flows {
    /// The programs said that a flow began or ended.
    pub(super) fn said(&mut self, flow: &Flow) {
        if flow.closed {
            self.tcp.remove(&flow.id);
            self.missing.remove(&flow.id);
        } else {
            self.tcp.insert(flow.id, flow.clone());
        }
    }

    /// A conversation said a name. One conversation may say many, so each is told by an event of its own; those of a
    /// flow that is not known yet when it is.
    pub(super) fn heard(&mut self, naming: Naming, boot_ns: u64, events: &mut Vec<Event>) {
        let id = naming.flow;
        let Some(name) = self.names.heard(naming) else {
            return;
        };
        match self.tcp.get(&id).or_else(|| self.udp.get(&id)) {
            Some(flow) => events.push(named(flow, name, boot_ns)),
            None if name.source == NameSource::Question => self.unplaced.push((id, boot_ns, name)),
            None => {}
        }
    }

    /// True while a process has an open flow.
    pub(super) fn belong_to(&self, process: ProcessKey) -> bool {
        self.tcp
            .values()
            .chain(self.udp.values())
            .any(|flow| flow.process == process)
    }

    /// Says what has changed.
    pub(super) fn tick(
        &mut self,
        kernel: &mut Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        self.look(kernel, now, events)?;
        self.datagrams(kernel, now, events)?;
        self.tell_names(events);
        // Last, for a flow may begin in the same tick as the answer comes by which it is called.
        for event in events {
            if let What::Flow(flow) = &mut event.what {
                self.names.dress(flow);
            }
        }
        Ok(())
    }

    /// Tells the names that flows said which became known in this tick, ahead of the flow's first event, and with no bytes:
    /// it is not known how many had gone by then. The latest name of a flow is told with its own events.
    fn tell_names(&mut self, events: &mut Vec<Event>) {
        let mut said: HashMap<u64, Vec<(u64, FlowName)>> = HashMap::default();
        for (id, boot_ns, name) in self.unplaced.drain(..) {
            if self.names.latest(id) != Some(&name) {
                said.entry(id).or_default().push((boot_ns, name));
            }
        }
        if said.is_empty() {
            return;
        }
        for event in std::mem::take(events) {
            if let What::Flow(flow) = &event.what
                && let Some(names) = said.remove(&flow.id)
            {
                let flow = Flow {
                    bytes_out: 0,
                    bytes_in: 0,
                    closed: false,
                    ..flow.clone()
                };
                events
                    .extend((names.into_iter()).map(|(boot_ns, name)| named(&flow, name, boot_ns)));
            }
            events.push(event);
        }
    }

    fn look(
        &mut self,
        kernel: &mut Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        let after = self.tcp.range(self.turn + 1..).map(|(cookie, _)| *cookie);
        let before = self.tcp.range(..=self.turn).map(|(cookie, _)| *cookie);
        let turn: Vec<u64> = after.chain(before).take(LOOKS_MAX).collect();
        for cookie in turn {
            self.turn = cookie;
            let Some(socket) = kernel.refresh(cookie)? else {
                self.vanished(cookie, now, events);
                continue;
            };
            let Some(flow) = self.tcp.get_mut(&cookie) else {
                continue;
            };
            if (flow.bytes_out, flow.bytes_in) != (socket.out, socket.r#in) {
                (flow.bytes_out, flow.bytes_in) = (socket.out, socket.r#in);
                flow.local.set_port(socket.ends.local_port);
                events.push(Event {
                    boot_ns: now,
                    what: What::Flow(flow.clone()),
                });
            }
        }
        Ok(())
    }

    /// It has closed. The programs say so in this tick or the next; if they do not, a full ring took it.
    fn vanished(&mut self, cookie: u64, now: u64, events: &mut Vec<Event>) {
        if self.missing.insert(cookie) {
            return;
        }
        if let Some(flow) = self.tcp.remove(&cookie) {
            events.push(Event {
                boot_ns: now,
                what: What::Flow(Flow {
                    closed: true,
                    ..flow
                }),
            });
        }
        self.missing.remove(&cookie);
    }

    fn datagrams(
        &mut self,
        kernel: &mut Kernel,
        now: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), AttemptError> {
        // What packets add to a flow that is known shows in the counters of the hooks; one that is not known is told.
        let news = kernel.news(News::Datagrams);
        let began = std::mem::replace(&mut self.news, news) != news;
        if !began && self.udp.is_empty() {
            return Ok(());
        }
        // To walk the map takes a look at each of its buckets.
        let added_up = kernel.datagrams_added_up()?;
        if !began && added_up == self.datagrams && now <= self.over_ns {
            return Ok(());
        }
        (self.datagrams, self.over_ns) = (added_up, u64::MAX);
        let mut over: Vec<DatagramKey> = Vec::new();
        for (key, sums) in kernel.datagrams()? {
            let over_ns = sums.last_ns.saturating_add(STILL_NS);
            let closed = now > over_ns;
            if !closed {
                self.over_ns = self.over_ns.min(over_ns);
            }
            let Ok(flow) = decode::datagrams(&key, &sums, closed) else {
                continue;
            };
            let known = self.udp.get(&flow.id);
            if closed {
                over.push(key);
                self.udp.remove(&flow.id);
            } else if known == Some(&flow) {
                continue;
            } else {
                self.udp.insert(flow.id, flow.clone());
            }
            let boot_ns = if closed { now } else { sums.last_ns };
            events.push(Event {
                boot_ns,
                what: What::Flow(flow),
            });
        }
        for key in over {
            kernel.forget_datagrams(key)?;
        }
        Ok(())
    }
}

/// A flow's event that tells a name of it.
fn named(flow: &Flow, name: FlowName, boot_ns: u64) -> Event {
    let what = What::Flow(Flow {
        name: Some(name),
        ..flow.clone()
    });
    Event { boot_ns, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Direction, Heard};

    fn flow(id: u64, bytes_out: u64, closed: bool) -> Flow {
        Flow {
            id,
            process: ProcessKey {
                pid: 1,
                start_cs: 2,
            },
            protocol: 17,
            family: 0,
            direction: Direction::Connected,
            local: "192.0.2.1:1000".parse().unwrap(),
            remote: "192.0.2.7:53".parse().unwrap(),
            bytes_out,
            bytes_out_before: 0,
            bytes_in: 0,
            opened_boot_ns: 5,
            closed,
            name: None,
        }
    }

    fn asks(flows: &mut Flows, id: u64, names: &[&str]) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, name) in (10..).zip(names) {
            let heard = Heard::Question((*name).to_owned());
            flows.heard(Naming { flow: id, heard }, at, &mut events);
        }
        events
    }

    /// What the events of a tick say: when, name, bytes sent, and whether it is the last.
    fn told(flows: &mut Flows, mut events: Vec<Event>) -> Vec<(u64, String, u64, bool)> {
        flows.tell_names(&mut events);
        let said = |event: Event| match event.what {
            What::Flow(mut flow) => {
                flows.names.dress(&mut flow);
                let name = flow.name.unwrap().name;
                (event.boot_ns, name, flow.bytes_out, flow.closed)
            }
            other => panic!("{other:?}"),
        };
        events.into_iter().map(said).collect()
    }

    fn event(flow: Flow) -> Event {
        Event {
            boot_ns: 20,
            what: What::Flow(flow),
        }
    }

    #[test]
    fn every_name_of_a_conversation_that_is_known_is_told() {
        let mut flows = Flows::default();
        flows.said(&flow(1, 40, false));
        let mut events = asks(&mut flows, 1, &["a", "b"]);
        events.push(event(flow(1, 90, false)));
        let expect = [(10, "a", 40), (11, "b", 40), (20, "b", 90)];
        let expect = expect.map(|(at, name, bytes)| (at, name.to_owned(), bytes, false));
        assert_eq!(told(&mut flows, events), expect);
    }

    #[test]
    fn every_name_of_a_conversation_that_comes_and_goes_in_one_tick_is_told_before_its_end() {
        let mut flows = Flows::default();
        let mut events = asks(&mut flows, 1, &["a", "b", "b", "c"]);
        events.push(event(flow(1, 90, true)));
        assert_eq!(
            told(&mut flows, events),
            [
                (10, "a".to_owned(), 0, false),
                (11, "b".to_owned(), 0, false),
                (12, "b".to_owned(), 0, false),
                (20, "c".to_owned(), 90, true)
            ]
        );
        assert!(flows.unplaced.is_empty());
    }

    #[test]
    fn a_single_question_costs_no_event_more() {
        let mut flows = Flows::default();
        let mut events = asks(&mut flows, 1, &["a", "a"]);
        events.push(event(flow(1, 90, false)));
        assert_eq!(told(&mut flows, events), [(20, "a".to_owned(), 90, false)]);
    }
}
