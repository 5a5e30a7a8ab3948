//! Systemd units that serve records: who is run in one holds the records of its store.
//!
//! A unit is known by its name alone, which is that of its control group: the group itself is another one after each start. One in a
//! slice or with groups of its own below it is found by walking up.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use sensor_ebpf::layout::{
    config::UnitName,
    count::Error,
    limits::{UNIT_DEPTH_MAX, UNIT_NAME_MAX},
};

use crate::{kernel::task::Task, maps::UNITS};

use super::{access::hold, record::control};

/// A process was found in its control group, or runs another program there. True when it is a holder since now.
#[inline(always)]
pub(crate) fn found(task: Task) -> Result<bool, Error> {
    if control()?.units == 0 {
        return Ok(false);
    }
    let process = task.process()?;
    if process.pid == control()?.own_pid {
        return Ok(false);
    }
    match stores(task)? {
        0 => Ok(false),
        stores => Ok(hold(process, stores)),
    }
}

/// Stores that the units serve which a process is in.
#[inline(always)]
fn stores(task: Task) -> Result<u64, Error> {
    let (mut group, mut stores) = (task.group()?, 0);
    for _ in 0..UNIT_DEPTH_MAX {
        if group.is_null() {
            break;
        }
        stores |= served(task.group_name(group)?);
        group = task.group_above(group)?;
    }
    Ok(stores)
}

/// Stores that a unit serves whose name is at this address.
// VERIFIER: on its own, for the stack of its callers.
#[inline(never)]
fn served(name: *const u8) -> u64 {
    let mut key = UnitName {
        name: [0; UNIT_NAME_MAX],
    };
    // SAFETY: any address may be read; at most as many bytes as there is room for are written, and a longer name ends with NUL too.
    let _unreadable = unsafe {
        bpf_probe_read_kernel_str(
            (&raw mut key.name).cast(),
            UNIT_NAME_MAX as u32,
            name.cast(),
        )
    };
    // SAFETY: entries are only ever added, and their value is one word.
    unsafe { UNITS.get(&key) }.copied().unwrap_or(0)
}
