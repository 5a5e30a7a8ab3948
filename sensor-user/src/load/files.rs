//! Tells the programs which files are the sensor's own, so that what changes one is an attempt on the sensor, and which are
//! programs of which something is known: that they serve records, or that they carry none.
//!
//! As with stores' roots (`roots`) only the kernel knows a file's identity for certain: the sensor maps the file, and the
//! mmap hook takes the identity of what this one thread maps.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use sensor_ebpf::layout::access::{OWN_FILES, QUIET_PROGRAM, SERVICES};
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

/// A program of which something is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// It serves the records of the store with this number.
    Serves(u32, PathBuf),
    /// It shares memory with everybody, and carries no records by nature.
    Quiet(PathBuf),
}

/// Tells such programs. One that is missing is none for now.
pub(super) fn tell_programs(kernel: &mut Kernel, programs: &[Program]) -> Result<(), AttemptError> {
    for program in programs {
        let (number, path) = match program {
            Program::Serves(store, path) => (SERVICES + store, path),
            Program::Quiet(path) if !path.exists() => continue,
            Program::Quiet(path) => (QUIET_PROGRAM, path),
        };
        kernel.arm(number, true)?;
        let mapped = map(path);
        kernel.disarm()?;
        match (mapped, program) {
            (Ok(()), _) => {}
            (Err(error), Program::Serves(..)) => {
                tracing::warn!(%error, path = %path.display(), "what this program serves will not be seen");
            }
            (Err(error), Program::Quiet(_)) => {
                tracing::warn!(%error, path = %path.display(), "what this program shares will be followed");
            }
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
