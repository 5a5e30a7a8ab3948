//! Terminals.

use sensor_ebpf::layout::{count::Error, fields::ABSENT};

use super::{
    fields,
    file::File,
    read::{Probed, Reach, Typed},
};

/// A typed `struct tty_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Terminal(*const u8);

impl Terminal {
    /// Takes a typed pointer.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// Its address, as a number.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    /// Address of the other end, which only a pseudo terminal has; 0 when it has none.
    #[inline(always)]
    pub(crate) fn other_end(self) -> Result<u64, Error> {
        if fields::TTY_OTHER_END.load() == ABSENT {
            return Ok(0);
        }
        // SAFETY: `self.0` is a typed struct tty_struct.
        let other: *const u8 = unsafe { Typed::get(self.0, fields::TTY_OTHER_END.load())? };
        Ok(other as u64)
    }
}

/// Address of the terminal that is open as this file.
#[inline(always)]
pub(crate) fn opened(file: File<Typed>) -> Result<u64, Error> {
    if fields::TTY_OF_FILE.load() == ABSENT {
        return Ok(0);
    }
    // SAFETY: any address may be probed; of a file of tty_read() it is its struct tty_file_private, whose type the kernel does not
    // tell.
    unsafe { Probed::get(file.private()?, fields::TTY_OF_FILE.load()) }
}
