//! Attaches the programs that only count wherever the sensor's would be: the same table, the same kernel functions.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use anyhow::{Context as _, Result};
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, FEntry, FExit, Lsm,
};
use aya::{Btf as KernelBtf, Ebpf, EbpfLoader};
use sensor_user::config::Backend;
use sensor_user::load::btf::Btf;
use sensor_user::load::hooks::{Attach, PROGRAMS, Program};
use sensor_user::mounts::Mounts;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/floor"));

/// The programs; dropping them detaches them.
#[derive(Debug)]
pub(crate) struct Floor(
    #[expect(dead_code, reason = "held so that the programs stay attached")] Vec<Ebpf>,
);

/// Programs to attach, by the kind of place.
#[derive(Debug, Clone, Copy)]
struct Names {
    tracepoint: &'static str,
    packet: &'static str,
}

const COUNTING: Names = Names {
    tracepoint: "on_tracepoint",
    packet: "on_packet",
};
/// The same without the counting, which only the places of the tracepoint backend have.
const EMPTY: Names = Names {
    tracepoint: "empty_on_tracepoint",
    packet: "empty_on_packet",
};

/// Attaches one that counts to every place where the sensor has a program with this backend.
pub(crate) fn attach(backend: Backend) -> Result<Floor> {
    attach_named(backend, COUNTING)
}

/// Attaches one that does nothing to every place where the sensor has a program with the tracepoint backend, and holds
/// them until the standard input ends.
pub(crate) fn hold() -> Result<()> {
    let _held = attach_named(Backend::Tracepoint, EMPTY)?;
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn attach_named(backend: Backend, names: Names) -> Result<Floor> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").context("the kernel has no BTF")?;
    let types = Btf::parse(&bytes)?;
    let btf = KernelBtf::from_sys_fs()?;
    let mut attached = Vec::new();
    for program in PROGRAMS.iter().filter(|p| p.backends.contains(&backend)) {
        // A program of an object goes to one place, so each place gets an object of its own.
        let mut object = EbpfLoader::new()
            .btf(Some(&btf))
            .load(OBJECT)
            .context("the object that only counts")?;
        attach_one(&mut object, program, names, &types, &btf)
            .with_context(|| program.name.to_owned())?;
        attached.push(object);
    }
    Ok(Floor(attached))
}

/// What this kernel has nothing to attach to for, or the sensor runs itself, has no floor.
fn attach_one(
    object: &mut Ebpf,
    program: &Program,
    names: Names,
    types: &Btf<'_>,
    btf: &KernelBtf,
) -> Result<()> {
    match program.attach {
        Attach::Lsm(hook) => {
            let lsm: &mut Lsm = named(object, "on_lsm")?.try_into()?;
            lsm.load(hook, btf)?;
            lsm.attach()?;
        }
        Attach::Fentry(function) if types.has_function(function) => {
            let fentry: &mut FEntry = named(object, "on_entry")?.try_into()?;
            fentry.load(function, btf)?;
            fentry.attach()?;
        }
        Attach::FentryOf(function, arguments)
            if types.function_arguments(function) == Some(arguments) =>
        {
            let fentry: &mut FEntry = named(object, "on_entry")?.try_into()?;
            fentry.load(function, btf)?;
            fentry.attach()?;
        }
        Attach::FexitOf(function, arguments)
            if types.function_arguments(function) == Some(arguments) =>
        {
            let fexit: &mut FExit = named(object, "on_exit")?.try_into()?;
            fexit.load(function, btf)?;
            fexit.attach()?;
        }
        Attach::FexitBeside(function, other)
            if types.has_function(function) && types.has_function(other) =>
        {
            let fexit: &mut FExit = named(object, "on_exit")?.try_into()?;
            fexit.load(function, btf)?;
            fexit.attach()?;
        }
        Attach::Fexit(functions) => {
            if let Some(function) = functions.iter().find(|f| types.has_function(f)) {
                let fexit: &mut FExit = named(object, "on_exit")?.try_into()?;
                fexit.load(function, btf)?;
                fexit.attach()?;
            }
        }
        Attach::Call(function) if types.has_call(function) => {
            let fexit: &mut FExit = named(object, "on_exit")?.try_into()?;
            fexit.load(function, btf)?;
            fexit.attach()?;
        }
        Attach::Tracepoint(name) => {
            on_tracepoint(named(object, names.tracepoint)?.try_into()?, name, btf)?;
        }
        Attach::TracepointOf(name, arguments)
            if types.tracepoint_arguments(name) == Some(arguments) =>
        {
            on_tracepoint(named(object, names.tracepoint)?.try_into()?, name, btf)?;
        }
        Attach::Packets => on_packets(named(object, names.packet)?.try_into()?, program.name)?,
        Attach::Fentry(_)
        | Attach::FentryOf(..)
        | Attach::FexitOf(..)
        | Attach::FexitBeside(..)
        | Attach::SocketsWithout(_)
        | Attach::ConnectionsWithout(_)
        | Attach::Call(_)
        | Attach::TracepointOf(..)
        | Attach::Nowhere
        | Attach::Each(_) => {}
    }
    Ok(())
}

fn named<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::programs::Program> {
    object.program_mut(name).context(name)
}

fn on_tracepoint(program: &mut BtfTracePoint, name: &str, btf: &KernelBtf) -> Result<()> {
    program.load(name, btf)?;
    program.attach()?;
    Ok(())
}

fn on_packets(program: &mut CgroupSkb, name: &str) -> Result<()> {
    let mounts = Mounts::read();
    let cgroup = mounts.cgroup2().context("no cgroup2 is mounted")?;
    let direction = match name {
        "packet_out" => CgroupSkbAttachType::Egress,
        _ => CgroupSkbAttachType::Ingress,
    };
    program.load()?;
    program.attach(File::open(cgroup)?, direction, CgroupAttachMode::Single)?;
    Ok(())
}
