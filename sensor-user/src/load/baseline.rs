//! Has the programs look at what is open, mapped and run already. They run after the stores have been told, and stay
//! attached to nothing; what they find is summed as if it were done now.
//!
//! What a process opens between its store's telling and this look counts twice as opened.

use std::io::{ErrorKind, Read as _};

use aya::programs::Iter;
use thiserror::Error;

use super::Kernel;
use super::hooks::{Attach, PROGRAMS, RUN_BEFORE, RUNNING};

/// Why a look came to nothing.
#[derive(Debug, Error)]
enum LookError {
    #[error("{0}")]
    Program(#[from] aya::programs::ProgramError),
    #[error("{0}")]
    Link(#[from] aya::programs::links::LinkError),
    #[error("{0}")]
    Read(#[from] std::io::Error),
}

/// Runs the programs that the kernel took; what one that fails would have found is a blind spot.
pub(super) fn look(kernel: &mut Kernel) {
    for program in PROGRAMS {
        let (Attach::Each(_), Some(unseen)) = (program.attach, program.blind) else {
            continue;
        };
        if !look_by(kernel, program.name, unseen) {
            kernel.add_blind(unseen);
        }
    }
}

/// Runs the one again that finds who runs a program that serves records.
pub(super) fn look_for_services(kernel: &mut Kernel) {
    look_by(kernel, RUNNING, RUN_BEFORE);
}

/// False when it failed; one that this kernel does not have has been said to be missing.
fn look_by(kernel: &mut Kernel, program: &str, unseen: &str) -> bool {
    let Some(iterator) = kernel.iterator(program) else {
        return true;
    };
    let looked = run(iterator);
    if let Err(error) = &looked {
        tracing::warn!(program, %error, unseen, "the sensor goes on without a look");
    }
    looked.is_ok()
}

/// Reading an iterator to its end runs the program for everything there is; the link goes with the file.
fn run(iterator: &mut Iter) -> Result<(), LookError> {
    let link = iterator.attach()?;
    let mut file = iterator.take_link(link)?.into_file()?;
    loop {
        match file.read(&mut [0; 8]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // A pause: after a million things without output (bpf_seq_read() of kernel/bpf/bpf_iter.c, 5.10).
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
