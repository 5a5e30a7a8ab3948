//! Tells the programs which files are the sensor's own, so that what changes one is an attempt on the sensor, and which are
//! programs that serve records.
//!
//! As with stores' roots (`roots`) only the kernel knows a file's identity for certain: the sensor maps the file, and the
//! mmap hook takes the identity of what this one thread maps.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use sensor_ebpf::layout::access::{OWN_FILES, SERVICES};
use sensor_ebpf::layout::tamper::{FILE_CONFIGURATION, FILE_KEY, FILE_PROGRAM, FILE_UNIT};

use super::{AttemptError, Kernel};
use crate::event::Part;

/// Bytes that are mapped; none of them is touched.
const PAGE: usize = 4096;

/// Tells all of them. One that cannot be told is not guarded, which is said and no reason not to watch records.
pub(super) fn tell(kernel: &mut Kernel, files: &[(Part, PathBuf)]) -> Result<(), AttemptError> {
    for (part, path) in files {
        kernel.arm(OWN_FILES + number(*part), true)?;
        let mapped = map(path);
        kernel.disarm()?;
        if let Err(error) = mapped {
            tracing::warn!(%error, path = %path.display(), "changes of a file of the sensor's own will not be seen");
        }
    }
    // One that was opened before was judged without knowing whose it is.
    kernel.forget_answers()
}

/// Tells the programs that serve records, each by the number of its store. One that is missing is none for now.
pub(super) fn tell_services(
    kernel: &mut Kernel,
    services: &[(u32, PathBuf)],
) -> Result<(), AttemptError> {
    for (store, path) in services {
        kernel.arm(SERVICES + store, true)?;
        let mapped = map(path);
        kernel.disarm()?;
        if let Err(error) = mapped {
            tracing::warn!(%error, path = %path.display(), "what this program serves will not be seen");
        }
    }
    kernel.forget_answers()
}

const fn number(part: Part) -> u32 {
    match part {
        Part::Program => FILE_PROGRAM,
        Part::Configuration => FILE_CONFIGURATION,
        Part::Key => FILE_KEY,
        Part::Unit => FILE_UNIT,
    }
}

fn map(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: a new mapping at an address the kernel chooses; nobody reads it, and nobody has a pointer into it when it is
    // removed.
    unsafe {
        let memory = mmap(
            ptr::null_mut(),
            PAGE,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            &file,
            0,
        )?;
        munmap(memory, PAGE)?;
    }
    Ok(())
}
