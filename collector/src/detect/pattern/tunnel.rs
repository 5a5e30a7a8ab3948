//! *Tunnel* (R10): what sends is a tunnel or a proxy, so where it leads to is behind it.
//!
//! A step of *chain*: an ssh that forwards ports or a device (-L, -R, -D, -w), for which less is enough (`[detect.tunnel]`), or any program that got the records over
//! a connection within the host and sent them on, as SOCKS proxies, socat and agents of tunnels do.
//!
//! False positives: remote support of vendors. Approve the way of each by executable, user and destination.
//!
//! ATT&CK: T1572 (Protocol Tunneling) of ssh, T1090 (Proxy) of what sends on.

use super::About;
use super::first_seen::less;
use crate::config::DirectConfig;
use crate::detect::alert::{Path, Place, Step, Technique};
use crate::event::Process;

pub(super) const ABOUT: About = About {
    rule: "R10",
    name: "tunnel",
    catches: "an ssh that forwards ports, or a program that gets records over a connection within the host, sends them on",
    alert: "a step of `chain`",
    thresholds: |config| less("tunnel", &config.tunnel),
    techniques: &[TUNNELLED, PROXIED],
    quiet: "records must have come to it; remote support is an approved way for each vendor",
};

const TUNNELLED: Technique = Technique {
    id: "T1572",
    name: "Protocol Tunneling",
    tactic_id: "TA0011",
    tactic: "Command and Control",
};

const PROXIED: Technique = Technique {
    id: "T1090",
    name: "Proxy",
    tactic_id: "TA0011",
    tactic: "Command and Control",
};

/// Options of ssh(1) without a value, which may stand before one of another letter behind the same dash.
const SSH_FLAGS: &str = "46AaCfGgKkMNnqsTtVvXxYy";
/// Options of ssh(1) that forward a port, or a device.
const SSH_FORWARDS: &str = "DLRw";

/// The thresholds of *chain* that hold where a sender forwards ports, of those that would otherwise.
pub(super) fn thresholds(
    config: &crate::config::DetectConfig,
    forwards: bool,
    otherwise: DirectConfig,
) -> DirectConfig {
    if forwards {
        otherwise.lowered(&config.tunnel)
    } else {
        otherwise
    }
}

/// That it was a tunnel or a proxy.
pub(super) fn techniques(path: &Path, processes: &[&Process]) -> Vec<Technique> {
    let tunnelled = processes
        .iter()
        .any(|process| forwards(process))
        .then_some(TUNNELLED);
    let mut over = path.steps.iter().filter(|step| step.way == "loopback");
    let proxied = over.any(|step| goes_on(path, &step.to)).then_some(PROXIED);
    tunnelled.into_iter().chain(proxied).collect()
}

/// True when what came there was sent on from there.
fn goes_on(path: &Path, place: &Place) -> bool {
    let on = |step: &Step| step.from == *place && step.to == Place::Destination;
    path.steps.iter().any(on)
}

/// True of an ssh that forwards ports. What stands behind the host is the command that is run there.
pub(super) fn forwards(process: &Process) -> bool {
    let mut arguments = process.arguments.iter().skip(1);
    let is_ssh = process.program() == "ssh";
    while let Some(option) = arguments.next().filter(|_| is_ssh) {
        let Some(letters) = option.strip_prefix('-') else {
            return false;
        };
        let rest = letters.trim_start_matches(|letter| SSH_FLAGS.contains(letter));
        if rest.starts_with(|letter| SSH_FORWARDS.contains(letter)) {
            return true;
        }
        if rest.len() == 1 {
            // Its value is the next argument.
            arguments.next();
        }
    }
    false
}
