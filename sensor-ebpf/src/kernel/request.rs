//! Requests that are not system calls on a descriptor: `io_uring` and Linux AIO.

use sensor_ebpf::layout::count::Error;

use super::fields;
use super::file::File;
use super::read::{Probed, Reach as _, Typed};

/// `REQ_F_CQE_SKIP` of include/linux/io_uring_types.h, which is `IOSQE_CQE_SKIP_SUCCESS` of the request as submitted.
const CQE_SKIP: u32 = 1 << 6;

/// `SPLICE_F_FD_IN_FIXED` of include/uapi/linux/io_uring.h.
const FROM_RING: u32 = 1 << 31;

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

    /// True for one that asked for no completion when it succeeds, and has not failed so far.
    #[inline(always)]
    pub(crate) fn is_silent(self) -> Result<bool, Error> {
        let offset = fields::REQUEST_FLAGS.load();
        if offset == fields::ABSENT {
            return Ok(false);
        }
        // SAFETY: as above.
        let flags: u32 = unsafe { Probed::get(self.0, offset)? };
        Ok(flags & CQE_SKIP != 0)
    }

    /// What its completion would tell: bytes, or a negative error number.
    #[inline(always)]
    pub(crate) fn result(self) -> Result<i32, Error> {
        let offset = fields::REQUEST_RESULT.load();
        if offset == fields::ABSENT {
            return Err(Error::Fault);
        }
        // SAFETY: as above.
        unsafe { Probed::get(self.0, offset) }
    }

    /// The descriptor that a splice reads from; an error where the ring itself keeps the file.
    #[inline(always)]
    pub(crate) fn splice_from(self) -> Result<u32, Error> {
        let (from, flags) = (fields::SPLICE_FROM.load(), fields::SPLICE_FLAGS.load());
        if from == fields::ABSENT || flags == fields::ABSENT {
            return Err(Error::NoFile);
        }
        // SAFETY: as above; a request begins with its command (`io_kiocb_to_cmd`), here a struct io_splice.
        let (from, flags): (u32, u32) =
            unsafe { (Probed::get(self.0, from)?, Probed::get(self.0, flags)?) };
        if flags & FROM_RING == 0 {
            Ok(from)
        } else {
            Err(Error::NoFile)
        }
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
