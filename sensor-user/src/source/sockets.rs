//! What leads from one process of this machine to another: sockets that carry no records by nature, and connections that are over.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use glob::{MatchOptions, Pattern};
use sensor_ebpf::layout::flow::{LocalKey, UDP};

use crate::decode;
use crate::event::{Flow, ProcessKey};
use crate::load::{AttemptError, Kernel};

/// The sockets of this network namespace, with their names.
const TABLE: &str = "/proc/net/unix";
/// How often sockets are looked for that have come since, nanoseconds.
const LOOK_NS: u64 = 60_000_000_000;
/// How long what was sent on a connection may wait to be received after its end, nanoseconds; as long as its ends are taken
/// (`TCP_TIMEWAIT_LEN` of include/net/tcp.h).
const WAIT_NS: u64 = 60_000_000_000;

/// What is known of them.
#[derive(Debug)]
pub(super) struct Sockets {
    quiet: Vec<Pattern>,
    told: HashSet<Vec<u8>>,
    looked_ns: Option<u64>,
    /// Connections that are over, the oldest first.
    over: VecDeque<(u64, LocalKey, ProcessKey)>,
}

impl Sockets {
    pub(super) fn new(quiet: Vec<Pattern>) -> Self {
        Self {
            quiet,
            told: HashSet::new(),
            looked_ns: None,
            over: VecDeque::new(),
        }
    }

    /// A flow was told.
    pub(super) fn said(&mut self, flow: &Flow, now_ns: u64) {
        if flow.closed && is_local(flow) {
            self.over
                .push_back((now_ns + WAIT_NS, key(flow), flow.process));
        }
    }

    pub(super) fn tick(&mut self, kernel: &mut Kernel, now_ns: u64) -> Result<(), AttemptError> {
        if self
            .looked_ns
            .is_none_or(|then| now_ns.saturating_sub(then) >= LOOK_NS)
        {
            self.looked_ns = Some(now_ns);
            self.tell_quiet(kernel)?;
        }
        while let Some((_, key, owner)) = self.over.pop_front_if(|(due, ..)| *due <= now_ns) {
            kernel.forget_local(key, |process| decode::process(process) == owner)?;
        }
        Ok(())
    }

    /// Tells those there are. One that is not there yet is told when it is found, and followed until then.
    fn tell_quiet(&mut self, kernel: &mut Kernel) -> Result<(), AttemptError> {
        // Without the table nothing is quiet: more is followed, and nothing lost.
        let table = std::fs::read(TABLE).unwrap_or_default();
        for name in table.split(|byte| *byte == b'\n').filter_map(name) {
            if !self.told.contains(name) && self.is_quiet(name) {
                kernel.quieten(name)?;
                self.told.insert(name.to_vec());
            }
        }
        Ok(())
    }

    fn is_quiet(&self, name: &[u8]) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        self.quiet
            .iter()
            .any(|pattern| pattern.matches_path_with(path, options))
    }
}

/// The name in a line: the eighth field, which may have blanks in it, if it is a path.
fn name(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(2).position(|pair| pair == b" /")? + 1;
    Some(&line[at..])
}

/// True of a flow that the programs may have noted as one within this machine: of UDP they go by where it leaves, which is not told.
fn is_local(flow: &Flow) -> bool {
    flow.protocol == UDP || flow.remote.ip().is_loopback() || flow.remote.ip() == flow.local.ip()
}

fn key(flow: &Flow) -> LocalKey {
    LocalKey {
        local: address(flow.local),
        remote: address(flow.remote),
        local_port: flow.local.port(),
        remote_port: flow.remote.port(),
        protocol: u32::from(flow.protocol),
    }
}

/// As the programs keep an address: in network order, IPv4 in the first word.
fn address(end: SocketAddr) -> [u32; 4] {
    match end.ip() {
        IpAddr::V4(ip) => [u32::from_ne_bytes(ip.octets()), 0, 0, 0],
        IpAddr::V6(ip) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(ip.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            words
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_table_of_sockets() {
        let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 17 /run/a socket";
        assert_eq!(name(line), Some(&b"/run/a socket"[..]));
        assert_eq!(name(b"0000000000000000: 00000003 0 0 0001 03 18"), None);
        assert_eq!(
            name(b"0000000000000000: 00000003 0 0 0001 03 18 @/abstract"),
            None
        );
        assert_eq!(name(b""), None);
    }

    #[test]
    fn a_star_stays_within_a_directory() {
        let sockets = Sockets::new(vec![Pattern::new("/run/user/*/bus").unwrap()]);
        assert!(sockets.is_quiet(b"/run/user/1000/bus"));
        assert!(!sockets.is_quiet(b"/run/user/1000/x/bus"));
        assert!(!sockets.is_quiet(b"/run/user/1000/bus2"));
    }
}
