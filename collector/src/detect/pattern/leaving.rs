//! By which techniques what was read left the host: named by what is known for certain of the store, the connection and the program, and
//! by the general technique where nothing more is.

use crate::detect::alert::{Destination, Technique};
use crate::detect::host::Sending;
use crate::event::{NameSource, Process};

use super::{dns, media, raw};

/// A flow that was there for longer than this before the first access stood for something else.
const STANDING_NS: u64 = 60 * 1_000_000_000;
/// The port of DNS.
const DNS: u16 = 53;
/// Ports of protocols that encrypt nothing unless they say so: FTP, telnet, SMTP, TFTP, HTTP, POP3, IMAP, syslog (IANA), and what mail and FTP
/// servers listen on besides.
const PLAIN: [u16; 11] = [20, 21, 23, 25, 69, 80, 110, 143, 514, 2121, 2525];

pub(super) const OVER_C2: Technique = Technique {
    id: "T1041",
    name: "Exfiltration Over C2 Channel",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};
pub(super) const OVER_OTHER: Technique = Technique {
    id: "T1048",
    name: "Exfiltration Over Alternative Protocol",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};
pub(super) const ENCRYPTED: Technique = Technique {
    id: "T1048.002",
    name: "Exfiltration Over Alternative Protocol: Exfiltration Over Asymmetric Encrypted Non-C2 Protocol",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};
pub(super) const SIZE_LIMITS: Technique = Technique {
    id: "T1030",
    name: "Data Transfer Size Limits",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};
pub(super) const SCHEDULED: Technique = Technique {
    id: "T1029",
    name: "Scheduled Transfer",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};
/// How they left: to what can be carried away, over a flow that stood for something else before, or by what is known of it.
pub(super) fn exfiltration(
    to: &Destination,
    sending: &Sending,
    first_ns: u64,
    sender: Option<&Process>,
) -> Vec<Technique> {
    let older = sending.opened_ns.saturating_add(STANDING_NS) < first_ns;
    let [plain, over_dns] = dns::TECHNIQUES;
    if let Some(technique) = media::technique(to).or_else(|| raw::technique(to)) {
        return vec![technique];
    }
    match to.port {
        _ if older => vec![OVER_C2],
        DNS => vec![plain, over_dns],
        _ if is_encrypted(sending, sender) => vec![ENCRYPTED],
        port if PLAIN.contains(&port) => vec![plain],
        _ => vec![OVER_OTHER],
    }
}

/// True when there was a TLS hello, or the program is one that sends nothing in the clear.
fn is_encrypted(sending: &Sending, sender: Option<&Process>) -> bool {
    let hello = sending
        .name
        .as_ref()
        .is_some_and(|name| name.source == NameSource::Server);
    let by_program = sender.is_some_and(|process| {
        let argument = |begin: &str| {
            let mut arguments = process.arguments.iter().skip(1);
            arguments.any(|argument| argument.to_ascii_lowercase().starts_with(begin))
        };
        match process.program() {
            "ssh" | "stunnel" | "stunnel4" => true,
            "openssl" => argument("s_client"),
            "socat" | "socat1" => argument("openssl:") || argument("ssl:"),
            _ => false,
        }
    });
    hello || by_program
}
