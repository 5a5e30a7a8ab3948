//! Requests that are not system calls on a descriptor: `io_uring` and Linux AIO.

use sensor_ebpf::layout::count::Error;

use super::fields;
use super::file::File;
use super::read::{Probed, Reach as _, Typed};

/// A `struct io_kiocb`, which the tracepoint hands over as `void *`.
#[derive(Clone, Copy)]
pub(crate) struct Request(*const u8);

impl Request {
    /// Takes the pointer from the tracepoint; absent for a completion that belongs to no request.
    #[inline(always)]
    pub(crate) fn new(pointer: *const u8) -> Option<Self> {
        let known = fields::REQUEST_FILE.load() != fields::ABSENT
            && fields::REQUEST_OPCODE.load() != fields::ABSENT;
        if pointer.is_null() || !known {
            None
        } else {
            Some(Self(pointer))
        }
    }

    /// `IORING_OP_*` of include/uapi/linux/io_uring.h.
    #[inline(always)]
    pub(crate) fn opcode(self) -> Result<u8, Error> {
        // SAFETY: `self.0` is the address of an io_kiocb, which lives until its completion is posted.
        unsafe { Probed::get(self.0, fields::REQUEST_OPCODE.load()) }
    }

    /// The file it is about, registered ones included; the request holds it until it is freed.
    #[inline(always)]
    pub(crate) fn file(self) -> Result<File<Probed>, Error> {
        // SAFETY: as above.
        let file: *const u8 = unsafe { Probed::get(self.0, fields::REQUEST_FILE.load())? };
        if file.is_null() {
            Err(Error::NoFile)
        } else {
            Ok(File::new(file))
        }
    }
}

/// Result of a typed `struct io_uring_cqe`: bytes, or a negative error number.
#[inline(always)]
pub(crate) fn result(cqe: *const u8) -> Result<i32, Error> {
    let offset = fields::CQE_RESULT.load();
    if offset == fields::ABSENT {
        return Err(Error::Fault);
    }
    // SAFETY: `cqe` is a typed io_uring_cqe.
    unsafe { Typed::get(cqe, offset) }
}

/// The file of a typed `struct kiocb`.
#[inline(always)]
pub(crate) fn kiocb_file(kiocb: *const u8) -> Result<File<Typed>, Error> {
    // SAFETY: `kiocb` is a typed kiocb.
    Ok(File::new(unsafe {
        Typed::get(kiocb, fields::KIOCB_FILE.load())?
    }))
}

/// Bytes asked for and offset of a typed `struct iocb`.
#[inline(always)]
pub(crate) fn iocb_span(iocb: *const u8) -> Result<(u64, u64), Error> {
    // SAFETY: `iocb` is a typed iocb, the kernel's own copy (fs/aio.c, io_submit_one).
    unsafe {
        Ok((
            Typed::get(iocb, fields::IOCB_BYTES.load())?,
            Typed::get(iocb, fields::IOCB_OFFSET.load())?,
        ))
    }
}
