//! How kernel memory is reached.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use sensor_ebpf::layout::count::Error;

/// A way to read a member of a kernel struct.
pub(crate) trait Reach: Copy {
    /// Whether it reads through addresses that were computed.
    const COMPUTED: bool;

    /// Reads a `T` at `offset` of the struct that `base` points to.
    ///
    /// # Safety
    /// `base` must be a pointer the verifier lets this way read through; a bad address gives zeroes, never a
    /// fault.
    unsafe fn get<T: Copy>(base: *const u8, offset: u64) -> Result<T, Error>;

    /// The `struct tcp_sock` that begins with this `struct sock`; null when it is none.
    ///
    /// # Safety
    /// `sock` must be a pointer to a struct sock of a TCP socket that the verifier lets this way read through.
    unsafe fn tcp(sock: *const u8) -> *const u8;
}

/// Direct loads through pointers whose type the verifier knows.
#[derive(Clone, Copy)]
pub(crate) struct Typed;

impl Reach for Typed {
    const COMPUTED: bool = false;

    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, offset: u64) -> Result<T, Error> {
        // SAFETY: the verifier has checked that a T lies at this offset of what `base` points to; a faulting load
        // gives zeroes (BPF_PROBE_MEM, kernel/bpf/verifier.c).
        Ok(unsafe { core::ptr::read(base.wrapping_add(offset as usize).cast()) })
    }

    #[inline(always)]
    unsafe fn tcp(sock: *const u8) -> *const u8 {
        // SAFETY: `sock` is a typed struct sock; the helper gives null for what is no TCP socket.
        unsafe { bpf_skc_to_tcp_sock(sock.cast_mut().cast()) }.cast()
    }
}

/// `bpf_probe_read_kernel`, for pointers the verifier sees as numbers.
#[derive(Clone, Copy)]
pub(crate) struct Probed;

impl Reach for Probed {
    const COMPUTED: bool = true;

    #[inline(always)]
    unsafe fn get<T: Copy>(base: *const u8, offset: u64) -> Result<T, Error> {
        let mut value = MaybeUninit::<T>::uninit();
        // VERIFIER: that it failed is not looked at, since 6.1 and 6.12 follow each way out of a body that there is (they
        // gave up on sys_exit at 1,000,001 instructions). As with `Typed`, who reads tests for zero.
        // SAFETY: the destination is a T on the stack, the size its own; the source may be any address. The helper writes
        // all of it, zeroes where it fails (bpf_probe_read_kernel_common, kernel/trace/bpf_trace.c), and zeroes are a T.
        Ok(unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                base.wrapping_add(offset as usize).cast(),
            );
            value.assume_init()
        })
    }

    #[inline(always)]
    unsafe fn tcp(sock: *const u8) -> *const u8 {
        // A tcp_sock begins with its sock (linux/tcp.h).
        sock
    }
}
