//! *Staging* (R3): records lie in a file of their own, packed, encrypted, cut or as they are, before they are sent.
//!
//! A step of *chain*, which tells of it when what lay there is sent: a copy alone leaves nothing, and backups make them every night. The
//! kernel follows the file by its inode, through renames, links, copies and what is packed out of it. It may lie for `staged_days`.
//!
//! False positives: log rotation and backups of applications, whose copies are sent by who may: approve the way.
//!
//! ATT&CK: T1074.001 (Local Data Staging), T1560.001 (Archive via Utility) when a program that packs is on the path, T1030 (Data Transfer Size
//! Limits) when one is that cuts into parts.

use super::About;
use super::leaving::SIZE_LIMITS;
use crate::detect::alert::Technique;
use crate::event::{Carrier, CarrierKind, Process};

pub(super) const ABOUT: About = About {
    rule: "R3",
    name: "staging",
    catches: "records lie in a file, packed or as they are, and are sent later, by whatever program",
    alert: "a step of `chain`",
    thresholds: |config| {
        let days = config.chain.staged.as_secs() / 86_400;
        vec![("chain.staged_days", days.to_string())]
    },
    techniques: &[STAGED, PACKED, SIZE_LIMITS],
    quiet: "a copy alone is no alert; backups that are sent are approved ways",
};

const STAGED: Technique = Technique {
    id: "T1074.001",
    name: "Data Staged: Local Data Staging",
    tactic_id: "TA0009",
    tactic: "Collection",
};
const PACKED: Technique = Technique {
    id: "T1560.001",
    name: "Archive Collected Data: Archive via Utility",
    tactic_id: "TA0009",
    tactic: "Collection",
};

/// Programs that pack or encrypt, by the last part of their path.
const PACKERS: [&str; 23] = [
    "7z", "7za", "7zr", "age", "borg", "bsdtar", "busybox", "bzip2", "cpio", "gpg", "gtar", "gzip",
    "lz4", "lzma", "openssl", "pax", "pigz", "rar", "restic", "tar", "xz", "zip", "zstd",
];
/// Programs that cut files into parts, by the last part of their path.
const CUTTERS: [&str; 3] = ["split", "csplit", "zipsplit"];
/// Packers whose option for parts of a size is this.
const VOLUMES: [(&str, &str); 5] = [
    ("7z", "-v"),
    ("7za", "-v"),
    ("7zr", "-v"),
    ("rar", "-v"),
    ("zip", "-s"),
];
/// Programs that run a script, by how their names begin.
const INTERPRETERS: [&str; 5] = ["python", "perl", "ruby", "bash", "dash"];

/// Where they lay, and that they were packed.
pub(super) fn techniques(carriers: &[&Carrier], processes: &[&Process]) -> Vec<Technique> {
    let is_file = |carrier: &&Carrier| carrier.key.kind == CarrierKind::File;
    let staged = carriers.iter().any(is_file).then_some(STAGED);
    let packed = processes
        .iter()
        .any(|process| packs(process))
        .then_some(PACKED);
    staged.into_iter().chain(packed).collect()
}

/// That they were cut into parts.
pub(super) fn cut(processes: &[&Process]) -> Option<Technique> {
    processes
        .iter()
        .any(|process| cuts(process))
        .then_some(SIZE_LIMITS)
}

/// True of a program that packs, and of a script of that name.
fn packs(process: &Process) -> bool {
    let interpreted = INTERPRETERS
        .iter()
        .any(|name| process.program().starts_with(name));
    let mut arguments = process.arguments.iter().skip(1).filter(|_| interpreted);
    let script = arguments.find(|argument| !argument.starts_with('-'));
    let script = script.and_then(|path| path.rsplit('/').next());
    PACKERS.contains(&process.program()) || script.is_some_and(|name| PACKERS.contains(&name))
}

/// True of a program that cuts what it is given into parts of a size.
fn cuts(process: &Process) -> bool {
    let name = process.program();
    let option = VOLUMES.iter().find(|(packer, _)| *packer == name);
    let with_size = |argument: &String| {
        let size = option.and_then(|(_, option)| argument.strip_prefix(option));
        size.is_some_and(|size| size.starts_with(|c: char| c.is_ascii_digit()))
    };
    CUTTERS.contains(&name) || process.arguments.iter().skip(1).any(with_size)
}
