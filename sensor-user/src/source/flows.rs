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
use crate::event::{Event, Flow, Naming, ProcessKey, What};
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

    /// A conversation said a name.
    pub(super) fn heard(&mut self, naming: Naming, boot_ns: u64, events: &mut Vec<Event>) {
        let id = naming.flow;
        if self.names.heard(naming)
            && let Some(flow) = self.tcp.get(&id).or_else(|| self.udp.get(&id))
        {
            let what = What::Flow(flow.clone());
            events.push(Event { boot_ns, what });
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
        // Last, for a flow may begin in the same tick as the answer comes by which it is called.
        for event in events {
            if let What::Flow(flow) = &mut event.what {
                self.names.dress(flow);
            }
        }
        Ok(())
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
