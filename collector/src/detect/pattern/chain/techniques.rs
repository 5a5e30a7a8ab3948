//! By which techniques records went along a path.

use crate::detect::alert::{Link, Path, Place, Step, Technique};
use crate::detect::pattern::leaving::{CARRIED, SCHEDULED, SIZE_LIMITS};
use crate::event::{Carrier, CarrierKind, Medium, Process};

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
/// Programs that start others at a time of day.
const SCHEDULERS: [&str; 5] = ["cron", "crond", "anacron", "atd", "fcron"];
/// Programs that run a script, by how their names begin.
const INTERPRETERS: [&str; 5] = ["python", "perl", "ruby", "bash", "dash"];
/// Options of ssh(1) without a value, which may stand before one of another letter behind the same dash.
const SSH_FLAGS: &str = "46AaCfGgKkMNnqsTtVvXxYy";
/// Options of ssh(1) that forward a port, or a device.
const SSH_FORWARDS: &str = "DLRw";

/// All of them, the way out last.
pub(super) fn techniques(
    path: &Path,
    chain: &[Link],
    collected: Technique,
    leaving: Vec<Technique>,
) -> Vec<Technique> {
    let to_carriers = path.steps.iter().filter_map(|step| match &step.to {
        Place::Carrier(carrier) => Some(carrier),
        Place::Process(_) | Place::Store | Place::Destination => None,
    });
    let is_file = |carrier: &Carrier| carrier.key.kind == CarrierKind::File;
    let is_portable = |carrier: &Carrier| {
        matches!(carrier.medium, Medium::Removable | Medium::Image) && is_file(carrier)
    };
    let on_path = |link: &&Link| {
        let from = Place::Process(link.key);
        path.steps.iter().any(|step| step.from == from)
    };
    let links = path.processes.iter().chain(chain).filter(on_path);
    let processes = || links.clone().filter_map(|link| link.process.as_ref());
    let packed = processes().any(packs);
    let proxied = path
        .steps
        .iter()
        .any(|step| step.way == "loopback" && goes_on(path, &step.to));
    let mut techniques = vec![collected];
    techniques.extend(to_carriers.clone().any(is_file).then_some(STAGED));
    techniques.extend(packed.then_some(PACKED));
    let carried = !leaving.contains(&CARRIED) && to_carriers.clone().any(is_portable);
    techniques.extend(carried.then_some(CARRIED));
    techniques.extend(processes().any(cuts).then_some(SIZE_LIMITS));
    let ancestors = chain.iter().filter_map(|link| link.process.as_ref());
    let scheduled = ancestors
        .skip(1)
        .any(|one| SCHEDULERS.contains(&program(one)));
    techniques.extend(scheduled.then_some(SCHEDULED));
    techniques.extend(processes().any(is_tunnel).then_some(TUNNELLED));
    techniques.extend(proxied.then_some(PROXIED));
    techniques.extend(leaving);
    techniques
}

/// True when what came there was sent on from there.
fn goes_on(path: &Path, place: &Place) -> bool {
    let on = |step: &Step| step.from == *place && step.to == Place::Destination;
    path.steps.iter().any(on)
}

/// True of a program that packs, and of a script of that name.
fn packs(process: &Process) -> bool {
    let interpreted = INTERPRETERS
        .iter()
        .any(|name| program(process).starts_with(name));
    let mut arguments = process.arguments.iter().skip(1).filter(|_| interpreted);
    let script = arguments.find(|argument| !argument.starts_with('-'));
    let script = script.and_then(|path| path.rsplit('/').next());
    PACKERS.contains(&program(process)) || script.is_some_and(|name| PACKERS.contains(&name))
}

/// True of a program that cuts what it is given into parts of a size.
fn cuts(process: &Process) -> bool {
    let name = program(process);
    let option = VOLUMES.iter().find(|(packer, _)| *packer == name);
    let with_size = |argument: &String| {
        let size = option.and_then(|(_, option)| argument.strip_prefix(option));
        size.is_some_and(|size| size.starts_with(|c: char| c.is_ascii_digit()))
    };
    CUTTERS.contains(&name) || process.arguments.iter().skip(1).any(with_size)
}

/// The last part of a program's path.
fn program(process: &Process) -> &str {
    process.executable.rsplit('/').next().unwrap_or_default()
}

/// True of an ssh that forwards ports. What stands behind the host is the command that is run there.
fn is_tunnel(process: &Process) -> bool {
    let mut arguments = process.arguments.iter().skip(1);
    let is_ssh = program(process) == "ssh";
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
