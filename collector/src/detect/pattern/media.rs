//! *Media* (R11): records are written to files on what leads out of the host: a stick, a mounted image, another machine.
//!
//! No alert of its own: each such file system is a destination of *direct* and *chain*, by device, and what is written to files there counts as
//! sent. `[detect] media` says what counts; a store of records on such a file system is none of its own ways out, since records are no carriers.
//!
//! False positives: discs for patients, and backups to a share: approve `destination = "removable:/media/backup"`.
//!
//! ATT&CK: T1052.001 (Exfiltration over USB) of what can be carried away, T1048 (Exfiltration Over Alternative Protocol) of another machine.

use super::About;
use super::direct;
use super::leaving::OVER_OTHER;
use crate::config::DetectConfig;
use crate::detect::alert::{Destination, Technique};
use crate::detect::host::Sending;
use crate::event::{Carrier, CarrierKind, Medium};

pub(super) const ABOUT: About = About {
    rule: "R11",
    name: "media",
    catches: "records are written to a stick, a mounted image, or a file system of another machine",
    alert: "a destination of `direct` and `chain`",
    thresholds: |config| {
        let media: Vec<&str> = config.media.0.iter().map(|medium| medium.name()).collect();
        let mut all = vec![("media", media.join(", "))];
        all.extend(direct::thresholds_of(&config.direct));
        all
    },
    techniques: &[CARRIED, OVER_OTHER],
    quiet: "an approved way may lead to a medium and a directory on it",
};

const CARRIED: Technique = Technique {
    id: "T1052.001",
    name: "Exfiltration Over Physical Medium: Exfiltration over USB",
    tactic_id: "TA0010",
    tactic: "Exfiltration",
};

/// True when what is sent leaves the host: over the network, or to files on what the configuration says.
pub(super) fn leaves(config: &DetectConfig, to: &Destination, sending: &Sending) -> bool {
    match to.disk {
        Some(disk) => config.media.0.contains(&disk.medium),
        None => !sending.stays_on_host(to.address),
    }
}

/// By which technique records leave to a file system; `None`: it is none.
pub(super) fn technique(to: &Destination) -> Option<Technique> {
    let disk = to.disk?;
    Some(match disk.medium {
        Medium::Network => OVER_OTHER,
        Medium::Fixed | Medium::Removable | Medium::Image => CARRIED,
    })
}

/// That a file on the way lay on what can be carried away.
pub(super) fn carried(carriers: &[&Carrier]) -> impl Iterator<Item = Technique> {
    let is_portable = |carrier: &&Carrier| {
        carrier.key.kind == CarrierKind::File
            && matches!(carrier.medium, Medium::Removable | Medium::Image)
    };
    carriers
        .iter()
        .any(is_portable)
        .then_some(CARRIED)
        .into_iter()
}
