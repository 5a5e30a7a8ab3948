//! What the other ends of flows are called, as far as the conversations of processes that hold records say.
//!
//! **Invariant:** memory is bounded: of addresses the oldest is forgotten, of flows what is over.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::HashMap;

use crate::event::{Flow, FlowName, Heard, NameSource, Naming};

/// Addresses whose names are remembered.
const ADDRESSES_MAX: usize = 4_096;
/// Flows whose own names are remembered; more are told without.
const FLOWS_MAX: usize = 16_384;

/// Names by flow and by address.
#[derive(Debug, Default)]
pub(super) struct Names {
    flows: HashMap<u64, FlowName>,
    addresses: HashMap<IpAddr, String>,
    /// Addresses, the oldest first.
    order: VecDeque<IpAddr>,
}

impl Names {
    /// Takes in what a flow said; gives the name that the flow itself has by that.
    pub(super) fn heard(&mut self, naming: Naming) -> Option<FlowName> {
        let (name, source) = match naming.heard {
            Heard::Nothing => return None,
            Heard::Answer(name, addresses) => {
                for address in addresses {
                    self.remember(address, &name);
                }
                return None;
            }
            Heard::Server(name) => (name, NameSource::Server),
            Heard::Question(name) => (name, NameSource::Question),
        };
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&naming.flow) {
            return None;
        }
        let name = FlowName { name, source };
        self.flows.insert(naming.flow, name.clone());
        Some(name)
    }

    fn remember(&mut self, address: IpAddr, name: &str) {
        if self.addresses.insert(address, name.to_owned()).is_some() {
            return;
        }
        self.order.push_back(address);
        if self.order.len() > ADDRESSES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.addresses.remove(&oldest);
        }
    }

    /// The latest name that a flow has by what it said.
    pub(super) fn latest(&self, flow: u64) -> Option<&FlowName> {
        self.flows.get(&flow)
    }

    /// Gives a flow the latest of its names, and forgets it with the flow; one that has a name keeps it.
    pub(super) fn dress(&mut self, flow: &mut Flow) {
        let own = if flow.closed {
            self.flows.remove(&flow.id)
        } else {
            self.flows.get(&flow.id).cloned()
        };
        if flow.name.is_some() {
            return;
        }
        flow.name = own.or_else(|| {
            let name = self.addresses.get(&flow.remote.ip())?.clone();
            let source = NameSource::Answer;
            Some(FlowName { name, source })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Direction, ProcessKey};

    fn flow(id: u64, remote: &str) -> Flow {
        Flow {
            id,
            process: ProcessKey {
                pid: 1,
                start_cs: 2,
            },
            protocol: 6,
            family: 0,
            direction: Direction::Connected,
            local: "192.0.2.1:1000".parse().unwrap(),
            remote: remote.parse().unwrap(),
            bytes_out: 0,
            bytes_out_before: 0,
            bytes_in: 0,
            opened_boot_ns: 0,
            closed: false,
            name: None,
        }
    }

    fn name_of(names: &mut Names, mut flow: Flow) -> Option<(String, NameSource)> {
        names.dress(&mut flow);
        flow.name.map(|name| (name.name, name.source))
    }

    fn heard(flow: u64, heard: Heard) -> Naming {
        Naming { flow, heard }
    }

    #[test]
    fn a_flow_is_called_by_its_hello_else_by_the_answer_that_gave_its_address() {
        let mut names = Names::default();
        let given = vec!["192.0.2.7".parse().unwrap()];
        assert_eq!(
            names.heard(heard(1, Heard::Answer("a.example".into(), given))),
            None
        );
        let to = "192.0.2.7:443";
        assert_eq!(
            name_of(&mut names, flow(2, to)),
            Some(("a.example".into(), NameSource::Answer))
        );
        assert!(
            names
                .heard(heard(2, Heard::Server("b.example".into())))
                .is_some()
        );
        assert_eq!(
            name_of(&mut names, flow(2, to)),
            Some(("b.example".into(), NameSource::Server))
        );
        assert_eq!(name_of(&mut names, flow(3, "192.0.2.8:443")), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut names = Names::default();
        for n in 0..ADDRESSES_MAX as u32 + 100 {
            let address = IpAddr::from(n.to_be_bytes());
            names.heard(heard(1, Heard::Answer(n.to_string(), vec![address])));
        }
        assert_eq!(names.addresses.len(), ADDRESSES_MAX);
        assert_eq!(names.order.len(), ADDRESSES_MAX);
        for n in 0..FLOWS_MAX as u64 + 100 {
            names.heard(heard(n, Heard::Question("q.example".into())));
        }
        assert_eq!(names.flows.len(), FLOWS_MAX);
        let closed = Flow {
            closed: true,
            ..flow(5, "192.0.2.9:53")
        };
        assert!(name_of(&mut names, closed).is_some());
        assert_eq!(names.flows.len(), FLOWS_MAX - 1);
    }
}
