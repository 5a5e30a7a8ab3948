//! Registers of a system call, as `tp_btf/sys_exit` hands them over.

use sensor_ebpf::layout::count::Error;

use super::fields;
use super::read::{Reach as _, Typed};

/// A `struct pt_regs` by typed pointer. On x86-64 the argument registers still hold the arguments at exit.
#[derive(Clone, Copy)]
pub(crate) struct Regs(*const u8);

impl Regs {
    /// Takes a typed pointer from a hook's arguments.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// Number of the system call.
    #[inline(always)]
    pub(crate) fn number(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_NR.load()) }
    }

    /// First argument.
    #[inline(always)]
    pub(crate) fn first(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_ARG0.load()) }
    }

    /// Second argument.
    #[inline(always)]
    pub(crate) fn second(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_ARG1.load()) }
    }

    /// Third argument.
    #[inline(always)]
    pub(crate) fn third(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_ARG2.load()) }
    }

    /// Fourth argument.
    #[inline(always)]
    pub(crate) fn fourth(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_ARG3.load()) }
    }

    /// Fifth argument.
    #[inline(always)]
    pub(crate) fn fifth(self) -> Result<u64, Error> {
        // SAFETY: `self.0` is a typed pt_regs.
        unsafe { Typed::get(self.0, fields::REGS_ARG4.load()) }
    }
}
