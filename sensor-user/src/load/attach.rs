//! Loads and attaches the programs of one backend.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, FEntry, FExit,
    Iter, Lsm, ProgramError, RawTracePoint, SockOps,
};
use aya::{Btf as KernelBtf, BtfError, Ebpf, Endianness};

use sensor_ebpf::layout::helpers::function;

use super::AttemptError;
use super::btf::Btf;
use super::hooks::{self, Attach, PROGRAMS, Program};
use crate::config::{Backend, Guard};

/// What programs are attached to.
pub(super) struct Place<'a> {
    /// The programs, and the name each is attached by; absent where the kernel has nothing of the kind.
    targets: Vec<(&'static Program, Option<&'static str>)>,
    /// Hooks can look at the arguments of the system call they are in.
    registers: bool,
    /// Of the kernel's types, what programs are attached by.
    btf: KernelBtf,
    /// Where the cgroup2 hierarchy is mounted.
    cgroup: &'a Path,
}

impl<'a> Place<'a> {
    /// Looks up what there is, so that the kernel's types need not be held while programs are loaded.
    pub(super) fn new(types: &Btf<'_>, cgroup: &'a Path) -> Result<Self, BtfError> {
        let targets: Vec<_> = PROGRAMS
            .iter()
            .map(|program| (program, target(program.attach, types)))
            .collect();
        let names: Vec<String> = targets
            .iter()
            .filter_map(|(program, target)| Some(type_name(program.attach, (*target)?)))
            .collect();
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        Ok(Self {
            targets,
            registers: types.has_function(function::TASK_REGISTERS),
            btf: KernelBtf::parse(&types.excerpt(&names), Endianness::default())?,
            cgroup,
        })
    }
}

/// What the type is called that aya finds a target by.
fn type_name(attach: Attach, target: &str) -> String {
    match attach {
        Attach::Lsm(_) => format!("bpf_lsm_{target}"),
        Attach::Tracepoint(_) | Attach::TracepointOf(..) => format!("btf_trace_{target}"),
        Attach::Fentry(_)
        | Attach::Fexit(_)
        | Attach::FentryOf(..)
        | Attach::FexitOf(..)
        | Attach::FexitBeside(..)
        | Attach::Call(_)
        | Attach::Each(_)
        | Attach::Packets
        | Attach::SocketsWithout(_)
        | Attach::ConnectionsWithout(_)
        | Attach::Nowhere => target.to_owned(),
    }
}

/// Loads and attaches every program of the backend, or says which one was refused. Gives what is not seen because this
/// kernel refused a program that the backend can do without, or has nothing to attach it to.
pub(super) fn attach(
    object: &mut Ebpf,
    (backend, guard): (Backend, Guard),
    place: &Place<'_>,
) -> Result<Vec<&'static str>, AttemptError> {
    let programs = place
        .targets
        .iter()
        .filter(|(program, _)| program.backends.contains(&backend))
        .filter(|(program, _)| !program.guard || guard == Guard::Deny);
    let mut blind = each(
        programs.map(|(program, target)| (*program, *target)),
        |program, target| match target {
            Some(target) => {
                attach_one(object, program, target, place).map_err(|reason| AttemptError::Program {
                    program: program.name,
                    reason,
                })
            }
            None => Err(AttemptError::NoTarget {
                program: program.name,
                targets: format!("{:?}", program.attach),
            }),
        },
    )?;
    if !place.registers && backend != Backend::Tracepoint {
        blind.push(hooks::UNSIZED);
    }
    let mut blind = unseen(&blind);
    if backend == Backend::Tracepoint {
        blind.push(hooks::SHOWN);
    }
    Ok(blind)
}

