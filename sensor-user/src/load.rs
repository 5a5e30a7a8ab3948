//! Puts the kernel programs into the kernel and keeps them there: offsets from BTF, the backend that really fires, the
//! stores' roots, and the maps.
//!
//! A backend is never inferred from files or versions, which mislead: it is loaded, attached and tried with a canary, a
//! record of the sensor's own in a private store. The first of `lsm`, `fentry`, `tracepoint` whose canary comes up is
//! used, and why the others are not is kept for whoever asks.
//!
//! **Invariant:** only this module and `source/` know aya; dropping [`Kernel`] takes everything out of the kernel again.

pub mod btf;
pub mod hooks;
pub mod offsets;
pub mod pod;

mod attach;
mod baseline;
mod batch;
mod canary;
mod disks;
mod files;
mod kept;
mod kernel;
mod loader;
mod own;
mod roots;
mod sums;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aya::EbpfLoader;
use sensor_ebpf::layout::limits::WAKE_BYTES;
use thiserror::Error;

use crate::config::{Backend, Guard, Kernel as Settings, Service, Store};
use crate::mounts::Mounts;

pub use canary::Canary;
pub use files::{Program, Programs};
pub use kept::{Found, Kept};
pub use kernel::{Kernel, Sums};
pub use roots::Roots;

/// The programs, as sensor-user's build script built them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-ebpf"));

