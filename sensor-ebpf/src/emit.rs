//! Writes records into the rings.
//!
//! A record is reserved in the ring, what the reader looks at written there, and submitted. The reader sleeps until its tick and
//! is woken before it only when much is waiting.

use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ktime_get_boot_ns, generated::bpf_jiffies64},
    maps::{RingBuf, ring_buf::RingBufEntry},
};
use sensor_ebpf::layout::{count::Error, header::Header, limits};

use crate::count::{Outcome, Trouble};

/// Bytes waiting in a ring from which on its reader is woken. The sensor lowers it for small rings.
#[unsafe(no_mangle)]
static WAKE_BYTES: Global<u64> = Global::new(limits::WAKE_BYTES);

/// Reserves a record, lets `fill` write it through a raw pointer, and submits it.
///
/// `fill` must write every byte that the reader looks at: what it leaves is of an older record in the same ring.
#[inline(always)]
pub(crate) fn record<T: 'static>(
    ring: &RingBuf,
    full: Error,
    fill: impl FnOnce(*mut T),
) -> Result<Outcome, Trouble> {
    let entry = written(ring, full, fill)?;
    submit(entry, ring);
    Ok(Outcome::Reported)
}

/// The same of records so small that no ring fills with them between two ticks: does not ask whether to wake the reader.
#[inline(always)]
pub(crate) fn quietly<T: 'static>(
    ring: &RingBuf,
    full: Error,
    fill: impl FnOnce(*mut T),
) -> Result<Outcome, Trouble> {
    written(ring, full, fill)?.submit(u64::from(BPF_RB_NO_WAKEUP));
    Ok(Outcome::Reported)
}

#[inline(always)]
fn written<T: 'static>(
    ring: &RingBuf,
    full: Error,
    fill: impl FnOnce(*mut T),
) -> Result<RingBufEntry<T>, Trouble> {
    let Some(mut entry): Option<RingBufEntry<T>> = ring.reserve::<T>(0) else {
        return Err(Trouble::Dropped(full));
    };
    fill(MaybeUninit::as_mut_ptr(&mut entry));
    Ok(entry)
}

/// Hands a written record over to the reader.
#[inline(always)]
pub(crate) fn submit<T: 'static>(entry: RingBufEntry<T>, ring: &RingBuf) {
    entry.submit(wake(ring));
}

/// The first bytes of a record of this kind, now.
#[inline(always)]
pub(crate) fn header(kind: u32) -> Header {
    header_at(kind, now())
}

/// The first bytes of a record of this kind, at a time of the boot clock.
#[inline(always)]
pub(crate) fn header_at(kind: u32, boot_ns: u64) -> Header {
    Header {
        boot_ns,
        kind,
        pad: 0,
    }
}

/// Nanoseconds on the boot clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no precondition (5.8 on).
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Low half of the kernel's count of ticks; the verifier makes a load of it.
#[inline(always)]
pub(crate) fn tick() -> u32 {
    // SAFETY: the helper has no precondition (5.5 on).
    unsafe { bpf_jiffies64() as u32 }
}

/// 0, without the compiler knowing.
// VERIFIER: for two zeroes side by side it calls memset, a frame more than 6.1 has room for (512 bytes in all).
#[inline(always)]
pub(crate) fn nought() -> u64 {
    core::hint::black_box(0)
}

#[inline(always)]
fn wake(ring: &RingBuf) -> u64 {
    if ring.query(u64::from(BPF_RB_AVAIL_DATA)) >= WAKE_BYTES.load() {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