/// What is not seen, each said once: where two programs are for the same, one is enough.
fn unseen(lacking: &[&'static str]) -> Vec<&'static str> {
    let mut blind = Vec::new();
    for unseen in lacking {
        let programs = lacking.iter().filter(|other| *other == unseen).count();
        let made_up_for = programs == 1 && hooks::EITHER.contains(unseen);
        if *unseen != hooks::NOTHING && !made_up_for && !blind.contains(unseen) {
            blind.push(*unseen);
        }
    }
    blind
}

/// Attaches each program, and goes on without those that are optional.
fn each<'a>(
    programs: impl Iterator<Item = (&'a Program, Option<&'static str>)>,
    mut attach: impl FnMut(&Program, Option<&'static str>) -> Result<(), AttemptError>,
) -> Result<Vec<&'static str>, AttemptError> {
    let mut blind = Vec::new();
    for (program, target) in programs {
        match (attach(program, target), program.blind) {
            (Ok(()), _) => {}
            (Err(AttemptError::NoTarget { .. }), Some(unseen)) => blind.push(unseen),
            (Err(error), Some(unseen)) => {
                tracing::warn!(%error, unseen, "the sensor goes on without a program");
                blind.push(unseen);
            }
            (Err(error), None) => return Err(error),
        }
    }
    Ok(blind)
}

/// The name a program is attached by, empty where it needs none; absent where the kernel has nothing of the kind.
fn target(attach: Attach, types: &Btf<'_>) -> Option<&'static str> {
    match attach {
        Attach::Fexit(names) => names.iter().find(|n| types.has_function(n)).copied(),
        Attach::Call(name) => types.has_call(name).then_some(name),
        Attach::Fentry(name) | Attach::Each(name) => types.has_function(name).then_some(name),
        Attach::FentryOf(name, arguments) | Attach::FexitOf(name, arguments) => {
            (types.function_arguments(name) == Some(arguments)).then_some(name)
        }
        Attach::FexitBeside(name, other) => {
            let both = types.has_function(name) && types.has_function(other);
            both.then_some(name)
        }
        Attach::TracepointOf(name, arguments) => {
            (types.tracepoint_arguments(name) == Some(arguments)).then_some(name)
        }
        Attach::Lsm(name) | Attach::Tracepoint(name) => Some(name),
        Attach::SocketsWithout(name) | Attach::ConnectionsWithout(name) => {
            (!types.has_function(name)).then_some("")
        }
        Attach::Packets | Attach::Nowhere => Some(""),
    }
}

fn attach_one(
    object: &mut Ebpf,
    program: &Program,
    target: &str,
    place: &Place<'_>,
) -> Result<(), ProgramError> {
    let Some(loaded) = object.program_mut(program.name) else {
        return Err(ProgramError::NotLoaded);
    };
    match program.attach {
        Attach::Lsm(_) => {
            let lsm: &mut Lsm = loaded.try_into()?;
            lsm.load(target, &place.btf)?;
            lsm.attach().map(drop)
        }
        Attach::Fentry(_) | Attach::FentryOf(..) => {
            let fentry: &mut FEntry = loaded.try_into()?;
            fentry.load(target, &place.btf)?;
            fentry.attach().map(drop)
        }
        Attach::Fexit(_) | Attach::FexitOf(..) | Attach::FexitBeside(..) | Attach::Call(_) => {
            let fexit: &mut FExit = loaded.try_into()?;
            fexit.load(target, &place.btf)?;
            fexit.attach().map(drop)
        }
        Attach::Tracepoint(_) | Attach::TracepointOf(..) => {
            let tracepoint: &mut BtfTracePoint = loaded.try_into()?;
            tracepoint.load(target, &place.btf)?;
            tracepoint.attach().map(drop)
        }
        Attach::Packets => attach_packets(loaded.try_into()?, program.name, place.cgroup),
        Attach::SocketsWithout(_) => {
            let sockets: &mut CgroupSock = loaded.try_into()?;
            sockets.load()?;
            let root = File::open(place.cgroup).map_err(ProgramError::IOError)?;
            sockets.attach(root, CgroupAttachMode::Single).map(drop)
        }
        Attach::ConnectionsWithout(_) => {
            let connections: &mut SockOps = loaded.try_into()?;
            connections.load()?;
            let root = File::open(place.cgroup).map_err(ProgramError::IOError)?;
            connections.attach(root, CgroupAttachMode::Single).map(drop)
        }
        Attach::Nowhere => {
            let raw: &mut RawTracePoint = loaded.try_into()?;
            raw.load()
        }
        Attach::Each(_) => {
            let iterator: &mut Iter = loaded.try_into()?;
            // aya puts the beginning of the function's name before what it is given.
            iterator.load(
                target.strip_prefix("bpf_iter_").unwrap_or(target),
                &place.btf,
            )
        }
    }
}

fn attach_packets(program: &mut CgroupSkb, name: &str, cgroup: &Path) -> Result<(), ProgramError> {
    program.load()?;
    let root = File::open(cgroup).map_err(ProgramError::IOError)?;
    let direction = if name == "packet_out" {
        CgroupSkbAttachType::Egress
    } else {
        CgroupSkbAttachType::Ingress
    };
    program
        .attach(root, direction, CgroupAttachMode::Single)
        .map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const fn program(name: &'static str, blind: Option<&'static str>) -> Program {
        Program {
            name,
            attach: Attach::Nowhere,
            backends: &[Backend::Tracepoint],
            blind,
            guard: false,
        }
    }

    /// Attaches a required program between two optional ones, of which the kernel refuses some; gives what was attached.
    fn without(refused: &[&str]) -> (Result<Vec<&'static str>, AttemptError>, Vec<String>) {
        let programs = [
            program("first", Some("the first")),
            program("needed", None),
            program("last", Some("the last")),
        ];
        let mut attached = Vec::new();
        let result = each(programs.iter().map(|p| (p, Some(""))), |program, _| {
            if refused.contains(&program.name) {
                return Err(AttemptError::Program {
                    program: program.name,
                    reason: ProgramError::NotLoaded,
                });
            }
            attached.push(program.name.to_owned());
            Ok(())
        });
        (result, attached)
    }

    #[test]
    fn one_of_two_programs_for_the_same_is_enough() {
        let either = hooks::EITHER[0];
        assert_eq!(unseen(&[either]), Vec::<&str>::new());
        assert_eq!(unseen(&[either, "pipes", either]), [either, "pipes"]);
        assert_eq!(unseen(&["pipes", hooks::NOTHING, "pipes"]), ["pipes"]);
    }

    #[test]
    fn the_rest_is_attached_without_an_optional_program() {
        let (blind, attached) = without(&["first"]);
        assert_eq!(blind.unwrap(), ["the first"]);
        assert_eq!(attached, ["needed", "last"]);
        assert_eq!(without(&[]).0.unwrap(), Vec::<&str>::new());
        assert_eq!(
            without(&["first", "last"]).0.unwrap(),
            ["the first", "the last"]
        );
    }

    #[test]
    fn a_backend_cannot_do_without_what_it_needs() {
        let (result, attached) = without(&["needed"]);
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("needed refused: "), "{error}");
        assert_eq!(attached, ["first"]);
    }
}