/// The kernel's own types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// What each global of the programs is set to.
type Offsets = Vec<(&'static str, u64)>;

/// Why the kernel programs are not in the kernel.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel does not describe its types.
    #[error(
        "{VMLINUX} cannot be read ({0}): the kernel must be built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoBtf(std::io::Error),
    /// The description cannot be understood.
    #[error("{VMLINUX}: {0}")]
    Btf(#[from] btf::BtfError),
    /// The kernel's structs are not what the programs read.
    #[error("the programs do not fit this kernel: {0}")]
    Offsets(#[from] offsets::OffsetError),
    /// There is no cgroup2 hierarchy to watch packets on.
    #[error(
        "no cgroup2 file system is mounted, which the programs watch packets on: mount one, for example on /sys/fs/cgroup/unified"
    )]
    NoCgroup,
    /// No backend works.
    #[error("no hook backend works on this kernel: {0}")]
    NoBackend(String),
    /// Attempts on the sensor are to be refused, which only one backend can.
    #[error(
        "kernel.guard = \"deny\" needs the lsm backend: {0}; boot with bpf in the kernel's LSM list (lsm=), or leave guard off"
    )]
    NoGuard(String),
    /// A store cannot be told to the programs.
    #[error("store `{store}`: {path}: {reason}")]
    Store {
        /// Its name.
        store: String,
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Why one backend is not used.
#[derive(Debug, Error)]
pub enum AttemptError {
    /// The kernel refused the object.
    #[error("object refused: {}", chain(.0))]
    Object(#[from] aya::EbpfError),
    /// The kernel refused a program.
    #[error("{program} refused: {}", chain(.reason))]
    Program {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        reason: aya::programs::ProgramError,
    },
    /// A map cannot be used.
    #[error("map {map}: {reason}")]
    Map {
        /// The map.
        map: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to attach a program to.
    #[error("{program}: this kernel has none of {targets}")]
    NoTarget {
        /// The program.
        program: &'static str,
        /// What was looked for.
        targets: String,
    },
    /// The sensor's own descriptors cannot be listed.
    #[error("/proc/self/fdinfo: {0}")]
    Own(std::io::Error),
    /// The programs are attached but do not see what happens.
    #[error("canary not seen: {0}")]
    Blind(String),
}

/// Loads the programs with the configured backend, or the best that works, and tells them the stores.
///
/// Store `n` of `stores` has number `n + 1`: 0 is the canary's.
pub fn load(settings: &Settings, stores: &[Store]) -> Result<Kernel, LoadError> {
    let mounts = Mounts::read();
    let cgroup = mounts.cgroup2().ok_or(LoadError::NoCgroup)?;
    let mut loader = loader::new();
    let (offsets, place) = survey(cgroup)?;
    loader.map_max_entries("BULK", settings.bulk_ring_bytes);
    loader.map_max_entries("CRITICAL", settings.critical_ring_bytes);
    let wake = wake_bytes(settings);
    loader.override_global("WAKE_BYTES", &wake, true);
    for (global, offset) in &offsets {
        loader.override_global(global, offset, true);
    }
    let mut refusals = Vec::new();
    for backend in candidates(settings.backend) {
        if settings.guard == Guard::Deny && *backend != Backend::Lsm {
            refusals.push(format!("{}: cannot refuse anything", name(*backend)));
            continue;
        }
        match attempt(&mut loader, settings, *backend, &place) {
            Ok(mut kernel) => {
                kernel.set_reason(reason(settings.backend, &refusals));
                drop(place);
                let roots = Roots::tell(&mut kernel, stores, &mounts)?;
                kernel.set_roots(roots);
                tell_services(&mut kernel, settings, stores)
                    .and_then(|()| recall(&mut kernel, settings, stores))
                    .map_err(|e| LoadError::NoBackend(chain(&e)))?;
                return Ok(kernel);
            }
            Err(error) => refusals.push(format!("{}: {error}", name(*backend))),
        }
    }
    let refusals = refusals.join("; ");
    Err(match settings.guard {
        Guard::Deny => LoadError::NoGuard(refusals),
        Guard::Off => LoadError::NoBackend(refusals),
    })
}

/// Gives the memory back that loading needed and has freed, the kernel's types above all: the allocator keeps it unless it is asked
/// not to (`malloc_trim(3)`), and a sensor runs for months.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no precondition.
    let _some = unsafe { libc::malloc_trim(0) };
}

/// Tells what was known when the sensor stopped, and looks at what there is already.
fn recall(kernel: &mut Kernel, settings: &Settings, stores: &[Store]) -> Result<(), AttemptError> {
    let Some(file) = &settings.holders_file else {
        baseline::look(kernel);
        return Ok(());
    };
    let kept = Kept::new(file, stores);
    let found = kept.restore(kernel)?;
    // Files among the carriers may be remembered as none.
    kernel.forget_answers()?;
    baseline::look(kernel);
    kernel.forget_kept_holders()?;
    kernel.set_kept((kept, found));
    Ok(())
}

/// Tells who serves records, and the programs and ports that carry none.
fn tell_services(
    kernel: &mut Kernel,
    settings: &Settings,
    stores: &[Store],
) -> Result<(), AttemptError> {
    let (mut programs, mut units) = (Vec::new(), BTreeMap::new());
    for (number, store) in (1_u32..).zip(stores) {
        let Some(service) = &store.service else {
            continue;
        };
        if !service.is_there() {
            tracing::warn!(store = %store.name, service = %store.path.display(), "who serves this store is not there yet; it is watched as soon as it is");
        }
        match service {
            Service::Executable(pattern) => {
                programs.push(Program::Serves(number, pattern.as_str().to_owned()));
            }
            Service::Unit(name) => {
                *units.entry(group_of(name)).or_default() |= 1_u64 << (number & 63);
            }
        }
    }
    for (group, stores) in &units {
        kernel.tell_unit(group, *stores)?;
    }
    for port in &settings.quiet_ports {
        kernel.quieten_port(*port)?;
    }
    programs.extend(settings.quiet_programs.iter().cloned().map(Program::Quiet));
    let mut programs = Programs::new(programs);
    programs.tell(kernel)?;
    kernel.set_programs(programs);
    Ok(())
}

/// What systemd calls the control group of a unit: its name, behind `_` where the kernel has files with such names
/// (`cg_escape()` of src/basic/cgroup-util.c, systemd 252).
fn group_of(unit: &str) -> String {
    const CONTROLLERS: [&str; 13] = [
        "cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids",
        "hugetlb", "rdma", "misc", "freezer",
    ];
    let is_file = |name: &str| CONTROLLERS.contains(&name);
    let (first, _) = unit.split_once('.').unwrap_or((unit, ""));
    if unit.starts_with(['_', '.']) || is_file(first) {
        format!("_{unit}")
    } else {
        unit.to_owned()
    }
}

/// Finds in the kernel's types what the programs read and where they are attached. The types are gone when it is done.
fn survey(cgroup: &Path) -> Result<(Offsets, attach::Place<'_>), LoadError> {
    let bytes = std::fs::read(VMLINUX).map_err(LoadError::NoBtf)?;
    let types = btf::Btf::parse(&bytes)?;
    let mut offsets = offsets::resolve(&types)?;
    offsets.extend(offsets::helpers(&types));
    let place = attach::Place::new(&types, cgroup);
    Ok((offsets, place.map_err(|e| LoadError::NoBackend(chain(&e)))?))
}

fn attempt(
    loader: &mut EbpfLoader<'_>,
    settings: &Settings,
    backend: Backend,
    place: &attach::Place<'_>,
) -> Result<Kernel, AttemptError> {
    let mut object = loader.load(OBJECT)?;
    let blind = attach::attach(&mut object, (backend, settings.guard), place)?;
    let mut kernel = Kernel::new(object, backend)?;
    let canary = Canary::new(&mut kernel)?;
    canary.prove(&mut kernel)?;
    kernel.set_canary(canary);
    let own = own::all().map_err(AttemptError::Own)?;
    kernel.protect(&own, settings.guard == Guard::Deny)?;
    kernel.open_accounts()?;
    kernel.set_blind(blind);
    kernel.tell_own_files(&settings.own_files)?;
    Ok(kernel)
}

/// Bytes waiting in a ring from which on the reader is woken: of a small ring a quarter, so that there is room left while
/// it wakes.
fn wake_bytes(settings: &Settings) -> u64 {
    let smaller = settings.bulk_ring_bytes.min(settings.critical_ring_bytes);
    WAKE_BYTES.min(u64::from(smaller) / 4)
}

const fn candidates(wanted: Backend) -> &'static [Backend] {
    match wanted {
        Backend::Auto => &[Backend::Lsm, Backend::Fentry, Backend::Tracepoint],
        Backend::Lsm => &[Backend::Lsm],
        Backend::Fentry => &[Backend::Fentry],
        Backend::Tracepoint => &[Backend::Tracepoint],
    }
}

/// What a backend is called in the configuration, in logs and on the wire.
#[must_use]
pub const fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Auto => "auto",
        Backend::Lsm => "lsm",
        Backend::Fentry => "fentry",
        Backend::Tracepoint => "tracepoint",
    }
}

fn reason(wanted: Backend, refusals: &[String]) -> String {
    if wanted != Backend::Auto {
        return "configured".to_owned();
    }
    if refusals.is_empty() {
        "the first choice works".to_owned()
    } else {
        refusals.join("; ")
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    // A verifier's log is for the debug log; its last line says what was refused.
    match text.split_once("Verifier output:") {
        Some((head, log)) => {
            tracing::debug!(log, "the verifier refused a program");
            let statistics = ["processed ", "stack depth ", "verification time "];
            let said =
                |line: &&str| !line.is_empty() && !statistics.iter().any(|s| line.starts_with(s));
            let head = head.trim().trim_end_matches('.');
            match log.lines().map(str::trim).rfind(said) {
                Some(last) => format!("{head} [verifier: {last}]"),
                None => head.to_owned(),
            }
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_called_as_a_file_of_the_kernel_has_another_group() {
        assert_eq!(
            group_of("postgresql@15-main.service"),
            "postgresql@15-main.service"
        );
        assert_eq!(group_of("memory.service"), "_memory.service");
        assert_eq!(group_of("memory-cache.service"), "memory-cache.service");
        assert_eq!(group_of("_x.service"), "__x.service");
    }
}
