//! *Raw* (R12): records leave over what is neither TCP nor UDP: echo requests, raw IP, packet sockets, vsock.
//!
//! No alert of its own: such sockets are destinations of *direct* and *chain*. Of a program that is there to send such packets, as `ping` is, the
//! usual thresholds hold, of any other `[detect.raw]`, since hardly anything else does.
//!
//! False positives: monitoring agents that send echo requests themselves: approve the way.
//!
//! ATT&CK: T1095 (Non-Application Layer Protocol).

use super::About;
use super::first_seen::less;
use crate::config::{DetectConfig, DirectConfig};
use crate::detect::alert::{Destination, Technique};
use crate::event::Process;

pub(super) const ABOUT: About = About {
    rule: "R12",
    name: "raw",
    catches: "records leave as echo requests or over raw, packet or vsock sockets",
    alert: "a destination of `direct` and `chain`",
    thresholds: |config| less("raw", &config.raw),
    techniques: &[NOT_APPLICATION],
    quiet: "ping and traceroute need what `direct` does; monitoring agents are approved ways",
};

const NOT_APPLICATION: Technique = Technique {
    id: "T1095",
    name: "Non-Application Layer Protocol",
    tactic_id: "TA0011",
    tactic: "Command and Control",
};
/// Programs that are there to send echo requests and the like.
const PROBERS: [&str; 9] = [
    "arping",
    "fping",
    "mtr",
    "mtr-packet",
    "nping",
    "ping",
    "ping6",
    "tracepath",
    "traceroute",
];
/// Protocols of IP that programs send over (IANA): TCP, UDP, DCCP, SCTP, UDP-Lite.
const ORDINARY: [u16; 5] = [6, 17, 33, 132, 136];

/// The thresholds that hold where a program sends there, of those that would otherwise.
pub(super) fn thresholds(
    config: &DetectConfig,
    to: &Destination,
    sender: Option<&Process>,
    otherwise: DirectConfig,
) -> DirectConfig {
    let probes = sender.is_some_and(|process| PROBERS.contains(&process.program()));
    if is_raw(to) && !probes {
        otherwise.lowered(&config.raw)
    } else {
        otherwise
    }
}

/// By which technique records leave over such a socket; `None`: it is none.
pub(super) fn technique(to: &Destination) -> Option<Technique> {
    is_raw(to).then_some(NOT_APPLICATION)
}

fn is_raw(to: &Destination) -> bool {
    to.disk.is_none() && !ORDINARY.contains(&to.protocol)
}
